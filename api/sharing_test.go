package api

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/store/storetest"
)

// sharingDesk is a rig with what the examples of the contract's table 4.3 need.
type sharingDesk struct {
	*rig
	names map[string]string // credentials, by who
}

// eachSharing runs fn on every engine, at a desk with a one-time password
// required of administrators.
func eachSharing(t *testing.T, fn func(d *sharingDesk)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRigOn(t, url, func(o *Options) { o.RequireAdminOTP = true })
		fn(&sharingDesk{rig: r, names: map[string]string{
			"boss":       r.minted(store.TokenSpec{UserID: "boss", OTP: true}),
			"lilei":      r.minted(store.TokenSpec{UserID: "lilei"}),
			"ada":        r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Username: "ada", Email: "ada@example.com"})}),
			"master key": masterKey,
		}})
	})
}

// as calls as one of those who are known here; "" is nobody.
func (d *sharingDesk) as(who, method, path, body string) *fasthttp.Response {
	d.Helper()
	d.now = d.now.Add(time.Second) // so that lists have an order
	if who == "" {
		return d.do(method, path, body)
	}
	return d.do(method, path, body, bearer(d.names[who]))
}

var last4 = regexp.MustCompile(`"last4": ?"[^"]{4}"`)

// example calls, and compares the request with its answer to a file of
// testdata/sharing.
func (d *sharingDesk) example(name, who, method, path, body string, status int) *fasthttp.Response {
	d.Helper()
	got := d.as(who, method, path, body)
	d.want(got, status)
	text := changing.ReplaceAllString(fmt.Sprintf(`{"request":%q,"as":%q,"body":%s,"status":%d,"answer":%s}`,
		method+" "+path, who, orNothing(body), got.StatusCode(), orNothing(string(got.Body()))), "…")
	page := jsontext.Value(last4.ReplaceAllString(text, `"last4":"…"`))
	d.ok(page.Indent(jsontext.WithIndent("  ")))
	page = append(page, '\n')
	file := filepath.Join("testdata", "sharing", name+".json")
	if *update {
		d.ok(os.WriteFile(file, page, 0o644))
	}
	want, err := os.ReadFile(file)
	d.ok(err)
	if !bytes.Equal(page, want) {
		d.Errorf("%s:\n%s\nwant\n%s", name, page, want)
	}
	return got
}

func orNothing(body string) string {
	if body == "" {
		return "null"
	}
	return body
}

const (
	botsPath     = "/api/v1/bots"
	endUsersPath = "/api/v1/end-users"
	publicPath   = "/api/v1/public/bot-share/"
	helper       = `{"name":"售后助手","settings":{"avatar_url":"https://cdn.example.com/a.png","welcome":"您好！","suggested_questions":["怎么退货？","保修多久？"],` +
		`"language":"zh","enable_thinking":false,"enable_memori":true,"tool_response":"brief","system_prompt":"the owner's secret"}}`
)

// bot makes a bot and gives its id.
func (d *sharingDesk) bot(who, body string) string {
	d.Helper()
	got := d.as(who, "POST", botsPath, body)
	d.want(got, 201)
	return field(got.Body(), "id")
}

// shared makes a share token of a bot and gives its id and the token.
func (d *sharingDesk) shared(who, botID, body string) (id, token string) {
	d.Helper()
	got := d.as(who, "POST", botsPath+"/"+botID+"/share-tokens", body)
	d.want(got, 200)
	return field(got.Body(), "id"), field(got.Body(), "share_token")
}

// kim makes an end user of that name who is signed in, and gives the id.
func (d *sharingDesk) kim() string {
	d.Helper()
	uid := d.account(store.NewAccount{Username: "kim", Password: "a fine password", EndUser: true})
	d.names["kim"] = d.minted(store.TokenSpec{Account: uid})
	return uid
}

// TestSharingExamples is the contract's table 4.3, row by row.
func TestSharingExamples(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		bot := field(d.example("bot", "boss", "POST", botsPath, helper, 201).Body(), "id")
		d.example("bot-master", "master key", "POST", botsPath, `{"name":"plain"}`, 201)
		d.example("bots", "boss", "GET", botsPath, "", 200)
		d.example("bot-name-missing", "boss", "POST", botsPath, `{"settings":{}}`, 400)
		d.example("bot-settings-wrong", "boss", "POST", botsPath, `{"name":"x","settings":{"welcome":7}}`, 400)
		d.example("bot-refused", "lilei", "POST", botsPath, helper, 403)
		d.example("bot-nobody", "", "GET", botsPath, "", 401)
		d.example("bot-field-unknown", "boss", "POST", botsPath, `{"name":"x","owner_id":"ma"}`, 400)
		d.example("bots-refused", "lilei", "GET", botsPath, "", 403)
		d.names["boss without OTP"] = d.minted(store.TokenSpec{UserID: "boss"})
		d.example("bots-without-otp", "boss without OTP", "GET", botsPath, "", 403)
		d.example("bot-wrong-method", "boss", "DELETE", botsPath, "", 405)

		shares := botsPath + "/" + bot + "/share-tokens"
		made := d.example("share", "boss", "POST", shares, `{"name":"fair","expires_at":"2026-03-11T12:00:00+08:00"}`, 200)
		id, token := field(made.Body(), "id"), field(made.Body(), "share_token")
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{32,128}$`).MatchString(token) {
			t.Errorf("share_token %q", token)
		}
		d.example("share-forever", "master key", "POST", shares, `{}`, 200)
		d.example("share-days", "boss", "POST", shares, `{"expires_at":"7d"}`, 200)
		d.example("share-date-wrong", "boss", "POST", shares, `{"expires_at":"next week"}`, 400)
		d.example("share-date-past", "boss", "POST", shares, `{"expires_at":"2020-01-01T00:00:00Z"}`, 400)
		d.hire("ma")
		d.example("share-not-owner", "ma", "POST", shares, `{}`, 403)
		d.example("share-refused", "lilei", "POST", shares, `{}`, 403)
		d.example("share-nobody", "", "POST", shares, `{}`, 401)
		d.example("share-field-unknown", "boss", "POST", shares, `{"ttl":"7d"}`, 400)
		d.example("shares-not-owner", "ma", "GET", shares, "", 403)
		d.example("shares-nobody", "", "GET", shares, "", 401)
		d.example("shares-no-bot", "boss", "GET", botsPath+"/7b0ee1b3-92a1-4b1c-9c5b-111111111111/share-tokens", "", 404)
		d.example("share-no-bot", "boss", "POST", botsPath+"/7b0ee1b3-92a1-4b1c-9c5b-111111111111/share-tokens", `{}`, 404)

		d.example("end-user", "boss", "POST", endUsersPath, `{"username":"kim","password":"a fine password","email":"kim@example.com"}`, 200)
		d.example("end-user-taken", "boss", "POST", endUsersPath, `{"username":"KIM","password":"a fine password"}`, 409)
		d.example("end-user-password-short", "boss", "POST", endUsersPath, `{"username":"lee","password":"short"}`, 400)
		d.example("end-user-email-taken", "boss", "POST", endUsersPath, `{"username":"lee","password":"a fine password","email":"KIM@example.com"}`, 409)
		d.example("end-user-name-missing", "boss", "POST", endUsersPath, `{"password":"a fine password"}`, 400)
		d.example("end-user-field-unknown", "boss", "POST", endUsersPath, `{"username":"lee","password":"a fine password","is_end_user":false}`, 400)
		d.example("end-user-refused", "lilei", "POST", endUsersPath, `{"username":"lee","password":"a fine password"}`, 403)
		d.example("end-users-nobody", "", "GET", endUsersPath, "", 401)
		in := d.as("", "POST", loginPath, `{"username":"kim","password":"a fine password","channel":"web","platform":"web"}`)
		d.want(in, 200)
		d.names["kim"] = field(in.Body(), "accessToken")

		d.example("public", "kim", "GET", publicPath+token, "", 200)
		older := field(d.example("bot-older", "boss", "POST", botsPath, `{"name":"older","settings":{"welcome_message":"hello","guide_questions":["why?"],"api_key":"x"}}`, 201).Body(), "id")
		_, olderToken := d.shared("boss", older, `{}`)
		d.example("public-older", "kim", "GET", publicPath+olderToken, "", 200)
		d.example("public-nobody", "", "GET", publicPath+token, "", 401)
		d.example("public-master", "master key", "GET", publicPath+token, "", 401)
		d.example("public-account", "ada", "GET", publicPath+token, "", 403)
		d.example("public-agent", "lilei", "GET", publicPath+token, "", 403)
		d.example("public-unknown", "kim", "GET", publicPath+"dbs_nothing", "", 404)
		d.example("valid", "kim", "POST", publicPath+token+"/validate", `{"bot_id":"`+bot+`"}`, 200)
		d.example("valid-master", "master key", "POST", publicPath+token+"/validate", `{"bot_id":"`+bot+`"}`, 200)
		d.example("valid-other", "kim", "POST", publicPath+token+"/validate", `{"bot_id":"7b0ee1b3-92a1-4b1c-9c5b-111111111111"}`, 403)
		d.example("valid-missing", "kim", "POST", publicPath+token+"/validate", `{}`, 400)
		d.example("valid-unknown", "kim", "POST", publicPath+"dbs_nothing/validate", `{"bot_id":"`+bot+`"}`, 404)
		d.example("valid-nobody", "", "POST", publicPath+token+"/validate", `{"bot_id":"`+bot+`"}`, 401)
		d.example("valid-account", "ada", "POST", publicPath+token+"/validate", `{"bot_id":"`+bot+`"}`, 403)
		d.example("shares", "boss", "GET", shares, "", 200)

		d.example("share-revoke-not-owner", "ma", "DELETE", "/api/v1/bot-share-tokens/"+id, "", 403)
		d.example("share-revoke-nobody", "", "DELETE", "/api/v1/bot-share-tokens/"+id, "", 401)
		d.example("share-revoked", "boss", "DELETE", "/api/v1/bot-share-tokens/"+id, "", 200)
		d.example("share-unknown", "boss", "DELETE", "/api/v1/bot-share-tokens/7b0ee1b3-92a1-4b1c-9c5b-111111111111", "", 404)
		d.example("public-revoked", "kim", "GET", publicPath+token, "", 403)
		d.example("share-revoked-again", "boss", "DELETE", "/api/v1/bot-share-tokens/"+id, "", 200)
		d.example("valid-revoked", "kim", "POST", publicPath+token+"/validate", `{"bot_id":"`+bot+`"}`, 403)
		_, brief := d.shared("boss", bot, `{"expires_at":"1m"}`)
		d.now = d.now.Add(time.Minute)
		d.example("public-expired", "kim", "GET", publicPath+brief, "", 403)
		d.example("valid-expired", "master key", "POST", publicPath+brief+"/validate", `{"bot_id":"`+bot+`"}`, 403)
		d.example("shares-revoked", "boss", "GET", shares, "", 200)

		list := d.example("end-users", "boss", "GET", endUsersPath, "", 200)
		kim := field(list.Body(), "id")
		d.example("end-user-reset", "boss", "POST", endUsersPath+"/"+kim+"/reset-password", `{"password":"another password"}`, 200)
		d.example("end-user-reset-unknown", "boss", "POST", endUsersPath+"/7b0ee1b3-92a1-4b1c-9c5b-111111111111/reset-password", `{"password":"another password"}`, 404)
		d.example("end-user-reset-short", "boss", "POST", endUsersPath+"/"+kim+"/reset-password", `{"password":"short"}`, 400)
		d.example("end-user-reset-refused", "lilei", "POST", endUsersPath+"/"+kim+"/reset-password", `{"password":"another password"}`, 403)
		ada, err := d.o.Store.AccountNamed(t.Context(), "ada")
		d.ok(err)
		d.example("end-user-reset-account", "boss", "POST", endUsersPath+"/"+ada.UID+"/reset-password", `{"password":"another password"}`, 404)
		d.example("end-user-delete-account", "boss", "DELETE", endUsersPath+"/"+ada.UID, "", 404)
		d.example("end-user-delete-refused", "lilei", "DELETE", endUsersPath+"/"+kim, "", 403)
		d.example("end-user-signed-out", "kim", "GET", publicPath+brief, "", 401)
		d.example("end-user-deleted", "boss", "DELETE", endUsersPath+"/"+kim, "", 200)
		d.example("end-user-deleted-again", "boss", "DELETE", endUsersPath+"/"+kim, "", 404)
		d.example("end-users-none", "boss", "GET", endUsersPath, "", 200)
	})
}

// hire makes another administrator, who gave a one-time password.
func (d *sharingDesk) hire(id string) {
	d.Helper()
	if _, err := d.dir.Person(d.Context(), id); err != nil {
		d.Fatal(err)
	}
	d.ok(d.o.Store.Tx(d.Context(), func(tx *store.Tx) error {
		_, err := tx.GrantRole(d.Context(), "boss", id, bot.Admin)
		return err
	}))
	d.names[id] = d.minted(store.TokenSpec{UserID: id, OTP: true})
}

// Whose bot it is decides, not who is an administrator.
func TestSharesAreTheOwners(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		d.hire("ma")
		bot := d.bot("boss", helper)
		id, _ := d.shared("boss", bot, `{}`)
		d.want(d.as("ma", "GET", botsPath+"/"+bot+"/share-tokens", ""), 403)
		d.want(d.as("ma", "DELETE", "/api/v1/bot-share-tokens/"+id, ""), 403)
		d.want(d.as("boss", "GET", botsPath+"/"+bot+"/share-tokens", ""), 200, `"revoked_at":null`)
		d.want(d.as("master key", "DELETE", "/api/v1/bot-share-tokens/"+id, ""), 200)
		d.want(d.as("boss", "DELETE", "/api/v1/bot-share-tokens/"+id, ""), 200, `"success":true`)
		automatic := d.bot("master key", helper)
		d.want(d.as("boss", "POST", botsPath+"/"+automatic+"/share-tokens", `{}`), 403)
		d.shared("master key", automatic, `{}`)
	})
}

// What expires is served no longer, by the clock and to the second.
func TestSharesExpire(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		d.kim()
		bot := d.bot("boss", helper)
		_, token := d.shared("boss", bot, `{"expires_at":"60s"}`)
		d.want(d.as("kim", "GET", publicPath+token, ""), 200)
		d.now = d.now.Add(time.Minute)
		d.want(d.as("kim", "GET", publicPath+token, ""), 403, "revoked or has expired")
		d.want(d.as("kim", "POST", publicPath+token+"/validate", `{"bot_id":"`+bot+`"}`), 403)
		list := d.as("boss", "GET", botsPath+"/"+bot+"/share-tokens", "")
		d.want(list, 200, `"opens":1`, `"last4":"`+token[len(token)-4:]+`"`)
		if strings.Contains(string(list.Body()), token) {
			t.Error("the list has the token")
		}
	})
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-03-05T08:00:00+08:00": "2026-03-05T00:00:00Z", "2026-03-05T00:00:00Z": "2026-03-05T00:00:00Z", "2026-03-05T00:00:00.5Z": "2026-03-05T00:00:00Z",
		"2026-03-05T01:02": "2026-03-05T01:02:00Z", "2026-03-05": "2026-03-05T00:00:00Z", "2026-03-05T08:00:00+0800": "2026-03-05T00:00:00Z",
		"2026-03-05T08:00+08": "2026-03-05T00:00:00Z", "2026-03-05 01:02": "2026-03-05T01:02:00Z", "9999-12-31T23:59:59Z": "9999-12-31T23:59:59Z",
		"7d": "2026-03-11T05:06:07Z", "12h": "2026-03-04T17:06:07Z", "30m": "2026-03-04T05:36:07Z", "1d12h": "2026-03-05T17:06:07Z",
	} {
		if at, err := moment(text, now); err != nil || at.Format(time.RFC3339) != want {
			t.Errorf("%s: %s %v", text, at, err)
		}
	}
	for _, text := range []string{"", "d", "7", "soon", "2026-13-01", "2026-02-30T00:00:00Z", "2026-03-04T05:06:07Z", "2020-01-01", "-7d", "0s", "10000-01-01", "9999-12-31T23:59:59-12:00", "2026-03-04T05:06:07.9Z"} {
		if at, err := moment(text, now); err == nil {
			t.Errorf("%q is %s", text, at)
		}
	}
}

// The names of older versions count where the present ones are absent, and what
// is not safe stays inside.
func TestOlderSettings(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		d.kim()
		for settings, want := range map[string]string{
			`{"welcome_message":"hello","guide_questions":["why?"]}`:                                      `"welcome":"hello","suggested_questions":["why?"],"settings":{}`,
			`{"welcome":"hi","welcome_message":"hello","suggested_questions":[],"guide_questions":["?"]}`: `"welcome":"hi","suggested_questions":[],"settings":{}`,
			`{"welcome":null,"welcome_message":"hello","language":"en","api_key":"x"}`:                    `"welcome":"hello","suggested_questions":[],"settings":{"language":"en"}`,
		} {
			_, token := d.shared("boss", d.bot("boss", `{"name":"b","settings":`+settings+`}`), `{}`)
			d.want(d.as("kim", "GET", publicPath+token, ""), 200, want)
		}
	})
}

// Settings that only just fit into a request must still fit into a list, which
// has more around them: nobody's bot may take the list from everybody.
func TestDeepSettings(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		nested := func(n int) string {
			return `{"name":"deep","settings":{"a\\\"":"{[","b":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}}`
		}
		for _, n := range []int{33, 9998, 9999} {
			d.want(d.as("boss", "POST", botsPath, nested(n)), 400, `{"detail":"settings: more than 32 levels deep"}`)
		}
		bot := d.bot("boss", nested(32))
		d.want(d.as("boss", "GET", botsPath, ""), 200, bot)
	})
}

// No call about end users touches an account of another kind.
func TestEndUsersOnly(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		ada, err := d.o.Store.AccountNamed(t.Context(), "ada")
		d.ok(err)
		d.want(d.as("boss", "POST", endUsersPath+"/"+ada.UID+"/reset-password", `{"password":"another password"}`), 404, `{"detail":"not found"}`)
		d.want(d.as("boss", "DELETE", endUsersPath+"/"+ada.UID, ""), 404)
		d.want(d.as("ada", "GET", "/api/v1/user/me", ""), 200)
		d.want(d.as("boss", "GET", endUsersPath, ""), 200, `{"items":[]}`)

		kim := d.kim()
		d.want(d.as("kim", "GET", "/api/v1/user/me", ""), 200, `"is_end_user":true`)
		d.want(d.as("boss", "POST", endUsersPath+"/"+kim+"/reset-password", `{"password":"short"}`), 400, "password: ")
		d.want(d.as("kim", "GET", "/api/v1/user/me", ""), 200)
		d.want(d.as("boss", "POST", endUsersPath+"/"+kim+"/reset-password", `{"password":"another password"}`), 200)
		d.want(d.as("kim", "GET", "/api/v1/user/me", ""), 401)
		d.want(d.as("", "POST", loginPath, `{"username":"kim","password":"a fine password"}`), 401)
		in := d.as("", "POST", loginPath, `{"username":"kim","password":"another password"}`)
		d.want(in, 200)
		d.names["kim"] = field(in.Body(), "accessToken")
		d.want(d.as("boss", "DELETE", endUsersPath+"/"+kim, ""), 200)
		d.want(d.as("kim", "GET", "/api/v1/user/me", ""), 401)
		d.want(d.as("", "POST", loginPath, `{"username":"kim","password":"another password"}`), 401)
		d.want(d.as("boss", "POST", endUsersPath, `{"username":"kim","password":"a fine password"}`), 200) // the name is free again
	})
}
