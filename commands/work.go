package commands

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

const (
	workWithin = 15 * time.Second // a transaction's time
	// poisonous is how many crashes a message may have been part of. Suspects run
	// alone, so an innocent one does not get there.
	poisonous = 6
)

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
	for delay, races := 100*time.Millisecond, 0; ; {
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
		if store.Raced(o.err) && races < 10 { // what they want is decided anew, with what the other one did
			races++
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
