package api

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"

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
	signInAgain = signInPath + "?next=%2F"
	signOutPath = "/logout"
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
	if p, ok := errors.AsType[*problem](err); ok && p.status == fasthttp.StatusUnauthorized && !r.route.may.unseen {
		if r.ctx.IsPost() {
			return r.elsewhere(fasthttp.StatusSeeOther, signOutPath), nil
		}
		return r.elsewhere(fasthttp.StatusFound, signInPath+"?next="+url.QueryEscape(r.self())), nil
	}
	if err != nil {
		return nil, err
	}
	return nil, r.s.admit(r.route.may, r.who)
}

// front leads to the page a visitor most likely wants.
func (s *Server) front(ctx context.Context, r *req) (any, error) {
	who, err := s.caller(ctx, s.cookie.read(r.ctx))
	if err != nil {
		return redirect{fasthttp.StatusFound, store.DefaultPath(bot.Anyone)}, nil
	}
	return redirect{fasthttp.StatusFound, store.DefaultPath(who.person.Level)}, nil
}

// signOut ends the cookie's token.
func (s *Server) signOut(ctx context.Context, r *req) (any, error) {
	if err := s.revoke(ctx, r.who); err != nil {
		return nil, err
	}
	s.cookie.clear(r.ctx)
	return redirect{fasthttp.StatusSeeOther, signOutPath}, nil
}

// signedOut is where signing out leads: not to WeCom's sign-in, which would sign
// the person in again inside WeCom, and to which the pages' form-action lets no
// form lead elsewhere.
func (s *Server) signedOut(context.Context, *req) (any, error) {
	return view{fasthttp.StatusOK, "signedout", struct{ Again string }{signInAgain}}, nil
}

func (s *Server) toHome(_ context.Context, r *req) (any, error) {
	return redirect{fasthttp.StatusFound, store.DefaultPath(r.who.person.Level)}, nil
}

// noPage answers a path of an area that is no page.
func (s *Server) noPage(context.Context, *req) (any, error) { return nil, store.ErrNotFound }

// home is where a person arrives: who they are, and where to go from here.
func (s *Server) home(_ context.Context, r *req) (any, error) {
	area, _, _ := strings.Cut(strings.TrimPrefix(r.Path(), "/"), "/")
	return live{view{fasthttp.StatusOK, "home", struct {
		Frame frame
		Area  string
	}{r.frame(), area}}}, nil
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
func (r *req) problemPage(p *problem) answerer {
	v := view{p.status, "error", struct {
		Frame  frame
		Status int
		Ref    string
		Need   bool
	}{r.frame(), p.status, p.ref, p == errNoOTP}}
	if p.status == fasthttp.StatusNotFound {
		v = view{p.status, "notfound", struct{ Frame frame }{r.frame()}}
	}
	if r.who.person.ID == "" {
		return v
	}
	return live{v}
}
