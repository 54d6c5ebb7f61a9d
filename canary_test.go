package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp"

	"deskbell/bot/settings"
	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"
)

// wiretap is an address that leads to another and keeps what passes.
type wiretap struct {
	addr string
	mu   sync.Mutex
	kept bytes.Buffer
}

func newWiretap(t *testing.T, target string) *wiretap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{addr: ln.Addr().String()}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
				carrying.Go(func() {
					_, _ = io.Copy(io.MultiWriter(ends[1], w), ends[0])
					near.Close()
					far.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		ln.Close()
		carrying.Wait()
	})
	return w
}

func (w *wiretap) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept.Write(p)
}

func (w *wiretap) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.kept.String()
}

// through leads a URL through the tap.
func (w *wiretap) through(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = w.addr
	return u.String()
}

// warden knows every secret of a run, and where to look for them.
type warden struct {
	*testing.T
	box     *sim.Sim
	log     *wiretap
	url     string
	secrets map[string]string // by what they are
	refused bytes.Buffer      // answers that were no success, headers and all
	agent   string            // the User-Agent, if not Go's
}

func (w *warden) secret(what, value string) string {
	w.Helper()
	if value == "" {
		w.Fatalf("there is no %s", what)
	}
	w.secrets[what] = value
	return value
}

// made is a secret that this test makes up.
func (w *warden) made(what string) string { return w.secret(what, "canary-"+rand.Text()) }

var again = regexp.MustCompile(`<input type="hidden" name="accessToken" value="[^"]*">`)

// call is one request. token may be "".
func (w *warden) call(method, path, token, contentType, body string, cookies ...*http.Cookie) (*http.Response, string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if w.agent != "" {
		req.Header.Set("User-Agent", w.agent)
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	if res.StatusCode >= 400 {
		// A form that is shown again holds what its sender sent, for the next try.
		fmt.Fprintf(&w.refused, "%s %s %v\n%s\n", method, res.Status, res.Header, again.ReplaceAll(text, nil))
	}
	return res, string(text)
}

// api calls the API with JSON and returns what it says, data unwrapped.
func (w *warden) api(method, path, token string, body any) (status int, data map[string]any) {
	w.Helper()
	in, err := json.Marshal(body)
	if err != nil {
		w.Fatal(err)
	}
	res, text := w.call(method, path, token, "application/json", string(in))
	var out struct {
		Data map[string]any `json:"data"`
	}
	_ = json.Unmarshal([]byte(text), &out) // not every answer has data
	return res.StatusCode, out.Data
}

func (w *warden) must(want int, method, path, token string, body any) map[string]any {
	w.Helper()
	status, data := w.api(method, path, token, body)
	if status != want {
		w.Fatalf("%s %s: %d, want %d\n%s", method, path, status, want, &w.refused)
	}
	return data
}

// link says a line and returns the token of the link that comes back.
func (w *warden) link(user, line, what string) string {
	w.Helper()
	before := len(w.box.Inbox(user))
	w.box.Say(user, line)
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var token string
	if _, err := w.box.WaitFor(ctx, user, func(all []sim.Received) bool {
		for _, r := range all[min(before, len(all)):] {
			if r.Card != nil && r.Card.Action != nil {
				_, token, _ = strings.Cut(r.Card.Action.URL, "accessToken=")
			}
		}
		return token != ""
	}); err != nil {
		w.Fatal(err)
	}
	return w.secret(what, token)
}

func text(data map[string]any, key string) string {
	s, _ := data[key].(string)
	return s
}

// live goes through everything that makes or takes a secret, rightly and
// wrongly.
func (w *warden) live(master string) {
	form := "application/x-www-form-urlencoded"
	link := w.link("lilei", "/login", "link token")
	w.call("GET", "/agent/chat?accessToken="+link, "", "", "")
	w.call("GET", "/api/v1/user/me?accessToken="+link, link, "", "")
	lilei := w.secret("access token of a link", text(w.must(200, "POST", "/api/v1/tokens/exchange", "", map[string]string{"access_token": link}), "accessToken"))
	w.must(200, "GET", "/api/agents/me", lilei, nil)
	w.call("GET", "/no/such/"+lilei+"?accessToken="+lilei, lilei, "", "")
	w.call("POST", "/api/agents/password", lilei, "application/json", `{"new_password":"`+w.made("password in broken JSON")+`",`)
	w.call("POST", "/api/agents/password", lilei, "application/json", `{"new_password":{"`+w.made("password as a field's name")+`":1}}`)

	password := w.made("password")
	w.must(200, "POST", "/api/agents/password", lilei, map[string]string{"new_password": password})
	w.must(401, "POST", "/api/agents/login", "", map[string]string{"user_id": "lilei", "password": w.made("wrong password")})
	bound := w.must(200, "POST", "/api/agents/otp-bind", lilei, nil)
	otp := w.secret("OTP secret", text(bound, "secret"))
	code := func(what string, ahead time.Duration) string {
		c, err := totp.GenerateCode(otp, time.Now().Add(ahead))
		if err != nil {
			w.Fatal(err)
		}
		return w.secret(what, c)
	}
	w.must(401, "POST", "/api/agents/otp-verify", lilei, map[string]string{"otp_code": w.secret("wrong OTP code", "918273")})
	for i, c := range w.must(200, "POST", "/api/agents/otp-verify", lilei, map[string]string{"otp_code": code("OTP code", 0)})["recovery_codes"].([]any) {
		w.secret(fmt.Sprint("recovery code ", i), c.(string))
	}
	w.secret("token of a login", text(w.must(200, "POST", "/api/agents/login", "", map[string]string{
		"user_id": "lilei", "password": password, "otp_code": code("next OTP code", 30*time.Second)}), "token"))
	w.secret("login id", text(w.must(202, "POST", "/api/agents/login", "", map[string]string{"user_id": "lilei"}), "login_id"))

	reset, chosen := w.link("hanmeimei", "/login", "second link token"), w.made("chosen password")
	_, _ = w.call("POST", "/chat", "", form, url.Values{"accessToken": {reset}}.Encode())
	_, _ = w.call("POST", "/chat", "", form, url.Values{"accessToken": {reset}}.Encode()) // once too often
	page := w.link("lilei", "/password", "password link token")
	w.call("GET", "/password?accessToken="+page, "", "", "")
	w.call("POST", "/password", "", form, url.Values{"accessToken": {page}, "password": {chosen}, "again": {chosen + "x"}}.Encode())
	w.call("POST", "/password", "", form, url.Values{"accessToken": {page}, "password": {chosen}, "again": {chosen}}.Encode())
	w.box.Say("lilei", "/password "+w.made("password typed in the chat"))

	account := w.made("password of an account")
	user := map[string]string{"email": "someone@example.com", "password": account, "platform": "web"}
	w.must(200, "POST", "/api/v1/user/create", master, user)
	w.must(400, "POST", "/api/v1/user/create", master, user)
	signIn := map[string]string{"username": "someone@example.com", "password": account, "channel": "web", "platform": "web"}
	theirs := w.secret("token of an account", text(w.must(200, "POST", "/auth/v1/login", "", signIn), "accessToken"))
	signIn["password"] = w.made("wrong password of an account")
	w.must(401, "POST", "/auth/v1/login", "", signIn)
	made := w.secret("made token", text(w.must(200, "POST", "/api/v1/tokens", master, map[string]string{"user": "hanmeimei", "name": "ci", "ttl": "1h"}), "accessToken"))
	w.call("POST", "/api/v1/tokens/introspect", master, form, url.Values{"token": {made}}.Encode())
	w.call("POST", "/api/v1/tokens/introspect", theirs, form, url.Values{"token": {theirs}}.Encode())
	w.sharing(master)

	var device, app struct{ UUID, Token string }
	shared := w.made("password of a device")
	_, said := w.call("POST", "/devices", theirs, "application/json", `{"name":"board","namespace":"canary"}`)
	if err := json.Unmarshal([]byte(said), &device); err != nil {
		w.Fatal(err)
	}
	w.call("POST", "/auto-auth/devices/"+device.UUID+"/auth-configs", theirs, "application/json", `{"password":"`+shared+`","deviceType":"student"}`)
	w.call("POST", "/auto-auth/devices/"+device.UUID+"/auth-configs", theirs, "application/json", `{"password":"`+shared+`"}`)
	_, said = w.call("POST", "/apps/auth/token", "", "application/json", `{"namespace":"canary","password":"`+shared+`","appId":"x"}`)
	if err := json.Unmarshal([]byte(said), &app); err != nil {
		w.Fatal(err)
	}
	w.call("POST", "/apps/tokens/"+w.secret("token of an app", app.Token)+"/set-student-name", "", "application/json", `{"name":"nobody"}`)
	w.call("POST", "/apps/auth/token", "", "application/json", `{"namespace":"canary","password":"`+w.made("wrong password of a device")+`","appId":"x"}`)
	w.call("GET", "/kv/none", app.Token, "", "")
	w.box.Say("hanmeimei", "/device new hers")
	opens, choice := w.link("hanmeimei", "/device auth add hers", "link of a device"), w.made("chosen password of a device")
	w.call("GET", "/password?accessToken="+opens, "", "", "")
	w.call("POST", "/password", "", form, url.Values{"accessToken": {opens}, "password": {choice}, "again": {choice}}.Encode())

	asked, _ := w.call("GET", "/auth/wecom?next=/chat", "", "", "")
	where, err := url.Parse(asked.Header.Get("Location"))
	if err != nil {
		w.Fatal(err)
	}
	state, authCode := w.secret("sign-in state", where.Query().Get("state")), w.secret("WeCom sign-in code", w.box.LoginCode("hanmeimei"))
	for _, c := range asked.Cookies() {
		w.secret("sign-in cookie "+c.Name, c.Value)
	}
	back := "/auth/wecom/callback?" + url.Values{"code": {authCode}, "state": {state}}.Encode()
	w.call("GET", back, "", "", "") // another browser
	asked, _ = w.call("GET", "/auth/wecom?next=/chat", "", "", "")
	if where, err = url.Parse(asked.Header.Get("Location")); err != nil {
		w.Fatal(err)
	}
	done, _ := w.call("GET", "/auth/wecom/callback?"+url.Values{"code": {authCode}, "state": {where.Query().Get("state")}}.Encode(), "", "", "", asked.Cookies()...)
	for _, c := range done.Cookies() {
		if c.Value != "" {
			w.secret("session cookie "+c.Name, c.Value)
		}
	}
	w.call("POST", "/api/auth/wecom/login", "", "application/json", `{"code":"`+authCode+`"}`)
	w.inWeCom("boss", "hanmeimei", "boss")
	w.call("POST", "/panic?accessToken="+made, theirs, form, url.Values{"password": {password}}.Encode())
	w.call("POST", "/callbacks/wecom?msg_signature="+strings.Repeat("0", 40)+"&timestamp=1&nonce="+w.made("nonce"), "", "", "<xml/>")
}

// inWeCom opens a link of somebody's in WeCom, as each of the people there are,
// and once without coming back: that link then waits in the store.
func (w *warden) inWeCom(owner string, people ...string) {
	w.Helper()
	link := w.link(owner, "/login", "link token opened in WeCom")
	w.agent = weComsOwn
	defer func() { w.agent = "" }()
	w.call("GET", "/chat?accessToken="+w.link(owner, "/login", "link token left at WeCom"), "", "", "")
	for _, who := range people {
		asked, _ := w.call("GET", "/chat?accessToken="+link, "", "", "")
		where, err := url.Parse(asked.Header.Get("Location"))
		if err != nil {
			w.Fatal(err)
		}
		if asked.StatusCode != http.StatusFound || strings.Contains(asked.Header.Get("Location"), link) {
			w.Fatalf("%d to %s", asked.StatusCode, where)
		}
		back := url.Values{
			"code":  {w.secret("WeCom code of "+who+" for a link", w.box.LoginCode(who))},
			"state": {w.secret("state of "+who+" for a link", where.Query().Get("state"))},
		}
		done, _ := w.call("GET", "/auth/wecom/callback?"+back.Encode(), "", "", "", asked.Cookies()...)
		if want := map[bool]int{true: http.StatusSeeOther, false: http.StatusForbidden}[who == owner]; done.StatusCode != want {
			w.Fatalf("%s opens the link of %s: %d", who, owner, done.StatusCode)
		}
		for _, c := range done.Cookies() {
			if c.Value != "" {
				w.secret("cookie of a link opened in WeCom", c.Value)
			}
		}
	}
}

// sharing shares a bot with an end user, who comes in by every door there is.
func (w *warden) sharing(master string) {
	w.Helper()
	form, jsonType := "application/x-www-form-urlencoded", "application/json"
	found := func(body, pattern string) string {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(body); m != nil {
			return m[1]
		}
		return ""
	}
	_, made := w.call("POST", "/api/v1/bots", master, jsonType, `{"name":"helper"}`)
	bot := found(made, `"id":"([^"]+)"`)
	_, made = w.call("POST", "/api/v1/bots/"+bot+"/share-tokens", master, jsonType, `{}`)
	share := w.secret("share token", found(made, `"share_token":"([^"]+)"`))
	password, next := w.made("end user's password"), w.made("end user's next password")
	_, made = w.call("POST", "/api/v1/end-users", master, jsonType, `{"username":"kim","password":"`+password+`"}`)
	kim := found(made, `"id":"([^"]+)"`)
	w.call("GET", "/s/"+share, "", "", "")
	w.call("POST", "/s/"+share, "", form, url.Values{"username": {"kim"}, "password": {w.made("wrong password of an end user")}}.Encode())
	in, _ := w.call("POST", "/s/"+share, "", form, url.Values{"username": {"kim"}, "password": {password}}.Encode())
	if len(in.Cookies()) != 1 {
		w.Fatalf("the end user is not signed in: %s", in.Status)
	}
	theirs := w.secret("end user's token", in.Cookies()[0].Value)
	if seen, body := w.call("GET", "/s/"+share, "", "", "", in.Cookies()...); seen.StatusCode != 200 || !strings.Contains(body, "helper") {
		w.Fatalf("the end user sees %s %s", seen.Status, body)
	}
	w.call("GET", "/api/v1/public/bot-share/"+share, theirs, "", "")
	w.call("POST", "/api/v1/public/bot-share/"+share+"/validate", theirs, jsonType, `{"bot_id":"x"}`)
	w.call("POST", "/api/v1/end-users/"+kim+"/reset-password", master, jsonType, `{"password":"`+next+`"}`)
	w.call("GET", "/api/v1/public/bot-share/"+share, theirs, "", "")

	handOver := w.link("boss", "/user new lee", "hand-over token")
	w.call("GET", "/newpassword?accessToken="+handOver, "", "", "")
	_, shown := w.call("POST", "/newpassword", "", form, url.Values{"accessToken": {handOver}}.Encode())
	w.secret("password handed over", found(shown, `<code>([^<]+)</code>`))
	w.call("POST", "/newpassword", "", form, url.Values{"accessToken": {handOver}}.Encode())
}

// breakdown lets WeCom fail in every way there is while messages go out.
func (w *warden) breakdown() {
	for i, f := range []sim.Faults{
		{Errcode: map[string]sim.Failure{"*": {Code: 40001}}}, {Errcode: map[string]sim.Failure{"*": {Code: 60020}}},
		{Outage: sim.Truncate}, {Outage: sim.Drop}, {Outage: sim.Refuse}, {Outage: sim.Broken},
	} {
		failures := strings.Count(w.log.String(), `"err":`)
		w.box.ExpireTokens()
		w.box.SetFaults(f)
		w.box.Say("boss", "/status busy")
		w.box.SetPerson(sim.Person{ID: fmt.Sprint("stranger", i)})
		w.box.Say(fmt.Sprint("stranger", i), "/help")
		w.api("POST", "/api/agents/login", "", map[string]string{"user_id": "boss", "wecom_code": w.secret("WeCom code during "+fmt.Sprint(f.Outage, f.Errcode), w.box.LoginCode("boss"))})
		for end := time.Now().Add(patience); strings.Count(w.log.String(), `"err":`) == failures; time.Sleep(10 * time.Millisecond) { // a log tells nobody that it grew
			if time.Now().After(end) {
				w.Fatalf("%+v makes no difference", f)
			}
		}
	}
	w.box.SetFaults(sim.Faults{})
}

// search looks for every secret, as it is and in the guises that programs put
// things in.
func (w *warden) search(place, content string) {
	w.Helper()
	for what, secret := range w.secrets {
		guises := []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret)}
		for _, guise := range guises {
			at := strings.Index(content, guise)
			if len(secret) == 6 { // so few digits also occur by chance, within longer numbers
				at = -1
				if found := regexp.MustCompile(`(?:^|[^0-9.])` + secret + `(?:[^0-9]|$)`).FindStringIndex(content); found != nil {
					at = found[0]
				}
			}
			if at >= 0 {
				w.Errorf("%s: %s is in it: …%q…", place, what, content[max(0, at-120):min(len(content), at+40)])
				break
			}
		}
	}
}

// tables is all that a database says when it is asked.
func tables(t *testing.T, storeURL string) string {
	t.Helper()
	db := storetest.Open(t, storeURL)
	names := "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
	if strings.HasPrefix(storeURL, "sqlite:") {
		names = "SELECT name FROM sqlite_master WHERE type = 'table'"
	}
	list, err := db.Query(names)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for list.Next() {
		var name string
		if err := list.Scan(&name); err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	if err := list.Err(); err != nil || len(all) < 10 {
		t.Fatal(all, err)
	}
	var out strings.Builder
	for _, name := range all {
		rows, err := db.Query("SELECT * FROM " + name)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(&out, name)
			for _, v := range values {
				fmt.Fprintf(&out, "|%s", *v.(*any))
			}
			out.WriteByte('\n')
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// dump is all that a Redis holds.
func dump(t *testing.T, address string) string {
	t.Helper()
	options, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	var out strings.Builder
	for keys := client.Scan(t.Context(), 0, "*", 1000).Iterator(); keys.Next(t.Context()); {
		value, err := client.Dump(t.Context(), keys.Val()).Result()
		fmt.Fprintln(&out, keys.Val(), value, err)
	}
	return out.String()
}

// TestNoSecretGetsOut runs the whole product through everything that makes or
// takes a secret, with every kind of failure, and then looks for those secrets
// wherever somebody else could read: the log at its most talkative, metrics,
// refusals, the database, what is said to it and what its server logs at its most
// talkative, Redis and what is said to it.
func TestNoSecretGetsOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) { noSecretGetsOut(t, storeURL, false) })
}

// Nor does one when tokens are shared with a service desk, but for these, which
// its Redis holds as they are.
func TestNoSecretGetsOutToTheServiceDesk(t *testing.T) {
	noSecretGetsOut(t, storetest.Postgres(t), true)
}

func noSecretGetsOut(t *testing.T, storeURL string, shared bool) {
	people, departments := sim.Sample()
	box, err := sim.Start(sim.Config{People: people, Departments: departments})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	w := &warden{T: t, box: box, secrets: map[string]string{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + ln.Addr().String()
	dir := t.TempDir()
	cfg, err := demoConfig(box, w.url, dir)
	if err != nil {
		t.Fatal(err)
	}
	redisURL := storetest.Redis(t)
	parsed, err := url.Parse(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	toWeCom := newWiretap(t, strings.TrimPrefix(box.URL(), "http://"))
	toRedis := newWiretap(t, parsed.Host)
	toDatabase, serverLog := &wiretap{}, func() string { return "" }
	cfg.Store.URL = settings.Secret(storeURL)
	if u, err := url.Parse(storeURL); err == nil && u.Scheme == "postgres" {
		serverLog = storetest.PostgresLog(t, storeURL)
		toDatabase = newWiretap(t, u.Host)
		cfg.Store.URL = settings.Secret(toDatabase.through(t, storeURL))
	}
	cfg.WeCom.APIBase = toWeCom.through(t, box.URL())
	cfg.Redis.URL = settings.Secret(toRedis.through(t, redisURL))
	cfg.Tokens.ServicedeskCompat = shared
	cfg.Security.MasterKey = settings.Secret(w.made("master key"))
	cfg.Limits.LoginPerAddress, cfg.Limits.LoginPerAccount, cfg.Limits.LinksPerPerson = settings.Rate{}, settings.Rate{}, settings.Rate{}
	w.secret("WeCom secret", cfg.WeCom.Secret.Reveal())
	w.secret("callback token", cfg.WeCom.Token.Reveal())
	w.secret("EncodingAESKey", cfg.WeCom.EncodingAESKey.Reveal())
	w.secret("encryption key", cfg.Security.EncryptionKey.Reveal())
	w.secret("encryption key, raw", string(cfg.EncryptionKeys()[0]))

	log := &wiretap{}
	w.log = log
	cfg.Log.Level, cfg.Log.Format = "debug", "json"
	g, err := newGateway(t.Context(), cfg, newLog(cfg, log))
	if err != nil {
		t.Fatal(err)
	}
	g.server.Mount("/panic", func(ctx *fasthttp.RequestCtx) { panic(fmt.Sprintf("no such thing as %v", ctx)) })
	metrics, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- g.metrics.Serve(ctx, metrics) }()
	go func() { ended <- g.run(ctx, ln) }()
	box.SetCallback(w.url + "/callbacks/wecom")

	w.live(cfg.Security.MasterKey.Reveal())
	w.breakdown()
	for _, m := range regexp.MustCompile(`"access_token": ?"([^"]+)"`).FindAllStringSubmatch(toWeCom.String(), -1) {
		w.secret("WeCom access token "+m[1], m[1])
	}
	if len(w.secrets) < 55 {
		t.Errorf("only %d secrets: %v", len(w.secrets), w.secrets)
	}
	res, err := http.Get("http://" + metrics.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	counted, err := io.ReadAll(res.Body)
	if err != nil || len(counted) == 0 {
		t.Fatal(err)
	}
	w.search("metrics", string(counted))
	if file, lite := strings.CutPrefix(storeURL, "sqlite:"); lite { // before it is tidied up by closing it
		for _, name := range []string{file, file + "-wal"} {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			w.search(filepath.Base(name), string(raw))
		}
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	w.search("log", log.String())
	w.search("refusals", w.refused.String())
	w.search("tables", tables(t, storeURL))
	w.search("what the database was told", toDatabase.String())
	logged := serverLog()
	w.search("what the database's server logs", logged)
	if said := "INSERT INTO " + `"otp"`; strings.HasPrefix(storeURL, "postgres:") && !strings.Contains(logged, said) {
		t.Errorf("the server's log does not have %s, so this looked at too little", said)
	}
	inRedis, toldRedis := dump(t, redisURL), toRedis.String()
	if shared {
		if !strings.Contains(toldRedis, w.secrets["access token of a link"]) {
			t.Error("the service desk was not told of a token, so this looked at too little")
		}
		maps.DeleteFunc(w.secrets, func(what, _ string) bool { return ourTokens.MatchString(what) })
	}
	w.search("Redis", inRedis)
	w.search("what Redis was told", toldRedis)
	for _, said := range []string{`"msg":"audit checkpoint"`, "panic", "40001"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not have %s, so this looked at too little", said)
		}
	}
}

// ourTokens are the secrets that the service desk is told: access tokens of people.
var ourTokens = regexp.MustCompile(`^(access token of a link|token of a login|made token|session cookie .*|cookie of a link opened in WeCom)$`)
