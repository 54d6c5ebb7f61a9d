package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"
)

const (
	killsAtLeast = 100
	killCalls    = 3000
	killPeople   = 150 // WeCom shows a person 30 messages a minute
)

// TestKills kills the process again and again while people talk to it. What it
// acknowledged takes effect once, and is answered once.
func TestKills(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRig(t, url, killPeople, sim.Config{RetryAfter: 20 * time.Millisecond})
		r.box.SetFaults(sim.Faults{LostAcks: killCalls / 10})
		began := time.Now()
		var again atomic.Int64 // deliveries that WeCom had to repeat
		said := make(chan struct{})
		go func() {
			defer close(said)
			r.sayAll(&again)
		}()
		kills := 0
		for done := false; !done; {
			i := r.start()
			r.box.SetCallback(i.url)
			select {
			case <-said:
				done = true
				r.answered(i)
				if err := i.stop(); err != nil {
					t.Error(err)
				}
			case <-time.After(60*time.Millisecond + rand.N(200*time.Millisecond)):
				i.kill()
				kills++
			}
		}
		lost, doubled := r.tally()
		t.Logf("%d callbacks, %d of them delivered more than once, %d kills, %.1f s: %d lost, %d doubled", killCalls, again.Load(), kills, time.Since(began).Seconds(), lost, doubled)
		if kills < killsAtLeast {
			t.Errorf("%d kills are too few to show anything", kills)
		}
		if n := r.count("SELECT count(*) FROM inbox"); n != killCalls {
			t.Errorf("%d messages are in the inbox", n)
		}
		r.clean()
	})
}

// wish is what call n says: no two of a person's leave the same audit entry.
func wish(n int) (person, text, effect string) {
	person, span := agent(n%killPeople), 100+n/killPeople
	return person, fmt.Sprintf("/status busy %dm", span), fmt.Sprintf("%s status.set busy %dm", person, span)
}

// sayAll has eight senders say everything, each message until it is received.
func (r *rig) sayAll(again *atomic.Int64) {
	next := make(chan int)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for n := range next {
				person, text, _ := wish(n)
				d := r.box.Say(person, text)
				if d.Attempts > 1 {
					again.Add(1)
				}
				for !d.OK() {
					d = r.box.Redeliver(d)
				}
			}
		})
	}
	tick := time.NewTicker(6 * time.Millisecond)
	defer tick.Stop()
	for n := range killCalls {
		<-tick.C
		next <- n
	}
	close(next)
	senders.Wait()
}

// answered waits until everybody has seen the card that answers each message.
func (r *rig) answered(i *instance) {
	ctx := r.within(patience)
	for n := range killPeople {
		want := killCalls / killPeople
		inbox, err := r.box.WaitFor(ctx, agent(n), func(inbox []sim.Received) bool { return cards(inbox) >= want })
		if err != nil || len(inbox) != want {
			i.kill()
			r.Fatalf("%s sees %d messages, %d of them cards: %v\n%s", agent(n), len(inbox), cards(inbox), err, &i.log)
		}
	}
	r.settled()
}

// tally compares what was said with what happened.
func (r *rig) tally() (lost, doubled int) {
	done := r.effects()
	for n := range killCalls {
		_, _, effect := wish(n)
		switch times := done[effect]; {
		case times == 0:
			lost++
			r.Errorf("lost: %s", effect)
		case times > 1:
			doubled++
			r.Errorf("%d times: %s", times, effect)
		}
	}
	return lost, doubled
}
