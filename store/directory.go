package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"deskbell/bot"
)

const (
	// grace is how long the directory's last word on a person stands when the
	// directory cannot be asked.
	grace = 24 * time.Hour
	// patience is how long one who asks waits for a slow directory that has given
	// a last word before, until that is taken.
	patience = 300 * time.Millisecond
	// refusedTTL is how long a refusal stands: short, so that somebody who was
	// just added is not turned away for long.
	refusedTTL = 10 * time.Second
	// answerTime is how long a login waits for the directory.
	answerTime = 4 * time.Second
)

// Directory remembers what the corporate directory says of people: in the
// process for TTL, and in the store for when it cannot be asked. A userid is
// asked for once at a time, however many wait for it.
type Directory struct {
	Store  *Store
	Lookup func(ctx context.Context, userID string, tags []int) (bot.Person, error)
	TTL    time.Duration // default 10 min

	mu     sync.Mutex
	known  map[string]verdict
	asked  map[string]*question
	forgot map[string]bool // what the store remembers of them does not count
}

// verdict is what the directory said of a person, in answer to a question that
// was put at a time.
type verdict struct {
	person bot.Person
	at     time.Time
}

type question struct {
	at     time.Time
	done   chan struct{}
	person bot.Person
	err    error
}

// Peek returns what is known of a person without waiting. ok is false when the
// directory has to be asked first.
func (d *Directory) Peek(userID string) (p bot.Person, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.known[bot.Canonical(userID)]
	return v.person, ok && d.fresh(v)
}

func (d *Directory) fresh(v verdict) bool { return d.Store.Now().Sub(v.at) < d.ttl(v) }

func (d *Directory) ttl(v verdict) time.Duration {
	ttl := cmp.Or(d.TTL, 10*time.Minute)
	if v.person.State != bot.Active {
		return min(ttl, refusedTTL)
	}
	return ttl
}

// Person returns what the directory says of a userid. When it cannot be asked,
// its last word stands for a day: it was active, or it was not. With no such
// word the state is Unreachable and the error says why.
func (d *Directory) Person(ctx context.Context, userID string) (bot.Person, error) {
	if !bot.ValidUserID(userID) {
		return bot.Person{ID: userID, State: bot.Unknown}, nil
	}
	if p, ok := d.Peek(userID); ok {
		return p, nil
	}
	id := bot.Canonical(userID)
	last, err := d.last(ctx, id)
	if err != nil {
		return bot.Person{ID: userID, State: bot.Unreachable}, err
	}
	if d.fresh(last) {
		return d.remember(id, last), nil
	}
	q := d.ask(id, userID)
	var hurry <-chan time.Time
	if last.stands(d.Store.Now()) {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		hurry = timer.C
	}
	select {
	case <-q.done:
		if q.err == nil {
			return q.person, nil
		}
		err = q.err
	case <-hurry:
		err = errors.New("the directory is slow")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if last.stands(d.Store.Now()) {
		d.Store.Log.Warn("directory: taking its last word", "user", id, "at", last.at, "err", err)
		last.at = d.Store.Now().Add(min(refusedTTL, d.ttl(last)) - d.ttl(last)) // ask again in a moment, not for each message
		return d.remember(id, last), nil
	}
	return bot.Person{ID: userID, State: bot.Unreachable}, fmt.Errorf("directory: %w", err)
}

// Ask asks the directory about a userid now, however lately it was asked before.
// asked is false when it could not be: p is then its last word, if that is no
// older than a day, or else Unreachable. A directory that answers, but not us
// (the secret or the address of this host is not right), has no last word: that
// is a fault to mend, and must open no door that an outage would.
func (d *Directory) Ask(ctx context.Context, userID string) (p bot.Person, asked bool, err error) {
	unreachable := bot.Person{ID: userID, State: bot.Unreachable}
	if !bot.ValidUserID(userID) {
		return bot.Person{ID: userID, State: bot.Unknown}, true, nil
	}
	id := bot.Canonical(userID)
	q := d.askAnew(id, userID)
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	select {
	case <-q.done:
		err = q.err
	case <-timer.C:
		err = bot.Fail(bot.Unavailable, "error.wecom", nil, errors.New("the directory is slow"))
	case <-ctx.Done():
		return unreachable, false, fmt.Errorf("ask the directory: %w", ctx.Err())
	}
	if err == nil {
		return q.person, true, nil
	}
	e, ok := errors.AsType[*bot.Error](err)
	if !ok && Transient(err) {
		return unreachable, false, err // it was the store
	}
	d.Store.Log.Warn("directory cannot be asked", "user", id, "err", err)
	if !ok || e.Kind != bot.Unavailable {
		return unreachable, false, nil
	}
	last, err := d.last(ctx, id)
	if err != nil || !last.stands(d.Store.Now()) {
		return unreachable, false, err
	}
	return last.person, false, nil
}

func (v verdict) stands(now time.Time) bool {
	return !v.at.IsZero() && now.Sub(v.at) < grace
}

// last is the latest word on id that the store remembers.
func (d *Directory) last(ctx context.Context, id string) (verdict, error) {
	d.mu.Lock()
	forgot := d.forgot[id]
	d.mu.Unlock()
	if forgot {
		return verdict{}, nil
	}
	p, err := findPerson(ctx, d.Store.reads, id)
	if errors.Is(err, ErrNotFound) {
		return verdict{}, nil
	}
	if err != nil {
		return verdict{}, err
	}
	return verdict{p.person(), p.CheckedAt}, nil
}

// remember keeps v, unless a later word came meanwhile, and returns what counts.
func (d *Directory) remember(id string, v verdict) bot.Person {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old, ok := d.known[id]; ok && old.at.After(v.at) {
		return old.person
	}
	if !d.forgot[id] {
		d.keep(id, v)
	}
	return v.person
}

func (d *Directory) keep(id string, v verdict) {
	if d.known == nil {
		d.known = map[string]verdict{}
	}
	if len(d.known) > 100_000 { // more people than any corporation has agents talking at once
		clear(d.known)
	}
	d.known[id] = v
}

// Forget makes the next question about a person go to the directory. What it
// said before does not count any more, not even as its last word.
func (d *Directory) Forget(userID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := bot.Canonical(userID)
	delete(d.known, id)
	delete(d.asked, id) // the answer may be about the time before
	if d.forgot == nil {
		d.forgot = map[string]bool{}
	}
	d.forgot[id] = true
}

// forgetBefore forgets that a person was active before they left.
func (d *Directory) forgetBefore(id string, left time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v, ok := d.known[id]; ok && v.person.State == bot.Active && !v.at.After(left) {
		delete(d.known, id)
	}
}

// ask puts the question to the directory, unless it was answered a moment ago or
// is being asked already.
func (d *Directory) ask(id, userID string) *question {
	d.mu.Lock()
	v, ok := d.known[id]
	d.mu.Unlock()
	if !ok || !d.fresh(v) {
		return d.askAnew(id, userID)
	}
	q := &question{done: make(chan struct{}), person: v.person}
	close(q.done)
	return q
}

// askAnew puts the question to the directory, unless it is being asked already.
// It goes on when nobody waits for it any more: the answer serves the next one.
func (d *Directory) askAnew(id, userID string) *question {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.asked[id]; q != nil {
		return q
	}
	if d.asked == nil {
		d.asked = map[string]*question{}
	}
	q := &question{done: make(chan struct{})}
	d.asked[id] = q
	go func() {
		defer close(q.done)
		defer func() {
			if v := recover(); v != nil {
				q.err = fmt.Errorf("panic while asking: %v", v)
			}
			d.answered(id, q)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		q.at = d.Store.Now().UTC()
		if q.person, q.err = d.Lookup(ctx, userID, d.Store.Roles.Tags()); q.err != nil {
			return
		}
		err := d.Store.savePerson(ctx, id, q.person, q.at)
		if err == nil {
			return
		}
		if q.person.State == bot.Active {
			q.err = err
			return
		}
		d.Store.Log.Error("directory: a refusal holds, but only here: it cannot be stored", "user", id, "err", err)
	}()
	return q
}

// answered takes a question off the list and keeps its answer, unless the person
// was forgotten after it was put.
func (d *Directory) answered(id string, q *question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked[id] != q {
		return
	}
	delete(d.asked, id)
	if q.err == nil {
		d.keep(id, verdict{q.person, q.at})
		delete(d.forgot, id)
	}
}
