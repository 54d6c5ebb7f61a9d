package api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// cookieOf is the cookie an answer sets, as a browser would send it back.
func cookieOf(t testing.TB, got *fasthttp.Response, name string) with {
	t.Helper()
	k := new(fasthttp.Cookie)
	k.SetKey(name)
	if !got.Header.Cookie(k) {
		t.Fatalf("no cookie %s: %s", name, &got.Header)
	}
	return with{"Cookie", name + "=" + string(k.Value())}
}

func TestWhoSeesWhat(t *testing.T) {
	r := newRig(t)
	people := map[string]with{"": {"X", "y"}, "hanmeimei": r.signedIn("hanmeimei"), "lilei": r.signedIn("lilei"), "boss": r.signedIn("boss")}
	for _, c := range []struct {
		path, who string
		status    int
		part      string
	}{
		{"/chat", "hanmeimei", 200, "韩梅梅"}, {"/agent/chat", "hanmeimei", 403, "403"}, {"/admin/welcome", "hanmeimei", 403, "403"},
		{"/chat/7", "hanmeimei", 404, "韩梅梅"}, {"/agent/x", "hanmeimei", 403, "403"},
		{"/chat", "lilei", 200, "李雷"}, {"/agent/chat", "lilei", 200, "李雷"}, {"/admin/welcome", "lilei", 403, "403"},
		{"/agent/x/y", "lilei", 404, "/agent/chat"}, {"/admin/outbox", "lilei", 403, "403"}, {"/agent/", "lilei", 404, "李雷"},
		{"/admin/welcome", "boss", 200, "/admin/outbox"}, {"/agent/chat", "boss", 200, "Ma Boss"}, {"/admin/outbox", "boss", 200, "Ma Boss"},
		{"/admin/nothing", "boss", 404, "/admin/welcome"},
		{"/auth/wecom", "", 200, "/login"}, {"/auth/wecom?next=/chat", "boss", 200, "/login"},
	} {
		r.want(r.do("GET", c.path, "", people[c.who]), c.status, c.part)
	}
	for _, c := range []struct{ path, who, to string }{
		{"/", "", "/chat"}, {"/", "lilei", "/agent/chat"}, {"/", "boss", "/admin/welcome"},
		{"/agent", "lilei", "/agent/chat"}, {"/agent", "boss", "/admin/welcome"}, {"/admin", "boss", "/admin/welcome"},
		{"/admin/auth/login", "boss", "/admin/welcome"}, {"/agent/auth/login", "lilei", "/agent/chat"},
		{"/chat?a=1&accesstoken2=3", "", "/auth/wecom?next=%2Fchat%3Fa%3D1%26accesstoken2%3D3"},
	} {
		r.leadsTo(r.do("GET", c.path, "", people[c.who]), 302, c.to)
	}
	r.want(r.do("GET", "/chat", "", people["lilei"], with{"Accept-Language", "en"}), 200, "李雷") // the person's language, not the browser's
	r.want(r.do("GET", "/auth/wecom", "", with{"Accept-Language", "fr, en-GB;q=0.8, zh;q=0.5"}), 200, `lang="en"`)
}

func TestOutboxPage(t *testing.T) {
	r := newRig(t)
	r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.Push(t.Context(), bot.Outgoing{To: "lilei", Text: "not for everybody's eyes"})
	}))
	got := r.do("GET", "/admin/outbox", "", r.signedIn("boss"))
	r.want(got, 200, "等待发送 2 条", "放弃发送 0 条") // the other asks boss whether it was them who signed in
	if strings.Contains(string(got.Body()), "not for everybody") {
		t.Error("shows what was said")
	}
}

func TestSignOut(t *testing.T) {
	r := newRig(t)
	mine := r.signedIn("lilei")
	r.want(r.do("POST", "/logout", "", mine, with{"Sec-Fetch-Site", "cross-site"}), 403)
	r.want(r.do("GET", "/chat", "", mine), 200)
	got := r.form("/logout", nil, mine)
	r.leadsTo(got, 303, "/logout")
	r.want(r.do("GET", "/logout", "", mine), 200, "已退出登录", signInPath)
	r.leadsTo(r.form("/logout", nil), 303, "/logout") // once more
	if set := string(got.Header.Peek("Set-Cookie")); !strings.HasPrefix(set, "__Host-deskbell=; expires=Tue, 10 Nov 2009") {
		t.Errorf("cookie %q", set)
	}
	r.leadsTo(r.do("GET", "/chat", "", mine), 302, "/auth/wecom?next=%2Fchat")
}

func TestFormsFromElsewhere(t *testing.T) {
	plain := newRig(t)
	framed := newRig(t, func(o *Options) { o.FrameAncestors = []string{"https://portal.example.com"} })
	cookie := with{"Cookie", "__Host-deskbell=x"}
	for _, c := range []struct {
		on      *rig
		headers []with
		ok      bool
	}{
		{plain, nil, true},
		{plain, []with{{"Sec-Fetch-Site", "same-origin"}}, true},
		{plain, []with{{"Sec-Fetch-Site", "none"}}, true},
		{plain, []with{{"Sec-Fetch-Site", "same-site"}}, false},
		{plain, []with{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://desk.example.com"}}, false},
		{plain, []with{{"Sec-Fetch-Site", "same-origin"}, {"Origin", "null"}}, true},
		{plain, []with{{"Origin", "https://desk.example.com"}}, true},
		{plain, []with{{"Origin", "http://desk.example.com"}}, true}, // TLS ends in front of us
		{plain, []with{{"Origin", "https://evil.example.com"}}, false},
		{plain, []with{{"Origin", "https://desk.example.com.evil.com"}}, false},
		{plain, []with{{"Origin", "garbage"}}, false},
		{plain, []with{{"Origin", "null"}, cookie}, true}, // SameSite=Lax keeps the cookie away
		{framed, []with{{"Origin", "null"}, cookie}, false},
		{framed, []with{{"Origin", "null"}}, true},
		{framed, []with{{"Sec-Fetch-Site", "same-origin"}, {"Origin", "null"}, cookie}, true},
	} {
		ctx := request("POST", "/logout", c.headers...)
		if got := c.on.sameOrigin(&ctx.Request.Header); got != c.ok {
			t.Errorf("%v: %v", c.headers, got)
		}
	}
}

func TestCookieAttributes(t *testing.T) {
	for _, c := range []struct {
		public string
		framed bool
		want   string
	}{
		{"https://desk.example.com", false, "__Host-deskbell=x; path=/; HttpOnly; secure; SameSite=Lax"},
		{"http://desk.example.com", false, "__Host-deskbell=x; path=/; HttpOnly; secure; SameSite=Lax"},
		{"http://127.0.0.1:8080", false, "deskbell=x; path=/; HttpOnly; SameSite=Lax"},
		{"http://localhost:8080", false, "deskbell=x; path=/; HttpOnly; SameSite=Lax"},
		{"http://[::1]:8080", false, "deskbell=x; path=/; HttpOnly; SameSite=Lax"},
		{"https://desk.example.com", true, "__Host-deskbell=x; path=/; HttpOnly; secure; SameSite=None; Partitioned"},
	} {
		u, err := url.Parse(c.public)
		if err != nil {
			t.Fatal(err)
		}
		ctx := request("GET", "/")
		newCookie(u, c.framed).set(ctx, "x", time.Time{})
		if got := string(ctx.Response.Header.Peek("Set-Cookie")); got != c.want {
			t.Errorf("%s: %q, want %q", c.public, got, c.want)
		}
	}
}

func TestFramedPages(t *testing.T) {
	r := newRig(t, func(o *Options) { o.FrameAncestors = []string{"https://a.example.com", "https://b.example.com"} })
	got := r.do("GET", "/auth/wecom", "")
	if csp := string(got.Header.Peek("Content-Security-Policy")); !strings.HasSuffix(csp, "frame-ancestors https://a.example.com https://b.example.com") {
		t.Errorf("policy %q", csp)
	}
	if h := got.Header.Peek("X-Frame-Options"); len(h) > 0 {
		t.Errorf("X-Frame-Options: %s", h)
	}
}

func TestPageOfAFailure(t *testing.T) {
	r := newRig(t)
	mine := r.signedIn("lilei")
	r.ok(r.o.Store.Close())
	got := r.do("GET", "/chat", "", mine)
	r.want(got, 500, "HTTP 500")
	_, rest, _ := strings.Cut(r.logs.String(), `"ref":"`)
	ref, _, _ := strings.Cut(rest, `"`)
	r.want(got, 500, ref)
	if ref == "" || strings.Contains(string(got.Body()), "closed") {
		t.Errorf("reference %q, told %s", ref, got.Body())
	}
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(strings.TrimPrefix(mine.value, r.cookie.name+"="))), 500, `"code":500`)
}
