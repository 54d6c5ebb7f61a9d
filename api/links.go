package api

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// tokenParam carries the token of a link from the chat.
const tokenParam = "accessToken"

// linkPage is what a link from the chat opens. It changes nothing, however
// often scanners and previews fetch it: only its form signs in.
func (s *Server) linkPage(ctx context.Context, r *req) (any, error) {
	return s.linkForm(ctx, r, r.Query(tokenParam), nil)
}

// linkForm is the form of a link that is still good, once more after refused.
func (s *Server) linkForm(ctx context.Context, r *req, token string, refused *problem) (any, error) {
	session, err := s.o.Store.PeekLink(ctx, token)
	if errors.Is(err, store.ErrNotFound) {
		return deadLink, nil
	}
	if err != nil {
		return nil, err
	}
	who, err := s.owner(ctx, session)
	if err != nil {
		return nil, err
	}
	otp, err := s.o.Store.OTPEnabled(ctx, session.UserID)
	if err != nil {
		return nil, err
	}
	status, wait := fasthttp.StatusOK, time.Duration(0)
	if refused != nil {
		status, wait = refused.status, refused.retry
		r.problemHeaders(refused)
	}
	return view{status, "redeem", struct {
		Name, UserID  string
		Expires       time.Time
		Action, Token string
		OTP, Wrong    bool
		Wait          time.Duration
	}{who.person.Name, who.person.ID, session.ExpiresAt, r.self(), token, otp && !session.Plain, refused != nil, wait}}, nil
}

// deadLink has the status the exchange call has for such a token.
var deadLink = view{fasthttp.StatusUnauthorized, "linkdead", nil}

// redeem signs in with the token of a link, and leads to the page without it.
func (s *Server) redeem(ctx context.Context, r *req) (any, error) {
	link := r.Form(tokenParam)
	token, session, err := s.o.Store.Exchange(ctx, link, r.Form("otp_code"), r.client())
	if e, ok := errors.AsType[*store.OTPRefused](err); ok {
		return s.linkForm(ctx, r, link, otpProblem(e.OTPResult))
	}
	if errors.Is(err, store.ErrNotFound) {
		// tokens.link_mode = "direct": the link carries an access token without
		// an administrator's rights, and nothing else does.
		token = link
		if session, err = s.o.Store.Session(ctx, link); err == nil && !session.Plain {
			err = store.ErrNotFound
		} else if err == nil && session.Unused {
			err = s.o.Store.LinkUsed(ctx, session, r.client())
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return deadLink, nil
	}
	if err != nil {
		return nil, err
	}
	s.cookie.set(r.ctx, token, session.ExpiresAt)
	return redirect{fasthttp.StatusSeeOther, r.self()}, nil
}

// self is the path and query of this request without any access token: where a
// person goes on once signed in. It always begins with a single slash, so it
// cannot lead to another host.
func (r *req) self() string {
	u := url.URL{Path: "/" + strings.TrimLeft(r.Path(), "/")}
	var kept []string
	for part := range strings.SplitSeq(string(r.ctx.URI().QueryString()), "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); part != "" && err == nil && !strings.EqualFold(plain, tokenParam) {
			kept = append(kept, visible(part))
		}
	}
	if len(kept) == 0 {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + strings.Join(kept, "&")
}

// visible escapes what a header and an attribute had better not hold.
func visible(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"'<>\\`#", c) >= 0 {
			b.WriteString("%" + string("0123456789ABCDEF"[c>>4]) + string("0123456789ABCDEF"[c&15]))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
