package api

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
)

// atWeCom stands in for WeCom: the code of a sign-in is the userid it proves,
// and works once.
func atWeCom(o *Options) {
	used := map[string]bool{}
	o.SignIn = SignIn{
		Page: func(_, redirect, state string) string {
			return "https://wecom.example/login?" + url.Values{"redirect_uri": {redirect}, "state": {state}}.Encode()
		},
		Who: func(_ context.Context, code string) (string, error) {
			if used[code] || code == "outsider" {
				return "", bot.Fail(bot.Denied, "error.denied", nil, nil)
			}
			used[code] = true
			return code, nil
		},
		Person: func(_ context.Context, id string) (bot.Person, error) {
			p := bot.Person{ID: id, Name: id, State: bot.Active}
			if id == "leaver" {
				p.State = bot.Disabled
			}
			return p, nil
		},
	}
}

// begin opens the sign-in and gives the state WeCom gets and the cookie the
// browser keeps.
func (r *rig) begin(next string) (state string, cookie with) {
	r.Helper()
	resp := r.do("GET", "/auth/wecom?next="+url.QueryEscape(next), "")
	to, err := url.Parse(string(resp.Header.Peek("Location")))
	r.ok(err)
	if resp.StatusCode() != 302 || to.Host != "wecom.example" || to.Query().Get("redirect_uri") != "https://desk.example.com/auth/wecom/callback" {
		r.Fatalf("%d to %s", resp.StatusCode(), to)
	}
	value, _, _ := strings.Cut(string(resp.Header.PeekCookie(r.state.name)), ";")
	return to.Query().Get("state"), with{"Cookie", value}
}

func TestSignIn(t *testing.T) {
	r := newRig(t, atWeCom)
	state, cookie := r.begin("/agent/chat?tab=2")
	resp := r.do("GET", "/auth/wecom/callback?code=lilei&state="+state, "", cookie)
	if resp.StatusCode() != 303 || string(resp.Header.Peek("Location")) != "/agent/chat?tab=2" {
		t.Fatalf("%d to %s", resp.StatusCode(), resp.Header.Peek("Location"))
	}
	value, _, _ := strings.Cut(string(resp.Header.PeekCookie(r.cookie.name)), ";")
	if page := r.do("GET", "/agent/chat", "", with{"Cookie", value}); page.StatusCode() != 200 || !strings.Contains(string(page.Body()), "李雷") {
		t.Errorf("the page behind: %d %s", page.StatusCode(), page.Body())
	}
	if resp := r.do("GET", "/auth/wecom/callback?code=boss&state="+state, "", cookie); resp.StatusCode() != 403 {
		t.Errorf("a used state: %d", resp.StatusCode())
	}
}

func TestSignInIsOfOneBrowser(t *testing.T) {
	r := newRig(t, atWeCom)
	mine, myCookie := r.begin("/chat")
	theirs, _ := r.begin("/chat")
	late, lateCookie := r.begin("/chat")
	for name, c := range map[string]struct {
		query  string
		cookie []with
	}{
		"without the cookie":      {"code=lilei&state=" + mine, nil},
		"another browser's state": {"code=lilei&state=" + theirs, []with{myCookie}},
		"an invented state":       {"code=lilei&state=ABCDEFGHIJKLMNOPQRSTUVWXYZ", []with{myCookie}},
		"no state":                {"code=lilei", []with{myCookie}},
	} {
		if resp := r.do("GET", "/auth/wecom/callback?"+c.query, "", c.cookie...); resp.StatusCode() != 403 || len(resp.Header.PeekCookie(r.cookie.name)) > 0 {
			t.Errorf("%s: %d", name, resp.StatusCode())
		}
	}
	if resp := r.do("GET", "/auth/wecom/callback?code=lilei&state="+mine, "", myCookie); resp.StatusCode() != 403 {
		t.Errorf("a state that was tried without its cookie: %d", resp.StatusCode())
	}
	r.now = r.now.Add(signInTime)
	if resp := r.do("GET", "/auth/wecom/callback?code=lilei&state="+late, "", lateCookie); resp.StatusCode() != 403 {
		t.Errorf("ten minutes later: %d", resp.StatusCode())
	}
}

func TestSignInNeedsAnActiveMember(t *testing.T) {
	r := newRig(t, atWeCom)
	var bodies []string
	for _, code := range []string{"outsider", "leaver", "lilei", "lilei"} {
		state, cookie := r.begin("/chat")
		resp := r.do("GET", "/auth/wecom/callback?code="+code+"&state="+state, "", cookie)
		api := r.do("POST", "/api/auth/wecom/login", `{"code":"`+code+`"}`)
		if want := map[bool]int{true: 303, false: 401}[code == "lilei" && len(bodies) == 2]; resp.StatusCode() != want || api.StatusCode() != 401 {
			t.Errorf("%s: page %d, want %d; API %d", code, resp.StatusCode(), want, api.StatusCode())
		}
		bodies = append(bodies, string(api.Body()))
	}
	for _, b := range bodies {
		if b != bodies[0] {
			t.Errorf("refusals differ: %q", bodies)
		}
	}
	if resp := r.do("POST", "/api/auth/wecom/login", `{"code":"hanmeimei"}`); resp.StatusCode() != 200 ||
		!strings.Contains(string(resp.Body()), `"wecom_userid":"hanmeimei"`) || !strings.Contains(string(resp.Body()), `"token":"dba_`) {
		t.Errorf("%d %s", resp.StatusCode(), resp.Body())
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	r := newRig(t, atWeCom)
	for _, next := range []string{"https://evil.example/", "//evil.example", "/\\evil.example", "evil", "", "javascript:alert(1)", "/\tx", "/chat\r\nSet-Cookie: a=b", "/" + strings.Repeat("a", 2000)} {
		state, cookie := r.begin(next)
		r.now = r.now.Add(time.Second)
		r.o.SignIn.Who = func(context.Context, string) (string, error) { return "hanmeimei", nil }
		resp := r.do("GET", "/auth/wecom/callback?code=x&state="+state, "", cookie)
		if to := string(resp.Header.Peek("Location")); resp.StatusCode() != 303 || to != "/" {
			t.Errorf("next=%q leads to %q (%d)", next, to, resp.StatusCode())
		}
	}
}

func TestSignInDeclined(t *testing.T) {
	r := newRig(t, atWeCom)
	state, cookie := r.begin("/chat")
	resp := r.do("GET", "/auth/wecom/callback?state="+state, "", cookie)
	if resp.StatusCode() != 200 || len(resp.Header.PeekCookie(r.cookie.name)) > 0 {
		t.Errorf("the person said no: %d", resp.StatusCode())
	}
}
