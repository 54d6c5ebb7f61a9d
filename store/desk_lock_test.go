package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/uptrace/bun/driver/pgdriver"
)

// lane runs what some people say, many in a transaction, as commands.Runner does.
type deskLane struct {
	fixture
	people []string
	rnd    *rand.Rand
	keys   int
}

// one is a command of one person.
func (l *deskLane) one(tx *Tx, id string) error {
	ctx, by := l.t.Context(), Party{Key: id, ID: id, Name: id}
	agents := staffed.agents
	works := slices.Contains(agents, id)
	if works {
		l.agents.Delete(id)
		if err := tx.EnsureAgent(ctx, agentOf(id)); err != nil {
			return err
		}
	}
	pick := l.rnd.IntN(12)
	if works && pick == 0 {
		_, err := tx.SetStatus(ctx, id, []string{Online, Online, Busy, Offline}[l.rnd.IntN(4)], "", 0)
		return err
	}
	c, live, err := tx.Current(ctx, by)
	if errors.Is(err, ErrChoose) {
		c, err = tx.Use(ctx, live[l.rnd.IntN(len(live))].ID, by)
	}
	if errors.Is(err, ErrNotFound) {
		_, _, err = tx.Begin(ctx, by, "", "")
		return err
	}
	if err != nil {
		return err
	}
	switch {
	case pick == 1:
		_, err = tx.CloseConversation(ctx, c.ID, by)
	case pick == 2:
		_, err = tx.Transfer(ctx, c.ID, agents[l.rnd.IntN(len(agents))], "", by)
	case pick == 3:
		if _, err = tx.CloseConversation(ctx, c.ID, by); err == nil {
			_, err = tx.Reopen(ctx, c.ID, by)
		}
	default:
		_, _, err = tx.Say(ctx, c, by, Words{Content: "hello", Nonce: fmt.Sprint(l.rnd.Int64())})
	}
	return err
}

var errCulprit = errors.New("a command that had written something failed")

// batch has each of the people say something, and runs it.
func (l *deskLane) batch() error {
	ctx := l.t.Context()
	for _, id := range l.people {
		l.keys++
		m := bot.Message{Key: fmt.Sprintf("m:%s:%d", id, l.keys), From: id, Text: "hello"}
		if _, _, err := l.Store.Receive(ctx, m); err != nil {
			return err
		}
	}
	settled := map[string]bool{}
	for {
		err := l.Work(ctx, func() []string { return l.people }, 100, func(tx *Tx, items []Item) error {
			for _, it := range items {
				mark := tx.Mark()
				if !settled[it.Key] {
					err := l.one(tx, it.Person)
					if !expected(err) {
						return err
					}
					if err != nil && !tx.Reset(mark) {
						settled[it.Key] = true
						return errCulprit
					}
				}
				tx.Finish(it, "", false)
			}
			return nil
		})
		if !errors.Is(err, errCulprit) {
			return err
		}
	}
}

// counts are what came of transactions.
type counts struct {
	mu                           sync.Mutex
	done, raced, deadlocks, slow int
	slowest                      time.Duration
}

// again does something until nobody is faster.
func (n *counts) again(t *testing.T, fn func() error) {
	for {
		began := time.Now()
		err := fn()
		took := time.Since(began)
		n.mu.Lock()
		if n.slowest = max(n.slowest, took); took > time.Second {
			n.slow++
		}
		pg, ok := errors.AsType[pgdriver.Error](err)
		switch {
		case ok && pg.Field('C') == "40P01":
			n.deadlocks++
		case Raced(err):
			n.raced++
		default:
			n.done++
		}
		n.mu.Unlock()
		if expected(err) {
			return
		}
		if !Transient(err) {
			t.Error(err)
			return
		}
	}
}

// Two instances whose people talk to each other, go, come, and give each other
// what they have, each in transactions of many people, beside what the pages do
// and the desk does by itself: nobody waits in a circle.
func TestInstancesAtOneDesk(t *testing.T) {
	const lanes, batches = 4, 60
	url := storetest.Postgres(t)
	real := func(o *Options) { o.Now = time.Now; o.Desk.AnswerWithin = 100 * time.Millisecond }
	one := open(t, url, real)
	stores := []fixture{one, open(t, url, real)}
	one.guard()
	var people []string
	for i := range 24 {
		people = append(people, fmt.Sprintf("ask%02d", i))
	}
	people = append(people, staffed.agents...)
	for _, id := range people {
		one.know(id)
	}
	one.staff(20, staffed.agents...)
	var n counts
	ctx, stop := context.WithCancel(t.Context())
	var work, beside sync.WaitGroup
	for i := range lanes {
		l := &deskLane{fixture: stores[i%2], rnd: rand.New(rand.NewPCG(uint64(i), 12))}
		for j := i; j < len(people); j += lanes {
			l.people = append(l.people, people[j])
		}
		work.Go(func() {
			for range batches {
				l.rnd.Shuffle(len(l.people), func(a, b int) { l.people[a], l.people[b] = l.people[b], l.people[a] })
				n.again(t, l.batch)
			}
		})
	}
	for i, f := range stores {
		rnd := rand.New(rand.NewPCG(uint64(i), 13))
		beside.Go(func() { // what pages do
			for ctx.Err() == nil {
				who := people[rnd.IntN(len(people))]
				by := Party{Key: who, ID: who, Name: who}
				list, err := f.Conversations(t.Context(), Conversations{Party: by, Status: "live"})
				if err != nil {
					t.Error(err)
					return
				}
				if len(list) == 0 {
					continue
				}
				c := list[rnd.IntN(len(list))]
				n.again(t, func() error {
					switch rnd.IntN(5) {
					case 0:
						return f.Seen(t.Context(), c, by, c.Last)
					case 1:
						return f.Here(t.Context(), c, by)
					case 2:
						return f.Tx(t.Context(), func(tx *Tx) error {
							_, err := tx.Transfer(t.Context(), c.ID, staffed.agents[rnd.IntN(4)], "", Party{Key: "boss", Admin: true})
							return err
						})
					case 3:
						return f.Tx(t.Context(), func(tx *Tx) error {
							_, err := tx.SetStatus(t.Context(), staffed.agents[rnd.IntN(4)], Online, "", 0)
							return err
						})
					}
					return f.Tx(t.Context(), func(tx *Tx) error {
						c, err := tx.Conversation(t.Context(), c.ID, by)
						if err == nil {
							_, _, err = tx.Say(t.Context(), c, by, Words{Content: "from the page"})
						}
						return err
					})
				})
			}
		})
		beside.Go(func() { // what Dispatch does, which keeps lost races to itself
			for {
				select {
				case <-ctx.Done():
					return
				case <-f.Store.desk:
				}
				n.again(t, func() error {
					return f.Tx(t.Context(), func(tx *Tx) error {
						_, err := tx.dispatch(t.Context())
						return err
					})
				})
			}
		})
	}
	work.Wait()
	stop()
	beside.Wait()
	t.Logf("%d done, %d lost a race, %d deadlocks, %d took more than a second, the slowest %v", n.done, n.raced, n.deadlocks, n.slow, n.slowest.Round(time.Millisecond))
	if n.deadlocks > 1 || n.slow > n.done/20 || n.raced > n.done/10 { // each deadlock takes a second to be found
		t.Errorf("%d deadlocks, %d lost a race, %d took more than a second, of %d", n.deadlocks, n.raced, n.slow, n.done)
	}
	after := one.snapshot()
	checkDesk(t, "all", after, after)
	one.checkNumbers(t)
}
