package api

import (
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// passwordPage is what a link of /password opens. Looking at it changes nothing.
func (s *Server) passwordPage(ctx context.Context, r *req) (any, error) {
	return s.passwordForm(ctx, r, r.Query(tokenParam), nil)
}

// passwordForm asks the person whom a link was made for for a new password.
func (s *Server) passwordForm(ctx context.Context, r *req, token string, wrong *bot.Error) (any, error) {
	link, err := s.o.Store.PeekPasswordLink(ctx, token)
	if errors.Is(err, store.ErrNotFound) {
		return deadPasswordLink, nil
	}
	if err != nil {
		return nil, err
	}
	who, err := s.owner(ctx, link)
	if err == nil {
		err = s.admit(theAgents, who)
	}
	if err != nil {
		return nil, err
	}
	status, problem := fasthttp.StatusOK, ""
	if wrong != nil {
		status = fasthttp.StatusBadRequest
		if problem, err = s.o.Words.Text(r.Lang(), wrong.Key, wrong.Data); err != nil {
			return nil, err
		}
	}
	return view{status, "password", struct {
		Name, UserID  string
		Expires       time.Time
		Action, Token string
		Problem       string
	}{who.person.Name, who.person.ID, link.ExpiresAt, r.Path(), token, problem}}, nil
}

var deadPasswordLink = view{fasthttp.StatusUnauthorized, "passworddead", nil}

// passwordSet sets the password. A password that is refused leaves the link as
// good as it was.
func (s *Server) passwordSet(ctx context.Context, r *req) (any, error) {
	token, password := r.Form(tokenParam), r.Form("password")
	if password != r.Form("again") {
		return s.passwordForm(ctx, r, token, bot.Fail(bot.Invalid, "password.differ", nil, nil))
	}
	if v, err := s.passwordForm(ctx, r, token, nil); err != nil || v.(view).status != fasthttp.StatusOK {
		return v, err // the link is no good, or not any more
	}
	err := s.o.Store.ResetPassword(ctx, token, store.PasswordChange{New: password, Client: r.client()})
	if errors.Is(err, store.ErrNotFound) {
		return deadPasswordLink, nil
	}
	if e, ok := errors.AsType[*bot.Error](err); ok && e.Kind == bot.Invalid {
		return s.passwordForm(ctx, r, token, e)
	}
	if err != nil {
		return nil, err
	}
	return view{fasthttp.StatusOK, "passworddone", nil}, nil
}
