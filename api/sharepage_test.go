package api

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// guestCookie is the cookie an answer sets for the page behind a share.
func (d *sharingDesk) guestCookie(got *fasthttp.Response) with {
	d.Helper()
	set := string(got.Header.Peek("Set-Cookie"))
	name, value, _ := strings.Cut(strings.Split(set, ";")[0], "=")
	for _, part := range []string{"HttpOnly", "SameSite=Lax", "secure", "path=/"} {
		if name != "__Host-deskbell-share" || !strings.Contains(set, part) {
			d.Errorf("cookie %q lacks %s", set, part)
		}
	}
	return with{"Cookie", name + "=" + value}
}

// opensOf is how often a bot's shares were opened, the newest first.
func (d *sharingDesk) opensOf(bot string) (opens []int64) {
	d.Helper()
	list, err := d.o.Store.Shares(d.Context(), bot, store.Asker{Master: true})
	d.ok(err)
	for _, sh := range list {
		opens = append(opens, sh.Opens)
	}
	return opens
}

var signInAsKim = url.Values{"username": {"kim"}, "password": {"a fine password"}}

func TestSharePage(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		d.kim()
		bot := d.bot("boss", strings.Replace(helper, "您好！", `您好！<script>`, 1))
		_, token := d.shared("boss", bot, `{}`)
		page := "/s/" + token
		for range 5 { // as scanners and previews do
			got := d.do("GET", page, "")
			d.want(got, 200, `<form method="post">`, `name="password"`)
			if strings.Contains(string(got.Body()), "售后") || strings.Contains(string(got.Body()), token) || len(got.Header.Peek("Set-Cookie")) > 0 {
				t.Errorf("a stranger sees %s", got.Body())
			}
		}
		wrong := d.form(page, url.Values{"username": {"kim"}, "password": {"wrong password"}})
		d.want(wrong, 401, "用户名或密码不对", `value="kim"`)
		ada := d.account(store.NewAccount{Username: "eve", Password: "a fine password", Email: "eve@example.com"})
		d.want(d.form(page, url.Values{"username": {"eve"}, "password": {"a fine password"}}), 401, "用户名或密码不对")
		if list, err := d.o.Store.Tokens(t.Context(), store.TokenQuery{Account: ada}); err != nil || len(list) != 0 {
			t.Errorf("another kind of account keeps %v, %v", list, err)
		}
		d.want(d.do("POST", page, signInAsKim.Encode(), with{"Sec-Fetch-Site", "cross-site"}, with{"Content-Type", "application/x-www-form-urlencoded"}), 403)

		in := d.form(page, signInAsKim)
		d.leadsTo(in, 303, page)
		cookie := d.guestCookie(in)
		d.want(d.do("HEAD", page, "", cookie), 200)
		for range 3 {
			d.want(d.do("GET", page, "", cookie), 200)
		}
		seen := d.do("GET", page, "", cookie)
		d.want(seen, 200, "售后助手", "您好！&lt;script&gt;", "怎么退货？", "保修多久？", `src="https://cdn.example.com/a.png"`, "显示思考过程", "brief", "（kim）")
		for _, secret := range []string{"the owner", "boss", "Ma Boss", "system_prompt", bot} {
			if strings.Contains(string(seen.Body()), secret) {
				t.Errorf("the page tells %q", secret)
			}
		}
		if policy := string(seen.Header.Peek("Content-Security-Policy")); !strings.Contains(policy, "img-src 'self' data: https://cdn.example.com;") {
			t.Error(policy)
		}
		if opens := d.opensOf(bot); opens[0] != 1 {
			t.Errorf("%d opens after one sign-in and many looks", opens[0])
		}
		// It opens nothing else.
		for _, other := range []string{"/chat", "/agent/chat", "/admin/outbox"} {
			d.leadsTo(d.do("GET", other, "", cookie), 302, "/auth/wecom?next="+url.QueryEscape(other))
		}
		d.leadsTo(d.form(page, url.Values{"leave": {"1"}}, cookie), 303, page)
		d.want(d.do("GET", page, "", cookie), 200, `name="password"`)
	})
}

// To the public, a share that was revoked, one that has expired and one that
// never was are the same bytes, signed in or not.
func TestDeadSharesLookAlike(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		d.kim()
		bot := d.bot("boss", helper)
		_, live := d.shared("boss", bot, `{}`)
		id, revoked := d.shared("boss", bot, `{}`)
		_, expired := d.shared("boss", bot, `{"expires_at":"1m"}`)
		cookie := d.guestCookie(d.form("/s/"+live, signInAsKim))
		d.want(d.as("boss", "DELETE", "/api/v1/bot-share-tokens/"+id, ""), 200)
		d.now = d.now.Add(time.Minute)
		first := ""
		for _, dead := range []string{revoked, expired, "dbs_unknown", strings.Repeat("x", 53), revoked[:52] + "!", "a b"} {
			for _, got := range []*fasthttp.Response{
				d.do("GET", "/s/"+url.PathEscape(dead), ""), d.do("GET", "/s/"+url.PathEscape(dead), "", cookie), d.form("/s/"+url.PathEscape(dead), signInAsKim),
			} {
				got.Header.Del("X-Request-Id")
				got.Header.Del("Date")
				if bytes := got.Header.String() + string(got.Body()); first == "" {
					first = bytes
					d.want(got, 404, "打不开")
				} else if bytes != first {
					t.Errorf("%s:\n%s\nwant\n%s", dead, bytes, first)
				}
			}
		}
		d.want(d.do("GET", "/s/"+live, "", cookie), 200, "售后助手")
	})
}

// Trying is limited by address and by account, as at the login call; so is
// guessing links.
func TestShareLimits(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		d.kim()
		_, token := d.shared("boss", d.bot("boss", helper), `{}`)
		var counted []string
		d.o.Limit = func(_ context.Context, name, key string) time.Duration {
			counted = append(counted, name)
			if name == "login_per_account" || len(counted) > 3 {
				return time.Minute
			}
			return 0
		}
		got := d.form("/s/"+token, signInAsKim)
		d.want(got, 429, "尝试次数太多")
		if string(got.Header.Peek("Retry-After")) != "60" || strings.Join(counted, " ") != "login_per_address login_per_account" {
			t.Errorf("%s, counted %q", &got.Header, counted)
		}
		d.want(d.do("GET", "/s/"+token, ""), 200)
		d.want(d.do("GET", "/s/dbs_unknown", ""), 404)
		d.want(d.do("GET", "/s/dbs_unknown", ""), 429)
		d.want(d.do("GET", "/s/"+token, ""), 200)
	})
}

func TestSafeAvatar(t *testing.T) {
	for address, want := range map[string][2]string{
		"https://cdn.example.com/a.png?x=1": {"https://cdn.example.com/a.png?x=1", "https://cdn.example.com"},
		"https://desk.example.com/a.png":    {"https://desk.example.com/a.png", ""},
		"http://127.0.0.1:8080/a.png":       {"http://127.0.0.1:8080/a.png", "http://127.0.0.1:8080"},
		"/static/icon.svg":                  {"/static/icon.svg", ""},
		"//evil.example.com/a.png":          {}, "javascript:alert(1)": {}, "data:text/html,x": {}, "": {}, "a.png": {},
		"https://u:p@x.example/": {}, "https://x.example;script-src *": {}, "https://x.example%20*/": {}, "https://": {},
	} {
		if avatar, from := safeAvatar(address, "https://desk.example.com"); avatar != want[0] || from != want[1] {
			t.Errorf("%s: %q from %q", address, avatar, from)
		}
	}
}

// handedOver makes an end user and the token of the link to their password.
func (d *sharingDesk) handedOver(name string) (token string) {
	d.Helper()
	d.ok(d.o.Store.Tx(d.Context(), func(tx *store.Tx) error {
		a, err := tx.CreateEndUser(d.Context(), name, "boss")
		if err != nil {
			return err
		}
		link, err := tx.NewHandOver(d.Context(), a.UID)
		_, token, _ = strings.Cut(link.URL, "accessToken=")
		return err
	}))
	return token
}

func TestNewPasswordPage(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		token := d.handedOver("kim")
		for range 5 { // as scanners and previews do
			got := d.do("GET", "/newpassword?accessToken="+token, "")
			d.want(got, 200, "kim", `action="/newpassword"`, token, "生成并显示密码")
			if strings.Contains(string(got.Body()), "<code>") {
				t.Error("a look shows the password")
			}
		}
		d.want(d.do("POST", "/newpassword", "accessToken="+token, with{"Sec-Fetch-Site", "cross-site"}, with{"Content-Type", "application/x-www-form-urlencoded"}), 403)
		shown := d.form("/newpassword", url.Values{"accessToken": {token}})
		d.want(shown, 200, "只显示这一次", "kim")
		_, password, _ := strings.Cut(string(shown.Body()), "<code>")
		password, _, _ = strings.Cut(password, "</code>")
		d.want(d.as("", "POST", loginPath, `{"username":"kim","password":"`+password+`"}`), 200)
		d.want(d.form("/newpassword", url.Values{"accessToken": {token}}), 401, "已失效", "/user reset")
		for _, dead := range []string{token, "", "x", d.link("lilei"), d.passwordLink("lilei")} {
			d.want(d.do("GET", "/newpassword?accessToken="+dead, ""), 401, "已失效")
			d.want(d.form("/newpassword", url.Values{"accessToken": {dead}}), 401, "已失效")
		}
		if log := d.logs.String(); strings.Contains(log, password) || strings.Contains(log, token) {
			t.Error("logged")
		}
	})
}
