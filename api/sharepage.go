package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// The page behind a share link has a cookie of its own: an employee who looks at
// it stays signed in elsewhere, and an end user is signed in nowhere else.

// deadShare is one page for links that were revoked, have expired or never were.
var deadShare = view{fasthttp.StatusNotFound, "sharedead", nil}

// sharePage shows the bot and the desk to an end user who is signed in, and lets
// others sign in. Looking counts nothing, whoever looks, for browsers and scanners
// look ahead: a sign-in is what counts as an opening.
func (s *Server) sharePage(ctx context.Context, r *req) (any, error) {
	token := r.holes[0]
	who, err := s.caller(ctx, s.guest.read(r.ctx))
	if p, ok := errors.AsType[*problem](err); err != nil && (!ok || p.status != fasthttp.StatusUnauthorized) {
		return nil, err
	}
	if err != nil || who.account == nil || !who.account.IsEndUser {
		return s.shareForm(ctx, r, nil)
	}
	r.who = who
	if r.part() != "" {
		return s.sharePart(ctx, r)
	}
	sh, err := s.o.Store.PeekShare(ctx, token)
	if err != nil {
		return s.noShare(ctx, r, err)
	}
	return s.shareView(ctx, r, sh, *who.account, composer{Draft: r.Query("text")}, fasthttp.StatusOK)
}

// noShare answers for a share that is none, which is counted: nobody gets to
// guess.
func (s *Server) noShare(ctx context.Context, r *req, err error) (any, error) {
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrEnded) {
		return nil, err
	}
	if !r.route.may.secret { // those are counted already
		if err := r.limited(ctx); err != nil {
			return nil, err
		}
	}
	return deadShare, nil
}

// shareForm lets an end user sign in, once more after refused. It goes back to
// where it came from, so the page does not repeat the token.
func (s *Server) shareForm(ctx context.Context, r *req, refused *problem) (any, error) {
	if _, err := s.o.Store.PeekShare(ctx, r.holes[0]); err != nil {
		return s.noShare(ctx, r, err)
	}
	status := fasthttp.StatusOK
	data := struct {
		Username     string
		Wrong, Often bool
	}{}
	if refused != nil {
		status = refused.status
		r.problemHeaders(refused)
		r.ctx.Response.Header.Del(fasthttp.HeaderWWWAuthenticate) // a form is no bearer
		data.Username, data.Wrong, data.Often = r.Form("username"), status == fasthttp.StatusUnauthorized, status == fasthttp.StatusTooManyRequests
	}
	return view{status, "sharesignin", data}, nil
}

// shareSignIn signs an end user in for the page, or out.
func (s *Server) shareSignIn(ctx context.Context, r *req) (any, error) {
	token := r.holes[0]
	if r.Form("leave") != "" {
		return s.shareSignOut(ctx, r)
	}
	if _, err := s.o.Store.PeekShare(ctx, token); err != nil {
		return s.noShare(ctx, r, err) // before a password is looked at
	}
	access, session, account, err := s.passwordLogin(ctx, r, r.Form("username"), r.Form("password"), "share")
	if err == nil && !account.IsEndUser {
		// Other accounts do not get in here, and learn no more than a stranger.
		err = s.revoke(ctx, caller{account: &account, session: session})
		if err == nil {
			err = errWrongPassword
		}
	}
	if p, ok := errors.AsType[*problem](err); ok {
		return s.shareForm(ctx, r, p)
	}
	if err != nil {
		return nil, err
	}
	if _, err := s.o.Store.OpenShare(ctx, token, account); err != nil { // it ended while the password was looked at
		return s.noShare(ctx, r, cmp.Or(s.revoke(ctx, caller{account: &account, session: session}), err))
	}
	s.guest.set(r.ctx, access, session.ExpiresAt)
	return redirect{fasthttp.StatusSeeOther, shareLink(token)}, nil
}

func (s *Server) shareSignOut(ctx context.Context, r *req) (any, error) {
	who, err := s.caller(ctx, s.guest.read(r.ctx))
	if err == nil {
		err = s.revoke(ctx, who)
	}
	if p, ok := errors.AsType[*problem](err); err != nil && (!ok || p.status != fasthttp.StatusUnauthorized) {
		return nil, err
	}
	s.guest.clear(r.ctx)
	return redirect{fasthttp.StatusSeeOther, shareLink(r.holes[0])}, nil
}

// shareLink is the path of a share's page.
func shareLink(token string) string { return "/s/" + url.PathEscape(token) }

// setting is one of the safe settings as the page shows it.
type setting struct {
	Name   string
	Value  string
	Switch bool // it is on or off
	On     bool
}

// settingsOf lists them in a fixed order. What is neither a word nor a switch is
// for programs only.
func settingsOf(g store.Greeting) (list []setting) {
	for _, name := range []string{"language", "enable_thinking", "enable_memori", "tool_response"} {
		one := setting{Name: name}
		switch {
		case g.Safe[name] == nil:
			continue
		case json.Unmarshal(g.Safe[name], &one.On) == nil:
			one.Switch = true
		case json.Unmarshal(g.Safe[name], &one.Value) != nil || one.Value == "":
			continue
		}
		list = append(list, one)
	}
	return list
}

// safeAvatar is an avatar a page may show, "" for none, and the origin it comes
// from when that is not this server's own.
func safeAvatar(address, origin string) (avatar, from string) {
	if len(address) > 2048 {
		return "", ""
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || address == "" || u.User != nil:
		return "", ""
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return u.EscapedPath(), ""
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "", ""
	}
	// The origin becomes part of a header, where only these may stand.
	if strings.Trim(strings.ToLower(u.Host), "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") != "" {
		return "", ""
	}
	if from = u.Scheme + "://" + strings.ToLower(u.Host); from == origin {
		from = ""
	}
	return u.String(), from
}

// allowImages lets the page show images of one other origin.
func (s *Server) allowImages(r *req, from string) {
	const own = "img-src 'self' data:"
	header := &r.ctx.Response.Header
	policy := string(header.Peek(fasthttp.HeaderContentSecurityPolicy))
	header.Set(fasthttp.HeaderContentSecurityPolicy, strings.Replace(policy, own, own+" "+from, 1))
}
