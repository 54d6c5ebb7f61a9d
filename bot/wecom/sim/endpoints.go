package sim

import (
	"context"
	"fmt"
	"net/http"
	"slices"
)

// endpoints are the JSON calls of the chat page: what the methods of Sim do,
// for a browser.
func (s *Sim) endpoints(page func(string, http.HandlerFunc)) {
	page("GET /events", s.serveEvents)
	page("GET /people", s.servePeople)
	page("GET /inbox", s.serveInbox)
	page("GET /media", s.serveMedia)
	page("GET /menu", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, answer{"button": s.Menu()}) })
	page("GET /wire", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, answer{"items": s.Log()}) })
	page("GET /problems", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, answer{"items": s.Problems()}) })
	page("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Faults()) })
	page("POST /faults", s.postFaults)
	page("POST /say", s.postAction(func(a action) Delivery { return s.Say(a.User, a.Text) }))
	page("POST /press", s.postAction(func(a action) Delivery { return s.Press(a.User, a.TaskID, a.Key, a.Chosen...) }))
	page("POST /click", s.postAction(func(a action) Delivery { return s.Click(a.User, a.Key) }))
	page("POST /event", s.postAction(func(a action) Delivery { return s.Event(a.User, a.Event) }))
	page("POST /send", s.postMedia)
	page("POST /status", s.postStatus)
	page("POST /verify", s.postVerify)
	page("POST /expire-tokens", func(w http.ResponseWriter, _ *http.Request) { s.ExpireTokens(); writeJSON(w, answer{}) })
	page("POST /reset", func(w http.ResponseWriter, _ *http.Request) { s.Reset(); writeJSON(w, answer{}) })
}

// action is what a person does on the page.
type action struct {
	User   string      `json:"user"`
	Text   string      `json:"text"`
	TaskID string      `json:"task_id"`
	Key    string      `json:"key"`
	Event  string      `json:"event"`
	Chosen []Selection `json:"chosen"`
}

func (s *Sim) postAction(do func(action) Delivery) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var a action
		if !decodePage(w, r, &a) {
			return
		}
		if _, ok := s.Person(a.User); !ok {
			pageError(w, http.StatusNotFound, fmt.Errorf("user: nobody is called %q", a.User))
			return
		}
		writeJSON(w, do(a))
	}
}

func (s *Sim) servePeople(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, answer{"app": s.conf.AppName, "corp": s.conf.CorpID, "items": s.People()})
}

// serveInbox returns the whole conversation of a person: the app's messages,
// the person's own, and the remarks of the simulator.
func (s *Sim) serveInbox(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("user")
	s.mu.Lock()
	m := s.people[canonical(user)]
	items := []Received{}
	if m != nil {
		items = append(items, m.chat...)
	}
	s.mu.Unlock()
	if m == nil {
		pageError(w, http.StatusNotFound, fmt.Errorf("user: nobody is called %q", user))
		return
	}
	writeJSON(w, answer{"items": items})
}

func (s *Sim) serveMedia(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	m, ok := s.media[r.URL.Query().Get("id")]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	serveFile(w, r, &m.file)
}

func (s *Sim) postFaults(w http.ResponseWriter, r *http.Request) {
	var f Faults
	if !decodePage(w, r, &f) {
		return
	}
	if err := f.check(); err != nil {
		pageError(w, http.StatusBadRequest, err)
		return
	}
	s.SetFaults(f)
	writeJSON(w, s.Faults())
}

// postStatus disables a person in the directory, or brings them back. WeCom
// says so with an event of its own, which the page sends too.
func (s *Sim) postStatus(w http.ResponseWriter, r *http.Request) {
	var body struct {
		User   string `json:"user"`
		Status int    `json:"status"`
	}
	if !decodePage(w, r, &body) {
		return
	}
	p, ok := s.Person(body.User)
	if !ok || !slices.Contains([]int{StatusActive, StatusDisabled, StatusInactive, StatusLeft}, body.Status) {
		pageError(w, http.StatusBadRequest, fmt.Errorf("user: somebody of the corporation; status: 1, 2, 4 or 5"))
		return
	}
	p.Status = body.Status
	s.SetPerson(p)
	writeJSON(w, p)
}

func (s *Sim) postVerify(w http.ResponseWriter, r *http.Request) {
	out := answer{"ok": true}
	if err := s.Verify(context.WithoutCancel(r.Context())); err != nil {
		out = answer{"ok": false, "error": err.Error()}
	}
	writeJSON(w, out)
}

// Reset empties the conversations and logs and repairs the faults. The
// directory, the menu and the tokens stay.
func (s *Sim) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.problems, s.wire = Faults{}, nil, nil
	clear(s.calls)
	for _, m := range s.people {
		m.chat, m.times, m.lost = nil, nil, 0
		s.inboxChanged(m)
	}
	s.tell(pageEvent{Kind: "faults"})
}
