package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

const deskPath = "/agent/chat"

func deskAt(id string) string { return withQuery(deskPath, "session", id) }

// deskItem is a session in the list beside the conversation.
type deskItem struct {
	ID, Title, With, Path string
	Words                 string // the latest
	Medium                bool   // which are the name of something that was sent
	Unread                int64
	Waits                 time.Duration // the asker does, for as long; 0 for not at all
	Closed                *time.Time
	Here                  bool
}

// deskList is the list: what is theirs, the most urgent first, who waits for
// anybody, and what was closed within a day.
type deskList struct {
	Path          string // where it comes from
	Own, Past     []deskItem
	Queue         []deskItem
	Unread, Quiet int64
}

// statusChoices are for how long a status can be chosen on the page.
var statusChoices = []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour}

// deskPage is where agents work.
func (s *Server) deskPage(ctx context.Context, r *req) (any, error) {
	if s.wantsOTP(r.who) {
		return s.home(ctx, r)
	}
	return s.deskWith(ctx, r, r.Query("session"), composer{Draft: r.Query("text")}, fasthttp.StatusOK)
}

// deskWith is that page with a session open, "" for none, and with what was
// typed before.
func (s *Server) deskWith(ctx context.Context, r *req, id string, form composer, status int) (any, error) {
	by, err := r.party()
	if err != nil {
		return nil, err
	}
	var t pane
	if id != "" {
		var stop any
		if t, stop, err = s.deskTalk(ctx, r, id, by); stop != nil || err != nil {
			return stop, err
		}
	}
	if r.part() == "bar" && id != "" {
		return s.talkBar(r, t), nil
	}
	list, err := s.deskList(ctx, r, by, id)
	if err != nil {
		return nil, err
	}
	if r.part() == "list" {
		return view{fasthttp.StatusOK, "desklist", list}, nil
	}
	var me store.Agent
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.EnsureAgent(ctx, r.who.person.User); err != nil {
			return err
		}
		me, err = tx.Agent(ctx, by.Key)
		return err
	})
	if err != nil {
		return nil, err
	}
	t.Draft, t.Trouble = form.Draft, form.Trouble
	return live{view{status, "desk", struct {
		Frame   frame
		Me      store.Agent
		Choices []time.Duration
		List    deskList
		Open    bool
		Talk    pane
	}{r.frame(), me, statusChoices, list, id != "", t}}}, nil
}

// deskTalk is a session that is open at the desk. stop leads away from one that
// is not theirs, or not any more.
func (s *Server) deskTalk(ctx context.Context, r *req, id string, by store.Party) (t pane, stop any, err error) {
	c, err := s.o.Store.Conversation(ctx, id, by)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return t, r.away(r.flash(deskPath, "bad.session.gone", "")), nil
	case err != nil:
		return t, nil, err
	case c.Agent != by.Key && r.part() != "":
		return t, r.away(r.flash(deskPath, "bad.session.gone", "")), nil
	case c.Agent != by.Key: // their own question, or an administrator looks on
		return t, redirect{fasthttp.StatusSeeOther, chatAt(id)}, nil
	}
	if r.part() == "log" {
		stop, err = s.talkLog(ctx, r, c, by, deskAt(c.ID), chatAt(c.ID))
		return t, stop, err
	}
	if r.part() == "list" {
		return t, nil, nil
	}
	if t, err = s.talkAt(ctx, r, c, by, deskAt(c.ID), chatAt(c.ID)); err != nil {
		return t, nil, err
	}
	t.Back, t.Export, t.Return = deskPath, chatAt(c.ID)+"/export", "desk"
	if t.Mode != "write" {
		return t, nil, nil
	}
	if t.Transfer, err = s.withRoom(ctx, c); err != nil {
		return t, nil, err
	}
	t.DropCanned = deskPath + "/canned"
	t.Canned, err = s.cannedFor(ctx, r, by.Key, deskAt(c.ID))
	return t, nil, err
}

// away leads the whole page elsewhere, also when only a part was asked for.
func (r *req) away(to redirect) any {
	if r.byScript() {
		return byHeader{to.to}
	}
	return to
}

// withRoom lists who could go on with a session.
func (s *Server) withRoom(ctx context.Context, c store.Conversation) (list []store.Agent, err error) {
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		list, err = tx.Agents(ctx, store.Online)
		return err
	})
	return slices.DeleteFunc(list, func(a store.Agent) bool { return a.Key == c.Agent || a.Key == c.Asker || a.Load >= a.MaxLoad }), err
}

func (s *Server) deskList(ctx context.Context, r *req, by store.Party, open string) (l deskList, err error) {
	self := deskPath
	if open != "" {
		self = deskAt(open)
	}
	l.Path = withQuery(self, "part", "list")
	own, err := s.o.Store.Conversations(ctx, store.Conversations{Party: by, As: "agent", Status: store.Assigned, N: 200})
	if err != nil {
		return l, err
	}
	slices.SortStableFunc(own, byUrgency)
	past, err := s.o.Store.Conversations(ctx, store.Conversations{Party: by, As: "agent", Status: store.Closed, N: 50})
	if err != nil {
		return l, err
	}
	now := s.o.Now()
	past = slices.DeleteFunc(past, func(c store.Conversation) bool { return !c.Reopens(now) })
	queue, err := s.o.Store.Queue(ctx, 50)
	if err != nil {
		return l, err
	}
	words, err := s.o.Store.LastWords(ctx, own)
	if err != nil {
		return l, err
	}
	item := func(c store.Conversation) deskItem {
		d := deskItem{ID: c.ID, Title: c.Title, With: c.AskerName, Path: deskAt(c.ID), Waits: waited(now, c.WaitingSince), Closed: c.ClosedAt, Here: c.ID == open}
		if m, ok := words[c.ID]; ok {
			d.Medium = m.Media != ""
			d.Words, _ = s.label(r.Lang(), m) // nothing but a hint
			if m.Role == store.ByDesk {
				d.Words, _ = s.desksWords(r.Lang(), m)
			}
		}
		return d
	}
	for _, c := range own {
		d := item(c)
		if d.Unread = c.Unread(by); d.Unread > 0 {
			l.Unread++
		}
		l.Own = append(l.Own, d)
	}
	for _, c := range queue {
		d := item(c)
		d.Path, d.Waits = "", waited(now, &c.QueuedAt) // nobody opens what is nobody's yet
		l.Queue = append(l.Queue, d)
	}
	for _, c := range past {
		l.Past = append(l.Past, item(c))
	}
	return l, nil
}

// waited is how long somebody has waited, in minutes as people count them.
func waited(now time.Time, since *time.Time) time.Duration {
	if since == nil {
		return 0
	}
	return max(now.Sub(*since).Truncate(time.Minute), time.Minute)
}

// byUrgency puts those who wait first, whoever waits longest before all, and then
// those where something was said last.
func byUrgency(a, b store.Conversation) int {
	switch {
	case a.WaitingSince != nil && b.WaitingSince != nil:
		return a.WaitingSince.Compare(*b.WaitingSince)
	case a.WaitingSince != nil:
		return -1
	case b.WaitingSince != nil:
		return 1
	}
	return b.SaidAt.Compare(a.SaidAt)
}

// deskStatus sets the agent's status, for a time if one is given.
func (s *Server) deskStatus(ctx context.Context, r *req) (any, error) {
	status, length := r.Form("status"), time.Duration(0)
	if !slices.Contains(agentStatuses, status) {
		return nil, errStatus
	}
	if text := r.Form("for"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || !slices.Contains(statusChoices, length) {
			return nil, badRequest("for", "is none of the times on the page")
		}
	}
	person := r.who.person
	err := s.change(ctx, func(tx *store.Tx) error {
		if err := tx.EnsureAgent(ctx, person.User); err != nil {
			return err
		}
		tx.Audit(store.AuditEntry{Actor: person.ID, Action: "status.set", Target: person.ID, Detail: strings.TrimSpace(status + " " + r.Form("for"))})
		_, err := tx.SetStatus(ctx, person.ID, status, "", length)
		return err
	})
	return r.wished(r.deskBack(), "", err)
}

// deskBack is the desk as it was when a form was sent from it.
func (r *req) deskBack() string {
	if id := r.Form("session"); id != "" {
		return deskAt(id)
	}
	return deskPath
}

// houseCanned are the canned replies everybody has: keys of templates, behind
// "canned.".
var houseCanned = []string{"hello", "moment", "details", "restart", "done"}

// cannedFor lists what an agent may say with one press: their own first.
func (s *Server) cannedFor(ctx context.Context, r *req, agent, self string) ([]canned, error) {
	own, err := s.o.Store.Canned(ctx, agent)
	if err != nil {
		return nil, err
	}
	var list []canned
	for _, k := range own {
		list = append(list, canned{k.ID, k.Title, k.Text, withQuery(self, "text", k.Text)})
	}
	for _, name := range houseCanned {
		title, err := s.o.Words.Text(r.Lang(), "canned."+name+".title", nil)
		if err != nil {
			return nil, err
		}
		text, err := s.o.Words.Text(r.Lang(), "canned."+name+".text", nil)
		if err != nil {
			return nil, err
		}
		list = append(list, canned{"", title, text, withQuery(self, "text", text)})
	}
	return list, nil
}

// deskCanned keeps a canned reply, or drops one.
func (s *Server) deskCanned(ctx context.Context, r *req) (any, error) {
	agent, done := r.who.person.Key(), "canned.kept"
	err := s.change(ctx, func(tx *store.Tx) error {
		if id := r.Form("drop"); id != "" {
			done = "canned.dropped"
			if err := tx.DropCanned(ctx, agent, id); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			return nil // dropped before
		}
		_, err := tx.KeepCanned(ctx, agent, r.Form("title"), r.Form("text"))
		return err
	})
	return r.wished(r.deskBack(), done, err)
}
