package api

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// newPassword is the data of the page newpassword.
type newPassword struct {
	Username, Password string    // no password before it is asked for
	Expires            time.Time // of the link
	Action, Token      string
}

// handOverPage is what a link of /user opens. Looking at it makes and shows
// nothing.
func (s *Server) handOverPage(ctx context.Context, r *req) (any, error) {
	token := r.Query(tokenParam)
	account, until, err := s.o.Store.PeekHandOver(ctx, token)
	if errors.Is(err, store.ErrNotFound) {
		return deadHandOver, nil
	}
	if err != nil {
		return nil, err
	}
	return view{fasthttp.StatusOK, "newpassword", newPassword{Username: account.Username, Expires: until, Action: r.Path(), Token: token}}, nil
}

var deadHandOver = view{fasthttp.StatusUnauthorized, "newpassworddead", nil}

// handOver makes the password and shows it, this once.
func (s *Server) handOver(ctx context.Context, r *req) (any, error) {
	account, password, err := s.o.Store.HandOver(ctx, r.Form(tokenParam), r.client())
	if errors.Is(err, store.ErrNotFound) {
		return deadHandOver, nil
	}
	if err != nil {
		return nil, err
	}
	return view{fasthttp.StatusOK, "newpassword", newPassword{Username: account.Username, Password: password}}, nil
}
