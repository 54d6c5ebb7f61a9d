package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"
)

const (
	deskPeople = 200
	deskAgents = 20
	deskRounds = 5 // things each person says, and is answered
	deskKills  = 10
	deskTurns  = deskPeople * (deskRounds + 1) // the first is /session
)

// TestDeskWhileInstancesDie has people ask in WeCom and agents answer over REST,
// at three processes of which one is killed again and again, while both sides
// look on at streams that break off. Each side sees each message once, in order.
func TestDeskWhileInstancesDie(t *testing.T) {
	for by, environ := range map[string][]string{
		"polling": nil, // how an instance finds out what was said at another
		"redis":   {"DESKBELL_REDIS_URL=" + storetest.Redis(t)},
	} {
		t.Run(by, func(t *testing.T) {
			var people []sim.Person
			for i := range deskPeople {
				people = append(people, sim.Person{ID: guest(i), Name: guest(i), Departments: []int{1}})
			}
			r := newRig(t, storetest.Postgres(t), deskAgents, sim.Config{People: people, RetryAfter: 20 * time.Millisecond})
			began := time.Now()
			h := newHall(r, 3, append(environ, fmt.Sprint("DESKBELL_DESK_MAX_LOAD=", deskPeople/deskAgents),
				"DESKBELL_LIMITS_LOGIN_PER_ADDRESS=off", "DESKBELL_LIMITS_PUSHES_PER_PERSON=25/m"))
			h.agentsCome()
			set := time.Now()
			dropping := h.dropStreams()
			talks := h.talks()
			dropping()
			took := time.Since(set)
			h.compare(talks)
			h.leave()
			r.intact()
			t.Logf("%d messages between %d people and %d agents in %.1f s (%.1f s with setting up): %d kills, %d of %d streams dropped, %d callbacks and %d answers repeated",
				2*deskRounds*deskPeople, deskPeople, deskAgents, took.Seconds(), time.Since(began).Seconds(),
				h.kills, h.dropped.Load(), h.streams.Load(), h.redelivered.Load(), h.reposted.Load())
			if h.kills < deskKills || h.dropped.Load() < deskPeople {
				t.Errorf("%d kills and %d dropped streams are too few to show anything", h.kills, h.dropped.Load())
			}
		})
	}
}

// dialog is what one person asks the desk, and how it looked to both sides.
type dialog struct {
	asker string
	visit
	sides [2]*viewer // the asker, their agent
}

func (d *dialog) asks(n int) string    { return fmt.Sprintf("%s asks %d", d.asker, n) }
func (d *dialog) answers(n int) string { return fmt.Sprintf("%s is told %d", d.asker, n) }

// agentsCome has the agents sign in and go online.
func (h *hall) agentsCome() {
	var all sync.WaitGroup
	tokens := make([]string, deskAgents)
	for i := range tokens {
		all.Go(func() {
			tokens[i] = h.enter(agent(i), "/login").token
			h.say(agent(i), "/status online")
		})
	}
	all.Wait()
	for i, token := range tokens {
		h.tokens[agent(i)] = token
	}
}

// talks has everybody talk, and returns when both sides have seen it all, or will
// not any more.
func (h *hall) talks() []*dialog {
	all := make([]*dialog, deskPeople)
	turn := make(chan struct{})
	var people sync.WaitGroup
	for i := range all {
		all[i] = &dialog{asker: guest(i)}
		people.Go(func() { h.talk(all[i], turn) })
	}
	serving := make(chan struct{}, 1)
	serving <- struct{}{}
	for n := 0; n < deskTurns && h.ctx.Err() == nil; n++ {
		if n%(deskTurns/deskKills) == deskTurns/deskKills/2 {
			<-serving // the one that came after the last
			next := h.kill()
			go func() {
				next()
				serving <- struct{}{}
			}()
		}
		select {
		case turn <- struct{}{}:
		case <-h.ctx.Done():
		}
	}
	<-serving
	people.Wait()
	return all
}

// talk is one person's part, and what their agent does for them.
func (h *hall) talk(d *dialog, turn <-chan struct{}) {
	if !h.await(turn) {
		return
	}
	if d.visit = h.enter(d.asker, "/session"); d.token == "" {
		return
	}
	own := newViewer(h, d.id, d.token, 2*deskRounds)
	var sides sync.WaitGroup
	defer sides.Wait()
	sides.Go(own.follow)
	sides.Go(func() {
		if !h.await(own.assigned) {
			return
		}
		if h.attended.Add(1) == deskPeople {
			close(h.full)
		}
		theirs := newViewer(h, d.id, h.tokens[own.agent], 2*deskRounds)
		d.sides = [2]*viewer{own, theirs}
		sides.Go(theirs.follow)
		for n := range deskRounds {
			if !h.await(theirs.asked) {
				return
			}
			h.answer(theirs.token, d.id, d.answers(n))
		}
	})
	for n := range deskRounds {
		if !h.await(turn) {
			return
		}
		h.say(d.asker, d.asks(n))
	}
	if h.await(own.all) && h.await(h.full) { // nobody makes room: all agents have as many as they may
		h.say(d.asker, "/session close") // the last that is seen
	}
}

// dropStreams breaks off somebody's stream again and again, wherever it is, until
// what it returns is called.
func (h *hall) dropStreams() (stop func()) {
	done := make(chan struct{})
	var dropping sync.WaitGroup
	dropping.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				h.dropOne()
			}
		}
	})
	return func() {
		close(done)
		dropping.Wait()
	}
}

// compare holds what each side saw against what was said, and against what the
// store kept.
func (h *hall) compare(all []*dialog) {
	h.Helper()
	kept := h.kept()
	loads, faults := map[string]int{}, 0
	for _, d := range all {
		if d.sides[0] == nil {
			if faults++; faults <= 10 {
				h.Errorf("%s was not attended to", d.asker)
			}
			continue
		}
		loads[d.sides[0].agent]++
		for side, v := range d.sides {
			for _, fault := range d.faults(v, kept[d.id]) {
				if faults++; faults <= 10 {
					h.Errorf("%s, side %d: %s", d.asker, side, fault)
				}
			}
		}
	}
	if faults > 10 {
		h.Errorf("%d faults in all", faults)
	}
	for who, load := range loads {
		if load != deskPeople/deskAgents {
			h.Errorf("%s has %d sessions", who, load)
		}
	}
}

// faults are what is wrong with what a side saw. That its numbers have neither
// gaps nor repeats was seen to as they came.
func (d *dialog) faults(v *viewer, kept []heard) (faults []string) {
	if !v.over {
		return []string{fmt.Sprintf("saw %d messages and waits for more", len(v.seen))}
	}
	var asked, answered, wantAsked, wantAnswered []string
	for _, m := range v.seen {
		switch m.Role {
		case "user":
			asked = append(asked, m.Content)
		case "assistant":
			answered = append(answered, m.Content)
		}
	}
	for n := range deskRounds {
		wantAsked, wantAnswered = append(wantAsked, d.asks(n)), append(wantAnswered, d.answers(n))
	}
	if !slices.Equal(asked, wantAsked) {
		faults = append(faults, fmt.Sprintf("the asker said %q", asked))
	}
	if !slices.Equal(answered, wantAnswered) {
		faults = append(faults, fmt.Sprintf("the agent said %q", answered))
	}
	if !slices.EqualFunc(v.seen, kept, func(a, b heard) bool {
		return a.N == b.N && a.ID == b.ID && a.Role == b.Role && (a.Content == b.Content || a.Role == "system")
	}) {
		faults = append(faults, fmt.Sprintf("the store has %+v, they saw %+v", kept, v.seen))
	}
	return faults
}

// kept is what the store has of each session, in its order.
func (h *hall) kept() map[string][]heard {
	h.Helper()
	rows, err := storetest.Open(h, h.store).Query("SELECT conversation, n, id, role, content FROM conversation_messages")
	if err != nil {
		h.Fatal(err)
	}
	defer rows.Close()
	all := map[string][]heard{}
	for rows.Next() {
		var session string
		var m heard
		if err := rows.Scan(&session, &m.N, &m.ID, &m.Role, &m.Content); err != nil {
			h.Fatal(err)
		}
		all[session] = append(all[session], m)
	}
	if err := rows.Err(); err != nil {
		h.Fatal(err)
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b heard) int { return cmp.Compare(a.N, b.N) })
	}
	return all
}

// figures count what happened to those who talked.
type figures struct {
	dropped, streams, redelivered, reposted, attended atomic.Int64
}

// dropOne breaks off one stream that is open.
func (h *hall) dropOne() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) > 0 && h.viewers[rand.IntN(len(h.viewers))].drop() {
		h.dropped.Add(1)
	}
}
