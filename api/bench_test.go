package api

import (
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
	"deskbell/store/storetest"
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

// BenchmarkUnknownNamespace measures how long it takes to refuse an app at a
// namespace that does not exist and at one that has twenty passwords, in random
// order. unknown/wrong is the ratio of the medians, p(unknown>wrong) how often one
// of the former takes longer than one of the latter (Mann and Whitney's U: 0.5
// tells nothing), and z how many standard deviations that is from chance. That the
// work is the same is for tests to show; the hash is as cheap as can be here, so
// that it does not hide the rest, which is less than a hundredth of what the hash
// costs in earnest: see BenchmarkTry of package store. For 10,000 tries of each:
// go test ./api -run XXX -bench UnknownNamespace -benchtime 10000x
func BenchmarkUnknownNamespace(b *testing.B) {
	for engine, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(engine, func(b *testing.B) {
			r := newRigOn(b, url(b))
			r.crowded("class-3a")
			bodies := []string{`{"namespace":"class-3a","password":"wrong horse","appId":"x"}`, `{"namespace":"class-9z","password":"wrong horse","appId":"x"}`}
			for range 100 { // nothing is cold
				r.refuse("/apps/auth/token", bodies[0])
				r.refuse("/apps/auth/token", bodies[1])
			}
			var took [2][]time.Duration
			for b.Loop() {
				first := rand.IntN(2)
				for _, kind := range []int{first, 1 - first} {
					took[kind] = append(took[kind], r.refuse("/apps/auth/token", bodies[kind]))
				}
			}
			p, z := slower(took[1], took[0])
			wrong, unknown := median(took[0]), median(took[1])
			b.ReportMetric(float64(wrong), "wrong-ns")
			b.ReportMetric(float64(unknown), "unknown-ns")
			b.ReportMetric(float64(unknown)/float64(wrong), "unknown/wrong")
			b.ReportMetric(p, "p(unknown>wrong)")
			b.ReportMetric(z, "z")
		})
	}
}

// slower is how likely it is that one of a is longer than one of b, and how many
// standard deviations that is from what chance gives.
func slower(a, b []time.Duration) (p, z float64) {
	sorted := slices.Sorted(slices.Values(b))
	n, m, u := float64(len(a)), float64(len(b)), 0.0
	for _, d := range a {
		below, _ := slices.BinarySearch(sorted, d)
		upTo, _ := slices.BinarySearch(sorted, d+1)
		u += float64(below) + float64(upTo-below)/2
	}
	return u / (n * m), (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}

func TestSlower(t *testing.T) {
	for _, c := range []struct {
		a, b []time.Duration
		p    float64
	}{
		{[]time.Duration{3, 4}, []time.Duration{1, 2}, 1}, {[]time.Duration{1, 2}, []time.Duration{3, 4}, 0},
		{[]time.Duration{1, 2, 3}, []time.Duration{1, 2, 3}, 0.5}, {[]time.Duration{2}, []time.Duration{1, 2, 3, 9}, 0.375},
	} {
		if p, z := slower(c.a, c.b); p != c.p || math.Signbit(z) != (p < 0.5) {
			t.Errorf("%v %v: %v, %v", c.a, c.b, p, z)
		}
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
	if status := ctx.Response.StatusCode(); status != fasthttp.StatusUnauthorized && status != fasthttp.StatusAccepted && status != fasthttp.StatusNotFound {
		r.Fatalf("%s: %d", body, status)
	}
	return took
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
