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

func TestLinkFromTheChat(t *testing.T) {
	r := newRig(t)
	link := r.link("lilei")
	target := "/agent/chat?tab=2&accessToken=" + link + "&x=%E4%BD%A0"

	// Scanners and previews fetch it; nothing happens.
	for i := range 20 {
		got := r.do([]string{"GET", "HEAD"}[i%2], target, "")
		r.want(got, 200, "李雷", `value="`+link+`"`, `method="post" action="/agent/chat?tab=2&amp;x=%E4%BD%A0"`)
		if len(got.Header.Peek("Set-Cookie")) > 0 {
			t.Fatal("a GET set a cookie")
		}
	}
	got := r.form("/agent/chat?tab=2&x=%E4%BD%A0", url.Values{"accessToken": {link}})
	r.leadsTo(got, 303, "/agent/chat?tab=2&x=%E4%BD%A0")
	set := string(got.Header.Peek("Set-Cookie"))
	for _, part := range []string{"__Host-deskbell=", "HttpOnly", "SameSite=Lax", "secure", "path=/", "expires=Wed, 04 Mar 2026 13:06:07 GMT"} {
		if !strings.Contains(strings.ToLower(set), strings.ToLower(part)) {
			t.Errorf("cookie %q lacks %s", set, part)
		}
	}
	mine := cookieOf(t, got, r.cookie.name)
	r.want(r.do("GET", "/agent/chat?tab=2", "", mine), 200, "李雷", "lilei")

	// Somebody uses it again: refused, and the first one's session ends.
	r.want(r.do("GET", target, ""), 401, "/login")
	again := r.form("/agent/chat", url.Values{"accessToken": {link}})
	r.want(again, 401, "/login")
	if len(again.Header.Peek("Set-Cookie")) > 0 {
		t.Error("a dead link set a cookie")
	}
	r.leadsTo(r.do("GET", "/agent/chat", "", mine), 302, "/auth/wecom?next=%2Fagent%2Fchat")
}

// In link mode "direct" the link carries an access token without an
// administrator's rights. No other access token works as a link.
func TestDirectLink(t *testing.T) {
	r := newRig(t)
	r.o.Store.Direct = true
	link := r.link("boss")
	r.want(r.do("GET", "/admin/welcome?accessToken="+link, ""), 200, "Ma Boss")
	got := r.form("/admin/welcome", url.Values{"accessToken": {link}})
	r.leadsTo(got, 303, "/admin/welcome")
	mine := cookieOf(t, got, r.cookie.name)
	r.want(r.do("GET", "/admin/welcome", "", mine), 403)
	r.want(r.do("GET", "/agent/chat", "", mine), 200, "Ma Boss")

	r.o.Store.Direct = false
	r.want(r.form("/chat", url.Values{"accessToken": {r.token("boss")}}), 401)
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
	r.want(got, 200, "等待发送 1 条", "放弃发送 0 条")
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
	r.leadsTo(got, 303, "/auth/wecom")
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

// staysHere fails when a browser on our page would leave for another host.
func staysHere(t *testing.T, location string) {
	t.Helper()
	base, _ := url.Parse("https://desk.example.com/chat")
	u, err := base.Parse(location)
	if err != nil || u.Host != "desk.example.com" || u.Scheme != "https" || !strings.HasPrefix(location, "/") ||
		strings.HasPrefix(location, "//") || strings.ContainsAny(location, "\\\r\n\t ") || u.Query().Has("accessToken") {
		t.Errorf("leads to %q (%v, %v)", location, u, err)
	}
}

var escapes = []string{
	"/chat//evil.com", "/chat/..//evil.com", "/chat/%2e%2e//evil.com", "/chat/%2F%2Fevil.com", "/chat/\\evil.com", "/chat/%5Cevil.com",
	"/chat/../../evil.com", "/chat/%0d%0aSet-Cookie:x=y", "/chat?next=//evil.com", "/chat?a=%0d%0aX:y", "/chat?%61ccessToken=stolen",
	"/chat?accessToken=a&accessToken=b", "/chat?AccessToken=a", "/agent/@evil.com", "/agent/.evil.com", "/chat?a=\"><script>", "/chat/javascript:alert(1)",
	"/chat?&&=&a", "/chat?%zz=1", "/agent/..%2f..%2f%2fevil.com", "/chat#@evil.com", "/chat/;//evil.com", "/chat/\u202emoc.live",
}

func TestRedirectsStayHere(t *testing.T) {
	r := newRig(t)
	for _, target := range escapes {
		if got := r.do("GET", target, ""); len(got.Header.Peek("Location")) > 0 {
			staysHere(t, string(got.Header.Peek("Location")))
		}
		// Signing in leads on to the same place.
		if got := r.form(target, url.Values{"accessToken": {r.link("boss")}}); got.StatusCode() == 303 {
			staysHere(t, string(got.Header.Peek("Location")))
		}
	}
}

func FuzzRedirect(f *testing.F) {
	for _, e := range escapes {
		f.Add(e)
	}
	f.Fuzz(func(t *testing.T, target string) {
		ctx := request("GET", target)
		if !strings.HasPrefix(string(ctx.Path()), "/chat") || strings.ContainsAny(target, "\r\n ") {
			return // no such request line, or no page of ours
		}
		staysHere(t, (&req{ctx: ctx}).self())
	})
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
