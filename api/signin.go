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
	state, browser, err := s.o.Store.BeginSignIn(ctx, s.ownPath(r.Query("next")))
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
	next, err := s.o.Store.EndSignIn(ctx, r.Query("state"), s.state.read(r.ctx))
	if errors.Is(err, store.ErrNotFound) {
		return nil, forbidden("this sign-in was not begun in this browser, or is over")
	}
	if err != nil {
		return nil, err
	}
	s.state.clear(r.ctx)
	code := r.Query("code")
	if code == "" { // the person said no
		return view{fasthttp.StatusOK, "signin", nil}, nil
	}
	token, session, _, err := s.proven(ctx, code, "", r.client())
	if err != nil {
		return nil, err
	}
	s.cookie.set(r.ctx, token, session.ExpiresAt)
	return redirect{fasthttp.StatusSeeOther, next}, nil
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

// wecomLogin is the sign-in for programs that got a code themselves.
func (s *Server) wecomLogin(ctx context.Context, r *req) (any, error) {
	var in struct {
		Code    string `json:"code"`
		OTPCode string `json:"otp_code"`
	}
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
	return struct {
		Token string `json:"token"`
		User  member `json:"user"`
	}{token, member{p.UID, p.ID, p.Name, "", departments, p.CreatedAt, s.o.Now()}}, nil
}

// notProven refuses every code alike: used, invented, an outsider's, or of a
// person who is not active.
var notProven = unauthorized("the code is used or unknown, or proves no active member")

// unproven refuses a code, and leaves a trace of it. Whose it was is "?" when
// nobody knows.
func (s *Server) unproven(ctx context.Context, userID, why string, from store.Client) error {
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
	if s.o.SignIn.Who == nil {
		return "", session, p, notProven
	}
	userID, err := s.o.SignIn.Who(ctx, code)
	if e, ok := errors.AsType[*bot.Error](err); ok && e.Kind == bot.Denied {
		return "", session, p, s.unproven(ctx, "?", "code", from)
	}
	if err != nil {
		return "", session, p, err
	}
	person, err := s.o.SignIn.Person(ctx, userID)
	if err != nil {
		return "", session, p, err
	}
	if person.State != bot.Active {
		return "", session, p, s.unproven(ctx, userID, string(person.State), from)
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
			return "", session, p, notProven
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
