package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"
)

// envelope is how one family of the contract wraps what a handler returned.
// Pages have none: see view.
type envelope struct {
	ok   func(v any) any
	fail func(p *problem) any
}

// bare is a value as it is.
func bare(v any) any { return v }

// The families of the contract.
var (
	agentsAPI = &envelope{
		ok:   func(v any) any { return agentsBody{0, "success", v} },
		fail: func(p *problem) any { return agentsBody{agentsCode(p), p.message, nil} },
	}
	tokensAPI = &envelope{
		ok:   func(v any) any { return tokensBody{"success", http.StatusOK, v} },
		fail: func(p *problem) any { return tokensBody{p.message, p.status, nil} },
	}
	// introspectionAPI is RFC 7662's: bare when it worked, since other systems'
	// libraries read it.
	introspectionAPI = &envelope{ok: bare, fail: func(p *problem) any { return tokensAPI.fail(p) }}

	detailAPI = &envelope{
		ok: bare,
		fail: func(p *problem) any {
			return struct {
				Detail string `json:"detail"`
			}{p.message}
		},
	}
	devicesAPI = &envelope{
		ok: bare,
		fail: func(p *problem) any {
			return struct {
				Success bool   `json:"success"`
				Message string `json:"message"`
			}{false, p.message}
		},
	}
	// plainAPI is for what belongs to no family: operations, and paths nobody knows.
	plainAPI = &envelope{
		ok: bare,
		fail: func(p *problem) any {
			return struct {
				Message string `json:"message"`
				Code    int    `json:"code"`
			}{p.message, p.status}
		},
	}
	// pages are HTML; their handlers return views and redirects.
	pages = &envelope{}
)

type agentsBody struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}

type tokensBody struct {
	Message string `json:"message"`
	Code    int    `json:"code"`
	Data    any    `json:"data"`
}

// agentsCode is section 5 of the contract, for failures without a code of their
// own. It is never 0, which means success.
func agentsCode(p *problem) int {
	if p.code != 0 {
		return p.code
	}
	switch p.status {
	case http.StatusUnauthorized:
		return 1001
	case http.StatusForbidden:
		return 1002
	case http.StatusNotFound:
		return 1004
	case http.StatusTooManyRequests:
		return 1015
	}
	if p.status >= 500 {
		return 1016
	}
	return 1000
}

// families says whose envelope an answer wears that no route gave: unknown
// paths and wrong methods.
var families = []struct {
	prefix string
	as     *envelope
}{
	{"/api/agents", agentsAPI},
	{"/auth/v1/", tokensAPI},
	{"/api/v1/user", tokensAPI},
	{"/api/v1/tokens", tokensAPI},
	{"/api/v1/", detailAPI},
	{"/devices", devicesAPI},
	{"/auto-auth/", devicesAPI},
	{"/apps/", devicesAPI},
	{"/kv", devicesAPI},
	{"/api/auth/", detailAPI},
	{"/api/sessions", detailAPI},
	{"/auth/", detailAPI},
}

func family(path string) *envelope {
	for _, f := range families {
		if strings.HasPrefix(path, f.prefix) {
			return f.as
		}
	}
	return plainAPI
}

// answerer is a value that knows its own way onto the wire: a page, a redirect,
// a file.
type answerer interface{ write(*req) }

// write answers with a value, or says what went wrong.
func (r *req) write(as *envelope, v any, p *problem) {
	if p != nil {
		r.problemHeaders(p)
		if as == pages {
			r.problemPage(p).write(r)
			return
		}
		r.writeJSON(p.status, as.fail(p))
		return
	}
	switch v := v.(type) {
	case answerer:
		v.write(r)
	case withStatus:
		r.writeJSON(v.status, as.ok(v.value))
	default:
		r.writeJSON(fasthttp.StatusOK, as.ok(v))
	}
}

// withStatus is a value that comes with a status other than 200.
type withStatus struct {
	status int
	value  any
}

func (r *req) writeJSON(status int, body any) {
	out, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		r.s.o.Log.Error("answer not encoded", "route", r.template(), "id", r.id, "err", err)
		status, out = fasthttp.StatusInternalServerError, []byte(`{"message":"Internal Server Error","code":500}`)
	}
	r.ctx.SetStatusCode(status)
	r.ctx.SetContentType("application/json; charset=utf-8")
	r.ctx.SetBody(out)
}

func (r *req) problemHeaders(p *problem) {
	h := &r.ctx.Response.Header
	if p.retry > 0 {
		h.Set(fasthttp.HeaderRetryAfter, strconv.Itoa(int((p.retry+time.Second-1)/time.Second)))
	}
	if p.status == fasthttp.StatusUnauthorized {
		h.Set(fasthttp.HeaderWWWAuthenticate, `Bearer realm="deskbell"`)
	}
}
