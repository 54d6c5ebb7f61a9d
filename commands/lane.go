package commands

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

const (
	peopleAtOnce = 64  // whose messages share a transaction
	itemsAtOnce  = 256 // messages in a transaction
	workWithin   = 15 * time.Second
	// poisonous is how many crashes a message may have been part of. Suspects run
	// alone, so an innocent one does not get there.
	poisonous = 6
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

// landing is a message that was dealt with, for telling the deliveries that
// wait for it and the log.
type landing struct {
	key, text string
	user, cmd string
	outcome   string
	err       *bot.Error
	took      time.Duration
}

// outcome is what became of one transaction.
type outcome struct {
	landed []landing
	again  []string // people who have more to do, or about whom the directory must be asked
	more   bool     // there was no room for all their messages
	err    error
}

// culprit is the failure of a command that had already written something, or
// broke in a way that leaves the transaction useless: everything in it must be
// done again, without this command.
type culprit struct {
	key string
	err *bot.Error
}

func (c *culprit) Error() string { return c.err.Error() }

// work runs what these people said. It returns when that is done and committed,
// or the Runner is closed.
func (r *Runner) work(c *crew) {
	settled := map[string]*bot.Error{} // failures already known: their commands do not run again
	for delay := 100 * time.Millisecond; ; {
		o := r.attempt(c, settled)
		people := c.all()
		if o.err == nil {
			r.finish(people, o)
			return
		}
		if failed, ok := errors.AsType[*culprit](o.err); ok {
			settled[failed.key] = failed.err
			continue
		}
		if len(people) > 1 && !store.Transient(o.err) { // find out whose it is
			for _, p := range people {
				r.work(&crew{people: []string{p}})
			}
			return
		}
		r.Log.Error("messages wait: the store does not take their effects", "people", len(people), "err", o.err)
		select {
		case <-time.After(delay):
			delay = min(2*delay, 5*time.Second)
		case <-r.life.Done():
			return
		}
	}
}

func (r *Runner) finish(people []string, o outcome) {
	for _, l := range o.landed {
		r.land(l.key, l.text, nil)
		r.record(l)
	}
	for _, p := range o.again {
		r.ask(p, p, false)
	}
	if o.more {
		for _, p := range people {
			r.lane(p).add(p, false)
		}
	}
}

func (r *Runner) record(l landing) {
	if r.Counted != nil {
		r.Counted(l.cmd, l.outcome)
	}
	attrs := []any{"user", l.user, "cmd", l.cmd, "outcome", l.outcome, "dur", l.took}
	if l.err == nil || l.err.Kind != bot.Internal {
		r.Log.Info("message", attrs...)
		return
	}
	if f, ok := l.err.Data.(bot.Fault); ok {
		attrs = append(attrs, "ref", f.Ref)
	}
	r.Log.Error("message", append(attrs, "err", l.err.Err)...)
}

// attempt runs one transaction and watches it from outside. A command that hangs
// cannot be stopped, but it can be abandoned: its transaction is rolled back
// under it, and it can touch nothing else.
func (r *Runner) attempt(c *crew, settled map[string]*bot.Error) outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.life), workWithin)
	defer cancel()
	w := &watch{}
	result := make(chan outcome, 1)
	settled = maps.Clone(settled) // an abandoned transaction may still read its own
	go func() { result <- r.transact(ctx, c, settled, w) }()
	every := r.Limit / 4
	tick := time.NewTicker(every)
	defer tick.Stop()
	for looked := time.Now(); ; {
		select {
		case o := <-result:
			if o.err != nil {
				r.release(w.begun())
			}
			return o
		case <-tick.C:
			late := time.Since(looked) - every
			looked = time.Now()
			if late > every { // so was everything else: the whole process stood still
				w.forgive(late)
			}
			if key := w.hung(r.Limit); key != "" {
				e := bot.Fail(bot.Internal, "error.timeout", bot.Fault{Ref: bot.NewRef()}, fmt.Errorf("the command ran for more than %s", r.Limit))
				r.release(w.begun())
				return outcome{err: &culprit{key, e}}
			}
		}
	}
}

func (r *Runner) transact(ctx context.Context, c *crew, settled map[string]*bot.Error, w *watch) (o outcome) {
	o.err = r.Store.Work(ctx, c.all, itemsAtOnce, func(tx *store.Tx, items []store.Item) error {
		waits := map[string]bool{}
		for _, it := range items {
			if waits[it.Person] {
				continue
			}
			p, ok := r.verdict(it)
			if ok && it.Departed && p.State == bot.Active { // another instance heard that they left
				r.Directory.Forget(it.From)
				ok = false
			}
			if !ok && it.Event != bot.Unsubscribed {
				waits[it.Person] = true
				o.again = append(o.again, it.Person)
				continue
			}
			w.begin(tx, it.Key)
			l, err := r.one(ctx, tx, it, p, settled[it.Key])
			w.end()
			if err != nil {
				return err
			}
			o.landed = append(o.landed, l)
		}
		o.more = len(items) == itemsAtOnce
		return nil
	})
	return o
}

// watch shows the watcher of a transaction which command is running.
type watch struct {
	mu    sync.Mutex
	key   string
	since time.Time
	tx    *store.Tx
	keys  []string // of every message begun
}

func (w *watch) begin(tx *store.Tx, key string) {
	w.mu.Lock()
	w.tx, w.key, w.since = tx, key, time.Now()
	w.keys = append(w.keys, key)
	w.mu.Unlock()
}

func (w *watch) end() {
	w.mu.Lock()
	w.key = ""
	w.mu.Unlock()
}

// hung names the message whose command has run for longer than limit, unless it
// is the database that keeps it waiting.
func (w *watch) hung(limit time.Duration) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.key != "" && w.tx.Waiting() {
		w.since = time.Now()
	}
	if w.key == "" || time.Since(w.since) < limit {
		return ""
	}
	return w.key
}

// forgive leaves a time out of account.
func (w *watch) forgive(d time.Duration) {
	w.mu.Lock()
	w.since = w.since.Add(d)
	w.mu.Unlock()
}

func (w *watch) begun() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.keys)
}
