package api

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/store/storetest"
)

// The tokens of an existing service desk are good here for as much as their
// owner may do without a one-time password.
func TestServiceDesksTokens(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	options, err := redis.ParseURL(storetest.Redis(t))
	r.ok(err)
	desk := redis.NewClient(options)
	ours, err := store.OpenRedis(storetest.Redis(t), [][]byte{bytes.Repeat([]byte{7}, 32)})
	r.ok(err)
	t.Cleanup(func() { r.ok(desk.Close()); r.ok(ours.Close()) })
	r.o.Store.ServiceDesk = &store.ServiceDesk{Redis: ours, AdminOTP: true}
	issue := func(userID string) with {
		token := rand.Text() + rand.Text()
		r.ok(desk.Set(t.Context(), "agent:token:"+token, userID, time.Minute).Err())
		return bearer(token)
	}
	lilei := issue("LiLei")
	r.want(r.do("GET", "/api/v1/user/me", "", lilei), 200, `"username":"lilei"`, `"currentRoles":["agent"]`)
	r.want(r.do("GET", "/api/v1/tokens", "", lilei), 403)
	introspect := func(who with) *fasthttp.Response {
		return r.do("POST", "/api/v1/tokens/introspect", "token="+strings.TrimPrefix(who.value, "Bearer "), bearer(masterKey), with{"Content-Type", "application/x-www-form-urlencoded"})
	}
	r.want(introspect(lilei), 200, `{"active":true,`, `"username":"lilei","scope":"agent","client_id":"servicedesk"`)
	if body := string(introspect(issue("boss")).Body()); !strings.Contains(body, `"scope":"agent"`) || strings.Contains(body, `"iat"`) || strings.Contains(body, `"jti"`) {
		t.Errorf("introspection of another system's token: %s", body)
	}
	r.want(r.do("POST", "/api/v1/user/logout", "", lilei), 200)
	r.want(introspect(lilei), 200, `{"active":false}`)
	r.want(r.do("GET", "/api/v1/user/me", "", lilei), 401)

	// Its agents need not have been here before; the directory knows them.
	r.lookup = func(id string) (bot.Person, error) {
		state := bot.Active
		if id == "nobody" {
			state = bot.Unknown
		}
		return bot.Person{ID: id, Name: id, State: state, Departments: []int{1}}, nil
	}
	r.want(r.do("GET", "/api/v1/user/me", "", issue("ma")), 200, `"username":"ma"`)
	r.want(r.do("GET", "/api/v1/user/me", "", issue("nobody")), 401)
	r.want(r.do("POST", "/api/v1/tokens", `{"user":"zhao","name":"ci","ttl":"1h"}`, bearer(masterKey)), 200, `"accessToken"`)
	r.want(r.do("POST", "/api/v1/tokens", `{"user":"nobody","name":"ci","ttl":"1h"}`, bearer(masterKey)), 404)
	r.lookup = nil

	// What another system says must not become a lasting proof.
	again := issue("lilei")
	r.want(r.do("POST", "/api/agents/password", `{"new_password":"a fine password"}`, again), 403, "1002")
	r.want(r.do("POST", "/api/agents/otp-bind", "", again), 403, "1002")

	boss := issue("boss")
	r.want(r.do("GET", "/api/v1/user/me", "", boss), 200)
	r.want(r.do("GET", "/api/agents", "", boss), 403, "one-time password")
	r.o.RequireAdminOTP = false
	r.want(r.do("GET", "/api/v1/tokens", "", boss), 403, "admin")
	r.want(r.do("GET", "/api/agents", "", boss), 200)

	// Somebody who left is nobody, whatever the service desk believes.
	left := issue("hanmeimei")
	r.want(r.do("GET", "/api/v1/user/me", "", left), 200)
	r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) error { return tx.CutOff(t.Context(), "hanmeimei", bot.Left) }))
	r.want(r.do("GET", "/api/v1/user/me", "", left), 401)
}
