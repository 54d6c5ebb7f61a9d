package main

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// TestStalled talks to the gateway while each call of WeCom's API hangs for ten
// seconds. It answers in time all the same, also people it has to ask the
// directory about, and what it could not say then it says later.
func TestStalled(t *testing.T) {
	const (
		people  = 400 // half of them known before
		perSec  = 200
		seconds = 20
		calls   = perSec * seconds
	)
	storetest.Each(t, func(t *testing.T, url string) {
		t.Parallel()
		r := newRig(t, url, people, sim.Config{})
		i, c := r.start(), newCourier(t, r.box.Config())
		for n := range people / 2 {
			if status, _, err := c.deliver(t.Context(), i.url, agent(2*n), "/help", calls+n); status != 200 || err != nil {
				t.Fatal(status, err)
			}
		}
		r.box.SetFaults(sim.Faults{LatencyMS: 10_000})
		answers := make([]answer, calls)
		var all sync.WaitGroup
		tick := time.NewTicker(time.Second / perSec)
		defer tick.Stop()
		began := time.Now()
		for n := range calls {
			due := began.Add(time.Duration(n) * time.Second / perSec) // however late the test is: a person would have sent it then
			for time.Now().Before(due) {
				<-tick.C
			}
			all.Go(func() {
				person, text, _ := errand(n, people)
				status, reply, err := c.deliver(t.Context(), i.url, person, text, n)
				answers[n] = answer{status, reply, err, time.Since(due)}
			})
		}
		all.Wait()
		r.box.SetFaults(sim.Faults{})
		back := time.Now()
		checkTimes(t, answers)
		r.settled()
		t.Logf("all was said %.1f s after the API was back", time.Since(back).Seconds())

		seen, want := make([]int, people), map[string]int{}
		for n, a := range answers {
			_, _, effect := errand(n, people)
			want[effect]++
			if a.reply != "" {
				seen[n%people]++
			}
		}
		if diff := cmp.Diff(want, r.effects()); diff != "" {
			t.Errorf("effects (-want +got)\n%s", diff)
		}
		for n := range people {
			if sum := seen[n] + len(r.box.Inbox(agent(n))); sum != calls/people {
				t.Errorf("%s said %d things and saw %d answers", agent(n), calls/people, sum)
			}
		}
		r.clean()
	})
}

// answer is how a callback was answered, and how long after it was due.
type answer struct {
	status int
	reply  string
	err    error
	took   time.Duration
}

// checkTimes holds answers to the promise: 99.9 % in a second, all in four.
func checkTimes(t *testing.T, answers []answer) {
	t.Helper()
	took := make([]time.Duration, len(answers))
	late := 0
	for n, a := range answers {
		if a.status != 200 || a.err != nil {
			t.Errorf("call %d: %d, %v", n, a.status, a.err)
		}
		if took[n] = a.took; a.took >= time.Second {
			late++
		}
	}
	slices.Sort(took)
	at := func(share float64) string {
		return fmt.Sprintf("%d ms", took[int(share*float64(len(took)-1))].Milliseconds())
	}
	t.Logf("%d callbacks: half in %s, 99 %% in %s, 99.9 %% in %s, the last in %s; %d later than a second", len(took), at(0.5), at(0.99), at(0.999), at(1), late)
	if late > len(took)/1000 {
		t.Errorf("%d of %d callbacks were answered after more than a second", late, len(took))
	}
	if last := took[len(took)-1]; last >= 4*time.Second {
		t.Errorf("a callback was answered after %s", last)
	}
}
