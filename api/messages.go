package api

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"deskbell/store"
)

// deskMessage is a message of a session as the contract has it.
type deskMessage struct {
	ID        string    `json:"id"`
	SessionID string    `json:"session_id"`
	Role      string    `json:"role" enum:"user assistant system"`
	Content   string    `json:"content"`
	CreatedAt time.Time `json:"created_at"`
	Media     string    `json:"media,omitzero"` // path of what was sent instead of words; 404 until it is here
}

func (s *Server) showMessage(lang string, m store.Said) (deskMessage, error) {
	text, err := s.desksWords(lang, m)
	if text == "" && err == nil {
		text, err = s.label(lang, m)
	}
	shown := deskMessage{m.ID, m.Conversation, m.Role, text, m.CreatedAt.UTC(), ""}
	if m.Media != "" {
		shown.Media = "/api/sessions/" + m.Conversation + "/media/" + m.Media
	}
	return shown, err
}

// label is what something that was sent is called: its name, or what it is.
func (s *Server) label(lang string, m store.Said) (string, error) {
	if m.Media == "" || m.Content != "" {
		return m.Content, nil
	}
	return s.o.Words.Text(lang, "session.media", m)
}

// desksWords are what the desk itself says in a message, "" for those of people.
func (s *Server) desksWords(lang string, m store.Said) (string, error) {
	if m.Role != store.ByDesk {
		return "", nil
	}
	return s.o.Words.Text(lang, "session.event."+m.Kind, m)
}

const messagesMost = 1000

// messages lists what was said, in its order, or what was said after a message.
func (s *Server) messages(ctx context.Context, r *req) (any, error) {
	c, _, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	n, err := r.number("limit", messagesMost, 1, messagesMost)
	if err != nil {
		return nil, err
	}
	after := int64(0)
	if id := r.Query("after"); id != "" {
		if after, err = s.messageNumber(ctx, c, "after", id); err != nil {
			return nil, err
		}
	}
	list, err := s.o.Store.Messages(ctx, c.ID, after, n)
	if err != nil {
		return nil, err
	}
	items := make([]deskMessage, len(list))
	for i, m := range list {
		if items[i], err = s.showMessage(r.Lang(), m); err != nil {
			return nil, err
		}
	}
	return itemList[deskMessage]{items}, nil
}

// messageNumber is the number of a message that a field names by its id.
func (s *Server) messageNumber(ctx context.Context, c store.Conversation, field, id string) (int64, error) {
	if unprintableIn(id) {
		return 0, badRequest(field, "is no message of this session")
	}
	n, err := s.o.Store.MessageNumber(ctx, c.ID, id)
	if errors.Is(err, store.ErrNotFound) {
		err = badRequest(field, "is no message of this session")
	}
	return n, err
}

// messageRequest is what somebody wants to say.
type messageRequest struct {
	Content string `json:"content"`
}

// idempotencyKey is the header that names a message, so that sending it again
// says nothing twice.
const idempotencyKey = "Idempotency-Key"

// say adds the caller's words to a session: an administrator's who takes no part
// in it, as the desk's.
func (s *Server) say(ctx context.Context, r *req) (any, error) {
	var in messageRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	words := store.Words{Content: strings.TrimSpace(in.Content)}
	switch {
	case words.Content == "":
		return nil, badRequest("content", "is empty")
	case len(words.Content) > store.MaxSaid:
		return nil, badRequest("content", "is longer than "+strconv.Itoa(store.MaxSaid)+" bytes")
	case unprintableIn(words.Content):
		return nil, badRequest("content", "has control characters")
	}
	var err error
	if words.Nonce, err = r.nonce(); err != nil {
		return nil, err
	}
	by, err := r.party()
	if err != nil {
		return nil, err
	}
	id, err := r.sessionID()
	if err != nil {
		return nil, err
	}
	var m store.Said
	err = s.change(ctx, func(tx *store.Tx) error {
		c, err := tx.Conversation(ctx, id, by)
		if err != nil {
			return err
		}
		if err := s.maySpeak(ctx, tx, r, id, by); err != nil {
			return err
		}
		m, _, err = tx.Say(ctx, c, by, words)
		return err
	})
	if err != nil {
		return nil, s.talking(r, err)
	}
	if m.Content != words.Content {
		return nil, &problem{status: taken, message: idempotencyKey + ": was used for other words"}
	}
	return s.showMessage(r.Lang(), m)
}

// nonce is the caller's own name for what they send, "" for none.
func (r *req) nonce() (string, error) {
	fields := r.ctx.Request.Header.PeekAll(idempotencyKey)
	if len(fields) == 0 {
		return "", nil
	}
	key := string(fields[0])
	odd := strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' })
	if len(fields) > 1 || key == "" || len(key) > 128 || odd {
		return "", badRequest(idempotencyKey, "is not 1 to 128 printable characters")
	}
	return key, nil
}

// seenRequest names the last message somebody saw.
type seenRequest struct {
	Message string `json:"message"`
}

// seen notes up to where the caller has read, which takes back pushes of it.
func (s *Server) seen(ctx context.Context, r *req) (any, error) {
	var in seenRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	c, by, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	if in.Message == "" {
		return nil, badRequest("message", "is missing")
	}
	n, err := s.messageNumber(ctx, c, "message", in.Message)
	if err != nil {
		return nil, err
	}
	if err := s.o.Store.Seen(ctx, c, by, n); err != nil {
		return nil, err
	}
	return showSession(c), nil
}
