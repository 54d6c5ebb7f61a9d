package api

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/pquerna/otp/totp"
	"github.com/valyala/fasthttp"

	"deskbell/bot/wecom/sim"
)

// authenticator is what a person's phone knows.
type authenticator struct {
	*rig
	secret string
}

// code is what it shows, and never the same twice: time passes.
func (a authenticator) code() string {
	a.Helper()
	a.now = a.now.Add(time.Minute)
	c, err := totp.GenerateCode(a.secret, a.now)
	a.ok(err)
	return c
}

// body reads the data of an answer of the agents API.
func body[T any](r *rig, got *fasthttp.Response) (data T) {
	r.Helper()
	var in struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    T      `json:"data"`
	}
	r.ok(json.Unmarshal(got.Body(), &in))
	return in.Data
}

type bound struct {
	QRCode string `json:"qr_code"`
	Secret string `json:"secret"`
	URI    string `json:"otpauth_uri"`
}

// enrol binds and verifies through the API, and returns the recovery codes.
func (r *rig) enrol(token string) (authenticator, []string) {
	r.Helper()
	a := authenticator{r, body[bound](r, r.do("POST", "/api/agents/otp-bind", "", bearer(token))).Secret}
	got := r.do("POST", "/api/agents/otp-verify", `{"otp_code":"`+a.code()+`"}`, bearer(token))
	r.want(got, 200, `"otp_enabled":true`)
	return a, body[struct {
		Recovery []string `json:"recovery_codes"`
		Enabled  bool     `json:"otp_enabled"`
		Message  string   `json:"message"`
	}](r, got).Recovery
}

func TestBindAndVerify(t *testing.T) {
	r := newRig(t)
	token := r.token("lilei")
	post := func(path, body string) *fasthttp.Response {
		return r.do("POST", "/api/agents/"+path, body, bearer(token))
	}
	r.want(post("otp-verify", `{"otp_code":"123456"}`), 400, `"code":1008`)
	r.want(post("otp-bind", `{"user_id":"boss"}`), 400, `"code":1000`, "user_id")
	first := body[bound](r, post("otp-bind", ""))
	got := post("otp-bind", "{}")
	r.want(got, 200, `"code":0`, `"message":"success"`)
	key := body[bound](r, got)
	if key.Secret == first.Secret || len(key.Secret) != 32 {
		t.Errorf("secrets %q and %q", first.Secret, key.Secret)
	}
	picture, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key.QRCode, "data:image/png;base64,"))
	r.ok(err)
	if seen, err := sim.Scan(picture); err != nil || seen != key.URI || !strings.Contains(seen, "secret="+key.Secret+"&") {
		t.Errorf("the picture says %q, %v; the URI is %q", seen, err, key.URI)
	}

	a := authenticator{r, key.Secret}
	r.want(post("otp-verify", `{}`), 400, `"code":1000`, "otp_code")
	r.want(post("otp-verify", `{"otp_code":"000000","x":1}`), 400, `"code":1000`, "x")
	r.want(post("otp-verify", `{"otp_code":"000000"}`), 401, `"code":1006`)
	code := a.code()
	got = post("otp-verify", `{"otp_code":"`+code+`","user_id":"boss","name":7}`)
	r.want(got, 200, `"code":0`, `"otp_enabled":true`, `"message":"`)
	if n := strings.Count(string(got.Body()), "-"); n != 50 {
		t.Errorf("not ten recovery codes: %s", got.Body())
	}
	r.want(post("otp-verify", `{"otp_code":"`+code+`"}`), 401, `"code":1006`)
	r.want(post("otp-bind", ""), 409, `"code":1007`)
	r.want(post("otp-verify", `{"otp_code":"`+a.code()+`"}`), 200, `"recovery_codes":[]`)
}

// An administrator without a one-time password can get one, and nothing else;
// afterwards the token in use is good for everything, and the others are gone.
func TestAdministratorEnrols(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	token, other := r.token("boss"), r.token("boss")
	for _, path := range []string{"otp-unbind", "lilei/otp-reset"} {
		r.want(r.do("POST", "/api/agents/"+path, `{"otp_code":"123456"}`, bearer(token)), 403, `"code":1002`, "one-time password")
	}
	a, _ := r.enrol(token)
	r.want(r.do("POST", "/api/agents/nobody/otp-reset", `{"otp_code":"`+a.code()+`"}`, bearer(token)), 404, `"code":1004`)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(other)), 401)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(token)), 200)

	weak := r.token("boss")
	r.want(r.do("POST", "/api/agents/lilei/otp-reset", `{"otp_code":"`+a.code()+`"}`, bearer(weak)), 403, `"code":1002`)
	r.want(r.do("POST", "/api/agents/otp-verify", `{"otp_code":"`+a.code()+`"}`, bearer(weak)), 200)
	r.want(r.do("POST", "/api/agents/lilei/otp-reset", `{"otp_code":"`+a.code()+`"}`, bearer(weak)), 404, `"code":1004`)
}

func TestUnbind(t *testing.T) {
	r := newRig(t)
	token := r.token("lilei")
	a, recovery := r.enrol(token)
	unbind := func(body string) *fasthttp.Response {
		return r.do("POST", "/api/agents/otp-unbind", body, bearer(token))
	}
	r.want(unbind(`{}`), 400, `"code":1000`)
	r.want(unbind(`{"otp_code":"1","recovery_code":"2"}`), 400, `"code":1000`)
	r.want(unbind(`{"recovery_code":"AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"}`), 401, `"code":1006`)
	r.want(unbind(`{"otp_code":"`+a.code()+`"}`), 200, `"message":"`)
	r.want(unbind(`{"otp_code":"`+a.code()+`"}`), 400, `"code":1008`)
	a, recovery2 := r.enrol(token)
	r.want(unbind(`{"recovery_code":"`+recovery[0]+`"}`), 401, `"code":1006`) // of the last time
	for i := range 5 {
		r.want(unbind(fmt.Sprintf(`{"otp_code":"00000%d"}`, i)), 401, `"code":1006`)
	}
	got := unbind(`{"otp_code":"` + a.code() + `"}`)
	r.want(got, 429, `"code":1015`)
	r.want(unbind(`{"recovery_code":"AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"}`), 401, `"code":1006`) // no lock is on these
	if wait := string(got.Header.Peek("Retry-After")); wait != "840" {                      // a minute has passed
		t.Errorf("Retry-After %q", wait)
	}
	r.want(unbind(`{"recovery_code":"`+strings.ToLower(recovery2[9])+`"}`), 200)
}

func TestReset(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	boss, lilei := r.token("boss"), r.token("lilei")
	admin, _ := r.enrol(boss)
	agent, _ := r.enrol(lilei)
	reset := func(code string) *fasthttp.Response {
		return r.do("POST", "/api/agents/LiLei/otp-reset", `{"otp_code":"`+code+`"}`, bearer(boss))
	}
	r.want(r.do("POST", "/api/agents/boss/otp-reset", `{"otp_code":"`+agent.code()+`"}`, bearer(lilei)), 403, `"code":1002`)
	r.want(r.do("POST", "/api/agents/boss/otp-reset", `{"otp_code":"123456"}`, bearer(masterKey)), 403, `"code":1002`)
	r.want(r.do("POST", "/api/agents/otp-bind", "", bearer(masterKey)), 403, `"code":1002`)
	r.want(reset(""), 400, `"code":1000`)
	r.want(reset("000000"), 401, `"code":1006`)
	r.want(reset(agent.code()), 401, `"code":1006`)
	r.want(reset(admin.code()), 200, `"message":"`)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(lilei)), 401)
	on, err := r.o.Store.OTPEnabled(t.Context(), "lilei")
	if r.ok(err); on {
		t.Error("still enabled")
	}
	r.want(r.do("POST", "/api/agents/otp-bind", "", bearer(r.token("hanmeimei"))), 403, `"code":1002`)
	r.want(r.do("POST", "/api/agents/otp-bind", ""), 401, `"code":1001`)
}

// A wrong code does not use the link up; a good one makes a token that counts
// as strong.
func TestLinkAndCode(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	a, _ := r.enrol(r.token("boss"))
	exchange := func(link, code string) *fasthttp.Response {
		return r.do("POST", "/api/v1/tokens/exchange", `{"access_token":"`+link+`","otp_code":"`+code+`"}`)
	}
	link := r.link("boss")
	r.want(exchange(link, "000000"), 401, `"code":401`)
	r.want(exchange(r.link("lilei"), "000000"), 400, "otp_code")
	r.want(exchange("dbl_nonsense", a.code()), 401)
	got := exchange(link, a.code())
	r.want(got, 200)
	var made struct {
		Data struct {
			AccessToken string `json:"accessToken"`
		} `json:"data"`
	}
	r.ok(json.Unmarshal(got.Body(), &made, json.RejectUnknownMembers(false)))
	r.want(r.do("POST", "/api/agents/nobody/otp-reset", `{"otp_code":"`+a.code()+`"}`, bearer(made.Data.AccessToken)), 404)

	link = r.link("boss")
	page := r.do("GET", "/admin/outbox?accessToken="+link, "")
	r.want(page, 200, `name="otp_code"`)
	page = r.form("/admin/outbox", url.Values{"accessToken": {link}, "otp_code": {"000000"}})
	r.want(page, 401, `name="otp_code"`, link, "验证码不对")
	page = r.form("/admin/outbox", url.Values{"accessToken": {link}, "otp_code": {a.code()}})
	r.leadsTo(page, 303, "/admin/outbox")
	cookie, _, _ := strings.Cut(string(page.Header.Peek("Set-Cookie")), ";")
	r.want(r.do("GET", "/admin/outbox", "", with{"Cookie", cookie}), 200)
	if page := r.do("GET", "/agent/chat?accessToken="+r.link("lilei"), ""); strings.Contains(string(page.Body()), "otp_code") {
		t.Error("asks somebody for a code who has none")
	}
	for range 5 {
		exchange(r.link("boss"), "000000")
	}
	page = r.form("/admin/outbox", url.Values{"accessToken": {r.link("boss")}, "otp_code": {a.code()}})
	r.want(page, 429, "14 分钟")
	if page.Header.Peek("Retry-After") == nil {
		t.Error("no Retry-After")
	}
}

// Once enabled, the secret is in no answer of any route again, whoever asks.
func TestActiveSecretNeverLeaves(t *testing.T) {
	r := newRig(t)
	boss, lilei := r.token("boss"), r.token("lilei")
	admin, _ := r.enrol(boss)
	agent, recovery := r.enrol(lilei)
	secrets := append([]string{admin.secret, agent.secret, strings.ToLower(agent.secret)}, recovery...)
	for _, rt := range r.table() {
		path := strings.NewReplacer("{user_id}", "lilei", "{login_id}", "x", "{id}", "x", "{page...}", "x", "{file...}", "x").Replace(rt.path)
		for _, token := range []string{boss, lilei, masterKey} {
			for _, body := range []string{"", `{}`, `{"otp_code":"` + agent.code() + `"}`} {
				if strings.HasSuffix(path, "logout") || rt.method == "DELETE" {
					continue
				}
				got := r.do(rt.method, path, body, bearer(token), with{"Cookie", r.cookie.name + "=" + token})
				for _, secret := range secrets {
					if strings.Contains(got.String(), secret) {
						t.Errorf("%s %s gave a secret away", rt.method, path)
					}
				}
			}
		}
	}
	for _, secret := range secrets {
		if strings.Contains(r.logs.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}
