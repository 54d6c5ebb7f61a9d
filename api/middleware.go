package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
)

// handleTime is how long a caller's admission, and then a handler, may wait for
// the store.
const handleTime = 10 * time.Second

// serve is every request's way through the server.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	defer s.rescue(ctx)
	if m, ok := s.mounts[string(ctx.Path())]; ok {
		s.mounted(ctx, m)
		return
	}
	r := &req{s: s, ctx: ctx, id: s.ids.next()}
	for _, h := range s.headers {
		ctx.Response.Header.Set(h[0], h[1])
	}
	ctx.Response.Header.Set("X-Request-Id", r.id)

	as, v, err := r.answer()
	var p *problem
	if err != nil {
		p = s.explain(r.Lang(), err)
		if p.ref != "" {
			s.o.Log.Error("request failed", "route", r.template(), "id", r.id, "ref", p.ref, "err", p.cause)
		}
	}
	r.write(as, v, p)
	settle(ctx)
	if _, goesOn := v.(*stream); !goesOn || p != nil { // that has its line when it ends
		s.account(ctx, r.template(), r.id, r.quiet())
	}
}

// answer finds the route, admits the caller and runs the handler. A panic in it
// is an error like any other.
func (r *req) answer() (as *envelope, v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	path := r.Path()
	as = family(path)
	if err := framed(&r.ctx.Request.Header); err != nil {
		r.ctx.SetConnectionClose()
		return as, nil, err
	}
	rt, holes, allow := r.s.routes.match(path, string(r.ctx.Method()))
	if rt == nil {
		return as, nil, r.lost(allow)
	}
	r.route, r.holes, as = rt, holes, rt.as

	v, err = r.run()
	return as, v, err
}

// run is admission, then the body, then the handler.
func (r *req) run() (any, error) {
	if stop, err := r.admitted(); stop != nil || err != nil {
		return stop, err
	}
	limit, patience := maxStranger, time.Duration(0)
	if r.route.may.signedIn && r.route.as != pages {
		limit, patience = maxBody, uploadTime
	}
	body, err := readBody(r.ctx, limit, patience)
	if err != nil {
		return nil, err
	}
	defer returnBody(r.ctx, body)
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(r.route.may.patience, handleTime))
	defer cancel()
	return r.route.run(ctx, r)
}

// admitted finds out who is calling and whether they may. stop, when it is not
// nil, is the answer instead of the route's.
func (r *req) admitted() (stop any, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), handleTime)
	defer cancel()
	switch {
	case r.route.as == pages:
		stop, err = r.enter(ctx)
	case r.route.may.signedIn:
		identify := r.s.bearer
		if r.route.may.app {
			identify = r.s.app
		}
		if r.who, err = identify(ctx, r); err == nil {
			err = r.s.admit(r.route.may, r.who)
		}
	}
	if stop == nil && err == nil && r.route.may.secret {
		err = r.limited(ctx)
	}
	return stop, err
}

// rescue keeps a panic from fasthttp, which would let it end the process.
func (s *Server) rescue(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		ref := bot.NewRef()
		s.o.Log.Error("panic", "ref", ref, "panic", p, "stack", string(debug.Stack()))
		bareStatus(ctx, fasthttp.StatusInternalServerError)
		ctx.SetConnectionClose()
	}
}

// lost answers a path without a route, or a route without this method.
func (r *req) lost(allow []string) error {
	if len(allow) == 0 {
		return &problem{status: fasthttp.StatusNotFound, message: "no such path"}
	}
	methods := strings.Join(allow, ", ")
	r.ctx.Response.Header.Set(fasthttp.HeaderAllow, methods)
	return &problem{status: fasthttp.StatusMethodNotAllowed, message: "allowed here: " + methods}
}

var mountHeaders = [][2][]byte{
	{[]byte("X-Content-Type-Options"), []byte("nosniff")},
	{[]byte(fasthttp.HeaderCacheControl), []byte("no-store")},
}

// mounted runs a handler that is not in the table. It gets no request id: the
// answers WeCom's callbacks refuse with must all be the same.
func (s *Server) mounted(ctx *fasthttp.RequestCtx, m mount) {
	for _, h := range mountHeaders {
		ctx.Response.Header.SetCanonical(h[0], h[1])
	}
	if err := framed(&ctx.Request.Header); err != nil {
		ctx.SetConnectionClose()
		bareStatus(ctx, fasthttp.StatusBadRequest)
	} else if body, err := readBody(ctx, maxStranger, 0); err != nil {
		bareStatus(ctx, s.explain("", err).status)
	} else {
		defer returnBody(ctx, body)
		m.run(ctx)
	}
	s.account(ctx, m.path, "", true)
}

// malformed answers what fasthttp could not read as a request.
func (s *Server) malformed(ctx *fasthttp.RequestCtx, err error) {
	status := fasthttp.StatusBadRequest
	if _, ok := err.(*fasthttp.ErrSmallBuffer); ok {
		status = fasthttp.StatusRequestHeaderFieldsTooLarge
	} else if isTimeout(err) {
		status = fasthttp.StatusRequestTimeout
	}
	for _, h := range s.headers {
		ctx.Response.Header.Set(h[0], h[1])
	}
	bareStatus(ctx, status)
}

func bareStatus(ctx *fasthttp.RequestCtx, status int) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(fasthttp.StatusMessage(status))
}

// account counts and logs a request by its route: never the path, the query, a
// header or a body, any of which may hold a token.
func (s *Server) account(ctx *fasthttp.RequestCtx, route, id string, quiet bool) {
	status := ctx.Response.StatusCode()
	s.o.Metrics.request(route, status)
	level := slog.LevelInfo
	if quiet && status < 500 {
		level = slog.LevelDebug
	}
	if !s.o.Log.Enabled(context.Background(), level) {
		return
	}
	s.o.Log.LogAttrs(context.Background(), level, "http",
		slog.String("method", string(ctx.Method())),
		slog.String("route", route),
		slog.Int("status", status),
		slog.Duration("dur", time.Since(ctx.Time())),
		slog.String("addr", clientAddr(ctx, s.o.TrustedProxies).String()),
		slog.String("id", id))
}

// template is the route's path as it is in the table.
func (r *req) template() string {
	if r.route == nil {
		return "unknown"
	}
	return r.route.path
}

// quiet requests come by the thousand and mean nothing while they succeed.
func (r *req) quiet() bool {
	return r.route != nil && (r.route.path == "/healthz" || r.route.path == "/readyz" || r.route.path == "/static/{file...}")
}

// ids numbers requests: a part that is new with every start, and a counter.
type ids struct {
	start string
	n     *atomic.Uint64
}

func newIDs() ids { return ids{rand.Text()[:10] + "-", new(atomic.Uint64)} }

func (i ids) next() string { return i.start + strconv.FormatUint(i.n.Add(1), 10) }
