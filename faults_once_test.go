package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestOneEffect delivers one message sixteen times at the same moment: it takes
// effect once, and all are answered the same.
func TestOneEffect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRig(t, url, 1, sim.Config{})
		i, c := r.start(), newCourier(t, r.box.Config())
		for id, text := range []string{"/login", "/logout"} { // logging out twice would say so
			replies := make([]string, 16)
			var all sync.WaitGroup
			for n := range replies {
				all.Go(func() {
					status, reply, err := c.deliver(t.Context(), i.url, agent(0), text, id+1)
					if status != 200 || err != nil {
						t.Errorf("%s: %d, %v", text, status, err)
					}
					replies[n] = reply
				})
			}
			all.Wait()
			for _, reply := range replies {
				if reply != replies[0] || (reply == "") != (text == "/login") {
					t.Fatalf("%s was answered %q", text, replies)
				}
			}
		}
		r.settled()
		if diff := gocmp.Diff(map[string]int{agent(0) + " link.make /agent/chat": 1, agent(0) + " tokens.revoke chat 1": 1}, r.effects()); diff != "" {
			t.Errorf("effects (-want +got)\n%s", diff)
		}
		if n := cards(r.box.Inbox(agent(0))); n != 1 {
			t.Errorf("%d login cards", n)
		}
		r.clean()
	})
}

// TestFourInstances gives each of four instances the same callbacks at the same
// time.
func TestFourInstances(t *testing.T) {
	const (
		instances = 4
		calls     = 10_000
		people    = 500
		senders   = 48
	)
	r := newRig(t, storetest.Postgres(t), people, sim.Config{})
	var urls []string
	for range instances {
		urls = append(urls, r.start().url)
	}
	c := newCourier(t, r.box.Config())
	want := map[string]int{}
	for n := range calls {
		_, _, effect := errand(n, people)
		want[effect]++
	}
	var late atomic.Int64
	began := time.Now()
	spread(senders, calls, func(n int) {
		person, text, _ := errand(n, people)
		late.Add(r.sameAnswer(c, urls, person, text, n+1))
	})
	took := time.Since(began)
	r.settled()
	got, total := r.effects(), 0
	for _, n := range got {
		total += n
	}
	t.Logf("%d callbacks to each of %d instances: %.1f s, %.0f deliveries/s, %d effects; %d deliveries waited their time out", calls, instances, took.Seconds(), calls*instances/took.Seconds(), total, late.Load())
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("effects (-want +got)\n%s", diff)
	}
	r.clean()
}

// spread calls fn with the first n numbers, through so many hands.
func spread(hands, n int, fn func(n int)) {
	next := make(chan int)
	var done sync.WaitGroup
	for range hands {
		done.Go(func() {
			for n := range next {
				fn(n)
			}
		})
	}
	for n := range n {
		next <- n
	}
	close(next)
	done.Wait()
}

// errand is what call n says, in turn something answered by a card and by a
// text. The effects of the former are all different.
func errand(n, people int) (person, text, effect string) {
	person, round := agent(n%people), n/people
	if round%2 == 0 {
		return person, fmt.Sprintf("/status busy %dm", 100+round), fmt.Sprintf("%s status.set busy %dm", person, 100+round)
	}
	return person, "/logout", person + " tokens.revoke chat 0"
}

// sameAnswer delivers a message to all instances at once. Those that answered did
// so with the same; a delivery may also have had to go without, after its time.
func (r *rig) sameAnswer(c *courier, urls []string, person, text string, id int) (late int64) {
	const soon = 600 * time.Millisecond // nobody is let go before
	type answer struct {
		reply string
		took  time.Duration
	}
	answers := make([]answer, len(urls))
	var all sync.WaitGroup
	for n, url := range urls {
		all.Go(func() {
			began := time.Now()
			status, reply, err := c.deliver(r.Context(), url, person, text, id)
			if status != 200 || err != nil {
				r.Errorf("message %d: %d, %v", id, status, err)
			}
			answers[n] = answer{reply, time.Since(began)}
		})
	}
	all.Wait()
	some := slices.MaxFunc(answers, func(a, b answer) int { return cmp.Compare(a.reply, b.reply) }).reply
	for _, a := range answers {
		switch {
		case a.reply == some:
		case a.reply == "" && a.took > soon:
			late++
		default:
			r.Errorf("message %d was answered %v", id, answers)
			return late
		}
	}
	return late
}
