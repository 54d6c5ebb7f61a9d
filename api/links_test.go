package api

import (
	"net/url"
	"strings"
	"testing"

	"deskbell/store"
)

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
	r.want(r.do("GET", "/agent/chat?tab=2", "", mine), 200, "李雷")

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
	r.asked("boss", 1)
	r.form("/admin/welcome", url.Values{"accessToken": {link}})
	r.asked("boss", 1) // the first use only, as it says on the card

	// A target of its own uses the token as a bearer.
	elsewhere := bearer(r.link("lilei"))
	r.want(r.do("POST", "/api/v1/tokens/introspect", "token="+strings.TrimPrefix(elsewhere.value, "Bearer "), bearer(masterKey), with{"Content-Type", "application/x-www-form-urlencoded"}), 200, `"active":true`)
	r.asked("lilei", 0)
	for range 2 {
		r.want(r.do("GET", "/api/v1/user/me", "", elsewhere), 200)
		r.asked("lilei", 1)
	}
	r.want(r.do("GET", "/agent/chat", "", mine), 200, "Ma Boss")

	r.o.Store.Direct = false
	r.want(r.form("/chat", url.Values{"accessToken": {r.token("boss")}}), 401)
}

// asked fails unless somebody was asked so often whether it was them.
func (r *rig) asked(userID string, times int) {
	r.Helper()
	var trail []store.AuditEntry
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) (err error) {
		trail, err = tx.AuditTrail(r.Context(), userID, 100)
		return err
	}))
	uses := 0
	for _, e := range trail {
		if e.Action == "link.use" {
			uses++
		}
	}
	pending, _, err := r.o.Store.Depth(r.Context())
	r.ok(err)
	if uses != times || pending < times {
		r.Errorf("%s: %d uses in the trail, %d pushes waiting", userID, uses, pending)
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
