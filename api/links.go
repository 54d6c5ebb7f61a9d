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

// tokenParam carries the token of a link from the chat.
const tokenParam = "accessToken"

// linkPage is what a link from the chat opens. It changes nothing, however
// often scanners and previews fetch it: only its form signs in, or else WeCom
// naming its owner.
func (s *Server) linkPage(ctx context.Context, r *req) (any, error) {
	link := r.Query(tokenParam)
	// WeCom's page can be framed by nobody, so where ours may be, the form has to do.
	framed := s.cookie.framed && string(r.ctx.Request.Header.Peek("Sec-Fetch-Dest")) == "iframe"
	if s.o.SignIn.Silent != nil && s.o.SignIn.Silent(string(r.ctx.UserAgent())) && !framed {
		return s.askWhoOpens(ctx, r, link)
	}
	return s.linkForm(ctx, r, form{link: link, action: r.self()})
}

// askWhoOpens sends a browser of WeCom's there first, which knows who is holding
// it: a forwarded card signs nobody else in. The link waits here, under the state.
func (s *Server) askWhoOpens(ctx context.Context, r *req, link string) (any, error) {
	if _, err := s.o.Store.PeekLink(ctx, link); errors.Is(err, store.ErrNotFound) {
		return deadLink, nil
	} else if err != nil {
		return nil, err
	}
	return s.toWeCom(ctx, r, store.SignIn{Next: r.self(), Link: link})
}

// openLink goes on with a link whose browser came back from WeCom. The browser
// is the one that was sent there, and code proves who holds it: its owner has
// nothing left to prove by pressing a button, and is signed in, unless a
// one-time password is still to be given. Anybody else is refused.
func (s *Server) openLink(ctx context.Context, r *req, in store.SignIn, code string) (any, error) {
	session, err := s.o.Store.PeekLink(ctx, in.Link)
	if errors.Is(err, store.ErrNotFound) {
		return deadLink, nil
	}
	if err != nil {
		return nil, err
	}
	if code == "" {
		return notSignedIn(fasthttp.StatusForbidden, "declined", true), nil
	}
	who, err := s.named(ctx, code)
	if err == nil && (who == "" || bot.Canonical(who) != session.UserID) {
		return s.notTheOwner(ctx, r, in.Link, who)
	}
	if err == nil {
		err = s.active(ctx, who, r.client())
	}
	if v, ok := s.unproven(r, err, true); ok {
		return v, nil
	}
	if err != nil {
		return nil, err
	}
	owner, err := s.owner(ctx, session)
	if err != nil {
		return nil, err
	}
	otp, err := s.o.Store.OTPEnabled(ctx, session.UserID)
	if err != nil {
		return nil, err
	}
	if otp && s.wantsOTP(owner) {
		return s.linkForm(ctx, r, form{link: in.Link, action: in.Next, named: true})
	}
	return s.useLink(ctx, r, in.Link, in.Next, "")
}

// wantsOTP tells whether pages stay closed to somebody without a one-time
// password.
func (s *Server) wantsOTP(c caller) bool { return errors.Is(s.admit(anyoneOTP, c), errNoOTP) }

// notTheOwner refuses whoever opened somebody else's link.
func (s *Server) notTheOwner(ctx context.Context, r *req, link, who string) (any, error) {
	err := s.o.Store.RefuseLink(ctx, link, who, r.client())
	if errors.Is(err, store.ErrNotFound) {
		return deadLink, nil
	}
	if err != nil {
		return nil, err
	}
	return view{fasthttp.StatusForbidden, "notyours", struct{ Again string }{signInAgain}}, nil
}

// form is the form of a link.
type form struct {
	link, action string
	named        bool     // WeCom said that it is the owner who sees it
	refused      *problem // what was wrong with the last try
}

// linkForm shows the form of a link that is still good.
func (s *Server) linkForm(ctx context.Context, r *req, f form) (any, error) {
	session, err := s.o.Store.PeekLink(ctx, f.link)
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
	if f.refused != nil {
		status, wait = f.refused.status, f.refused.retry
		r.problemHeaders(f.refused)
	}
	return view{status, "redeem", struct {
		Name, UserID            string
		Expires                 time.Time
		Action, Token           string
		Named, OTP, Need, Wrong bool
		Wait                    time.Duration
	}{who.person.Name, who.person.ID, session.ExpiresAt, f.action, f.link, f.named, otp && !session.Plain, s.wantsOTP(who), f.refused != nil, wait}}, nil
}

// deadLink has the status the exchange call has for such a token.
var deadLink = view{fasthttp.StatusUnauthorized, "linkdead", nil}

// redeem signs in with the token of a link, and leads to the page without it.
func (s *Server) redeem(ctx context.Context, r *req) (any, error) {
	return s.useLink(ctx, r, r.Form(tokenParam), r.self(), r.Form("otp_code"))
}

// useLink signs in with a link, and leads to next.
func (s *Server) useLink(ctx context.Context, r *req, link, next, otp string) (any, error) {
	token, session, err := s.o.Store.Exchange(ctx, link, otp, r.client())
	if e, ok := errors.AsType[*store.OTPRefused](err); ok {
		return s.linkForm(ctx, r, form{link: link, action: next, refused: otpProblem(e.OTPResult)})
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
	return redirect{fasthttp.StatusSeeOther, next}, nil
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
