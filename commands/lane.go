package commands

import (
	"hash/maphash"
	"runtime"
	"slices"
	"sync"

	"deskbell/store"
)

const (
	peopleAtOnce = 64  // whose messages share a transaction
	itemsAtOnce  = 256 // messages in a transaction
)

// lane is a queue of people with something to do. Everything waiting in it when
// it is free runs in one transaction: one commit for many. A person is always in
// the same lane, so their messages never overtake each other.
type lane struct {
	mu     sync.Mutex
	people []string
	orphan map[string]bool // queued people; true: an earlier run of theirs may have ended a process
	now    map[string]bool // people being worked for
	wake   chan struct{}
}

func newLane() *lane {
	return &lane{orphan: map[string]bool{}, now: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// lanesFor tells how many transactions may run side by side: SQLite has one
// writer, PostgreSQL joins the commits of several.
func lanesFor(s *store.Store) int {
	if s.Postgres() {
		return 2
	}
	return 1
}

func (r *Runner) lane(person string) *lane {
	return r.lanes[maphash.String(r.seed, person)%uint64(len(r.lanes))]
}

func (l *lane) add(person string, orphan bool) {
	l.mu.Lock()
	if was, queued := l.orphan[person]; queued {
		l.orphan[person] = was || orphan
	} else {
		l.people, l.orphan[person] = append(l.people, person), orphan
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) has(person string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, queued := l.orphan[person]
	return queued || l.now[person]
}

// next takes the people at the head of the queue: either orphans or others,
// which are worked for differently.
func (l *lane) next() (people []string, orphans bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.now)
	if len(l.people) > 0 {
		orphans = l.orphan[l.people[0]]
	}
	return l.take(nil, orphans), orphans
}

// join adds the people who have come since to those who are no orphans.
func (l *lane) join(people []string) []string {
	l.gather()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.take(people, false)
}

func (l *lane) take(people []string, orphans bool) []string {
	for len(l.people) > 0 && len(people) < peopleAtOnce && l.orphan[l.people[0]] == orphans {
		p := l.people[0]
		people = append(people, p)
		l.people = l.people[1:]
		delete(l.orphan, p)
		l.now[p] = true
	}
	return people
}

// gather lets everybody else run for as long as that brings more people: whoever
// was just told that their message is committed is about to join, and would
// otherwise just miss this transaction.
func (l *lane) gather() {
	for before := -1; before < l.queued(); {
		before = l.queued()
		runtime.Gosched()
	}
}

func (l *lane) queued() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.people)
}

func (r *Runner) drive(l *lane) {
	for {
		l.gather()
		people, orphans := l.next()
		switch {
		case len(people) == 0:
			select {
			case <-l.wake:
			case <-r.life.Done():
				return
			}
		case r.life.Err() != nil:
			return
		case orphans:
			r.adopt(people)
		default:
			r.work(&crew{people: people, lane: l})
		}
	}
}

// crew are the people whose messages share a transaction. Whoever comes while it
// waits for its turn is taken along.
type crew struct {
	mu     sync.Mutex
	people []string
	lane   *lane // nil: nobody else comes along
}

// all closes the list of people and returns it.
func (c *crew) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lane != nil {
		c.people, c.lane = c.lane.join(c.people), nil
	}
	return c.people
}

// adopt works for people whose messages an ended process left. Messages that
// were there when it ended once more are tried one person at a time, and after
// too many ends not at all: one message must not keep everybody else's from
// running.
func (r *Runner) adopt(people []string) {
	groups := [][]string{people}
	suspect, err := r.Store.Attempted(r.life, people)
	if suspect {
		groups = slices.Collect(slices.Chunk(people, 1))
	}
	for _, group := range groups {
		if err == nil {
			err = r.Store.Attempt(r.life, group)
		}
		if err != nil {
			r.Log.Warn("cannot take up orphaned messages", "err", err) // the sweep comes by again
			return
		}
		r.work(&crew{people: group})
	}
}
