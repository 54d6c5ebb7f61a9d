package api

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

const (
	chatPath  = "/chat"
	pastAtAll = 20 // closed sessions on one page
)

func chatAt(id string) string { return chatPath + "/" + id }

// asked is a session in a list of them.
type asked struct {
	ID, Title, Status, With, Path string
	Unread                        int64
	Created                       time.Time
	Closed                        *time.Time
	Reopens                       bool
}

func (s *Server) asked(c store.Conversation, by store.Party) asked {
	a := asked{ID: c.ID, Title: c.Title, Status: c.Status, With: c.AgentName, Path: chatAt(c.ID), Unread: c.Unread(by),
		Created: c.CreatedAt, Closed: c.ClosedAt, Reopens: c.Reopens(s.o.Now())}
	if a.With == "" {
		a.With = c.AgentID
	}
	return a
}

// chatHome is where an employee asks, and finds what they asked before.
func (s *Server) chatHome(ctx context.Context, r *req) (any, error) {
	if s.wantsOTP(r.who) {
		return s.home(ctx, r)
	}
	return s.chatForm(ctx, r, composer{Draft: r.Query("text")}, fasthttp.StatusOK, "")
}

// chatForm is that page, with what was typed before.
func (s *Server) chatForm(ctx context.Context, r *req, form composer, status int, topic string) (any, error) {
	by, err := r.party()
	if err != nil {
		return nil, err
	}
	ask := store.Conversations{Party: by, As: "asker", Status: store.Closed, N: pastAtAll + 1}
	if before, err := time.Parse(time.RFC3339Nano, r.Query("before")); err == nil {
		ask.Before = before
	}
	past, err := s.o.Store.Conversations(ctx, ask)
	if err != nil {
		return nil, err
	}
	open, err := s.o.Store.Conversations(ctx, store.Conversations{Party: by, As: "asker", Status: "live"})
	if err != nil {
		return nil, err
	}
	usual, err := s.o.Store.UsualAnswer(ctx)
	if err != nil {
		return nil, err
	}
	form.Action, form.Nonce = chatPath+"/new", newNonce()
	page := struct {
		Frame       frame
		Open        *asked
		Past        []asked
		First, Next string
		Usual       time.Duration
		Topic       string
		Form        composer
	}{r.frame(), nil, nil, "", "", usual, topic, form}
	if len(open) > 0 {
		a := s.asked(open[0], by)
		page.Open = &a
	}
	if !ask.Before.IsZero() {
		page.First = chatPath
	}
	if len(past) > pastAtAll {
		past = past[:pastAtAll]
		page.Next = chatPath + "?before=" + url.QueryEscape(past[pastAtAll-1].CreatedAt.UTC().Format(time.RFC3339Nano))
	}
	for _, c := range past {
		a := s.asked(c, by)
		a.Reopens = a.Reopens && page.Open == nil
		page.Past = append(page.Past, a)
	}
	return live{view{status, "chat", page}}, nil
}

// chatNew opens a session with its first message, or goes on with the one that
// is open.
func (s *Server) chatNew(ctx context.Context, r *req) (any, error) {
	by, err := r.party()
	if err != nil {
		return nil, err
	}
	var c store.Conversation
	err = s.speak(ctx, by, true, r.words(), func(tx *store.Tx) (_ store.Conversation, err error) {
		c, _, err = tx.Begin(ctx, by, "", r.Form("topic"))
		return c, err
	})
	if err == nil {
		return redirect{fasthttp.StatusSeeOther, chatAt(c.ID)}, nil
	}
	text, status, err := r.refused(err)
	if err != nil {
		return nil, err
	}
	return s.chatForm(ctx, r, composer{Draft: r.Form("content"), Trouble: text}, status, r.Form("topic"))
}

// chatPage is one session: its asker's and its agent's, and for administrators
// to look on.
func (s *Server) chatPage(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	return s.chatWith(ctx, r, c, by, composer{Draft: r.Query("text")}, fasthttp.StatusOK)
}

func (s *Server) chatWith(ctx context.Context, r *req, c store.Conversation, by store.Party, form composer, status int) (any, error) {
	self := chatAt(c.ID)
	joined := r.Query("join") != "" || r.Form("return") == "join"
	if joined {
		self += "?join=1"
	}
	switch r.part() {
	case "log":
		return s.talkLog(ctx, r, c, by, self, chatAt(c.ID))
	case "said":
		return s.talkSaid(ctx, r, c, by, chatAt(c.ID))
	}
	t, err := s.talkAt(ctx, r, c, by, self, chatAt(c.ID))
	if err != nil {
		return nil, err
	}
	t.Back, t.Export = chatPath, chatAt(c.ID)+"/export"
	t.Draft, t.Trouble = form.Draft, form.Trouble
	if t.As == "agent" {
		t.Back = deskAt(c.ID)
	}
	if t.As == "admin" {
		t.Back = ""
		if t.Transfer, err = s.withRoom(ctx, c); err != nil {
			return nil, err
		}
		if t.Mode == "look" && joined {
			t.Mode, t.Return = "write", "join"
			t.Bar = withQuery(self, "part", "bar", "was", t.Mode)
		}
	}
	if r.part() == "bar" {
		return s.talkBar(r, t), nil
	}
	return live{view{status, "chatsession", struct {
		Frame frame
		Talk  pane
	}{r.frame(), t}}}, nil
}

// chatSay says something in a session.
func (s *Server) chatSay(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	err = s.speak(ctx, by, by.Key == c.Asker, r.words(), func(tx *store.Tx) (store.Conversation, error) { return tx.Conversation(ctx, c.ID, by) })
	if err == nil {
		if r.byScript() {
			return fresh(), nil
		}
		return redirect{fasthttp.StatusSeeOther, r.returns(c.ID)}, nil
	}
	text, status, err := r.refused(err)
	if err != nil {
		return nil, err
	}
	form := composer{Draft: r.Form("content"), Trouble: text}
	switch {
	case r.byScript():
		return unsent(status, text), nil
	case r.Form("return") == "desk":
		return s.deskWith(ctx, r, c.ID, form, status)
	}
	return s.chatWith(ctx, r, c, by, form, status)
}

// returns is the page on which somebody did something to a session.
func (r *req) returns(id string) string {
	switch r.Form("return") {
	case "desk":
		return deskAt(id)
	case "join":
		return chatAt(id) + "?join=1"
	}
	return chatAt(id)
}

// chatClose ends a session.
func (s *Server) chatClose(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, func(tx *store.Tx) error {
		_, err := tx.CloseConversation(ctx, c.ID, by)
		return err
	})
	return r.wished(r.returns(c.ID), "", err)
}

// chatReopen goes on with one that was closed within a day.
func (s *Server) chatReopen(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, func(tx *store.Tx) error {
		c, err = tx.Reopen(ctx, c.ID, by)
		return err
	})
	if err == nil && r.Form("return") == "desk" && c.Agent != by.Key { // another agent has it, or nobody yet
		return r.flash(deskPath, "session.reopened", ""), nil
	}
	return r.wished(r.returns(c.ID), "", err)
}

// chatTransfer gives a session to another agent. Whoever gave it away does not
// see it any more, unless they are an administrator.
func (s *Server) chatTransfer(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	before := c
	err = s.change(ctx, func(tx *store.Tx) error {
		c, err = tx.Transfer(ctx, c.ID, r.Form("agent"), r.Form("note"), by)
		return err
	})
	if err != nil {
		return r.wished(r.returns(before.ID), "", err)
	}
	to := chatAt(c.ID)
	if r.Form("return") == "desk" {
		to = deskPath
	}
	name := c.AgentName
	if name == "" {
		name = c.AgentID
	}
	return r.flash(to, "session.transferred", name), nil
}

// chatSeen notes how far somebody has read, which takes back what the chat would
// have told them.
func (s *Server) chatSeen(ctx context.Context, r *req) (any, error) {
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	return s.noteSeen(ctx, r, c, by)
}

func (s *Server) noteSeen(ctx context.Context, r *req, c store.Conversation, by store.Party) (any, error) {
	n, err := strconv.ParseInt(r.Form("n"), 10, 64)
	if err != nil || n < 1 {
		return nil, badRequest("n", "is no number of a message")
	}
	return noContent{}, s.o.Store.Seen(ctx, c, by, n)
}
