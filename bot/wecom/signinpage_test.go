package wecom

import (
	"net/url"
	"strings"
	"testing"
)

func TestSignInPageForABrowser(t *testing.T) {
	pages := SignInPages{CorpID: "ww1", AgentID: 7, Authorize: "https://open.example/authorize", QR: "https://login.example/sso?lang=zh"}
	without := pages
	without.Authorize = ""
	for _, c := range []struct {
		pages     SignInPages
		userAgent string
		silent    bool
		begins    string
		holds     string
	}{
		{pages, "Mozilla/5.0 MicroMessenger/7.0.1 wxwork/4.1.30", true, pages.Authorize + "?", "scope=snsapi_base"},
		{pages, "Mozilla/5.0 MicroMessenger/7.0.1", false, pages.Authorize + "?", "response_type=code"}, // WeChat: nobody says that it is silent there
		{pages, "Mozilla/5.0 Chrome/140.0.0.0", false, pages.QR + "&", "login_type=CorpApp"},
		{pages, "", false, pages.QR + "&", "login_type=CorpApp"},
		{without, "Mozilla/5.0 wxwork/4.1.30", false, pages.QR + "&", "login_type=CorpApp"},
	} {
		got := c.pages.URL(c.userAgent, "https://desk.example.com/auth/wecom/callback", "STATE1")
		u, err := url.Parse(got)
		if err != nil || !strings.HasPrefix(got, c.begins) || !strings.Contains(got, c.holds) || c.pages.Silent(c.userAgent) != c.silent {
			t.Errorf("%q: %s, silent %v, %v", c.userAgent, got, c.pages.Silent(c.userAgent), err)
			continue
		}
		q := u.Query()
		if q.Get("appid") != "ww1" || q.Get("agentid") != "7" || q.Get("state") != "STATE1" || q.Get("redirect_uri") != "https://desk.example.com/auth/wecom/callback" {
			t.Errorf("%q: %s", c.userAgent, got)
		}
		if inside := strings.HasPrefix(got, pages.Authorize); inside != (u.Fragment == "wechat_redirect") {
			t.Errorf("%q: fragment %q", c.userAgent, u.Fragment)
		}
	}
}
