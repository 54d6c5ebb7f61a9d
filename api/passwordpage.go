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

// passwordForm asks the person whom a link was made for for a new password: their
// own, or that of a device of theirs.
func (s *Server) passwordForm(ctx context.Context, r *req, token string, wrong *bot.Error) (any, error) {
	if store.IsDeviceLink(token) {
		return s.devicePasswordForm(ctx, r, token, wrong)
	}
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
	status, problem, err := s.wrongPassword(r, wrong)
	if err != nil {
		return nil, err
	}
	return view{status, "password", struct {
		Name, UserID  string
		Expires       time.Time
		Action, Token string
		Problem       string
	}{who.person.Name, who.person.ID, link.ExpiresAt, r.Path(), token, problem}}, nil
}

// wrongPassword is the status of the form, and what was wrong with the last try.
func (s *Server) wrongPassword(r *req, wrong *bot.Error) (status int, problem string, err error) {
	if wrong == nil {
		return fasthttp.StatusOK, "", nil
	}
	problem, err = s.o.Words.Text(r.Lang(), wrong.Key, wrong.Data)
	return fasthttp.StatusBadRequest, problem, err
}

// devicePasswordForm asks for the password of a device.
func (s *Server) devicePasswordForm(ctx context.Context, r *req, token string, wrong *bot.Error) (any, error) {
	wish, err := s.o.Store.PeekDeviceLink(ctx, token)
	if errors.Is(err, store.ErrNotFound) {
		return deadDeviceLink, nil
	}
	if err != nil {
		return nil, err
	}
	who, err := s.owner(ctx, wish.Session)
	if err != nil {
		return nil, err
	}
	status, problem, err := s.wrongPassword(r, wrong)
	if err != nil {
		return nil, err
	}
	return view{status, "devicepassword", struct {
		Name, UserID, Namespace, Type string
		ReadOnly                      bool
		Expires                       time.Time
		Action, Token                 string
		Problem                       string
	}{who.person.Name, who.person.ID, wish.Namespace, wish.Type, wish.ReadOnly, wish.ExpiresAt, r.Path(), token, problem}}, nil
}

var deadDeviceLink = view{fasthttp.StatusUnauthorized, "devicedead", nil}

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
	done, dead, err := "passworddone", deadPasswordLink, error(nil)
	if store.IsDeviceLink(token) {
		done, dead, err = "devicedone", deadDeviceLink, s.o.Store.UseDeviceLink(ctx, token, password)
	} else {
		err = s.o.Store.ResetPassword(ctx, token, store.PasswordChange{New: password, Client: r.client()})
	}
	if errors.Is(err, store.ErrNotFound) {
		return dead, nil
	}
	if e, ok := errors.AsType[*bot.Error](err); ok && e.Kind == bot.Invalid {
		return s.passwordForm(ctx, r, token, e)
	}
	if err != nil {
		return nil, err
	}
	return view{fasthttp.StatusOK, done, nil}, nil
}
