package api

import (
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

func TestMe(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"boss", "lilei", "hanmeimei"} {
		got := r.do("GET", "/api/v1/user/me", "", bearer(r.token(id)))
		r.want(got, 200)
		r.golden("me-"+id, got)
	}
	got := r.do("GET", "/api/v1/user/me", "", bearer(masterKey))
	r.want(got, 200)
	r.golden("me-master", got)
}

func TestLogoutEndsThisTokenOnly(t *testing.T) {
	r := newRig(t)
	one, two := r.token("lilei"), r.token("lilei")
	got := r.do("POST", "/api/v1/user/logout", "", bearer(one))
	r.want(got, 200)
	r.golden("logout", got)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(one)), 401)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(two)), 200)
	r.want(r.do("POST", "/api/v1/user/logout", "", bearer(one)), 401)
	r.want(r.do("POST", "/api/v1/user/logout", "", bearer(masterKey)), 403)
}

func TestExchange(t *testing.T) {
	r := newRig(t)
	link := r.link("lilei")
	got := r.do("POST", "/api/v1/tokens/exchange", `{"access_token":"`+link+`"}`)
	r.want(got, 200)
	r.golden("exchange", got)
	_, rest, _ := strings.Cut(string(got.Body()), `"accessToken":"`)
	token, _, _ := strings.Cut(rest, `"`)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(token)), 200, `"username":"lilei"`)

	r.now = r.now.Add(time.Second)
	again := r.do("POST", "/api/v1/tokens/exchange", `{"access_token":"`+link+`"}`)
	r.want(again, 401)
	r.golden("exchange-used", again)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(token)), 401)

	old := r.link("lilei")
	r.now = r.now.Add(11 * time.Minute)
	for _, bad := range []string{old, "never", token} {
		dead := r.do("POST", "/api/v1/tokens/exchange", `{"access_token":"`+bad+`"}`)
		if string(dead.Body()) != string(again.Body()) {
			t.Errorf("%s: %s, used: %s", bad, dead.Body(), again.Body())
		}
	}
}

// An otp_code that nothing can check must not cost the link.
func TestExchangeWithACode(t *testing.T) {
	r := newRig(t)
	link := r.link("lilei")
	r.want(r.do("POST", "/api/v1/tokens/exchange", `{"access_token":"`+link+`","otp_code":"123456"}`), 400, "otp_code")
	r.want(r.do("POST", "/api/v1/tokens/exchange", `{"access_token":"`+link+`"}`), 200)
}

func TestParallelExchangesGiveOneTokenAtMost(t *testing.T) {
	r := newRig(t)
	body := `{"access_token":"` + r.link("hanmeimei") + `"}`
	statuses := make([]int, 8)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() { statuses[i] = r.do("POST", "/api/v1/tokens/exchange", body).StatusCode() })
	}
	all.Wait()
	won := 0
	for _, status := range statuses {
		if status == 200 {
			won++
		} else if status != 401 {
			t.Errorf("status %d", status)
		}
	}
	if won > 1 {
		t.Errorf("%d of 8 got a token", won)
	}
}

func TestFieldsAreNamed(t *testing.T) {
	r := newRig(t)
	for body, want := range map[string]string{
		``:                                   "body: ",
		`[]`:                                 "body: has the wrong type",
		`{`:                                  "body: is not complete JSON",
		`{}`:                                 "access_token: is missing",
		`{"access_token":7}`:                 "access_token: has the wrong type",
		`{"access_token":"x","user_id":"y"}`: "user_id: unknown field",
		`{"Access_Token":"x"}`:               "Access_Token: unknown field",
		`{"access_token":"x","access_token":"y"}`: "access_token: given twice",
		`{"access_token":"x"} {}`:                 "body: is not valid JSON",
	} {
		got := r.do("POST", "/api/v1/tokens/exchange", body)
		r.want(got, 400, `"message":"`+want, `"code":400`)
	}
}

// One transport, and the header is it.
func TestWhereABearerMayBe(t *testing.T) {
	r := newRig(t)
	token := r.token("lilei")
	me := "/api/v1/user/me"
	r.want(r.do("GET", me, "", with{"Authorization", "bearer " + token}), 200)
	r.want(r.do("GET", me+"?accessToken="+token, ""), 401)
	r.want(r.do("GET", me+"?accessToken="+token, "", bearer(token)), 400)
	r.want(r.do("GET", me, "", bearer(token), bearer(token)), 400)
	r.want(r.do("GET", me, "", with{"Cookie", r.cookie.name + "=" + token}), 401)
	r.want(r.do("GET", me, "", with{"Authorization", "Basic " + token}), 401)
	r.want(r.do("GET", me, "", with{"Authorization", token}), 401)
	r.want(r.do("GET", me, "", bearer(r.link("lilei"))), 401)
}

func TestMasterKeyOff(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MasterKey = "" })
	r.want(r.do("GET", "/api/v1/user/me", "", bearer("")), 401)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(masterKey)), 401)
}

// Without a one-time password an administrator's token opens next to nothing.
func TestAdministratorsNeedOTP(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	boss := r.token("boss")
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(boss)), 200)
	r.want(r.do("POST", "/api/v1/user/logout", "", bearer(boss)), 200)
	r.want(r.do("GET", "/admin/outbox", "", r.signedIn("boss")), 403)
	r.want(r.do("GET", "/admin/welcome", "", r.signedIn("boss")), 200)

	admin := caller{person: store.Profile{User: bot.User{Level: bot.Admin}}}
	withOTP := admin
	withOTP.session.OTP = true
	agent := caller{person: store.Profile{User: bot.User{Level: bot.Agent}}}
	for _, c := range []struct {
		name string
		may  policy
		who  caller
		ok   bool
	}{
		{"admin, anything", policy{signedIn: true}, admin, false},
		{"admin, me", anyone, admin, true},
		{"admin with code", adminsOTP, withOTP, true},
		{"agent, anything", policy{signedIn: true}, agent, true},
		{"agent, admin's", adminsOTP, agent, false},
		{"master key", adminsOTP, caller{master: true}, true},
	} {
		if err := r.admit(c.may, c.who); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, as := range []*envelope{agentsAPI, tokensAPI, detailAPI, devicesAPI} {
		ctx := request("GET", "/")
		(&req{s: r.Server, ctx: ctx}).write(as, nil, r.explain("en", errNoOTP))
		r.want(&ctx.Response, 403, "one-time password")
	}
}

// A token from a "direct" link has no administrator's rights.
func TestPlainTokens(t *testing.T) {
	boss := bot.User{ID: "boss", Level: bot.Admin, Roles: []string{"admin"}}
	if u := store.WithoutAdmin(boss); u.Level != bot.Agent || strings.Join(u.Roles, " ") != "agent" {
		t.Errorf("became %+v", u)
	}
	if boss.Roles[0] != "admin" {
		t.Error("changed the original")
	}
	if u := store.WithoutAdmin(bot.User{Roles: []string{"user"}}); u.Level != bot.Anyone || u.Roles[0] != "user" {
		t.Errorf("became %+v", u)
	}
}
