package api

import (
	"strings"
	"testing"
)

// Pages of the desk run our scripts and no others; pages one comes to before one
// is signed in run none.
func TestScriptsOfPages(t *testing.T) {
	r := newRig(t)
	lilei := r.signedIn("lilei")
	for path, scripts := range map[string]bool{"/agent/chat": true, "/agent/nothing": true, "/admin/welcome": true, "/api/docs": true, "/logout": false, "/auth/wecom": false} {
		got := r.do("GET", path, "", lilei)
		policy := string(got.Header.Peek("Content-Security-Policy"))
		if has := strings.Contains(policy, "script-src 'self'; connect-src 'self';"); has != scripts {
			t.Errorf("%s: policy %q", path, policy)
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if has := strings.Contains(string(got.Body()), "<script"); has != scripts {
			t.Errorf("%s: scripts %v, want %v", path, has, scripts)
		}
	}
}

func TestMenuByRole(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	for who, want := range map[string][]string{
		"hanmeimei": {"/chat"}, "lilei": {"/chat", "/agent/chat"}, "boss": {"/chat", "/agent/chat", "/admin/welcome"},
	} {
		page := string(r.do("GET", "/chat", "", r.signedIn(who)).Body())
		_, menu, _ := strings.Cut(page, `<nav class="menu"`)
		menu, _, _ = strings.Cut(menu, `</nav>`)
		if n := strings.Count(menu, "<a "); n != len(want) {
			t.Errorf("%s sees %d pages in\n%s", who, n, menu)
		}
		for _, path := range want {
			if !strings.Contains(menu, `href="`+path+`"`) {
				t.Errorf("%s does not see %s in\n%s", who, path, menu)
			}
		}
		if !strings.Contains(menu, `href="/chat" aria-current="page"`) || strings.Count(menu, "aria-current") != 1 {
			t.Errorf("%s is not at /chat in\n%s", who, menu)
		}
	}
}

// What htmx asks for when nobody is signed in any more leads the whole browser
// to sign in, not the part of the page it was for.
func TestSignInFromAPartOfAPage(t *testing.T) {
	r := newRig(t)
	got := r.do("GET", "/admin/outbox?q=x", "", with{"HX-Request", "true"})
	if to := string(got.Header.Peek("HX-Redirect")); got.StatusCode() != 204 || to != "/auth/wecom?next=%2Fadmin%2Foutbox%3Fq%3Dx" {
		t.Errorf("%d, to %q", got.StatusCode(), to)
	}
	got = r.form("/logout", nil, with{"HX-Request", "true"})
	if to := string(got.Header.Peek("HX-Redirect")); got.StatusCode() != 204 || to != "/logout" {
		t.Errorf("%d, to %q", got.StatusCode(), to)
	}
}

// A sentence in the cookie that no text is for is not shown, and goes away.
func TestFlashOfAnotherVersion(t *testing.T) {
	r := newRig(t)
	cookie := r.signedIn("lilei")
	cookie.value += "; " + r.flashes.name + "=k%3Dnothing%26a%3Dx"
	got := r.do("GET", "/agent/chat", "", cookie)
	r.want(got, 200, "李雷")
	if page := string(got.Body()); strings.Contains(page, `class="good"`) || strings.Contains(page, `class="bad" role="alert">x`) {
		t.Error(page)
	}
	if after := cookieOf(t, got, r.flashes.name); after.value != r.flashes.name+"=" {
		t.Errorf("the cookie stays: %q", after)
	}
}
