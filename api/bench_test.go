package api

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// BenchmarkUnknownUser measures, turn by turn, how long it takes to refuse
// somebody who does not exist and somebody who does and gave a wrong password, or
// none. unknown/known is the ratio of the medians: the nearer to 1, the less the
// time tells about who exists. That the work is the same is for tests to show;
// the hash is as cheap as can be here, so that it does not hide the rest.
func BenchmarkUnknownUser(b *testing.B) {
	for name, route := range map[string]struct{ path, known, unknown string }{
		"password": {"/api/agents/login", `{"user_id":"lilei","password":"wrong horse"}`, `{"user_id":"limei","password":"wrong horse"}`},
		"wecom":    {"/api/agents/login", `{"user_id":"lilei","wecom_code":"made up"}`, `{"user_id":"limei","wecom_code":"made up"}`},
		"approval": {"/api/agents/login", `{"user_id":"lilei"}`, `{"user_id":"limei"}`},
		"account":  {"/auth/v1/login", `{"username":"ada@example.com","password":"wrong horse"}`, `{"username":"eve@example.com","password":"wrong horse"}`},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			r.ok(r.o.Store.SetPassword(b.Context(), store.PasswordChange{UserID: "lilei", New: "correct horse battery"}))
			r.account(store.NewAccount{Email: "ada@example.com", Password: "correct horse battery"})
			var known, unknown []time.Duration
			for b.Loop() {
				known = append(known, r.refuse(route.path, route.known))
				unknown = append(unknown, r.refuse(route.path, route.unknown))
			}
			b.ReportMetric(float64(median(known)), "known-ns")
			b.ReportMetric(float64(median(unknown)), "unknown-ns")
			b.ReportMetric(float64(median(unknown))/float64(median(known)), "unknown/known")
		})
	}
}

// refuse is how long a caller waits for an answer that lets nobody in.
func (r *rig) refuse(path, body string) time.Duration {
	r.Helper()
	var q fasthttp.Request
	q.Header.SetMethod("POST")
	q.SetRequestURI(path)
	q.Header.SetHost("desk.example.com")
	q.SetBodyString(body)
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&q, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.9:4711")), nil)
	began := time.Now()
	r.Server.serve(ctx)
	took := time.Since(began)
	r.o.Logins.Wait() // for what no caller waits for
	if status := ctx.Response.StatusCode(); status != fasthttp.StatusUnauthorized && status != fasthttp.StatusAccepted {
		r.Fatalf("%s: %d", body, status)
	}
	return took
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
