package api

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/store"
)

// otpAdmin is the credential of an administrator who gave a one-time password.
func (r *rig) otpAdmin() with {
	r.Helper()
	return bearer(r.minted(store.TokenSpec{UserID: "boss", OTP: true}))
}

const (
	createPath = "/api/v1/user/create"
	batchPath  = "/api/v1/user/create/batch"
	loginPath  = "/auth/v1/login"
)

func TestCreateAccount(t *testing.T) {
	r := newRig(t)
	full := `{"username":"ada","nickname":"Ada","password":"a fine password","email":"Ada@example.com","mobile":"13800138000",` +
		`"avatar":"https://example.com/a.png","description":"counts","emailVerified":true,"mobileVerified":false,"platform":"web"}`
	got := r.do("POST", createPath, full, bearer(masterKey))
	r.want(got, 200)
	r.golden("account", got)
	got = r.do("POST", createPath, `{"mobile":"13900139000","platform":"web"}`, r.otpAdmin())
	r.want(got, 200, `"username":"13900139000"`, `"nickname":"user-`, `"email":null`, `"emailVerified":false`, `"mobileVerified":true`, `"sex":"UNKNOWN"`, `"passwordModifiedAt":null`)

	for body, message := range map[string]string{
		`{"platform":"web"}`:                              "email or mobile is required",
		`{"email":"ADA@example.com","platform":"web"}`:    "Email ADA@example.com already exists",
		`{"mobile":"138-0013-8000","platform":"web"}`:     "Mobile 13800138000 already exists",
		`{"email":"x@example.com","username":"ADA"}`:      "Username ADA already exists",
		`{"email":"x@example.com","superUser":true}`:      "superUser: unknown field",
		`{"email":"x@example.com","emailVerified":"yes"}`: "emailVerified: has the wrong type",
		`{"email":"x@example.com","password":"short"}`:    "password: is not 8 to 128 characters",
		`{"email":"x@example.com","nickname":"a\u0000b"}`: "nickname: has control characters",
	} {
		r.want(r.do("POST", createPath, body, bearer(masterKey)), 400, `{"message":"`+message+`","code":400,"data":null}`)
	}
	r.golden("account-email-taken", r.do("POST", createPath, `{"email":"ada@EXAMPLE.com"}`, bearer(masterKey)))
}

func TestCreateAccounts(t *testing.T) {
	r := newRig(t)
	got := r.do("POST", batchPath, `{"users":[{"email":"a@example.com","nickname":"A","platform":"web"},{"platform":"web"},{"email":"A@example.com"},{"mobile":"13800138000","nickname":"M"}]}`, bearer(masterKey))
	r.want(got, 200)
	r.golden("accounts", got)
	for _, body := range []string{`{}`, `{"users":[]}`, `{"users":[` + strings.Repeat(`{},`, 500) + `{}]}`} {
		r.want(r.do("POST", batchPath, body, bearer(masterKey)), 400, "users: 1 to 500 at once")
	}
	r.want(r.do("POST", batchPath, `{"users":[{"email":"b@example.com"},{"emial":"c@example.com"}]}`, bearer(masterKey)), 400, "users.1.emial: unknown field")

	var many []string
	for i := range 500 {
		many = append(many, fmt.Sprintf(`{"email":"user%d@example.com","password":"the password %d"}`, i, i))
	}
	got = r.do("POST", batchPath, `{"users":[`+strings.Join(many, ",")+`]}`, bearer(masterKey))
	r.want(got, 200)
	if n := strings.Count(string(got.Body()), `"ok":true`); n != 500 {
		t.Errorf("%d were made", n)
	}
	r.want(r.do("POST", loginPath, `{"email":"user499@example.com","password":"the password 499"}`), 200)
}

func TestLogIn(t *testing.T) {
	r := newRig(t)
	r.account(store.NewAccount{Username: "Ada", Nickname: "Ada", Email: "ada@example.com", Mobile: "13800138000", Password: "a fine password", Platform: "web"})
	got := r.do("POST", loginPath, `{"username":"ada","password":"a fine password","channel":"app","platform":"ios"}`)
	r.want(got, 200)
	r.golden("login", got)
	_, rest, _ := strings.Cut(string(got.Body()), `"accessToken":"`)
	token, _, _ := strings.Cut(rest, `"`)
	me := r.do("GET", "/api/v1/user/me", "", bearer(token))
	r.want(me, 200)
	r.golden("me-account", me)
	for _, who := range []string{`"email":"ADA@example.com"`, `"mobile":"138 0013 8000"`, `"username":"ada@example.com"`, `"username":"13800138000"`} {
		r.want(r.do("POST", loginPath, `{`+who+`,"password":"a fine password","channel":"app","platform":"ios"}`), 200)
	}
	r.want(r.do("GET", "/api/agents/me", "", bearer(token)), 403, `"code":1002`)
	for _, body := range []string{`{"x":1}`, `{{{`, `[]`} {
		r.want(r.do("POST", "/api/v1/user/logout", body, bearer(token)), 400)
	}
	r.want(r.do("POST", "/api/v1/user/logout", "{}", bearer(token)), 200, `"data":true`)
	r.want(r.do("GET", "/api/v1/user/me", "", bearer(token)), 401)

	for body, field := range map[string]string{
		`{"password":"x"}`: "username: is missing", `{"username":"ada"}`: "password: is missing",
		`{"username":"ada","email":"ada@example.com","password":"x"}`:                   "username: give one",
		`{"username":"ada","password":"x","channel":"` + strings.Repeat("x", 65) + `"}`: "channel: ", `{"username":"ada","password":"x","otp":"1"}`: "otp: unknown field",
	} {
		r.want(r.do("POST", loginPath, body), 400, field)
	}
}

// Whoever is refused learns nothing from how.
func TestRefusedLoginsAreAlike(t *testing.T) {
	r := newRig(t)
	r.account(store.NewAccount{Username: "ada", Email: "ada@example.com", Password: "a fine password"})
	r.account(store.NewAccount{Username: "nopass", Email: "nopass@example.com"})
	want := r.do("POST", loginPath, `{"username":"nobody","password":"a fine password"}`)
	r.want(want, 401)
	r.golden("login-refused", want)
	for _, body := range []string{
		`{"username":"ada","password":"another password"}`, `{"username":"nopass","password":"a fine password"}`,
		`{"username":"lilei","password":"a fine password"}`, `{"email":"nobody@example.com","password":"x"}`, `{"mobile":"13800138000","password":"x"}`,
	} {
		got := r.do("POST", loginPath, body)
		got.Header.Del("X-Request-Id")
		want.Header.Del("X-Request-Id")
		if got.String() != want.String() {
			t.Errorf("%s:\n%s\nunlike\n%s", body, got, want)
		}
	}
}

// One account has one limit, however it is named; a name nobody has, one too.
func TestLoginLimitPerAccount(t *testing.T) {
	counted := map[string]int{}
	var mu sync.Mutex
	r := newRig(t, func(o *Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		o.Limit = func(_ context.Context, name, key string) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			counted[name+" "+key]++
			if name == "login_per_account" && counted[name+" "+key] > 3 {
				return 1500 * time.Millisecond
			}
			return 0
		}
	})
	uid := r.account(store.NewAccount{Username: "ada", Email: "ada@example.com", Mobile: "13800138000", Password: "a fine password"})
	var statuses []int
	for i, name := range []string{"ada", "ADA", "Ada@Example.com", "138 0013 8000"} {
		got := r.do("POST", loginPath, `{"username":"`+name+`","password":"another password"}`, with{"X-Forwarded-For", fmt.Sprintf("192.0.2.%d, 198.51.100.%d", 77, i)})
		statuses = append(statuses, got.StatusCode())
	}
	if want := []int{401, 401, 401, 429}; !slices.Equal(statuses, want) {
		t.Errorf("%v, want %v", statuses, want)
	}
	if n := counted["login_per_account "+uid]; n != 4 {
		t.Errorf("counted %v", counted)
	}
	if counted["login_per_address 198.51.100.3"] != 1 || counted["login_per_address 192.0.2.77"] != 0 {
		t.Errorf("addresses: %v", counted)
	}
	for _, name := range []string{"nobody", "NOBODY", "Nobody", "nobody"} {
		statuses = append(statuses, r.do("POST", loginPath, `{"username":"`+name+`","password":"x"}`).StatusCode())
	}
	if want := []int{401, 401, 401, 429}; !slices.Equal(statuses[4:], want) {
		t.Errorf("a name nobody has: %v, want %v", statuses[4:], want)
	}
}

func TestParallelCreates(t *testing.T) {
	r := newRig(t)
	statuses := make([]int, 8)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			statuses[i] = r.do("POST", createPath, `{"email":"one@example.com"}`, bearer(masterKey)).StatusCode()
		})
	}
	all.Wait()
	slices.Sort(statuses)
	if want := []int{200, 400, 400, 400, 400, 400, 400, 400}; !slices.Equal(statuses, want) {
		t.Errorf("%v", statuses)
	}
}
