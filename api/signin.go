package api

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// SignIn is WeCom's way of proving who somebody is.
type SignIn struct {
	// Page is the page of WeCom's that a browser, by its User-Agent, signs in at.
	Page func(userAgent, redirect, state string) string
	// Silent tells whether a browser, by its User-Agent, is WeCom's own, so that
	// Page leads back at once and without a question. nil: none is.
	Silent func(userAgent string) bool
	// Who turns the code that page sends back into a userid, once. An error of kind
	// Denied says that the code proves nobody of ours.
	Who func(ctx context.Context, code string) (userID string, err error)
	// Person asks the directory about a userid.
	Person func(ctx context.Context, userID string) (bot.Person, error)
}

const (
	signInBack = "/auth/wecom/callback"
	signInTime = 10 * time.Minute // the browser's half of a state; the store's is as old
)

// signIn sends a browser to WeCom, and remembers where it wanted to go.
func (s *Server) signIn(ctx context.Context, r *req) (any, error) {
	if s.o.SignIn.Page == nil {
		return view{fasthttp.StatusOK, "signin", nil}, nil
	}
	return s.toWeCom(ctx, r, store.SignIn{Next: s.ownPath(r.Query("next"))})
}

// toWeCom sends a browser to WeCom. What it wants stays here.
func (s *Server) toWeCom(ctx context.Context, r *req, in store.SignIn) (any, error) {
	state, browser, err := s.o.Store.BeginSignIn(ctx, in)
	if err != nil {
		return nil, err
	}
	s.state.set(r.ctx, browser, s.o.Now().Add(signInTime))
	return redirect{fasthttp.StatusFound, s.o.SignIn.Page(string(r.ctx.UserAgent()), s.origin+signInBack, state)}, nil
}

// ownPath keeps next only when it stays on this server; anything else is the
// front page.
func (s *Server) ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || len(next) > 1024 || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, func(c rune) bool { return c <= ' ' || c == '\\' || c == 0x7f }) {
		return "/"
	}
	return next
}

// signedIn is where WeCom sends the browser back to. Only the browser that was
// sent there may come back, and once: otherwise somebody could be signed in as
// somebody else without noticing.
func (s *Server) signedIn(ctx context.Context, r *req) (any, error) {
	in, err := s.o.Store.EndSignIn(ctx, r.Query("state"), s.state.read(r.ctx))
	if errors.Is(err, store.ErrNotFound) {
		return notSignedIn(fasthttp.StatusForbidden, "over", false), nil
	}
	if err != nil {
		return nil, err
	}
	s.state.clear(r.ctx)
	code := r.Query("code")
	switch {
	case in.Link != "":
		return s.openLink(ctx, r, in, code)
	case code == "": // the person said no
		return view{fasthttp.StatusOK, "signin", nil}, nil
	}
	token, session, _, err := s.proven(ctx, code, "", r.client())
	if v, ok := s.unproven(r, err, false); ok {
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	s.cookie.set(r.ctx, token, session.ExpiresAt)
	return redirect{fasthttp.StatusSeeOther, in.Next}, nil
}

// notSignedIn says why a sign-in at WeCom came to nothing, and how to go on: with
// the link from the chat, which is still good, or from the start.
func notSignedIn(status int, why string, link bool) view {
	again := signInAgain
	if link {
		again = ""
	}
	return view{status, "notsignedin", struct{ Why, Again string }{why, again}}
}

// unproven is the page for an error that means that WeCom named nobody of ours,
// or could not be asked. For others ok is false.
func (s *Server) unproven(r *req, err error, link bool) (v view, ok bool) {
	if errors.Is(err, notProven) {
		return notSignedIn(notProven.status, "nobody", link), true
	}
	if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind != bot.Unavailable {
		return view{}, false
	}
	s.o.Log.Warn("nobody could be signed in at WeCom", "route", r.template(), "id", r.id, "err", err)
	p := s.explain(r.Lang(), err)
	r.problemHeaders(p)
	return notSignedIn(p.status, "silence", link), true
}

// member is a person as the sign-in API shows them.
type member struct {
	ID          string    `json:"id"`
	WeComUserID string    `json:"wecom_userid"`
	Name        string    `json:"name"`
	AvatarURL   string    `json:"avatar_url"`
	Department  []int     `json:"department"`
	CreatedAt   time.Time `json:"created_at"`
	LastLoginAt time.Time `json:"last_login_at"`
}

// signedInMember is the answer to a sign-in at WeCom.
type signedInMember struct {
	Token string `json:"token"`
	User  member `json:"user"`
}

// wecomLoginRequest is a code of WeCom's, and with it a one-time password.
type wecomLoginRequest struct {
	Code    string `json:"code"`
	OTPCode string `json:"otp_code"`
}

// wecomLogin is the sign-in for programs that got a code themselves.
func (s *Server) wecomLogin(ctx context.Context, r *req) (any, error) {
	var in wecomLoginRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if in.Code == "" {
		return nil, badRequest("code", "is missing")
	}
	token, _, p, err := s.proven(ctx, in.Code, in.OTPCode, r.client())
	if err != nil {
		return nil, err
	}
	departments := p.Departments
	if departments == nil {
		departments = []int{}
	}
	return signedInMember{token, member{p.UID, p.ID, p.Name, "", departments, p.CreatedAt, s.o.Now()}}, nil
}

// notProven refuses every code alike: used, invented, an outsider's, or of a
// person who is not active.
var notProven = unauthorized("the code is used or unknown, or proves no active member")

// refused refuses a code, and leaves a trace of it. Whose it was is "?" when
// nobody knows.
func (s *Server) refused(ctx context.Context, userID, why string, from store.Client) error {
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		tx.Audit(store.AuditEntry{Actor: userID, Action: "login.wecom", Target: userID, Result: "refused", Detail: strings.TrimSpace(why + " " + from.String())})
		return nil
	})
	if err != nil {
		return err
	}
	return notProven
}

// proven signs in the person whom a code of WeCom's proves. The code is used up
// first; with an otp_code the token is as good as one made with it.
func (s *Server) proven(ctx context.Context, code, otp string, from store.Client) (token string, session store.Session, p store.Profile, err error) {
	userID, err := s.named(ctx, code)
	if err == nil && userID == "" {
		err = s.refused(ctx, "?", "code", from)
	}
	if err == nil {
		err = s.active(ctx, userID, from)
	}
	if err != nil {
		return "", session, p, err
	}
	strong := false
	if otp != "" {
		result, err := s.o.Store.UseOTP(ctx, userID, otp)
		if err != nil {
			return "", session, p, err
		}
		if result.LockedFor > 0 {
			return "", session, p, tooMany(result.LockedFor)
		}
		if strong = result.OK; !strong {
			return "", session, p, unauthorized("the one-time password is wrong, used or not enabled; WeCom's code is used up")
		}
	}
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		if token, session, err = tx.NewToken(ctx, store.TokenSpec{UserID: userID, Source: "wecom", OTP: strong}); err != nil {
			return err
		}
		tx.Audit(store.AuditEntry{Actor: userID, Action: "login.wecom", Target: userID, Detail: from.String()})
		return tx.Notice(ctx, userID, store.Notice{What: store.NoticeLogin, Device: from.Device, Address: from.Address})
	})
	if err != nil {
		return "", session, p, err
	}
	p, err = s.o.Store.Profile(ctx, userID)
	return token, session, p, err
}

// named asks WeCom whom a code proves, which uses the code up. "" is nobody of
// ours.
func (s *Server) named(ctx context.Context, code string) (userID string, err error) {
	if s.o.SignIn.Who == nil {
		return "", nil
	}
	userID, err = s.o.SignIn.Who(ctx, code)
	switch e, ok := errors.AsType[*bot.Error](err); {
	case err == nil:
		return userID, nil
	case ok && e.Kind == bot.Denied:
		return "", nil
	case ok:
		return "", err
	}
	return "", bot.Fail(bot.Unavailable, "error.wecom", nil, err)
}

// active refuses whom the directory does not call active.
func (s *Server) active(ctx context.Context, userID string, from store.Client) error {
	person, err := s.o.SignIn.Person(ctx, userID)
	if err == nil && person.State != bot.Active {
		err = s.refused(ctx, userID, string(person.State), from)
	}
	return err
}
