package api

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// view is a page: its name in templates and the data its comment there asks for.
type view struct {
	status int
	name   string
	data   any
}

// redirect leads to a path of this server.
type redirect struct {
	status int
	to     string
}

const (
	signInPath  = "/auth/wecom"
	signOutPath = "/logout"
	outboxPath  = "/admin/outbox"
	tokenParam  = "accessToken"
)

// enter admits the caller of a page by the cookie. stop, when it is not nil, is
// the answer instead of the page.
func (r *req) enter(ctx context.Context) (stop any, err error) {
	if r.ctx.IsPost() && !r.s.sameOrigin(&r.ctx.Request.Header) {
		return nil, forbidden("the form came from another site")
	}
	if !r.route.may.signedIn {
		return nil, nil
	}
	if !r.ctx.IsPost() && r.ctx.QueryArgs().Has(tokenParam) {
		return r.s.linkPage(ctx, r)
	}
	r.who, err = r.s.caller(ctx, r.s.cookie.read(r.ctx))
	if p, ok := errors.AsType[*problem](err); ok && p.status == fasthttp.StatusUnauthorized {
		if r.ctx.IsPost() {
			return redirect{fasthttp.StatusSeeOther, signInPath}, nil
		}
		return redirect{fasthttp.StatusFound, signInPath + "?next=" + url.QueryEscape(r.self())}, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, r.s.admit(r.route.may, r.who)
}

// linkPage is what a link from the chat opens. It changes nothing, however
// often scanners and previews fetch it: only its form signs in.
func (s *Server) linkPage(ctx context.Context, r *req) (any, error) {
	token := r.Query(tokenParam)
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
	return view{fasthttp.StatusOK, "redeem", struct {
		Name, UserID  string
		Expires       time.Time
		Action, Token string
	}{who.person.Name, who.person.ID, session.ExpiresAt, r.self(), token}}, nil
}

// deadLink has the status the exchange call has for such a token.
var deadLink = view{fasthttp.StatusUnauthorized, "linkdead", nil}

// redeem signs in with the token of a link, and leads to the page without it.
func (s *Server) redeem(ctx context.Context, r *req) (any, error) {
	link := r.Form(tokenParam)
	if r.Form("otp_code") != "" {
		return nil, errNoOTPYet
	}
	token, session, err := s.o.Store.Exchange(ctx, link)
	if errors.Is(err, store.ErrNotFound) {
		// tokens.link_mode = "direct": the link carries an access token without
		// an administrator's rights, and nothing else does.
		token = link
		if session, err = s.o.Store.Session(ctx, link); err == nil && !session.Plain {
			err = store.ErrNotFound
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

// front leads to the page a visitor most likely wants.
func (s *Server) front(ctx context.Context, r *req) (any, error) {
	who, err := s.caller(ctx, s.cookie.read(r.ctx))
	if err != nil {
		return redirect{fasthttp.StatusFound, store.DefaultPath(bot.Anyone)}, nil
	}
	return redirect{fasthttp.StatusFound, store.DefaultPath(who.person.Level)}, nil
}

// signIn tells how to sign in: with a link from the chat.
func (s *Server) signIn(context.Context, *req) (any, error) {
	return view{fasthttp.StatusOK, "signin", nil}, nil
}

// signOut ends the cookie's token.
func (s *Server) signOut(ctx context.Context, r *req) (any, error) {
	if err := s.revoke(ctx, r.who); err != nil {
		return nil, err
	}
	s.cookie.clear(r.ctx)
	return redirect{fasthttp.StatusSeeOther, signInPath}, nil
}

func (s *Server) toHome(_ context.Context, r *req) (any, error) {
	return redirect{fasthttp.StatusFound, store.DefaultPath(r.who.person.Level)}, nil
}

// noPage answers a path of an area that is no page.
func (s *Server) noPage(context.Context, *req) (any, error) { return nil, store.ErrNotFound }

// home is where a person arrives: who they are, and where to go from here.
func (s *Server) home(_ context.Context, r *req) (any, error) {
	area, _, _ := strings.Cut(strings.TrimPrefix(r.Path(), "/"), "/")
	outbox := ""
	if s.admit(adminsOTP, r.who) == nil {
		outbox = outboxPath
	}
	return view{fasthttp.StatusOK, "home", struct {
		Name, UserID, Role, Area, Home, Outbox, SignOut string
	}{r.who.person.Name, r.who.person.ID, r.who.person.Level.String(), area, store.DefaultPath(r.who.person.Level), outbox, signOutPath}}, nil
}

// outbox lists what could not be delivered.
func (s *Server) outbox(ctx context.Context, r *req) (any, error) {
	pending, dead, err := s.o.Store.Depth(ctx)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Store.Deliveries(ctx, "dead", 100)
	if err != nil {
		return nil, err
	}
	type item struct {
		ID        int64
		To        string
		CreatedAt time.Time
		Attempts  int
		LastError string
	}
	items := make([]item, len(list))
	for i, d := range list {
		items[i] = item{d.ID, d.To, d.CreatedAt, d.Tries, d.LastError}
	}
	return view{fasthttp.StatusOK, "outbox", struct {
		Name, Home, SignOut string
		Pending, Dead       int
		Items               []item
	}{r.who.person.Name, store.DefaultPath(r.who.person.Level), signOutPath, pending, dead, items}}, nil
}

// write answers with the page, in the person's language.
func (v view) write(r *req) {
	var b bytes.Buffer
	if err := r.s.o.Words.Page(&b, r.Lang(), v.name, v.data); err != nil {
		ref := bot.NewRef()
		r.s.o.Log.Error("page not rendered", "route", r.template(), "id", r.id, "ref", ref, "err", err)
		bareStatus(r.ctx, fasthttp.StatusInternalServerError)
		r.ctx.Response.AppendBodyString(", reference " + ref)
		return
	}
	r.ctx.SetStatusCode(v.status)
	r.ctx.SetContentType("text/html; charset=utf-8")
	r.ctx.SetBody(b.Bytes())
}

// write sets Location as it is: fasthttp's own Redirect would put the Host
// header in front, which the caller chooses.
func (d redirect) write(r *req) {
	r.ctx.SetStatusCode(d.status)
	r.ctx.Response.Header.Set(fasthttp.HeaderLocation, d.to)
}

// problemPage shows what went wrong; who is signed in stays so.
func (r *req) problemPage(p *problem) view {
	if p.status == fasthttp.StatusNotFound {
		data := struct{ Name, Home string }{r.who.person.Name, store.DefaultPath(r.who.person.Level)}
		return view{p.status, "notfound", data}
	}
	return view{p.status, "error", struct {
		Status int
		Ref    string
	}{p.status, p.ref}}
}
