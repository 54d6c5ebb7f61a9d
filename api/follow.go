package api

import (
	"context"
	"strconv"
	"sync"
	"time"

	"deskbell/store"
	"github.com/go-json-experiment/json"
)

// talk is the source of a session's events: what is said, and what becomes of it.
type talk struct {
	s     *Server
	id    string
	by    store.Party
	again func(context.Context) (store.Party, error) // the caller, looked up anew
	show  func(context.Context, store.Said, store.Conversation) ([]byte, error)
	after int64 // number of the last message that was told

	own   *store.Watch
	queue *store.Watch // while the session is in the queue: its place depends on others
	told  deskSession  // as it was told last
}

// newsAtOnce bounds the messages that are read for one look.
const newsAtOnce = 100

// follow streams a session's events.
func (r *req) follow(ctx context.Context, c store.Conversation, t talk) (any, error) {
	return r.stream(func() (source, error) {
		t.s, t.id = r.s, c.ID
		t.own = r.s.o.Store.Watch(store.ConversationTopic(c.ID)) // before anything is read, so that nothing falls between
		err := t.begin(ctx, r)
		if err != nil {
			t.close()
		}
		return &t, err
	})
}

// begin finds out after which message it begins: without a word of the caller,
// after what is there now.
func (t *talk) begin(ctx context.Context, r *req) error {
	c, err := t.s.o.Store.Conversation(ctx, t.id, t.by)
	if err != nil {
		return err
	}
	at, field, ok := r.resumeAt()
	if t.after = c.Last; !ok {
		return nil
	}
	if n, err := strconv.ParseInt(at, 10, 64); err == nil && n >= 0 {
		t.after = min(n, c.Last) // more than there is was before the store was put back
		return nil
	}
	t.after, err = t.s.messageNumber(ctx, c, field, at)
	return err
}

func (t *talk) signals() (near, far <-chan struct{}) {
	if t.queue != nil {
		far = t.queue.C
	}
	return t.own.C, far
}

// stirred: of what happens elsewhere, only the own place in the queue matters.
func (t *talk) stirred(ctx context.Context, at time.Time) (bool, error) {
	place, err := t.s.queue.place(ctx, t.s, t.id, at)
	return place != t.told.Position, err
}

// queuePlaces is the queue as it was not long ago, for all who wait in it and
// hear at once that it moved.
type queuePlaces struct {
	mu     sync.Mutex
	at     time.Time
	places map[string]int
}

// place tells where in the queue a session was after a moment; 0: it is not, or
// far behind. However many ask, the store is asked rarely.
func (q *queuePlaces) place(ctx context.Context, s *Server, id string, after time.Time) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.at.After(after) {
		at := time.Now()
		if at.Sub(q.at) < s.pulse.far {
			return 0, errLater
		}
		queue, err := s.o.Store.Queue(ctx, queueMost)
		if err != nil {
			return 0, err
		}
		q.at, q.places = at, make(map[string]int, len(queue))
		for _, c := range queue {
			q.places[c.ID] = c.Position
		}
	}
	return q.places[id], nil
}

func (t *talk) news(ctx context.Context, out *events) (more bool, err error) {
	list, err := t.s.o.Store.Messages(ctx, t.id, t.after, newsAtOnce)
	if err != nil {
		return false, err
	}
	c, err := t.s.o.Store.Conversation(ctx, t.id, t.by) // later, so that what is said of a change never comes before it
	if err != nil {
		return false, err
	}
	if t.watchQueue(c) { // it may have moved before that
		if c, err = t.s.o.Store.Conversation(ctx, t.id, t.by); err != nil {
			return false, err
		}
	}
	now := showSession(c)
	changed := t.told.ID == "" || t.told.Status != now.Status || t.told.Position != now.Position || t.told.Title != now.Title || deref(t.told.Agent) != deref(now.Agent)
	if len(list) == 0 && !changed {
		return false, nil
	}
	if t.told.ID != "" { // the first time it was just found out
		if err := t.admitted(ctx); err != nil {
			return false, err
		}
	}
	if changed {
		data, err := json.Marshal(now)
		if err != nil {
			return false, err
		}
		out.send("session", 0, data)
		t.told = now
	}
	for _, m := range list {
		data, err := t.show(ctx, m, c)
		if err != nil {
			return false, err
		}
		out.send("message", m.N, data)
		t.after = m.N
	}
	return len(list) == newsAtOnce, nil
}

// watchQueue looks at the whole desk while the session is in the queue, and
// reports whether it has just begun to.
func (t *talk) watchQueue(c store.Conversation) (began bool) {
	switch queued := c.Status == store.Queued; {
	case queued && t.queue == nil:
		t.queue = t.s.o.Store.Watch(store.DeskTopic)
		return true
	case !queued && t.queue != nil:
		t.queue.Close()
		t.queue = nil
	}
	return false
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (t *talk) admitted(ctx context.Context) error {
	by, err := t.again(ctx)
	if err != nil {
		return err
	}
	_, err = t.s.o.Store.Conversation(ctx, t.id, by)
	t.by = by
	return err
}

func (t *talk) here(ctx context.Context) error {
	c, err := t.s.o.Store.Conversation(ctx, t.id, t.by)
	if err != nil || c.Status == store.Closed {
		return err
	}
	return t.s.o.Store.Here(ctx, c, t.by)
}

func (t *talk) close() {
	t.own.Close()
	if t.queue != nil {
		t.queue.Close()
	}
}

// asJSON shows messages to programs.
func (r *req) asJSON() func(context.Context, store.Said, store.Conversation) ([]byte, error) {
	s, lang := r.s, r.Lang()
	return func(_ context.Context, m store.Said, _ store.Conversation) ([]byte, error) {
		shown, err := s.showMessage(lang, m)
		if err != nil {
			return nil, err
		}
		return json.Marshal(shown)
	}
}

// lookAgain resolves the token that this request came with anew, for as long as
// somebody goes on listening. fasthttp's buffers are gone by then.
func (r *req) lookAgain(token string) func(context.Context) (store.Party, error) {
	s, may, who, lang := r.s, r.route.may, r.who, r.Lang()
	return func(ctx context.Context) (store.Party, error) {
		var err error
		if !who.master {
			if who, err = s.caller(ctx, token); err != nil {
				return store.Party{}, err
			}
			if may.signedIn { // else the page looks after that itself
				if err := s.admit(may, who); err != nil {
					return store.Party{}, err
				}
			}
		}
		return s.partyOf(who, lang)
	}
}

// sessionEvents streams a session to a program.
func (s *Server) sessionEvents(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	return r.follow(ctx, c, talk{by: by, again: r.lookAgain(r.bearerToken()), show: r.asJSON()})
}

// chatEvents streams a session to the page of a person who takes part in it.
func (s *Server) chatEvents(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	return r.follow(ctx, c, talk{by: by, again: r.lookAgain(s.cookie.read(r.ctx)), show: r.asHTML(by)})
}

// shareEvents streams the session of an end user to the page of a share: the one
// that is named, or else the one that is not closed.
func (s *Server) shareEvents(ctx context.Context, r *req) (any, error) {
	token := r.holes[0]
	sh, err := s.o.Store.PeekShare(ctx, token)
	if err != nil {
		return s.noShare(ctx, r, err)
	}
	access := s.guest.read(r.ctx)
	if r.who, err = s.caller(ctx, access); err != nil {
		return nil, err
	}
	if r.who.account == nil || !r.who.account.IsEndUser {
		return nil, unauthorized("an end user has to sign in")
	}
	by := r.who.account.PartyOf()
	list, err := s.o.Store.Conversations(ctx, store.Conversations{Party: by, As: "asker", N: sessionsMost})
	if err != nil {
		return nil, err
	}
	named := r.Query("session")
	for _, c := range list {
		if c.Share != sh.ID || named == "" && c.Status == store.Closed || named != "" && c.ID != named {
			continue
		}
		guest := r.lookAgain(access)
		again := func(ctx context.Context) (store.Party, error) {
			if _, err := s.o.Store.PeekShare(ctx, token); err != nil {
				return store.Party{}, err
			}
			return guest(ctx)
		}
		return r.follow(ctx, c, talk{by: by, again: again, show: r.asHTML(by)})
	}
	return nil, store.ErrNotFound
}
