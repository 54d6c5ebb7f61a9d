package api

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"deskbell/store"
)

// party is the caller as somebody in helpdesk sessions.
func (r *req) party() (store.Party, error) { return store.PartyOf(r.who.person.User), nil }

// change runs fn in a transaction, again when another one was faster.
func (s *Server) change(ctx context.Context, fn func(*store.Tx) error) (err error) {
	for range 5 {
		if err = s.o.Store.Tx(ctx, fn); !store.Transient(err) {
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
