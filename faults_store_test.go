package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"
)

// TestStoreDown takes PostgreSQL away. A callback that cannot be kept is not
// acknowledged; when the store is back, so is the service.
func TestStoreDown(t *testing.T) {
	for name, down := range map[string]func(*tap){"refuses": (*tap).refuse, "hangs": (*tap).hang, "vanishes": (*tap).vanish} {
		t.Run(name, func(t *testing.T) {
			const calls = 20
			r := newRig(t, storetest.Postgres(t), calls, sim.Config{})
			p := newTap(t, r.store)
			r.configure(p.url)
			i, c := r.start(), newCourier(t, r.box.Config())
			say := func(n, round int) int {
				status, _, err := c.deliver(t.Context(), i.url, agent(n), fmt.Sprintf("/status busy %dm", 100+round), 100*round+n)
				if err != nil {
					t.Error(err)
				}
				return status
			}
			sayAll := func(round, want int) (took time.Duration) {
				began := time.Now()
				var all sync.WaitGroup
				for n := range calls {
					all.Go(func() {
						if status := say(n, round); status != want {
							t.Errorf("round %d: answered %d, not %d", round, status, want)
						}
					})
				}
				all.Wait()
				return time.Since(began)
			}
			sayAll(1, 200)
			down(p)
			refused := sayAll(2, 503)
			p.restore()
			back := time.Now()
			for say(0, 2) != 200 && time.Since(back) < patience {
			}
			recovered := time.Since(back)
			sayAll(2, 200)
			t.Logf("answered 503 within %.1f s; 200 again %.2f s after the store was back", refused.Seconds(), recovered.Seconds())
			if refused >= 5*time.Second {
				t.Error("WeCom waits 5 s at most")
			}
			if recovered > 2*time.Second {
				t.Error("back too late")
			}
			r.settled()
			for n := range calls {
				for round := range 2 {
					effect := fmt.Sprintf("%s status.set busy %dm", agent(n), 101+round)
					if times := r.effects()[effect]; times != 1 {
						t.Errorf("%d times: %s", times, effect)
					}
				}
			}
			r.clean()
		})
	}
}
