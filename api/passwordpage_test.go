package api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// passwordLink is the token of a link of /password.
func (r *rig) passwordLink(userID string) string {
	r.Helper()
	var link store.Link
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) (err error) {
		link, err = tx.NewPasswordLink(r.Context(), bot.User{ID: userID})
		return err
	}))
	at, token, _ := strings.Cut(link.URL, "?accessToken=")
	if at != "https://desk.example.com/password" {
		r.Error(link.URL)
	}
	return token
}

func TestPasswordPage(t *testing.T) {
	r := newRig(t)
	token := r.passwordLink("lilei")
	for range 20 { // as scanners and previews do
		got := r.do("GET", "/password?accessToken="+token, "")
		r.want(got, 200, "李雷", "lilei", `action="/password"`, token, `autocomplete="new-password"`)
		if len(got.Header.Peek("Set-Cookie")) > 0 {
			t.Error("signs in")
		}
	}
	set := func(password, again string) func(int, ...string) {
		got := r.form("/password", url.Values{"accessToken": {token}, "password": {password}, "again": {again}})
		if strings.Contains(string(got.Body()), "correct horse") {
			t.Error("the page repeats the password")
		}
		return func(status int, parts ...string) { t.Helper(); r.want(got, status, parts...) }
	}
	set("correct horse", "correct hose")(400, "不一样", token)
	set("short", "short")(400, "8 到 128", token)
	set("12345678", "12345678")(400, "太常见", token)
	set("correct horse", "correct horse")(200, "密码已设置")
	if ok, err := r.o.Store.CheckPassword(t.Context(), "lilei", "correct horse"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	set("battery staple", "battery staple")(401, "已失效", "/password")
	r.want(r.do("GET", "/password?accessToken="+token, ""), 401, "已失效")
	r.want(r.do("GET", "/password", ""), 401, "已失效")

	foreign := r.passwordLink("lilei")
	r.want(r.do("POST", "/password", url.Values{"accessToken": {foreign}, "password": {"battery staple"}, "again": {"battery staple"}}.Encode(),
		with{"Sec-Fetch-Site", "cross-site"}, with{"Content-Type", "application/x-www-form-urlencoded"}), 403)
	if strings.Contains(r.logs.String(), token) || strings.Contains(r.logs.String(), "correct horse") {
		t.Error("logged")
	}
}

func TestPasswordPageIsForAgents(t *testing.T) {
	r := newRig(t)
	fields := func(token string) url.Values {
		return url.Values{"accessToken": {token}, "password": {"correct horse"}, "again": {"correct horse"}}
	}
	user := r.passwordLink("hanmeimei") // who was an agent a minute ago
	r.want(r.do("GET", "/password?accessToken="+user, ""), 403)
	r.want(r.form("/password", fields(user)), 403)
	late := r.passwordLink("lilei")
	r.now = r.now.Add(11 * time.Minute)
	r.want(r.form("/password", fields(late)), 401)
	for _, token := range []string{r.link("lilei"), r.token("lilei"), "", "x"} { // no other kind of token will do
		r.want(r.form("/password", fields(token)), 401)
	}
	for _, id := range []string{"lilei", "hanmeimei"} {
		if ok, _ := r.o.Store.CheckPassword(t.Context(), id, "correct horse"); ok {
			t.Errorf("%s has a password", id)
		}
	}
}
