package api

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// minted gives an access token as spec asks for it.
func (r *rig) minted(spec store.TokenSpec) (token string) {
	r.Helper()
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) (err error) {
		token, _, err = tx.NewToken(r.Context(), spec)
		return err
	}))
	return token
}

// account makes an account and gives its uid.
func (r *rig) account(n store.NewAccount) string {
	r.Helper()
	a, err := r.o.Store.CreateAccount(r.Context(), n, "test")
	r.ok(err)
	return a.UID
}

// callers are the kinds there are, each with the credential it brings.
var callers = []struct {
	name  string
	token func(r *rig) string
}{
	{"nobody", func(*rig) string { return "" }},
	{"bad token", func(*rig) string { return "dba_" + strings.Repeat("A", 49) }},
	{"user", func(r *rig) string { return r.minted(store.TokenSpec{UserID: "hanmeimei", OTP: true}) }},
	{"agent", func(r *rig) string { return r.minted(store.TokenSpec{UserID: "lilei"}) }},
	{"admin", func(r *rig) string { return r.minted(store.TokenSpec{UserID: "boss"}) }},
	{"admin+OTP", func(r *rig) string { return r.minted(store.TokenSpec{UserID: "boss", OTP: true}) }},
	{"admin direct", func(r *rig) string { return r.minted(store.TokenSpec{UserID: "boss", OTP: true, Plain: true}) }},
	{"account", func(r *rig) string {
		return r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Email: "ada@example.com"})})
	}},
	{"end user", func(r *rig) string {
		return r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Username: "kim", EndUser: true})})
	}},
	{"app", func(r *rig) string { return r.appToken("class-3a", false) }},
	{"app read-only", func(r *rig) string { return r.appToken("class-3b", true) }},
	{"master key", func(*rig) string { return masterKey }},
}

// TestMatrix calls every route as every kind of caller, each with an empty
// request: what is refused here is refused before anything is read, and 400 and
// 404 mean that the caller was let in. A route that is new, or whose policy
// changed, differs from testdata/matrix.txt: read it after -update.
func TestMatrix(t *testing.T) {
	var out strings.Builder
	fmt.Fprintf(&out, "%-66s", "")
	for _, c := range callers {
		fmt.Fprintf(&out, " %13s", c.name)
	}
	out.WriteString("\n")
	for _, rt := range newRig(t).table() {
		fmt.Fprintf(&out, "%-66s", rt.method+" "+rt.path)
		r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
		for _, c := range callers {
			status := r.call(rt, c.token(r)).StatusCode()
			fmt.Fprintf(&out, " %13d", status)
			checkCell(t, rt, c.name, status)
		}
		out.WriteString("\n")
	}
	const file = "testdata/matrix.txt"
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("%s reads now:\n%s", file, &out)
	}
}

// call sends an empty request: API routes get the token as a bearer, pages as
// their cookie.
func (r *rig) call(rt route, token string) *fasthttp.Response {
	r.Helper()
	var headers []with
	switch {
	case token == "":
	case rt.as == pages:
		headers = append(headers, with{"Cookie", r.cookie.name + "=" + token})
	default:
		headers = append(headers, bearer(token))
	}
	if rt.as == pages && rt.method == "POST" {
		return r.form(sample(rt), nil, headers...)
	}
	body := ""
	if rt.method != "GET" {
		body = "{}"
	}
	return r.do(rt.method, sample(rt), body, headers...)
}

// checkCell states what no golden file may say otherwise.
func checkCell(t *testing.T, rt route, who string, status int) {
	t.Helper()
	may, in := rt.may, status != 401 && status != 403 && status/100 != 3
	if may.open {
		return
	}
	where := rt.method + " " + rt.path + " as " + who
	if may.app && in && !strings.HasPrefix(who, "app") {
		t.Errorf("%s: %d", where, status)
	}
	switch who {
	case "nobody", "bad token":
		if in {
			t.Errorf("%s: %d", where, status)
		}
	case "account", "end user":
		if in && !may.accounts {
			t.Errorf("%s: %d", where, status)
		}
	case "app", "app read-only":
		if in && !may.app || in && may.writes && who != "app" {
			t.Errorf("%s: %d", where, status)
		}
	case "user":
		if in && may.level > bot.Anyone {
			t.Errorf("%s: %d", where, status)
		}
	case "agent", "admin direct":
		if in && may.level > bot.Agent {
			t.Errorf("%s: %d", where, status)
		}
	}
	if status >= 500 {
		t.Errorf("%s: %d", where, status)
	}
}

// With security.require_admin_otp, an administrator's token without one opens
// four calls and the pages that lead there, and nothing else.
func TestAdministratorWithoutOTP(t *testing.T) {
	weak := map[string]bool{
		"GET /api/v1/user/me": true, "POST /api/v1/user/logout": true, "GET /api/agents/me": true,
		"POST /api/agents/otp-bind": true, "POST /api/agents/otp-verify": true,
	}
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	for _, rt := range r.table() {
		if rt.may.open || rt.may.app || rt.as == pages {
			continue
		}
		got := r.call(rt, r.minted(store.TokenSpec{UserID: "boss"}))
		refused := got.StatusCode() == 403 && strings.Contains(string(got.Body()), "one-time password")
		if name := rt.method + " " + rt.path; refused == weak[name] {
			t.Errorf("%s: %d %s", name, got.StatusCode(), got.Body())
		}
		if refused && rt.as == agentsAPI && !strings.Contains(string(got.Body()), `"code":1002`) {
			t.Errorf("%s: %s", rt.path, got.Body())
		}
	}
}
