package sim

import (
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// follow asks a sign-in page as somebody and returns where it leads.
func follow(t *testing.T, page string, query url.Values) (int, *url.URL) {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(page + "?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, to
}

func TestSignIn(t *testing.T) {
	b := newBench(t)
	inside := url.Values{
		"appid": {b.Config().CorpID}, "redirect_uri": {"http://127.0.0.1:1/auth/wecom/callback?x=1"}, "response_type": {"code"},
		"scope": {"snsapi_privateinfo"}, "state": {"abc123"}, "agentid": {"1000002"},
	}
	if status, _ := follow(t, b.AuthorizeURL(), inside); status != http.StatusOK {
		t.Errorf("the page answers %d", status)
	}
	inside.Set("as", "LiLei")
	status, to := follow(t, b.AuthorizeURL(), inside)
	q := to.Query()
	if status != http.StatusFound || to.Path != "/auth/wecom/callback" || q.Get("state") != "abc123" || q.Get("x") != "1" || q.Get("code") == "" {
		t.Errorf("%d to %s", status, to)
	}
	a := b.get("auth/getuserinfo", "code", q.Get("code"))
	if a["userid"] != "LiLei" {
		t.Errorf("getuserinfo %v", a)
	}
	b.wantCode(b.get("auth/getuserinfo", "code", q.Get("code")), 40029)
	b.wantCode(b.get("auth/getuserinfo"), 41008)
	b.wantCode(b.post("auth/getuserdetail", map[string]any{"user_ticket": a["user_ticket"]}), 0)
	b.wantCode(b.post("auth/getuserdetail", map[string]any{"user_ticket": "x"}), 84015)
	b.pass(time.Hour)
	b.wantCode(b.post("auth/getuserdetail", map[string]any{"user_ticket": a["user_ticket"]}), 84014)

	browser := url.Values{
		"login_type": {"CorpApp"}, "appid": {b.Config().CorpID}, "agentid": {"1000002"},
		"redirect_uri": {"http://127.0.0.1:1/auth/wecom/callback"}, "state": {"s"}, "as": {"!"},
	}
	if _, to := follow(t, b.QRLoginURL(), browser); to.Query().Has("code") || to.Query().Get("state") != "s" {
		t.Errorf("who refuses is led to %s", to)
	}
	b.clean()
}

// In WeCom's own browser nobody is asked, once the chat page is open as somebody.
func TestSilentSignIn(t *testing.T) {
	b := newBench(t)
	inside := url.Values{
		"appid": {b.Config().CorpID}, "redirect_uri": {"http://127.0.0.1:1/back"}, "response_type": {"code"}, "scope": {"snsapi_base"}, "state": {"s"},
	}
	consent := maps.Clone(inside)
	consent.Set("scope", "snsapi_privateinfo")
	consent.Set("agentid", "1000002")
	for _, c := range []struct {
		query         url.Values
		agent, cookie string
		silent        bool
	}{
		{inside, "Mozilla/5.0 wxwork/4.1", "lilei", true},
		{inside, "Mozilla/5.0 wxwork/4.1", "nobody", false},
		{inside, "Mozilla/5.0 wxwork/4.1", "", false},
		{inside, "Mozilla/5.0", "lilei", false},
		{consent, "Mozilla/5.0 wxwork/4.1", "lilei", false},
	} {
		req, err := http.NewRequest("GET", b.AuthorizeURL()+"?"+c.query.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", c.agent)
		req.AddCookie(&http.Cookie{Name: personCookie, Value: c.cookie})
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		to, err := url.Parse(resp.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if (resp.StatusCode == http.StatusFound) != c.silent {
			t.Errorf("%+v: %d", c, resp.StatusCode)
		}
		if c.silent && b.get("auth/getuserinfo", "code", to.Query().Get("code"))["userid"] != "LiLei" {
			t.Errorf("%+v leads to %s", c, to)
		}
	}
	b.clean()
}

func TestLoginCodes(t *testing.T) {
	b := newBench(t)
	late := b.LoginCode("lilei")
	b.pass(5 * time.Minute)
	b.wantCode(b.get("auth/getuserinfo", "code", late), 40029)
	if a := b.get("auth/getuserinfo", "code", b.LoginCode("")); a["userid"] != nil || a["openid"] == nil {
		t.Errorf("outsider %v", a)
	}
	if a := b.get("auth/getuserinfo", "code", b.LoginCode("ww9/zhang")); a["userid"] != "ww9/zhang" {
		t.Errorf("linked corporation %v", a)
	}
	if a := b.get("auth/getuserinfo", "code", b.LoginCode("far")); a["userid"] != "far" {
		t.Errorf("outside the visible range %v", a)
	}
}

func TestSignInObjections(t *testing.T) {
	b := newBench(t)
	good := func() url.Values {
		return url.Values{
			"appid": {b.Config().CorpID}, "redirect_uri": {"https://a.example/cb"}, "response_type": {"code"},
			"scope": {"snsapi_base"}, "state": {"s"}, "login_type": {"CorpApp"}, "agentid": {"1000002"}, "as": {"lilei"},
		}
	}
	for page, bad := range map[string]map[string]string{
		b.AuthorizeURL(): {"appid": "x", "redirect_uri": "/cb", "response_type": "", "scope": "all", "state": "a b"},
		b.QRLoginURL():   {"appid": "x", "redirect_uri": "javascript:x", "login_type": "", "agentid": "1", "state": ""},
	} {
		if status, _ := follow(t, page, good()); status != http.StatusFound {
			t.Errorf("%s: %d", page, status)
		}
		for key, value := range bad {
			q := good()
			q.Set(key, value)
			if status, _ := follow(t, page, q); status != http.StatusBadRequest {
				t.Errorf("%s with %s=%q: %d", page, key, value, status)
			}
		}
	}
	if n := len(b.Problems()); n != 10 {
		t.Errorf("%d problems", n)
	}
}
