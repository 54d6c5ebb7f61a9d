package api

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"
)

// sample is a path a route answers.
func sample(rt route) string {
	return strings.NewReplacer("{file...}", "style.css", "{page...}", "some/page", "{id}", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "{media}", "2b4e28ba-2fa1-11d2-883f-0016d3cca427").Replace(rt.path)
}

// Every route has a policy, and the policy holds.
func TestEveryRouteIsGuarded(t *testing.T) {
	r := newRig(t)
	for _, rt := range r.table() {
		t.Run(rt.method+" "+rt.path, func(t *testing.T) {
			if rt.may.open == rt.may.signedIn {
				t.Fatalf("policy %+v is neither open nor closed", rt.may)
			}
			if rt.may.open {
				return
			}
			got := r.do(rt.method, sample(rt), "")
			switch {
			case rt.as != pages:
				r.want(got, 401)
				if auth := string(got.Header.Peek("WWW-Authenticate")); !strings.HasPrefix(auth, "Bearer") {
					t.Errorf("WWW-Authenticate: %q", auth)
				}
			case rt.may.unseen:
				r.want(got, 401)
			case rt.method == "GET":
				r.leadsTo(got, 302, "/auth/wecom?next="+url.QueryEscape(sample(rt)))
			default:
				r.leadsTo(got, 303, "/logout")
			}
			for _, bad := range []string{"x", strings.Repeat("a", 64), "dba_" + strings.Repeat("A", 49)} {
				if got := r.do(rt.method, sample(rt), "", bearer(bad), with{"Cookie", r.cookie.name + "=" + bad}); got.StatusCode() < 300 {
					t.Errorf("token %s opens it: %d", bad, got.StatusCode())
				}
			}
		})
	}
}

// Every public route that takes a secret has a limit, per address.
func TestSecretsCannotBeTriedForever(t *testing.T) {
	var keys []string
	r := newRig(t, func(o *Options) {
		o.Limit = func(_ context.Context, name, key string) time.Duration {
			keys = append(keys, name+" "+key)
			return 1500 * time.Millisecond
		}
	})
	n := 0
	for _, rt := range r.table() {
		if !rt.may.secret {
			continue
		}
		n++
		got := r.do(rt.method, sample(rt), "{}", ownForm)
		r.want(got, 429)
		if after := string(got.Header.Peek("Retry-After")); after != "2" {
			t.Errorf("%s: Retry-After %q", rt.path, after)
		}
	}
	if n == 0 || len(keys) != n || keys[0] != "login_per_address 203.0.113.9" {
		t.Errorf("%d routes, counted %q", n, keys)
	}
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	r := newRig(t)
	want := map[string]string{
		"Content-Security-Policy":   "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":    "nosniff",
		"Referrer-Policy":           "no-referrer",
		"Cache-Control":             "no-store",
		"Strict-Transport-Security": "max-age=31536000",
		"X-Frame-Options":           "DENY",
	}
	for _, rt := range append(r.table(), route{method: "GET", path: "/nowhere"}) {
		got := r.do(rt.method, sample(rt), "")
		for name, value := range want {
			if kept := rt.path == "/static/{file...}" || rt.path == "/api/openapi.json" || rt.path == "/api/docs"; kept && name == "Cache-Control" {
				value = "no-cache"
			}
			if rt.path == "/api/docs" && name == "Content-Security-Policy" {
				value = strings.Replace(value, "'none';", "'none'; script-src 'self'; connect-src 'self';", 1)
			}
			if h := string(got.Header.Peek(name)); h != value {
				t.Errorf("%s %s: %s: %q", rt.method, rt.path, name, h)
			}
		}
		if len(got.Header.Peek("X-Request-Id")) == 0 || len(got.Header.Peek("Server")) > 0 {
			t.Errorf("%s %s: %s", rt.method, rt.path, &got.Header)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		method, path string
		status       int
		body, allow  string
	}{
		{"GET", "/nowhere", 404, `{"message":"no such path","code":404}`, ""},
		{"GET", "/api/agents/x/y", 404, `{"code":1004,"message":"no such path","data":null}`, ""},
		{"GET", "/api/v1/user/you", 404, `{"message":"no such path","code":404,"data":null}`, ""},
		{"GET", "/api/v1/robots", 404, `{"detail":"no such path"}`, ""},
		{"GET", "/api/sessions/1/2", 404, `{"detail":"no such path"}`, ""},
		{"GET", "/devices/1/2/3", 404, `{"success":false,"message":"no such path"}`, ""},
		{"GET", "/kv/key/value", 404, `{"success":false,"message":"no such path"}`, ""},
		{"PUT", "/api/v1/user/me", 405, `{"message":"allowed here: GET, HEAD","code":405,"data":null}`, "GET, HEAD"},
		{"GET", "/api/v1/tokens/exchange", 405, `{"message":"allowed here: POST","code":405,"data":null}`, "POST"},
		{"GET", "/kv/_batchimport", 405, `{"success":false,"message":"allowed here: POST"}`, "POST"},
		{"DELETE", "/kv/_keys", 405, `{"success":false,"message":"allowed here: GET, HEAD"}`, "GET, HEAD"},
		{"PUT", "/kv/key", 405, `{"success":false,"message":"allowed here: DELETE, GET, HEAD, POST"}`, "DELETE, GET, HEAD, POST"},
		{"DELETE", "/healthz", 405, `{"message":"allowed here: GET, HEAD","code":405}`, "GET, HEAD"},
		{"PATCH", "/admin/outbox", 405, `{"message":"allowed here: GET, HEAD, POST","code":405}`, "GET, HEAD, POST"},
	} {
		got := r.do(c.method, c.path, "")
		if body := string(got.Body()); got.StatusCode() != c.status || body != c.body || string(got.Header.Peek("Allow")) != c.allow {
			t.Errorf("%s %s: %d %s Allow %q", c.method, c.path, got.StatusCode(), body, got.Header.Peek("Allow"))
		}
	}
}

func TestMatch(t *testing.T) {
	ro := newRouter([]route{
		{method: "GET", path: "/a"}, {method: "GET", path: "/a/{id}"}, {method: "PUT", path: "/a/{id}"},
		{method: "GET", path: "/a/{id}/b"}, {method: "GET", path: "/c/{rest...}"}, {method: "GET", path: "/c/own"}, {method: "POST", path: "/c/{rest...}"},
		{method: "GET", path: "/a/own"},
	})
	for _, c := range []struct{ method, path, want, holes string }{
		{"GET", "/a", "/a", ""}, {"GET", "/a/", "", ""}, {"GET", "/a/1", "/a/{id}", "1"}, {"PUT", "/a/1", "/a/{id}", "1"},
		{"GET", "/a/1/b", "/a/{id}/b", "1"}, {"GET", "/a/1/b/", "", ""}, {"GET", "/a//b", "", ""}, {"HEAD", "/c/x/y", "/c/{rest...}", "x/y"},
		{"GET", "/c/own", "/c/own", ""}, {"POST", "/c/own", "/c/{rest...}", "own"}, {"GET", "/a/own", "/a/own", ""}, {"PUT", "/a/own", "", ""}, {"GET", "/c", "", ""}, {"GET", "/", "", ""},
	} {
		rt, holes, _ := ro.match(c.path, c.method)
		got := ""
		if rt != nil {
			got = rt.path
		}
		if got != c.want || strings.Join(holes, ",") != c.holes {
			t.Errorf("%s %s: %q %q, want %q %q", c.method, c.path, got, holes, c.want, c.holes)
		}
	}
}
