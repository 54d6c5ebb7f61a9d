package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"deskbell/store/storetest"
)

// instance is a store that may be gone the next moment, as if its process had
// been killed.
type instance struct {
	fixture
	gone chan struct{}
	stop func()
}

// crowd are the instances that people are at.
type crowd struct {
	t    *testing.T
	ctx  context.Context
	open func() *instance
	mu   sync.Mutex
	list []*instance
}

// any is one of the instances that are there.
func (c *crowd) any() *instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list[rand.IntN(len(c.list))]
}

// kill has one instance go without a word, and another one come.
func (c *crowd) kill() {
	in := c.any()
	close(in.gone)
	in.stop()
	in.Store.db.Close()
	next := c.open()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list[slices.Index(c.list, in)] = next
}

// do has a transaction done at whichever instance, until one says that it is.
func (c *crowd) do(fn func(tx *Tx) error) bool {
	for c.ctx.Err() == nil {
		in := c.any()
		err := in.Store.Tx(c.ctx, fn)
		if err == nil {
			return true
		}
		select {
		case <-in.gone: // nobody knows whether it was done
		default:
			if !Transient(err) {
				c.t.Error(err)
				return false
			}
		}
	}
	return false
}

// follow reads a conversation as a page does: what is there, and what comes, from
// the last one it has on. It moves to another instance when its own is gone, and
// now and then when it is not. It ends when seen says so.
func (c *crowd) follow(id string, seen func(m Said) (more bool)) {
	last := int64(0)
	for c.ctx.Err() == nil {
		in := c.any()
		w := in.Watch(ConversationTopic(id))
		for stay := 3 + rand.IntN(10); stay > 0; stay-- {
			list, err := in.Messages(c.ctx, id, last, 100)
			if err != nil {
				break
			}
			for _, m := range list {
				last = m.N
				if !seen(m) {
					w.Close()
					return
				}
			}
			select {
			case <-w.C:
				continue
			case <-in.gone:
			case <-c.ctx.Done():
			}
			break
		}
		w.Close()
	}
}

// Many people write to their agents through three instances over one database, of
// which one goes now and then without a word: both sides see each message once,
// in the same order, whichever instance they look at.
func TestCrowdAtThreeInstances(t *testing.T) {
	const askers, agents, turns = 200, 20, 5 // two messages a turn
	url := storetest.Postgres(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var beside sync.WaitGroup
	crowd := &crowd{t: t, ctx: ctx}
	crowd.open = func() *instance {
		f := open(t, url, func(o *Options) { o.Now = time.Now })
		run, stop := context.WithCancel(ctx)
		beside.Go(func() { f.RunDesk(run) })
		beside.Go(func() { f.Follow(run, nil) })
		return &instance{f, make(chan struct{}), stop}
	}
	for range 3 {
		crowd.list = append(crowd.list, crowd.open())
	}
	first := crowd.list[0]
	var staff []string
	for i := range agents {
		staff = append(staff, fmt.Sprintf("agent%02d", i))
	}
	first.staff(askers/agents, staff...)

	began := time.Now()
	killing, stop := context.WithCancel(ctx)
	kills := 0
	var killer sync.WaitGroup
	killer.Go(func() {
		tick := time.NewTicker(700 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-killing.Done():
				return
			case <-tick.C:
				crowd.kill()
				kills++
			}
		}
	})
	var people sync.WaitGroup
	var seen [askers][2][]Said // by the asker, by the agent
	for i := range askers {
		people.Go(func() {
			by := Party{Key: fmt.Sprintf("ask%03d", i), ID: fmt.Sprintf("ask%03d", i)}
			var c Conversation
			if !crowd.do(func(tx *Tx) (err error) {
				c, _, err = tx.Begin(ctx, by, "", "")
				return err
			}) {
				return
			}
			say := func(by Party, role string, n int) bool {
				return crowd.do(func(tx *Tx) error {
					now, err := tx.Conversation(ctx, c.ID, Party{Admin: true})
					if err != nil {
						return err
					}
					if role == ByAgent {
						by = Party{Key: now.Agent, ID: now.AgentID}
					}
					text := fmt.Sprint(role, " ", n)
					_, _, err = tx.Say(ctx, now, by, Words{Content: text, Nonce: text})
					return err
				})
			}
			var sides sync.WaitGroup
			sides.Go(func() { // the agent answers what they see once it is theirs
				asked, answered, theirs := 0, 0, false
				crowd.follow(c.ID, func(m Said) bool {
					seen[i][1] = append(seen[i][1], m)
					switch {
					case m.Role == ByAsker:
						asked++
					case m.Kind == saidAssigned:
						theirs = true
					}
					for ; theirs && answered < asked; answered++ {
						if !say(Party{}, ByAgent, answered) {
							return false
						}
					}
					return m.Role != ByAgent || m.Content != fmt.Sprint(ByAgent, " ", turns-1)
				})
			})
			sides.Go(func() {
				said := 1
				say(by, ByAsker, 0)
				crowd.follow(c.ID, func(m Said) bool {
					seen[i][0] = append(seen[i][0], m)
					if m.Role == ByAgent && said < turns {
						said++
						return say(by, ByAsker, said-1)
					}
					return m.Role != ByAgent || m.Content != fmt.Sprint(ByAgent, " ", turns-1)
				})
			})
			sides.Wait()
		})
	}
	people.Wait()
	took := time.Since(began)
	stop()
	killer.Wait()
	messages := 0
	for i, sides := range seen {
		var said []string
		for side, list := range sides {
			if len(list) != len(sides[0]) {
				t.Fatalf("%d: %d messages were seen by one and %d by the other", i, len(sides[0]), len(list))
			}
			for n, m := range list {
				if m.N != int64(n+1) || m.ID != sides[0][n].ID {
					t.Fatalf("%d, side %d: message %d is %+v", i, side, n+1, m)
				}
				if side == 0 && m.Role != ByDesk {
					said = append(said, m.Content)
				}
			}
		}
		messages += len(said)
		for n := range turns {
			if len(said) != 2*turns || said[2*n] != fmt.Sprint(ByAsker, " ", n) || said[2*n+1] != fmt.Sprint(ByAgent, " ", n) {
				t.Fatalf("%d: %q", i, said)
			}
		}
	}
	t.Logf("%d messages between %d people and %d agents in %v, while %d instances went", messages, askers, agents, took.Round(time.Millisecond), kills)
	if kills == 0 {
		t.Error("no instance went")
	}
	in := crowd.any()
	after := in.snapshot()
	checkDesk(t, "all", after, after)
	in.checkNumbers(t)
	cancel()
	beside.Wait()
}
