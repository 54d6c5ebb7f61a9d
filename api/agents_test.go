package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// outgoing delivers what waits in the outbox and returns it.
func (r *rig) outgoing() (all []bot.Outgoing) {
	r.Helper()
	r.o.Logins.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	seen, done := make(chan bot.Outgoing, 100), make(chan struct{})
	box := &store.Outbox{Store: r.o.Store, Sender: senderFunc(func(_ context.Context, o bot.Outgoing) (bot.Receipt, error) {
		seen <- o
		return bot.Receipt{}, nil
	})}
	go func() { defer close(done); box.Run(ctx) }()
	for {
		pending, _, err := r.o.Store.Depth(ctx)
		r.ok(err)
		if pending == 0 {
			break
		}
	}
	cancel()
	<-done
	close(seen)
	for o := range seen {
		all = append(all, o)
	}
	return all
}

type senderFunc func(context.Context, bot.Outgoing) (bot.Receipt, error)

func (f senderFunc) Send(ctx context.Context, o bot.Outgoing) (bot.Receipt, error) { return f(ctx, o) }

// hasPassword gives somebody a local password.
func (r *rig) hasPassword(userID, password string) {
	r.Helper()
	r.ok(r.o.Store.SetPassword(r.Context(), store.PasswordChange{UserID: userID, New: password}))
}

// usesOTP gives somebody a one-time password, and its codes.
func (r *rig) usesOTP(userID string) (code func() string) {
	r.Helper()
	var key store.OTPKey
	code = func() string {
		c, err := totp.GenerateCode(key.Secret, r.now)
		r.ok(err)
		return c
	}
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) (err error) {
		if key, err = tx.BindOTP(r.Context(), userID); err != nil {
			return err
		}
		got, _, err := tx.ConfirmOTP(r.Context(), userID, code(), "", store.Client{})
		if !got.OK {
			r.Errorf("%+v", got)
		}
		return err
	}))
	r.now = r.now.Add(time.Minute)
	return code
}

// data reads the data of an answer.
func data[T any](r *rig, got *fasthttp.Response) (v T) {
	r.Helper()
	var body struct {
		Data T `json:"data"`
	}
	r.ok(json.Unmarshal(got.Body(), &body))
	return body.Data
}

// knows makes the directory know these people only, as active members.
func (r *rig) knows(people ...string) {
	r.lookup = func(id string) (bot.Person, error) {
		for _, p := range people {
			if bot.Canonical(p) == bot.Canonical(id) {
				return bot.Person{ID: p, Name: "Name of " + p, State: bot.Active, Departments: []int{1}}, nil
			}
		}
		return bot.Person{ID: id, State: bot.Unknown}, nil
	}
}

func TestAgentLogin(t *testing.T) {
	r := newRig(t)
	r.knows("lilei", "hanmeimei", "boss")
	r.hasPassword("lilei", "correct horse")
	r.hasPassword("hanmeimei", "correct horse")
	login := func(body string) *fasthttp.Response { return r.do("POST", "/api/agents/login", body) }

	got := login(`{"user_id":"LiLei","name":"whoever","password":"correct horse"}`)
	r.want(got, 200, `"user_id":"lilei"`, `"name":"Name of lilei"`, `"status":"online"`)
	r.golden("agent-login", got)
	r.golden("agent-me", r.do("GET", "/api/agents/me", "", bearer(data[loginAnswer](r, got).Token)))

	r.golden("agent-login-wecom", login(`{"user_id":"lilei","wecom_code":"code of LILEI"}`))
	for body, want := range map[string]string{
		`{"user_id":"lilei","password":"wrong horse"}`:                               "401 1011",
		`{"user_id":"lilei","wecom_code":"code of boss"}`:                            "401 1011",
		`{"user_id":"lilei","wecom_code":"used"}`:                                    "401 1011",
		`{"user_id":"lilei","wecom_code":"used","password":"wrong horse"}`:           "401 1011",
		`{"user_id":"lilei","wecom_code":"used","password":"correct horse"}`:         "200 0",
		`{"user_id":"hanmeimei","password":"correct horse"}`:                         "403 1002",
		`{"user_id":"hanmeimei","password":"wrong horse"}`:                           "401 1011",
		`{"user_id":"lilei"}`:                                                        "202 0",
		`{"user_id":"lilei","otp_code":"123456"}`:                                    "202 0",
		`{"user_id":"lilei","password":"","wecom_code":""}`:                          "202 0",
		`{"password":"correct horse"}`:                                               "400 1000",
		`{"user_id":"","password":"correct horse"}`:                                  "400 1000",
		`{"user_id":"lilei","role":"admin","password":"correct horse"}`:              "400 1000",
		`{"user_id":"lilei","user_id":"boss","password":"correct horse"}`:            "400 1000",
		`{"user_id":"lilei","password":["correct horse"]}`:                           "400 1000",
		`{"user_id":"` + strings.Repeat("x", 5000) + `","password":"correct horse"}`: "401 1011",
		`{"user_id":"lilei ","password":"correct horse"}`:                            "401 1011",
		`{"user_id":"ｌilei","password":"correct horse"}`:                             "401 1011",
	} {
		got := login(body)
		if is := fmt.Sprintf("%d %d", got.StatusCode(), codeOf(r, got)); is != want {
			t.Errorf("%.80s: %s, want %s: %.200s", body, is, want, got.Body())
		}
		if got.StatusCode() != 200 && strings.Contains(string(got.Body()), "dba_") {
			t.Errorf("%.80s: a token", body)
		}
	}
	r.golden("agent-login-refused", login(`{"user_id":"lilei","password":"wrong horse"}`))
	r.golden("agent-login-norole", login(`{"user_id":"hanmeimei","password":"correct horse"}`))
}

// loginAnswer is an answer with a token.
type loginAnswer struct {
	agent
	Token, State, LoginID, Number string
}

func TestAgentLoginWithOTP(t *testing.T) {
	r := newRig(t)
	r.hasPassword("lilei", "correct horse")
	code := r.usesOTP("lilei")
	login := func(extra string) *fasthttp.Response {
		return r.do("POST", "/api/agents/login", `{"user_id":"lilei","password":"correct horse"`+extra+`}`)
	}
	got := login("")
	r.want(got, 200)
	r.golden("agent-login-otp", got)
	r.want(login(`,"otp_code":""`), 200, `"require_otp":true`)
	good := code()
	r.want(login(`,"otp_code":"12345"`), 401, `"code":1006`)
	got = login(`,"otp_code":"` + good + `"`)
	r.want(got, 200, `"token":"dba_`, `"otp_enabled":true`)
	r.want(login(`,"otp_code":"`+good+`"`), 401, `"code":1006`)
	for range 4 {
		login(`,"otp_code":"` + good + `"`)
	}
	got = login(`,"otp_code":"` + good + `"`)
	r.want(got, 429, `"code":1015`)
	if after := string(got.Header.Peek("Retry-After")); after != "900" {
		t.Errorf("Retry-After %q", after)
	}
	// The lock is on codes; nothing else changes.
	r.want(login(""), 200, `"require_otp":true`)
}

// The directory decides after the proof, and its answer is for the proven only.
func TestAgentLoginAsksTheDirectory(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"lilei", "boss", "hanmeimei"} {
		r.hasPassword(id, "correct horse")
	}
	r.token("lilei")
	r.want(r.do("GET", "/api/agents/me", "", bearer(r.token("lilei"))), 200) // lilei is registered; boss is not
	down := bot.Fail(bot.Unavailable, "error.wecom", nil, errors.New("no route to host"))
	for _, c := range []struct {
		name   string
		lookup func(string) (bot.Person, error)
		after  time.Duration
		body   string
		want   string
	}{
		{"disabled", state(bot.Disabled), 0, `{"user_id":"boss","password":"wrong horse"}`, "401 1011"},
		{"down", func(string) (bot.Person, error) { return bot.Person{}, down }, 0, `{"user_id":"lilei","password":"correct horse"}`, "200 0"},
		{"down, by WeCom", func(string) (bot.Person, error) { return bot.Person{}, down }, 0, `{"user_id":"lilei","wecom_code":"code of lilei"}`, "503 1003"},
		{"down, not registered", func(string) (bot.Person, error) { return bot.Person{}, down }, 0, `{"user_id":"boss","password":"correct horse"}`, "503 1003"},
		{"down, no proof", func(string) (bot.Person, error) { return bot.Person{}, down }, 0, `{"user_id":"lilei"}`, "202 0"},
		{"not for us", func(string) (bot.Person, error) { return bot.Person{}, bot.Fail(bot.Internal, "error.wecom", nil, nil) }, 0, `{"user_id":"lilei","password":"correct horse"}`, "503 1003"},
		{"down for a day", func(string) (bot.Person, error) { return bot.Person{}, down }, 25 * time.Hour, `{"user_id":"lilei","password":"correct horse"}`, "503 1003"},
		{"left", state(bot.Left), 0, `{"user_id":"lilei","password":"correct horse"}`, "403 1003"},
	} {
		r.lookup = c.lookup
		r.now = r.now.Add(c.after)
		got := r.do("POST", "/api/agents/login", c.body)
		if is := fmt.Sprintf("%d %d", got.StatusCode(), codeOf(r, got)); is != c.want {
			t.Errorf("%s: %s, want %s: %.200s\n%s", c.name, is, c.want, got.Body(), r.logs)
		}
		if c.name != "down" {
			continue
		}
		s, err := r.o.Store.Session(t.Context(), data[loginAnswer](r, got).Token)
		if err != nil || !s.Degraded || s.ExpiresAt.Sub(r.now) > time.Hour {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

func state(s bot.State) func(string) (bot.Person, error) {
	return func(id string) (bot.Person, error) { return bot.Person{ID: id, State: s}, nil }
}

// codeOf is the code of an answer, or of the Agents API's envelope around it.
func codeOf(r *rig, got *fasthttp.Response) int {
	r.Helper()
	var body struct{ Code int }
	r.ok(json.Unmarshal(got.Body(), &body))
	return body.Code
}

// dated is the one header that differs from second to second.
var dated = regexp.MustCompile(`Date: [^\r]*\r\n`)

// Byte for byte, nothing tells a wrong password from a person who does not
// exist, nor the ones who are asked in the chat from the ones who are not.
func TestAgentLoginTellsNothing(t *testing.T) {
	r := newRig(t)
	r.knows("lilei", "hanmeimei", "boss")
	r.hasPassword("lilei", "correct horse")
	r.usesOTP("lilei")
	seen := map[string][]string{}
	for _, user := range []string{"lilei", "LILEI", "hanmeimei", "boss", "nobody", "no such name", "../../lilei", strings.Repeat("y", 65)} {
		for _, extra := range []string{`,"password":"wrong horse"`, `,"password":"wrong horse","otp_code":"123456"`, `,"wecom_code":"used"`, ``, `,"otp_code":"123456"`} {
			got := r.do("POST", "/api/agents/login", fmt.Sprintf(`{"user_id":%q%s}`, user, extra))
			got.Header.Del("X-Request-Id")
			if extra == "" || strings.HasPrefix(extra, `,"otp`) {
				a := data[struct {
					LoginID string `json:"login_id"`
					Number  string `json:"number"`
				}](r, got)
				poll := r.do("GET", "/api/agents/login/"+a.LoginID, "")
				r.want(poll, 200, `{"state":"pending"}`)
				got.SetBodyString(strings.NewReplacer(a.LoginID, "…", `"`+a.Number+`"`, `"…"`).Replace(string(got.Body())))
			}
			answer := dated.ReplaceAllString(fmt.Sprintf("%s%s", &got.Header, got.Body()), "")
			if list := seen[extra]; len(list) > 0 && list[0] != answer {
				t.Errorf("%s%s:\n%s\nand for lilei\n%s", user, extra, answer, list[0])
			}
			seen[extra] = append(seen[extra], answer)
		}
	}
}

func TestAgentApproval(t *testing.T) {
	r := newRig(t)
	type asked struct {
		LoginID   string `json:"login_id"`
		Number    string `json:"number"`
		ExpiresIn int    `json:"expires_in"`
	}
	ask := func(press string) (asked, *fasthttp.Response) {
		t.Helper()
		r.outgoing()
		got := r.do("POST", "/api/agents/login", `{"user_id":"LiLei"}`, with{"User-Agent", "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0"})
		a := data[asked](r, got)
		if got.StatusCode() != 202 || len(a.Number) != 2 || a.ExpiresIn != 120 {
			t.Fatalf("%d %s", got.StatusCode(), got.Body())
		}
		sent := r.outgoing()
		if len(sent) != 1 || sent[0].To != "lilei" {
			t.Fatalf("%+v", sent)
		}
		var card struct {
			TaskID  string                       `json:"task_id"`
			Buttons []struct{ Text, Key string } `json:"button_list"`
		}
		r.ok(json.Unmarshal(sent[0].Card, &card))
		if press == "number" {
			press = a.Number
		}
		for _, b := range card.Buttons {
			words := strings.Fields(b.Key) // /approve ID NUMBER
			if len(words) != 3 || strings.Contains(string(sent[0].Card), a.LoginID) {
				t.Fatalf("%q on %s", b.Key, sent[0].Card)
			}
			if b.Text != press && words[2] != press {
				continue
			}
			r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
				_, err := tx.DecideLogin(t.Context(), bot.User{ID: "lilei"}, card.TaskID, words[1], strings.TrimPrefix(words[2], "no"))
				return err
			}))
		}
		return a, got
	}
	poll := func(a asked, headers ...with) *fasthttp.Response {
		return r.do("GET", "/api/agents/login/"+a.LoginID, "", headers...)
	}

	a, got := ask("")
	got.SetBodyString(strings.NewReplacer(a.LoginID, "dbw_…", `"`+a.Number+`"`, `"…"`).Replace(string(got.Body())))
	r.golden("agent-login-approval", got)
	r.golden("agent-login-pending", poll(a))
	r.now = r.now.Add(2 * time.Minute)
	r.golden("agent-login-expired", poll(a))

	a, _ = ask("no")
	r.want(poll(a), 403, `"code":1017`)

	r.now = r.now.Add(10 * time.Minute)
	a, _ = ask("number")
	var all sync.WaitGroup
	var mu sync.Mutex
	var won []*fasthttp.Response
	for range 8 {
		all.Go(func() {
			got := poll(a)
			mu.Lock()
			defer mu.Unlock()
			r.want(got, 200, `"state":"approved"`)
			if strings.Contains(string(got.Body()), "dba_") {
				won = append(won, got)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%d tokens", len(won))
	}
	r.golden("agent-login-approved", won[0])
	r.golden("agent-login-taken", poll(a))
	r.want(r.do("GET", "/api/agents/me", "", bearer(data[loginAnswer](r, won[0]).Token)), 200, `"status":"online"`)

	code := r.usesOTP("lilei")
	a, _ = ask("number")
	r.golden("agent-login-approved-otp", poll(a))
	r.want(poll(a, with{otpHeader, "000000x"}), 401, `"code":1006`)
	r.want(poll(a, with{otpHeader, code()}), 200, `"state":"approved"`, `"token":"dba_`)

	for _, id := range []string{"x", "dbw_" + strings.Repeat("A", 49), data[loginAnswer](r, won[0]).Token} {
		got := poll(asked{LoginID: id})
		r.want(got, 404, `"code":1004`)
	}
}

func TestAgentStatus(t *testing.T) {
	r := newRig(t)
	lilei := bearer(r.token("lilei"))
	put := func(body string, as with) *fasthttp.Response { return r.do("PUT", "/api/agents/me/status", body, as) }
	r.golden("agent-status", put(`{"status":"busy"}`, lilei))
	r.want(r.do("GET", "/api/agents/me", "", lilei), 200, `"status":"busy"`)
	for _, body := range []string{`{"status":"sleepy"}`, `{"status":""}`, `{}`, `{"status":"online","note":"x"}`, `{"status":1}`} {
		r.want(put(body, lilei), 400, `"code":1000`)
	}
	r.golden("agent-status-invalid", put(`{"status":"sleepy"}`, lilei))
	r.want(put(`{"status":"online"}`, bearer(r.token("hanmeimei"))), 403, `"code":1002`)
	r.want(put(`{"status":"online"}`, bearer(masterKey)), 403, `"code":1002`)
	r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		a, err := tx.Agent(t.Context(), "lilei")
		if a.Status != store.Busy {
			t.Errorf("%+v", a)
		}
		trail, err2 := tx.AuditTrail(t.Context(), "lilei", 20)
		if trail[0].Action != "status.set" || trail[0].Detail != "busy" {
			t.Errorf("%+v", trail)
		}
		return errors.Join(err, err2)
	}))
}

func TestAgentList(t *testing.T) {
	r := newRig(t)
	list := func(query string, as with) *fasthttp.Response { return r.do("GET", "/api/agents"+query, "", as) }
	r.want(list("", bearer(masterKey)), 200, `{"items":[]}`)
	r.usesOTP("lilei")
	lilei, boss := bearer(r.token("lilei")), bearer(r.token("boss"))
	r.want(r.do("PUT", "/api/agents/me/status", `{"status":"online"}`, lilei), 200)
	r.golden("agents", list("", boss))
	r.want(list("?status=online", lilei), 200, `"user_id":"lilei"`)
	if got := list("?status=busy", lilei); string(got.Body()) != `{"code":0,"message":"success","data":{"items":[]}}` {
		t.Errorf("%s", got.Body())
	}
	r.want(list("?status=asleep", lilei), 400, "status")
	r.want(list("", bearer(r.token("hanmeimei"))), 403, `"code":1002`)
	r.o.RequireAdminOTP = true
	r.want(list("", boss), 403, `"code":1002`, "one-time password")
	r.want(r.do("GET", "/api/agents/me", "", boss), 200)
}

func TestAgentPassword(t *testing.T) {
	r := newRig(t)
	token, other := r.token("lilei"), r.token("lilei")
	set := func(body string) *fasthttp.Response {
		return r.do("POST", "/api/agents/password", body, bearer(token))
	}
	r.outgoing()
	for _, c := range []struct{ body, want string }{
		{`{"new_password":"short"}`, "400 1000"},
		{`{"new_password":"12345678"}`, "400 1000"},
		{`{}`, "400 1000"},
		{`{"password":"correct horse"}`, "400 1000"},
		{`{"new_password":"correct horse"}`, "200 0"},
		{`{"new_password":"battery staple"}`, "400 1012"},
		{`{"old_password":"","new_password":"battery staple"}`, "400 1012"},
		{`{"old_password":"wrong","new_password":"battery staple"}`, "401 1013"},
		{`{"old_password":"correct horse","new_password":"` + strings.Repeat("密", 128) + `"}`, "200 0"},
		{`{"old_password":"` + strings.Repeat("密", 128) + `","new_password":"` + strings.Repeat("密", 129) + `"}`, "400 1000"},
	} {
		got := set(c.body)
		if is := fmt.Sprintf("%d %d", got.StatusCode(), codeOf(r, got)); is != c.want {
			t.Errorf("%.60s: %s, want %s: %.200s", c.body, is, c.want, got.Body())
		}
	}
	r.golden("agent-password", set(`{"old_password":"`+strings.Repeat("密", 128)+`","new_password":"correct horse"}`))
	r.golden("agent-password-wrong", set(`{"old_password":"wrong","new_password":"battery staple"}`))
	r.golden("agent-password-missing", set(`{"new_password":"battery staple"}`))
	r.want(r.do("GET", "/api/agents/me", "", bearer(token)), 200)
	r.want(r.do("GET", "/api/agents/me", "", bearer(other)), 401)
	told := 0
	for _, o := range r.outgoing() {
		if o.To == "lilei" && strings.Contains(string(o.Card), "密码") {
			told++
		}
	}
	if told != 3 {
		t.Errorf("told of %d changes", told)
	}
	for _, who := range []with{bearer(masterKey), bearer(r.token("hanmeimei"))} {
		r.want(r.do("POST", "/api/agents/password", `{"new_password":"correct horse"}`, who), 403, `"code":1002`)
	}
}

// Tries are counted for each account as well, however its name is spelt.
func TestAgentLoginLimits(t *testing.T) {
	var keys []string
	r := newRig(t, func(o *Options) {
		o.Limit = func(_ context.Context, name, key string) time.Duration {
			keys = append(keys, name+" "+key)
			if name == "login_per_account" {
				return 30 * time.Second
			}
			return 0
		}
	})
	for _, user := range []string{"LiLei", "lilei", "no such name!", strings.Repeat("x", 5000)} {
		got := r.do("POST", "/api/agents/login", `{"user_id":"`+user+`","password":"x"}`)
		r.want(got, 429, `"code":1015`)
		if after := string(got.Header.Peek("Retry-After")); after != "30" {
			t.Errorf("Retry-After %q", after)
		}
	}
	r.want(r.do("POST", "/api/agents/password", `{"old_password":"x","new_password":"correct horse"}`, bearer(r.token("lilei"))), 429)
	want := "login_per_account lilei,login_per_account lilei,login_per_account ?,login_per_account ?,login_per_account password/lilei"
	got := []string{}
	for _, k := range keys {
		if !strings.HasPrefix(k, "login_per_address") {
			got = append(got, k)
		}
	}
	if strings.Join(got, ",") != want {
		t.Errorf("counted %q", got)
	}
}

// A fault of ours while signing in has a code of its own.
func TestAgentLoginFault(t *testing.T) {
	r := newRig(t)
	r.hasPassword("lilei", "correct horse")
	r.lookup = func(string) (bot.Person, error) { panic("boom") }
	r.want(r.do("POST", "/api/agents/login", `{"user_id":"lilei","password":"correct horse"}`), 503, `"code":1003`)
	r.o.Logins.WhoIs = func(context.Context, string) (string, error) { panic("boom") }
	r.want(r.do("POST", "/api/agents/login", `{"user_id":"lilei","wecom_code":"x"}`), 500, "reference")
}
