package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/store/storetest"
)

// appToken gives the token of a device that is made for it, without a password.
func (r *rig) appToken(namespace string, readOnly bool) string {
	r.Helper()
	owner := store.Owner{Account: r.account(store.NewAccount{Email: namespace + "@example.com", Nickname: "Ada"})}
	var d store.Device
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) (err error) {
		d, err = tx.NewDevice(r.Context(), owner, "Room", namespace)
		return err
	}))
	_, err := r.o.Store.AddConfig(r.Context(), owner, d.ID, store.ConfigChange{ReadOnly: &readOnly})
	r.ok(err)
	token, _, err := r.o.Store.OpenNamespace(r.Context(), namespace, "", "test", store.Client{})
	r.ok(err)
	return token
}

// field takes a field's text out of an answer.
func (r *rig) field(got *fasthttp.Response, name string) string {
	r.Helper()
	m := regexp.MustCompile(`"` + name + `":"([^"]*)"`).FindSubmatch(got.Body())
	if m == nil {
		r.Fatalf("no %s in %s", name, got.Body())
	}
	return string(m[1])
}

// TestDeviceCalls replays testdata/devices.txt on each engine. A line "as ada"
// says whose token the calls after it bring: an account's, a person's, "nobody",
// or one that was kept. "> METHOD PATH BODY" is a call, "< …" the answer, "keep
// name=field" remembers a field of it as {name}, "wait 1m" lets time pass. With
// "as header name" the token goes into x-app-token.
func TestDeviceCalls(t *testing.T) {
	const file = "testdata/devices.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Each(t, func(t *testing.T, storeURL string) {
		got := newRigOn(t, storeURL).replay(string(text))
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got != string(text) {
			t.Errorf("%s reads now:\n%s", file, got)
		}
	})
}

func (r *rig) replay(script string) string {
	r.Helper()
	tokens := map[string]string{
		"ada": r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Email: "ada@example.com", Nickname: "Ada"})}),
		"bob": r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Email: "bob@example.com"})}),
		"kim": r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Username: "kim", EndUser: true})}),
		"mei": r.minted(store.TokenSpec{UserID: "hanmeimei"}), "master": masterKey,
	}
	kept, who, last := map[string]string{}, []with(nil), (*fasthttp.Response)(nil)
	var out strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "<") {
			continue
		}
		out.WriteString(line)
		switch f := strings.Fields(line); {
		case len(f) == 3 && f[0] == "as" && f[1] == "header":
			who = []with{{appHeader, kept[f[2]]}}
		case len(f) == 2 && f[0] == "as":
			who = nil
			if token := tokens[f[1]] + kept[f[1]]; token != "" {
				who = []with{bearer(token)}
			}
		case len(f) == 2 && f[0] == "keep":
			name, field, _ := strings.Cut(f[1], "=")
			kept[name] = r.field(last, field)
		case len(f) == 2 && f[0] == "wait":
			d, err := time.ParseDuration(f[1])
			r.ok(err)
			r.now = r.now.Add(d)
		case len(f) > 2 && f[0] == ">":
			line = strings.TrimSpace(line)
			for name, value := range kept {
				line = strings.ReplaceAll(line, "{"+name+"}", value)
			}
			parts := strings.SplitN(line, " ", 4)
			body := ""
			if len(parts) == 4 {
				body = parts[3]
			}
			last = r.do(parts[1], parts[2], body, who...)
			fmt.Fprintf(&out, "< %d %s\n", last.StatusCode(), changing.ReplaceAll(last.Body(), []byte("…")))
		}
	}
	return strings.ReplaceAll(out.String(), " \n", "\n")
}

// crowded makes a device with as many passwords as one can have.
func (r *rig) crowded(namespace string) {
	r.Helper()
	owner := store.Owner{Account: r.account(store.NewAccount{Email: namespace + "@example.com"})}
	var d store.Device
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) (err error) {
		d, err = tx.NewDevice(r.Context(), owner, "Room", namespace)
		return err
	}))
	for i := range 20 {
		_, err := r.o.Store.AddConfig(r.Context(), owner, d.ID, store.ConfigChange{Password: new(fmt.Sprint("secret ", i))})
		r.ok(err)
	}
}

var date = regexp.MustCompile(`Date: .*\r\n`) // which changes with the time alone

// Ten thousand tries at namespaces that do not exist and at some that do, with all
// kinds of wrong passwords, in random order: but for the status and what follows
// from it, all answers are the same bytes.
func TestTriesTellNothing(t *testing.T) {
	const tries = 10_000
	r := newRig(t)
	r.appToken("open-to-all", false)
	r.crowded("crowded")
	owner := store.Owner{Account: r.account(store.NewAccount{Email: "ada@example.com"})}
	for _, ns := range []string{"empty", "one"} {
		var d store.Device
		r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) (err error) {
			d, err = tx.NewDevice(t.Context(), owner, ns, ns)
			return err
		}))
		if ns == "one" {
			_, err := r.o.Store.AddConfig(t.Context(), owner, d.ID, store.ConfigChange{Password: new("secret")})
			r.ok(err)
		}
	}
	strip := func(got *fasthttp.Response) string {
		got.Header.Del("X-Request-Id")
		got.Header.Del("WWW-Authenticate")
		got.Header.SetStatusCode(0)
		return date.ReplaceAllString(got.Header.String(), "") + string(got.Body())
	}
	known := []string{"one", "ONE", "ｏｎｅ", "empty", "crowded", "Crowded", "open-to-all"}
	passwords := []string{"wrong", "Secret", "secret ", " secret", "secret\u0000", "secret 20", "密码", strings.Repeat("x", 128), strings.Repeat("x", 10_000)}
	chance, want, seen := rand.New(rand.NewPCG(1, 2)), "", map[int]int{}
	for i := range tries {
		namespace, status := known[chance.IntN(len(known))], 401
		if chance.IntN(2) == 0 {
			namespace, status = fmt.Sprintf("%s-%d", namespace, i), 404
		}
		body, err := json.Marshal(map[string]string{"namespace": namespace, "password": passwords[chance.IntN(len(passwords))], "appId": "x"})
		r.ok(err)
		got := r.do("POST", "/apps/auth/token", string(body))
		if seen[got.StatusCode()]++; got.StatusCode() != status {
			t.Fatalf("%.200s: %d", body, got.StatusCode())
		}
		if bytes := strip(got); want == "" {
			want = bytes
		} else if bytes != want {
			t.Fatalf("%.200s: %s\nwant %s", body, bytes, want)
		}
	}
	t.Logf("%d answers alike, by status: %v", tries, seen)
	for _, none := range []string{"one", "empty", "nowhere"} { // without a password at all
		if got := strip(r.do("POST", "/apps/auth/token", `{"namespace":"`+none+`","appId":"x"}`)); got != want {
			t.Errorf("%s: %s", none, got)
		}
	}
	r.want(r.do("POST", "/apps/auth/token", `{"namespace":"ONE","password":"secret","appId":"x"}`), 201)
}

// limits counts like the gateway's, on the rig's clock.
func limits(r **rig, rates map[string]store.Rate) func(*Options) {
	l := &store.Limits{Rates: rates}
	return func(o *Options) {
		o.Limit = func(ctx context.Context, name, key string) time.Duration { return l.Allow(ctx, name, key, (*r).now) }
		o.GiveBack = func(ctx context.Context, name, key string) { l.GiveBack(ctx, name, key, (*r).now) }
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32"), netip.MustParsePrefix("10.0.0.0/8")}
	}
}

// from is a try that came through the proxy from an address.
func (r *rig) try(namespace, password string, from ...string) int {
	var headers []with
	for _, hop := range from {
		headers = append(headers, with{"X-Forwarded-For", hop})
	}
	body, err := json.Marshal(map[string]string{"namespace": namespace, "password": password, "appId": "x"})
	r.ok(err)
	got := r.do("POST", "/apps/auth/token", string(body), headers...)
	if status := got.StatusCode(); status == 429 && len(got.Header.Peek("Retry-After")) == 0 {
		r.Error("429 without Retry-After")
	}
	return got.StatusCode()
}

func tried(n int, try func(i int) int) (allowed int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if try(i) != 429 {
				mu.Lock()
				allowed++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return allowed
}

// However a try is spelt, forwarded or sent beside others, it is counted.
func TestNamespaceLimits(t *testing.T) {
	spellings := []string{"class-3a", "CLASS-3A", "Class-3a", "ｃｌａｓｓ－３ａ"}
	for _, c := range []struct {
		what, limit string
		rate        store.Rate
		try         func(r *rig, i int) int
		want        int
	}{
		{"one address, any namespaces", "login_per_address", store.Rate{N: 10, Per: time.Minute}, func(r *rig, i int) int {
			return r.try(fmt.Sprint("ns", i), "x", fmt.Sprintf("9.9.9.%d, 8.8.8.8", i), fmt.Sprintf("10.0.0.%d", i)) // left of 8.8.8.8 anything can stand
		}, 10},
		{"one IPv6 customer", "login_per_address", store.Rate{N: 10, Per: time.Minute}, func(r *rig, i int) int {
			return r.try("class-3a", "x", fmt.Sprintf("2001:db8:1:2::%x", i+1))
		}, 10},
		{"one address at one namespace", perAccount, store.Rate{N: 10, Per: time.Minute}, func(r *rig, i int) int {
			return r.try(spellings[i%4], "x", "8.8.8.8")
		}, 10},
		{"all addresses at one namespace", perAccount, store.Rate{N: 10, Per: time.Minute}, func(r *rig, i int) int {
			return r.try(spellings[i%4], "x", fmt.Sprintf("8.8.8.%d", i))
		}, 10},
		{"all addresses at one that does not exist", perAccount, store.Rate{N: 50, Per: time.Hour}, func(r *rig, i int) int {
			return r.try("nowhere", "x", fmt.Sprintf("8.8.8.%d", i))
		}, 50},
		{"one class with the right password", perAccount, store.Rate{N: 50, Per: time.Hour}, func(r *rig, i int) int {
			return r.try(spellings[i%4], "", fmt.Sprintf("8.8.8.%d", i))
		}, 80},
	} {
		t.Run(c.what, func(t *testing.T) {
			var r *rig
			r = newRig(t, limits(&r, map[string]store.Rate{c.limit: c.rate}))
			r.appToken("class-3a", false)
			if c.want == 80 { // one after the other, as a class comes in: beside each other they take before they give back
				for i := range 80 {
					if status := c.try(r, i); status != 201 {
						t.Fatalf("%d: %d", i, status)
					}
				}
				return
			}
			if n := tried(80, func(i int) int { return c.try(r, i) }); n != c.want {
				t.Errorf("%d of 80 tries, want %d", n, c.want)
			}
		})
	}
}

// Whose password is right takes back its own try and nobody else's.
func TestRightPasswordDoesNotClearWrongOnes(t *testing.T) {
	var r *rig
	r = newRig(t, limits(&r, map[string]store.Rate{perAccount: {N: 5, Per: time.Hour}}))
	r.appToken("class-3a", false)
	for i := range 4 {
		if wrong, right := r.try("class-3a", "wrong"), r.try("class-3a", ""); wrong != 401 || right != 201 {
			t.Errorf("%d: %d, %d", i, wrong, right)
		}
	}
	if fifth, sixth, right := r.try("class-3a", "wrong"), r.try("class-3a", "wrong"), r.try("class-3a", ""); fifth != 401 || sixth != 429 || right != 429 {
		t.Errorf("%d, %d, %d", fifth, sixth, right)
	}
}

// The token in the path of a call is nowhere in the log, whatever becomes of it.
func TestTokensInPathsAreNotLogged(t *testing.T) {
	r := newRig(t)
	token := r.appToken("class-3a", false)
	path := "/apps/tokens/" + token + "/set-student-name"
	for _, got := range []*fasthttp.Response{
		r.do("POST", path, `{"name":"x"}`), r.do("POST", path, `{`), r.do("GET", path, ""), r.do("POST", path+"/x", "{}"), r.do("POST", "/apps/tokens/"+token, "{}"),
		r.do("GET", "/kv/x?accessToken="+token, ""), r.do("GET", "/kv/"+token, "", bearer(token)),
	} {
		if got.StatusCode() < 400 {
			t.Errorf("%d", got.StatusCode())
		}
	}
	if logs := r.logs.String(); strings.Contains(logs, token) || !strings.Contains(logs, "/apps/tokens/{token}/set-student-name") {
		t.Errorf("%s", logs)
	}
}

func TestDevicePasswordPage(t *testing.T) {
	r := newRig(t)
	mei := bot.User{ID: "hanmeimei"}
	var d store.Device
	link := func(kind string, readOnly bool) (token string) {
		r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
			link, err := tx.NewDeviceLink(t.Context(), mei, d, kind, readOnly)
			_, token, _ = strings.Cut(link.URL, "https://desk.example.com/password?accessToken=")
			return err
		}))
		return token
	}
	r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) (err error) {
		d, err = tx.NewDevice(t.Context(), store.Owner{Person: mei.Key()}, "Room", "class-3a")
		return err
	}))
	token := link("student", true)
	for range 20 { // as scanners and previews do
		r.want(r.do("GET", "/password?accessToken="+token, ""), 200, "class-3a", "学生", "只读", "hanmeimei", token)
	}
	set := func(token, password, again string) *fasthttp.Response {
		return r.form("/password", url.Values{"accessToken": {token}, "password": {password}, "again": {again}})
	}
	r.want(set(token, "rainbow", "rainbos"), 400, "不一样", token)
	r.want(set(token, "", ""), 400, "1 到 128", token)
	r.want(set(token, strings.Repeat("x", 129), strings.Repeat("x", 129)), 400, "1 到 128", token)
	if list, err := r.o.Store.Configs(t.Context(), d.ID); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	r.want(set(token, "rainbow", "rainbow"), 200, "密码已设置")
	r.want(set(token, "rainbow", "rainbow"), 401, "已失效", "/device auth add")
	got := r.do("POST", "/apps/auth/token", `{"namespace":"class-3a","password":"rainbow","appId":"x"}`)
	r.want(got, 201, `"deviceType":"student"`, `"isReadOnly":true`)

	second := link("", false)
	r.want(set(second, "rainbow", "rainbow"), 400, "已经有", second)
	r.want(set(second, "rain", "rain"), 200)
	late := link("", false)
	r.now = r.now.Add(11 * time.Minute)
	r.want(set(late, "later", "later"), 401)
	removed := link("", false)
	r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) error { return tx.RemoveDevice(t.Context(), d.Owner(), d.ID) }))
	r.want(r.do("GET", "/password?accessToken="+removed, ""), 401, "已失效")
	r.want(set(removed, "gone", "gone"), 401)
	if logs := r.logs.String(); strings.Contains(logs, token) || strings.Contains(logs, "rainbow") {
		t.Error("logged")
	}
}

// What is too large, or no JSON, is refused before anything is stored.
func TestValuesRefused(t *testing.T) {
	r := newRig(t)
	app := bearer(r.appToken("class-3a", false))
	r.want(r.do("POST", "/kv/x", `"`+strings.Repeat("x", 1<<20-2)+`"`, app), 200)
	r.want(r.do("GET", "/kv/x/metadata", "", app), 200, `"size":1048576`)
	r.want(r.do("POST", "/kv/x", `"`+strings.Repeat("x", 1<<20-1)+`"`, app), 400, "body: ") // over the wire it does not come so far
	for _, body := range []string{``, `{`, `nothing`, `{"a":1} {"b":2}`, `{"a":1,"a":2}`, "\"\xff\""} {
		r.want(r.do("POST", "/kv/y", body, app), 400, `"success":false`)
	}
	for _, body := range []string{``, `[]`, `{}`, `{"a":1,"a":2}`, `null`, `"x"`} {
		r.want(r.do("POST", "/kv/_batchimport", body, app), 400, `"success":false`)
	}
	r.want(r.do("GET", "/kv/y", "", app), 404)
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "skip=-1", "sortBy=value", "sortDir=up", "sortBy=createdAt&after=x&at=now"} {
		r.want(r.do("GET", "/kv?"+query, "", app), 400)
		r.want(r.do("GET", "/kv/_keys?"+query, "", app), 400)
	}
	r.want(r.do("GET", "/kv", "", app, with{appHeader, "dbn_x"}), 400)
	r.want(r.do("GET", "/kv", "", with{"Authorization", "Basic eA=="}), 401)
	_, token, _ := strings.Cut(app.value, " ")
	r.want(r.do("GET", "/kv", "", with{appHeader, token}, with{"Authorization", "Basic eA=="}), 200) // the latter is for a proxy on the way
	r.want(r.do("GET", "/kv", "", with{appHeader, token}, with{appHeader, token}), 400)
	r.want(r.do("GET", "/kv/"+strings.Repeat("k", 192), "", app), 400)
	r.want(r.do("POST", "/kv/_info", "1", app), 405)
	r.want(r.do("POST", "/kv/a%00b", "1", app), 400)
	r.want(r.do("POST", "/kv/%E9%94%AE%20%3F%23%25", "1", app), 200, `"key":"键 ?#%"`)
	r.want(r.do("GET", "/kv/%E9%94%AE%20%3F%23%25", "", app), 200, "1")
}

// Following load_more from the beginning gives every entry once.
func TestLoadMore(t *testing.T) {
	r := newRig(t)
	app := bearer(r.appToken("class-3a", false))
	var in strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&in, `,"key %05d":{"n":%d}`, i, i)
	}
	r.want(r.do("POST", "/kv/_batchimport", "{"+in.String()[1:]+"}", app), 200, `"summary":{"total":10000,"successful":10000,"failed":0}`)
	for _, start := range []string{"/kv/_keys?limit=1000", "/kv?limit=1000&sortBy=updatedAt&sortDir=desc", "/kv?limit=999&sortBy=createdAt"} {
		seen, pages := map[string]bool{}, 0
		for at := start; at != ""; pages++ {
			got := r.do("GET", at, "", app)
			var page struct {
				Keys  []string
				Items []struct{ Key string }
				Total int    `json:"total_rows"`
				More  string `json:"load_more"`
			}
			r.ok(json.Unmarshal(got.Body(), &page))
			for _, item := range page.Items {
				page.Keys = append(page.Keys, item.Key)
			}
			for _, key := range page.Keys {
				if seen[key] {
					t.Fatalf("%s: %s again", at, key)
				}
				seen[key] = true
			}
			if at = page.More; page.Total != 10_000 {
				t.Fatalf("%s: %d in all", at, page.Total)
			}
		}
		if len(seen) != 10_000 || pages > 11 {
			t.Errorf("%s: %d keys on %d pages", start, len(seen), pages)
		}
	}
}

// Whoever follows load_more while entries go that were listed already still gets
// to the end.
func TestLoadMoreWhileEntriesGo(t *testing.T) {
	r := newRig(t)
	app := bearer(r.appToken("class-3a", false))
	r.want(r.do("POST", "/kv/_batchimport", `{"a":1,"b":1,"c":1,"d":1,"e":1}`, app), 200)
	first := r.do("GET", "/kv/_keys?limit=2", "", app)
	r.want(first, 200, `"keys":["a","b"]`)
	for _, gone := range []string{"a", "b"} {
		r.want(r.do("DELETE", "/kv/"+gone, "", app), 204)
	}
	second := r.do("GET", r.field(first, "load_more"), "", app)
	r.want(second, 200, `"keys":["c","d"]`)
	third := r.do("GET", r.field(second, "load_more"), "", app)
	r.want(third, 200, `"keys":["e"]`, `"count":1`)
	if strings.Contains(string(third.Body()), "load_more") {
		t.Errorf("there is no more: %s", third.Body())
	}
}

// A token that ends between admission and writing is refused like one that ended
// before, and that is no failure of ours.
func TestTokenEndsWhileWriting(t *testing.T) {
	r := newRig(t)
	app, err := r.o.Store.App(t.Context(), r.appToken("class-3a", false))
	r.ok(err)
	d, err := r.o.Store.DeviceOf(t.Context(), app)
	r.ok(err)
	r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) error { return tx.EndApp(t.Context(), d.Owner(), d.ID, app.ID) }))
	for name, call := range map[string]func(context.Context, *req) (any, error){"put": r.putValue, "remove": r.removeValue, "import": r.importValues} {
		ctx := new(fasthttp.RequestCtx)
		ctx.Request.SetBodyString(`{"a":1}`)
		_, err := call(t.Context(), &req{s: r.Server, ctx: ctx, who: caller{app: &app}, holes: []string{"a"}})
		if p := r.explain("en", err); p.status != 401 || p.ref != "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
