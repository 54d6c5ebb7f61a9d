package api

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// deskSession is a helpdesk session as the contract has it.
type deskSession struct {
	ID        string     `json:"id"`
	Title     string     `json:"title"`
	Status    string     `json:"status" enum:"open queued closed"`
	User      string     `json:"user"`  // a userid as the directory spells it, or an end user's username
	Agent     *string    `json:"agent"` // a userid
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	ClosedAt  *time.Time `json:"closed_at"`
	Position  int        `json:"position,omitzero"` // in the queue, from 1
}

func showSession(c store.Conversation) deskSession {
	d := deskSession{
		ID: c.ID, Title: c.Title, Status: c.Status, User: c.AskerID, Agent: orNull(c.AgentID),
		CreatedAt: c.CreatedAt.UTC(), UpdatedAt: c.UpdatedAt.UTC(), Position: c.Position,
	}
	if c.ClosedAt != nil {
		d.ClosedAt = new(c.ClosedAt.UTC())
	}
	return d
}

// party is the caller as somebody in helpdesk sessions.
func (r *req) party() (store.Party, error) { return r.s.partyOf(r.who, r.Lang()) }

// partyOf is somebody in helpdesk sessions. The master key has none, and sees
// all; to others it is the desk.
func (s *Server) partyOf(c caller, lang string) (store.Party, error) {
	switch {
	case c.master:
		name, err := s.o.Words.Text(lang, "session.desk", nil)
		return store.Party{Name: name, Admin: true}, err
	case c.account != nil:
		return c.account.PartyOf(), nil
	}
	return store.PartyOf(c.person.User), nil
}

// talking words what store says of helpdesk sessions.
func (s *Server) talking(r *req, err error) error {
	if e, ok := errors.AsType[*store.DeskError](err); ok {
		why, unsaid := s.o.Words.Text(r.Lang(), e.Reason, nil)
		switch {
		case unsaid != nil:
			return unsaid
		case e.Reason == store.NoSuchAgent:
			return badRequest("agent", why)
		case e.Reason == store.NotYours:
			return forbidden(why)
		}
		return &problem{status: fasthttp.StatusConflict, message: why, cause: err}
	}
	if errors.Is(err, store.ErrEnded) {
		return &problem{status: fasthttp.StatusConflict, message: "the session is closed", cause: err}
	}
	return err
}

// change runs fn in a transaction, again when another one was faster.
func (s *Server) change(ctx context.Context, fn func(*store.Tx) error) (err error) {
	for range 5 {
		if err = s.o.Store.Tx(ctx, fn); !store.Raced(err) {
			break
		}
	}
	return err
}

// sessionID is the id in the path. What is none is not looked for.
func (r *req) sessionID() (string, error) {
	id := strings.ToLower(r.holes[0])
	if uuid.Validate(id) != nil || len(id) != 36 {
		return "", store.ErrNotFound
	}
	return id, nil
}

// conversation is the session in the path, if the caller may see it.
func (r *req) conversation(ctx context.Context) (c store.Conversation, by store.Party, err error) {
	if by, err = r.party(); err != nil {
		return c, by, err
	}
	id, err := r.sessionID()
	if err != nil {
		return c, by, err
	}
	c, err = r.s.o.Store.Conversation(ctx, id, by)
	return c, by, err
}

const (
	sessionsUsual = 50
	sessionsMost  = 200
	queueMost     = 1000 // whose places are told in lists and live
)

// sessions lists those the caller takes part in, newest first, or all of them
// for administrators.
func (s *Server) sessions(ctx context.Context, r *req) (any, error) {
	by, err := r.party()
	if err != nil {
		return nil, err
	}
	ask := store.Conversations{Party: by, Status: r.Query("status"), N: sessionsUsual}
	switch ask.Status {
	case "", store.Assigned, store.Queued, store.Closed:
	default:
		return nil, badRequest("status", "is none of open, queued, closed")
	}
	switch r.Query("all") {
	case "", "false":
	case "true":
		if ask.All = by.Admin; !ask.All {
			return nil, forbidden("only administrators see all sessions")
		}
	default:
		return nil, badRequest("all", "is neither true nor false")
	}
	if ask.N, err = r.number("limit", sessionsUsual, 1, sessionsMost); err != nil {
		return nil, err
	}
	if before := r.Query("before"); before != "" {
		// An offset's plus sign that nobody escaped arrives as a space.
		if ask.Before, err = time.Parse(time.RFC3339Nano, strings.ReplaceAll(before, " ", "+")); err != nil {
			return nil, badRequest("before", "is no RFC 3339 time, as 2027-01-31T18:00:00+08:00")
		}
	}
	list, err := s.o.Store.Conversations(ctx, ask)
	if err != nil {
		return nil, err
	}
	return s.showSessions(ctx, list)
}

// showSessions is a list of sessions, those in the queue with their places.
func (s *Server) showSessions(ctx context.Context, list []store.Conversation) (itemList[deskSession], error) {
	items, queued := make([]deskSession, len(list)), map[string]int{}
	for i, c := range list {
		if items[i] = showSession(c); c.Status == store.Queued {
			queued[c.ID] = i
		}
	}
	if len(queued) > 0 {
		queue, err := s.o.Store.Queue(ctx, queueMost)
		if err != nil {
			return itemList[deskSession]{}, err
		}
		for _, c := range queue {
			if i, ok := queued[c.ID]; ok {
				items[i].Position = c.Position
			}
		}
	}
	return itemList[deskSession]{items}, nil
}

// sessionRequest says what a session is to be about; topic is what the chat
// calls it.
type sessionRequest struct {
	Title *string `json:"title"`
	Topic *string `json:"topic"`
}

// openSession opens a session for a person, or returns the one they have open.
// End users ask on the page of a share, which is what theirs belong to.
func (s *Server) openSession(ctx context.Context, r *req) (any, error) {
	in, title := sessionRequest{}, ""
	if len(r.ctx.PostBody()) > 0 {
		if err := r.Bind(&in); err != nil {
			return nil, err
		}
	}
	switch {
	case in.Title != nil && in.Topic != nil:
		return nil, badRequest("topic", "not together with title, which is the same")
	case in.Title != nil:
		title = *in.Title
	case in.Topic != nil:
		title = *in.Topic
	}
	if unprintableIn(title) {
		return nil, badRequest("title", "has control characters")
	}
	switch {
	case r.who.master:
		return nil, forbidden("the master key is nobody who could ask: a person has to sign in")
	case r.who.account != nil:
		return nil, forbidden("end users ask on the page of a share, at /s/{share_token}; other accounts cannot")
	}
	var c store.Conversation
	err := s.change(ctx, func(tx *store.Tx) (err error) {
		c, _, err = tx.Begin(ctx, store.PartyOf(r.who.person.User), "", title)
		return err
	})
	if err != nil {
		return nil, s.talking(r, err)
	}
	return showSession(c), nil
}

// unprintableIn reports control characters, but for those that lay out a text.
func unprintableIn(text string) bool {
	return strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' && c != '\r' || c == 0x7f })
}

func (s *Server) session(ctx context.Context, r *req) (any, error) {
	c, _, err := r.conversation(ctx)
	return showSession(c), err
}

// closeSession ends a session. One that is closed stays so.
func (s *Server) closeSession(ctx context.Context, r *req) (any, error) {
	if err := r.Bodiless(); err != nil {
		return nil, err
	}
	return s.changed(ctx, r, func(tx *store.Tx, id string, by store.Party) (store.Conversation, error) {
		return tx.CloseConversation(ctx, id, by)
	})
}

// reopenSession goes on with one that was closed within a day.
func (s *Server) reopenSession(ctx context.Context, r *req) (any, error) {
	if err := r.Bodiless(); err != nil {
		return nil, err
	}
	return s.changed(ctx, r, func(tx *store.Tx, id string, by store.Party) (c store.Conversation, err error) {
		if err := s.maySpeak(ctx, tx, r, id, by); err != nil {
			return c, err
		}
		return tx.Reopen(ctx, id, by)
	})
}

// transferRequest names who is to go on with a session.
type transferRequest struct {
	Agent string  `json:"agent"`
	Note  *string `json:"note"`
}

// transferSession gives a session on to another agent.
func (s *Server) transferSession(ctx context.Context, r *req) (any, error) {
	var in transferRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	note := ""
	if in.Note != nil {
		note = strings.TrimSpace(*in.Note)
	}
	switch {
	case in.Agent == "":
		return nil, badRequest("agent", "is missing")
	case len(note) > store.MaxSaid:
		return nil, badRequest("note", "is longer than "+strconv.Itoa(store.MaxSaid)+" bytes")
	case unprintableIn(note) || unprintableIn(in.Agent):
		return nil, badRequest("note", "has control characters")
	}
	return s.changed(ctx, r, func(tx *store.Tx, id string, by store.Party) (store.Conversation, error) {
		return tx.Transfer(ctx, id, in.Agent, note, by)
	})
}

// changed is the session in the path after a change of it.
func (s *Server) changed(ctx context.Context, r *req, fn func(*store.Tx, string, store.Party) (store.Conversation, error)) (any, error) {
	by, err := r.party()
	if err != nil {
		return nil, err
	}
	id, err := r.sessionID()
	if err != nil {
		return nil, err
	}
	var c store.Conversation
	err = s.change(ctx, func(tx *store.Tx) (err error) {
		c, err = fn(tx, id, by)
		return err
	})
	if err != nil {
		return nil, s.talking(r, err)
	}
	if c, err = s.o.Store.Conversation(ctx, id, store.Party{Key: by.Key, Admin: true}); err != nil { // as it is after the commit; whoever gave it away still sees what they did
		return nil, err
	}
	return showSession(c), nil
}

// maySpeak refuses end users whose share is good no more: they read what was
// said, and say nothing more. Nobody else comes through a share.
func (s *Server) maySpeak(ctx context.Context, tx *store.Tx, r *req, id string, by store.Party) error {
	if r.who.account == nil {
		return nil
	}
	c, err := tx.Conversation(ctx, id, by)
	if err != nil {
		return err
	}
	sh, err := tx.Share(ctx, c.Share)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil || !sh.Live(tx.Now) {
		return forbidden("the share is revoked or has expired")
	}
	return nil
}
