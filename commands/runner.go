package commands

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

const (
	// strangerWait bounds how long a callback waits for the reply to somebody the
	// directory has to be asked about first: it may be slow.
	strangerWait = 700 * time.Millisecond
	// leftAfter is how long a message that was delivered again stays with whoever
	// received it first: WeCom came back because something went wrong there.
	leftAfter = 500 * time.Millisecond
)

// Options are what a Runner needs. Store, Directory and Word are required.
type Options struct {
	Store     *store.Store
	Directory *store.Directory
	Word      func(string) string           // the ASCII choice a word in another language stands for, or ""
	Commands  []Command                     // default: All()
	Wait      time.Duration                 // wecom.passive_wait; default 2 s
	Limit     time.Duration                 // a command that runs longer, not counting the store, is given up; default 1 s
	Limits    *store.Limits                 // commands_per_person and links_per_person; nil limits nothing
	Counted   func(command, outcome string) // counts every message; may be nil
	Log       *slog.Logger
}

// Runner takes messages from their commit to their answer. Any number of
// instances may run over one store.
type Runner struct {
	Options
	table  *table
	lanes  []*lane
	seed   maphash.Seed
	asking chan struct{} // bounds the questions to the directory under way

	mu     sync.Mutex
	flying map[string]*flight   // by message key
	asked  map[string]bool      // people the directory is being asked about
	paid   map[payment]struct{} // messages counted against the limits, until they land

	life    context.Context // ends when the Runner is closed
	end     context.CancelFunc
	running sync.WaitGroup
}

// flight is a message on its way, and the deliveries of it that wait here.
type flight struct {
	done     chan struct{} // closed when text or err is known
	text     string
	err      error
	stored   bool // committed: it may be acknowledged without an answer
	waiting  int  // deliveries that would still take the answer
	promised bool // the answer is theirs and goes nowhere else
}

// NewRunner starts a Runner. It takes up whatever an earlier process left undone.
func NewRunner(o Options) (*Runner, error) {
	if o.Commands == nil {
		o.Commands = All()
	}
	t, err := newTable(o.Commands)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Limits == nil {
		o.Limits = &store.Limits{}
	}
	o.Wait = cmp.Or(o.Wait, 2*time.Second)
	o.Limit = cmp.Or(o.Limit, time.Second)
	r := &Runner{
		Options: o, table: t, seed: maphash.MakeSeed(), asking: make(chan struct{}, 32),
		flying: map[string]*flight{}, asked: map[string]bool{}, paid: map[payment]struct{}{},
	}
	r.life, r.end = context.WithCancel(context.Background())
	for range lanesFor(o.Store) {
		l := newLane()
		r.lanes = append(r.lanes, l)
		r.running.Go(func() { r.drive(l) })
	}
	r.running.Go(r.sweep)
	return r, nil
}

// Close lets the commands under way finish and stops. Messages that were
// committed and not run yet stay in the store for the next process.
func (r *Runner) Close() {
	r.end()
	r.running.Wait()
}

// Take commits a message and waits, for as long as a callback should and never
// past the given time, for what to answer. "" means nothing: there is no answer,
// or it will be pushed. After an error nothing may be acknowledged: WeCom's
// retries are then all there is.
func (r *Runner) Take(by time.Time, m bot.Message) (string, error) {
	wait := r.Wait
	if _, known := r.Directory.Peek(m.From); !known {
		wait = min(wait, strangerWait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	f, first := r.join(m.Key)
	if first {
		r.receive(by, m, f)
	}
	select {
	case <-f.done:
		return f.text, f.err
	case <-timer.C:
	}
	if r.leave(f) {
		return "", nil
	}
	timer.Reset(time.Until(by))
	select {
	case <-f.done:
		return f.text, f.err
	case <-timer.C:
		return "", fmt.Errorf("message not answered in time: %w", context.DeadlineExceeded)
	}
}

func (r *Runner) receive(by time.Time, m bot.Message, f *flight) {
	ctx, cancel := context.WithDeadline(context.Background(), by)
	defer cancel()
	first, ans, err := r.Store.Receive(ctx, m)
	if err != nil || ans.Done {
		r.land(m.Key, ans.Text, err)
		return
	}
	r.mu.Lock()
	f.stored = true
	r.mu.Unlock()
	if first {
		r.admit(m.From)
	} else {
		r.running.Go(func() { r.follow(m, f) })
	}
}

// join adds a delivery to the flight of its message; first says that this
// delivery has to start it.
func (r *Runner) join(key string) (f *flight, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f = r.flying[key]; f == nil {
		f, first = &flight{done: make(chan struct{})}, true
		r.flying[key] = f
	}
	f.waiting++
	return f, first
}

// leave lets a delivery go without the answer. It may not go while the message
// could still be lost, nor once the answer has been promised to it.
func (r *Runner) leave(f *flight) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !f.stored || f.promised {
		return false
	}
	f.waiting--
	return true
}

// promise asks whether a delivery still waits for the answer to key. If so the
// answer goes there and is not pushed; the decision commits with the effect.
func (r *Runner) promise(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.flying[key]
	if f == nil || f.waiting == 0 {
		return false
	}
	f.promised = true
	return true
}

// release takes promises back after a transaction that did not commit.
func (r *Runner) release(keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range keys {
		if f := r.flying[key]; f != nil {
			f.promised = false
		}
	}
}

// land ends a flight.
func (r *Runner) land(key, text string, err error) {
	r.mu.Lock()
	f := r.flying[key]
	delete(r.flying, key)
	delete(r.paid, payment{key, perPerson})
	delete(r.paid, payment{key, linksPerPerson})
	r.mu.Unlock()
	if f != nil {
		f.text, f.err = text, err
		close(f.done)
	}
}

// follow watches for the answer to a message that was received before. The
// instance that has it may have died; then this one takes it over, without
// waiting for the sweep.
func (r *Runner) follow(m bot.Message, f *flight) {
	left := time.After(leftAfter)
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, 300*time.Millisecond) {
		select {
		case <-f.done:
			return
		case <-r.life.Done():
			r.land(m.Key, "", r.life.Err())
			return
		case <-left:
			r.takeOver(m)
		case <-time.After(delay):
		}
		if r.abandoned(m.Key, f) {
			return
		}
		ans, err := r.Store.Answer(r.life, m.Key)
		if err == nil && ans.Done {
			r.land(m.Key, ans.Text, nil)
			return
		}
	}
}

func (r *Runner) abandoned(key string, f *flight) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiting > 0 {
		return false
	}
	if r.flying[key] == f {
		delete(r.flying, key)
	}
	return true
}
