package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"deskbell/store"
)

func TestHealth(t *testing.T) {
	r := newRig(t)
	r.want(r.do("GET", "/healthz", ""), 200, `{"status":"ok","version":"v1.2.3"}`)
}

func TestReadiness(t *testing.T) {
	down := map[string]error{}
	check := func(name string) Check {
		return Check{name, func(context.Context) error { return down[name] }}
	}
	r := newRig(t, func(o *Options) { o.Checks = []Check{check("store"), check("redis")} })
	r.want(r.do("GET", "/readyz", ""), 200, `{"status":"ready","failing":[]}`)
	down["redis"] = errors.New("dial redis.internal: refused")
	got := r.do("GET", "/readyz", "")
	r.want(got, 503, `{"status":"unavailable","failing":["redis"]}`)
	if !strings.Contains(r.logs.String(), "dial redis.internal") {
		t.Error("the reason is not in the log")
	}
	down["store"] = errors.New("closed")
	r.want(r.do("GET", "/readyz", ""), 503, `["redis","store"]`)
	clear(down)
	r.draining.Store(true)
	r.want(r.do("GET", "/readyz", ""), 503, "stopping")
	r.want(r.do("GET", "/healthz", ""), 200)
}

func TestMetrics(t *testing.T) {
	m := NewMetrics("v1.2.3", func(context.Context) (int, int, error) { return 3, 1, nil })
	r := newRig(t, func(o *Options) { o.Metrics = m })
	r.do("GET", "/api/v1/user/me", "", bearer(r.token("lilei")))
	r.do("GET", "/chat/secret-of-lilei?accessToken="+r.link("lilei"), "")
	r.do("GET", "/made/up", "")
	m.Callback("replied")
	m.Refused("clock")
	m.Command("status", "ok")

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	r.ok(err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Serve(ctx, ln) }()
	resp, err := http.Get("http://" + ln.Addr().String() + "/metrics")
	r.ok(err)
	text, err := io.ReadAll(resp.Body)
	r.ok(err)
	r.ok(resp.Body.Close())
	for _, line := range []string{
		`deskbell_http_requests_total{route="/api/v1/user/me",status="200"} 1`,
		`deskbell_http_requests_total{route="/chat/{id}",status="200"} 1`,
		`deskbell_http_requests_total{route="unknown",status="404"} 1`,
		`deskbell_callbacks_total{outcome="replied"} 1`,
		`deskbell_callbacks_refused_total{reason="clock"} 1`,
		`deskbell_commands_total{command="status",outcome="ok"} 1`,
		`deskbell_outbox_messages{state="pending"} 3`,
		`deskbell_outbox_messages{state="dead"} 1`,
		`deskbell_build_info{version="v1.2.3"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	if strings.Contains(string(text), "lilei") || strings.Contains(string(text), "dbl_") {
		t.Error("metrics name a person or a token")
	}
	stop()
	r.ok(<-ended)
}

func TestStaticFiles(t *testing.T) {
	r := newRig(t)
	got := r.do("GET", "/static/style.css", "")
	r.want(got, 200, "--pico-primary")
	etag := string(got.Header.Peek("ETag"))
	if ct := string(got.Header.ContentType()); !strings.HasPrefix(ct, "text/css") || etag == "" {
		t.Errorf("%s, ETag %s", ct, etag)
	}
	same := r.do("GET", "/static/style.css", "", with{"If-None-Match", etag})
	if r.want(same, 304); len(same.Body()) > 0 {
		t.Error("sent it again")
	}
	r.want(r.do("GET", "/static/../api_test.go", ""), 404)
	r.want(r.do("GET", "/static/none.css", ""), 404)
}

// Tokens pass through every part of a request; none may stay in the log.
func TestNoSecretsInTheLog(t *testing.T) {
	r := newRig(t)
	link, token := r.link("lilei"), r.token("lilei")
	r.do("GET", "/chat/x?accessToken="+link, "")
	r.do("GET", "/"+link, "")
	r.do("POST", "/api/v1/tokens/exchange", `{"access_token":"`+link+`"}`)
	r.do("POST", "/api/v1/tokens/exchange", `{"`+link+`":1}`)
	r.do("GET", "/api/v1/user/me", "", bearer(token), with{"Cookie", r.cookie.name + "=" + token})
	r.do("GET", "/api/v1/user/me", "", bearer(masterKey))
	r.ok(r.o.Store.Close())
	r.do("GET", "/api/v1/user/me", "", bearer(token))
	log := r.logs.String()
	for _, secret := range []string{link, token, masterKey, "?"} {
		if strings.Contains(log, secret) {
			t.Errorf("%s in the log", secret)
		}
	}
	if !strings.Contains(log, `"route":"/chat/{id}","status":200`) || !strings.Contains(log, `"addr":"203.0.113.9"`) {
		t.Errorf("log: %s", log)
	}
}

func TestPanicInAHandler(t *testing.T) {
	r := newRig(t)
	r.routes = newRouter([]route{
		{"GET", "/api/v1/user/boom", anybody, tokensAPI, func(context.Context, *req) (any, error) { panic("no such thing") }},
		{"GET", "/api/v1/user/bad", anybody, tokensAPI, func(context.Context, *req) (any, error) { return func() {}, nil }},
	})
	r.want(r.do("GET", "/api/v1/user/boom", ""), 500, `"code":500`, "reference ")
	if log := r.logs.String(); !strings.Contains(log, "no such thing") || !strings.Contains(log, "ops_test.go") {
		t.Errorf("log %s", log)
	}
	r.want(r.do("GET", "/api/v1/user/bad", ""), 500, "Internal Server Error")
}

func TestWrongPublicURL(t *testing.T) {
	for _, bad := range []string{"", "desk.example.com", "ftp://x", "https://", "://"} {
		if _, err := New(Options{Store: &store.Store{}, PublicURL: bad, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
