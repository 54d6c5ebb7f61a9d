package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"
)

const (
	killsAtLeast = 100
	killCalls    = 3000
	killPeople   = 150                        // WeCom shows a person 30 messages a minute
	callsPerLife = killCalls/killsAtLeast - 2 // so that there are lives enough
)

// TestKills kills the process again and again while people talk to it. What it
// acknowledged takes effect once, and is answered once.
func TestKills(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRig(t, url, killPeople, sim.Config{RetryAfter: 20 * time.Millisecond})
		began := time.Now()
		c := newCrowd(r)
		kills := 0
		for {
			i := r.start()
			r.box.SetFaults(sim.Faults{LostAcks: 3})
			if c.live(60*time.Millisecond + rand.N(200*time.Millisecond)) {
				r.answered(i)
				if err := i.stop(); err != nil {
					t.Error(err)
				}
				break
			}
			i.kill()
			kills++
		}
		lost, doubled := r.tally()
		t.Logf("%d callbacks, %d of them delivered more than once, %d kills, %.1f s: %d lost, %d doubled",
			killCalls, c.repeated, kills, time.Since(began).Seconds(), lost, doubled)
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

// crowd is everybody who talks, through eight connections.
type crowd struct {
	queue    chan letter
	said     int            // calls made so far
	open     sync.WaitGroup // calls not received yet
	received chan struct{}  // closed when all were

	mu       sync.Mutex
	repeated int // calls that WeCom had to repeat
}

// letter is a call, on its way for the first time or again.
type letter struct {
	n     int
	tried sim.Delivery // zero at first
}

func newCrowd(r *rig) *crowd {
	c := &crowd{queue: make(chan letter, killCalls), received: make(chan struct{})}
	c.open.Add(killCalls)
	for range 8 {
		go c.send(r.box)
	}
	go func() {
		c.open.Wait()
		close(c.queue)
		close(c.received)
	}()
	return c
}

// send delivers letters until each was received, those that were not in their
// turn.
func (c *crowd) send(box *sim.Sim) {
	for l := range c.queue {
		if l.tried.User == "" {
			person, text, _ := wish(l.n)
			l.tried = box.Say(person, text)
			c.mu.Lock()
			if l.tried.Attempts > 1 {
				c.repeated++
			}
			c.mu.Unlock()
		} else {
			l.tried = box.Redeliver(l.tried)
		}
		if l.tried.OK() {
			c.open.Done()
		} else {
			c.queue <- l
		}
	}
}

// live says things for as long as the process lives, and reports whether
// everything was said and received.
func (c *crowd) live(span time.Duration) bool {
	end := time.After(span)
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for left := callsPerLife; ; {
		select {
		case <-c.received:
			return true
		case <-end:
			return false
		case <-tick.C:
			if left > 0 && c.said < killCalls {
				c.queue <- letter{n: c.said}
				c.said++
				left--
			}
		}
	}
}

// answered waits until everybody has seen the card that answers each message, and
// looks again, once nothing is left to be sent, whether they saw more.
func (r *rig) answered(i *instance) {
	const want = killCalls / killPeople
	ctx := r.within(patience)
	for n := range killPeople {
		inbox, err := r.box.WaitFor(ctx, agent(n), func(inbox []sim.Received) bool { return cards(inbox) >= want })
		if err != nil {
			i.kill()
			r.Fatalf("%s sees %d messages, %d of them cards: %v\n%s", agent(n), len(inbox), cards(inbox), err, &i.log)
		}
	}
	r.settled()
	for n := range killPeople {
		if inbox := r.box.Inbox(agent(n)); len(inbox) != want {
			r.Errorf("%s said %d things and sees %d answers", agent(n), want, len(inbox))
		}
	}
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
