package commands

import (
	"context"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

const (
	// holdFor is how long a message waits for a directory that does not answer
	// before its sender is told so.
	holdFor = 15 * time.Minute
	// orphanedAfter is how long a message lies undone before another instance
	// takes it: longer than any message takes whose instance lives.
	orphanedAfter = 3 * time.Second
	sweepEvery    = 2 * time.Second
	sweepAtOnce   = 512
)

// admit queues a person's messages, after the directory said who they are.
func (r *Runner) admit(userID string) {
	person := bot.Canonical(userID)
	if _, ok := r.Directory.Peek(userID); ok {
		bot.Failpoint("after-directory")
		r.lane(person).add(person, false)
		return
	}
	r.ask(person, userID, false)
}

// ask asks the directory about a person until it answers, and queues them then.
// Everything they say meanwhile waits in the store, in order.
func (r *Runner) ask(person, userID string, orphan bool) {
	r.mu.Lock()
	asked := r.asked[person]
	r.asked[person] = true
	r.mu.Unlock()
	if asked {
		return
	}
	r.running.Go(func() {
		began := time.Now()
		for delay := time.Second; time.Since(began) < holdFor; delay = min(2*delay, 15*time.Second) {
			err := r.question(userID)
			if err == nil {
				break
			}
			if r.life.Err() != nil {
				return
			}
			r.Log.Warn("directory does not answer; messages wait", "user", person, "err", err)
			select {
			case <-time.After(delay):
			case <-r.life.Done():
				return
			}
		}
		r.mu.Lock()
		delete(r.asked, person)
		r.mu.Unlock()
		bot.Failpoint("after-directory")
		r.lane(person).add(person, orphan)
	})
}

func (r *Runner) question(userID string) error {
	select {
	case r.asking <- struct{}{}:
		defer func() { <-r.asking }()
	case <-r.life.Done():
		return r.life.Err()
	}
	ctx, cancel := context.WithTimeout(r.life, 15*time.Second)
	defer cancel()
	_, err := r.Directory.Person(ctx, userID)
	return err
}

// sweep takes up messages that were committed and then left: the process that
// had them died. On SQLite that was the process before this one.
func (r *Runner) sweep() {
	before := time.Duration(0)
	if r.Store.Postgres() {
		before = orphanedAfter // other instances may be at work
	}
	for {
		people, err := r.Store.Orphans(r.life, r.Store.Now().Add(-before), sweepAtOnce)
		if err != nil && r.life.Err() == nil {
			r.Log.Warn("cannot look for orphaned messages", "err", err)
		}
		for _, person := range people {
			if !r.busyWith(person) {
				r.ask(person, person, true)
			}
		}
		before = orphanedAfter
		select {
		case <-time.After(sweepEvery):
		case <-r.life.Done():
			return
		}
	}
}

// takeOver runs a message that nobody is working on.
func (r *Runner) takeOver(m bot.Message) {
	person := bot.Canonical(m.From)
	if r.busyWith(person) {
		return
	}
	if left, err := r.Store.Left(r.life, m.Key); err == nil && left {
		r.ask(person, m.From, true)
	}
}

// busyWith reports whether this process has a person's messages in hand.
func (r *Runner) busyWith(person string) bool {
	r.mu.Lock()
	asked := r.asked[person]
	r.mu.Unlock()
	return asked || r.lane(person).has(person)
}

// verdict is what the directory said of a message's sender. ok is false when it
// has to be asked (again) first.
func (r *Runner) verdict(it store.Item) (p bot.Person, ok bool) {
	if p, ok = r.Directory.Peek(it.From); ok {
		return p, true
	}
	if r.Store.Now().Sub(it.Received) >= holdFor {
		return bot.Person{ID: it.From, State: bot.Unreachable}, true
	}
	return bot.Person{}, false
}
