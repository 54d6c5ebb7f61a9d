package api

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// endUser is an end user's account.
type endUser struct {
	ID        string     `json:"id"`
	Username  string     `json:"username"`
	Email     *string    `json:"email"`
	IsActive  bool       `json:"is_active"`
	CreatedAt time.Time  `json:"created_at"`
	LastLogin *time.Time `json:"last_login"`
}

func showEndUser(a store.Account) endUser {
	u := endUser{ID: a.UID, Username: a.Username, Email: orNull(a.Email), IsActive: a.Enabled, CreatedAt: a.CreatedAt.UTC()}
	if a.LastLoginAt != nil {
		u.LastLogin = new(a.LastLoginAt.UTC())
	}
	return u
}

// endUsers lists the end users, newest first.
func (s *Server) endUsers(ctx context.Context, _ *req) (any, error) {
	list, err := s.o.Store.EndUsers(ctx, 0)
	if err != nil {
		return nil, err
	}
	items := make([]endUser, len(list))
	for i, a := range list {
		items[i] = showEndUser(a)
	}
	return itemList[endUser]{items}, nil
}

// endUserRequest is an end user's account as an administrator asks for it.
type endUserRequest struct {
	Username string  `json:"username"`
	Password string  `json:"password"`
	Email    *string `json:"email"`
}

// makeEndUser makes an account for somebody outside.
func (s *Server) makeEndUser(ctx context.Context, r *req) (any, error) {
	var in endUserRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Username == "":
		return nil, badRequest("username", "is missing")
	case in.Password == "":
		return nil, badRequest("password", "is missing")
	}
	wish := store.NewAccount{Username: in.Username, Password: in.Password, EndUser: true}
	if in.Email != nil {
		wish.Email = *in.Email
	}
	a, err := s.o.Store.CreateAccount(ctx, wish, r.who.actor())
	if err != nil {
		return nil, refusedAccount(err)
	}
	return showEndUser(a), nil
}

// refusedAccount words why an account cannot be, or cannot be so.
func refusedAccount(err error) error {
	refused, ok := errors.AsType[*store.AccountError](err)
	switch {
	case ok && refused.Taken:
		return &problem{status: fasthttp.StatusConflict, message: refused.Reason}
	case ok:
		return &problem{status: fasthttp.StatusBadRequest, message: refused.Reason}
	}
	return err
}

// resetRequest is another password.
type resetRequest struct {
	Password string `json:"password"`
}

// resetEndUser gives an end user another password.
func (s *Server) resetEndUser(ctx context.Context, r *req) (any, error) {
	var in resetRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if in.Password == "" {
		return nil, badRequest("password", "is missing")
	}
	if err := s.o.Store.ResetEndUser(ctx, r.holes[0], in.Password, r.who.actor()); err != nil {
		return nil, refusedAccount(err)
	}
	return s.said(r, "user.reset.done")
}

// deleteEndUser removes an end user's account.
func (s *Server) deleteEndUser(ctx context.Context, r *req) (any, error) {
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.DeleteEndUser(ctx, r.holes[0], r.who.actor()) })
	if err != nil {
		return nil, err
	}
	return s.said(r, "user.removed.done")
}
