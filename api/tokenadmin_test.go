package api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"deskbell/store"
)

const tokensPath = "/api/v1/tokens"

// field is the text of a field of an answer.
func field(body []byte, name string) string {
	_, rest, _ := strings.Cut(string(body), `"`+name+`":"`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func TestTokens(t *testing.T) {
	r := newRig(t)
	r.account(store.NewAccount{Username: "ada", Email: "ada@example.com"})
	made := r.do("POST", tokensPath, `{"user":"LILEI","name":"ci","ttl":"30d"}`, bearer(masterKey))
	r.want(made, 200)
	r.golden("token-made", made)
	token, id := field(made.Body(), "accessToken"), field(made.Body(), "id")
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(token)), 200, `"username":"lilei"`)
	r.now = r.now.Add(time.Minute)
	r.want(r.do("POST", tokensPath, `{"user":"ada@example.com","name":"hers"}`, bearer(masterKey)), 200)

	list := r.do("GET", tokensPath, "", bearer(masterKey))
	r.want(list, 200)
	r.golden("tokens", list)
	if strings.Contains(string(list.Body()), "dba_") {
		t.Error("the list has tokens")
	}
	r.want(r.do("GET", tokensPath+"?user=lilei", "", bearer(masterKey)), 200, `"name":"ci"`)
	r.want(r.do("GET", tokensPath+"?user=nobody", "", bearer(masterKey)), 200, `"items":[]`)
	first := r.do("GET", tokensPath+"?limit=1", "", bearer(masterKey))
	r.want(first, 200, `"name":"hers"`)
	r.want(r.do("GET", tokensPath+"?after="+field(first.Body(), "next"), "", bearer(masterKey)), 200, `"name":"ci"`)

	gone := r.do("DELETE", tokensPath+"/"+id, "", bearer(masterKey))
	r.want(gone, 200, `"data":true`)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(token)), 401)
	for _, unknown := range []string{id, id[:8], "x"} {
		r.want(r.do("DELETE", tokensPath+"/"+unknown, "", bearer(masterKey)), 404, `"code":404`)
	}
	if list := r.do("GET", tokensPath, "", bearer(masterKey)); strings.Contains(string(list.Body()), id) {
		t.Error("a revoked token is listed")
	}
}

func TestMakeTokenRefuses(t *testing.T) {
	r := newRig(t)
	for body, message := range map[string]string{
		`{}`: "user: is missing", `{"user":"lilei","ttl":"soon"}`: "ttl: has the wrong type", `{"user":"lilei","ttl":"366d"}`: "ttl: is not from",
		`{"user":"lilei","ttl":0}`: "ttl: is not from", `{"user":"lilei","ttl":"-1h"}`: "ttl: is not from", `{"user":"lilei","otp":true}`: "otp: unknown field",
		`{"user":"lilei","name":"a\nb"}`: "name: ",
	} {
		r.want(r.do("POST", tokensPath, body, bearer(masterKey)), 400, `"message":"`+message)
	}
	r.want(r.do("POST", tokensPath, `{"user":"nobody"}`, bearer(masterKey)), 404)
	for ttl, left := range map[string]time.Duration{`"90s"`: 90 * time.Second, `3600`: time.Hour, `"1d12h"`: 36 * time.Hour, `"365d"`: 365 * 24 * time.Hour} {
		r.want(r.do("POST", tokensPath, `{"user":"lilei","ttl":`+ttl+`}`, bearer(masterKey)), 200, r.now.Add(left).Format(time.RFC3339))
	}
}

// A token an administrator makes for another one proves no one-time password.
func TestMadeTokenIsWithoutOTP(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	made := r.do("POST", tokensPath, `{"user":"boss","name":"shortcut"}`, r.otpAdmin())
	r.want(made, 200)
	r.want(r.do("GET", tokensPath, "", bearer(field(made.Body(), "accessToken"))), 403, "one-time password")
}

func TestIntrospect(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	ask := func(token string) []byte {
		t.Helper()
		got := r.do("POST", tokensPath+"/introspect", url.Values{"token": {token}, "token_type_hint": {"access_token"}}.Encode(), bearer(masterKey), with{"Content-Type", "application/x-www-form-urlencoded"})
		r.want(got, 200)
		return got.Body()
	}
	live := r.minted(store.TokenSpec{UserID: "lilei", Source: "password"})
	got := r.do("POST", tokensPath+"/introspect", "token="+live, r.otpAdmin(), with{"Content-Type", "application/x-www-form-urlencoded"})
	r.golden("introspect", got)
	for spec, scope := range map[store.TokenSpec]string{
		{UserID: "boss", OTP: true}: `"scope":"admin"`, {UserID: "boss"}: `"scope":"agent"`, {UserID: "boss", OTP: true, Plain: true}: `"scope":"agent"`,
		{Account: r.account(store.NewAccount{Email: "ada@example.com"})}: `"username":"ada@example.com","scope":"user"`,
	} {
		if body := string(ask(r.minted(spec))); !strings.Contains(body, scope) || strings.Contains(body, `"amr":["otp"]`) != spec.OTP {
			t.Errorf("%+v: %s", spec, body)
		}
	}
	expired := r.minted(store.TokenSpec{UserID: "lilei", TTL: time.Second})
	revoked := r.minted(store.TokenSpec{UserID: "lilei"})
	r.want(r.do("POST", "/api/v1/user/logout", "", bearer(revoked)), 200)
	r.now = r.now.Add(2 * time.Second)
	for _, dead := range []string{expired, revoked, r.link("lilei"), "x", masterKey, "dba_" + strings.Repeat("A", 49), r.minted(store.TokenSpec{UserID: "gone"})} {
		if body := string(ask(dead)); body != `{"active":false}` {
			t.Errorf("%s: %s", dead, body)
		}
	}
	r.want(r.do("POST", tokensPath+"/introspect", "", bearer(masterKey)), 400, "token: is missing")
	r.want(r.do("POST", tokensPath+"/introspect", "token="+live, bearer(live)), 403)
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{`"30m"`: 30 * time.Minute, `"7d"`: 168 * time.Hour, `"1d12h"`: 36 * time.Hour, `60`: time.Minute, `1.5`: 1500 * time.Millisecond} {
		var d span
		if err := d.UnmarshalJSON([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v %v", text, time.Duration(d), err)
		}
	}
	for _, text := range []string{`""`, `"d"`, `"7 d"`, `"99999d"`, `true`, `{}`, `"1e9"`} {
		if err := new(span).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is a span", text)
		}
	}
}
