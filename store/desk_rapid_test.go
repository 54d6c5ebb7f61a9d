package store

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"pgregory.net/rapid"
)

// guard has the database itself refuse to give an agent a conversation they may
// not have. It looks at what is committed at that moment, and whoever else gives
// the same agent one waits for this: what it lets through was right.
func (f fixture) guard() {
	f.t.Helper()
	const (
		given  = "NEW.status = 'open' AND (OLD.status <> 'open' OR OLD.agent <> NEW.agent)"
		free   = "a.id = NEW.agent AND a.id <> NEW.asker AND a.role <> 'user' AND (a.status = 'online' AND (a.until IS NULL OR a.until > NEW.assigned_at) OR a.until <= NEW.assigned_at AND a.back = 'online')"
		room   = "a.max_load >= (SELECT count(*) FROM conversations AS c WHERE c.agent = NEW.agent AND c.status = 'open')"
		wrong  = "NOT EXISTS (SELECT 1 FROM agents AS a WHERE " + free + " AND " + room + ")"
		lite   = "CREATE TRIGGER guard AFTER UPDATE ON conversations WHEN " + given + " AND " + wrong + " BEGIN SELECT RAISE(ABORT, 'guard: not this agent'); END"
		server = "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF " + wrong + " THEN RAISE 'guard: not this agent'; END IF; RETURN NEW; END $$; " +
			"CREATE TRIGGER guard AFTER UPDATE ON conversations FOR EACH ROW WHEN (" + given + ") EXECUTE FUNCTION guard()"
	)
	statement := lite
	if f.pg {
		statement = server
	}
	if _, err := f.db.DB.Exec(statement); err != nil {
		f.t.Fatal(err)
	}
}

// desk is what the store has of the desk at a moment.
type desk struct {
	now    time.Time
	agents map[string]Agent
	list   map[string]Conversation
}

func (f fixture) snapshot() desk {
	f.t.Helper()
	d := desk{f.now().UTC(), map[string]Agent{}, map[string]Conversation{}}
	f.tx(func(tx *Tx) error {
		agents, err := tx.Agents(f.t.Context(), "")
		for _, a := range agents {
			d.agents[a.Key] = a
		}
		return err
	})
	var list []Conversation
	if err := f.reads.NewSelect().Model(&list).Scan(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	for _, c := range list {
		d.list[c.ID] = c
	}
	return d
}

// queue is who waits, in order.
func (d desk) queue() (queue []Conversation) {
	for _, c := range d.list {
		if c.Status == Queued {
			queue = append(queue, c)
		}
	}
	slices.SortFunc(queue, inQueue)
	return queue
}

func inQueue(a, b Conversation) int {
	return cmp.Or(a.QueuedAt.Compare(b.QueuedAt), cmp.Compare(a.ID, b.ID))
}

// free lists the agents who have room for what somebody asks, whose turn it is
// first.
func (d desk) free(not ...string) (free []Agent) {
	for _, a := range d.agents {
		if a.Status == Online && a.Load < a.MaxLoad && !slices.Contains(not, a.Key) {
			free = append(free, a)
		}
	}
	slices.SortFunc(free, func(a, b Agent) int {
		return cmp.Or(cmp.Compare(a.Load, b.Load), sinceAssigned(a).Compare(sinceAssigned(b)))
	})
	return free
}

// given lists what was given to an agent between two moments, in the order of the
// queue.
func given(before, after desk) (list []Conversation) {
	for id, c := range after.list {
		was := before.list[id]
		if c.Status == Assigned && (was.Status != Assigned || was.Agent != c.Agent) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, inQueue)
	return list
}

// checkDesk checks what holds at every moment, and what may have happened since
// an earlier one. The store's own clock stood still between the two.
func checkDesk(r rapid.TB, op string, before, after desk) {
	load := map[string]int{}
	for _, c := range after.list {
		if c.Status == Assigned {
			load[c.Agent]++
		}
		if (c.Agent == "") != (c.Status == Queued) && c.Status != Closed {
			r.Fatalf("%s: %s with agent %q", op, c.Status, c.Agent)
		}
	}
	got := map[string]int{}
	for _, c := range given(before, after) {
		got[c.Agent]++
		if a := after.agents[c.Agent]; a.Status != Online || c.Agent == c.Asker {
			r.Fatalf("%s: %s, who asks, was given to %s, who is %q", op, c.Asker, c.Agent, a.Status)
		}
	}
	for id, a := range after.agents {
		if a.Load != load[id] {
			r.Fatalf("%s: %s has %d and is said to have %d", op, id, load[id], a.Load)
		}
		if got[id] > 0 && load[id] > a.MaxLoad {
			r.Fatalf("%s: %s got %d and has %d of %d", op, id, got[id], load[id], a.MaxLoad)
		}
	}
}

// checkTurn checks that one conversation went to the agent whose turn it was.
func checkTurn(r rapid.TB, op string, before desk, c Conversation) {
	was := before.list[c.ID]
	free := before.free(c.Asker, was.Agent)
	i := slices.IndexFunc(free, func(a Agent) bool { return a.Key == c.Agent })
	if i < 0 {
		r.Fatalf("%s: %s had no room", op, c.Agent)
	}
	if free[i].Load != free[0].Load || !sinceAssigned(free[i]).Equal(sinceAssigned(free[0])) {
		r.Fatalf("%s: went to %s (%d since %v) and it was the turn of %s (%d since %v)", op, c.Agent, free[i].Load, sinceAssigned(free[i]), free[0].Key, free[0].Load, sinceAssigned(free[0]))
	}
}

// checkDispatched checks that there is nothing left to do, and that everything
// was done in order.
func checkDispatched(r rapid.TB, before, after desk) {
	list := given(before, after)
	for _, c := range after.queue() {
		if free := after.free(c.Asker); len(free) > 0 {
			r.Fatalf("%s waits while %s has room", c.Asker, free[0].Key)
		}
		for _, served := range list {
			if was := before.list[served.ID]; served.Agent != c.Asker && inQueue(c, served) < 0 && (was.Status == Queued || forsaken(before, was)) {
				r.Fatalf("%s was served before %s", served.Asker, c.Asker)
			}
		}
	}
	for id, c := range after.list {
		was := before.list[id]
		if c.Status == Assigned && forsaken(after, c) {
			r.Fatalf("%s is with %s, who is %q", c.Asker, c.Agent, after.agents[c.Agent].Status)
		}
		limit := before.now.Add(-5 * time.Minute)
		late := was.WaitingSince != nil && !was.WaitingSince.After(limit) && was.AssignedAt != nil && !was.AssignedAt.After(limit)
		if was.Status == Assigned && c.Agent != was.Agent && !forsaken(before, was) && !late {
			r.Fatalf("%s was taken from %s, who is %s", c.Asker, was.Agent, before.agents[was.Agent].Status)
		}
	}
	if len(list) == 1 {
		if was := before.list[list[0].ID]; was.Status == Queued || !forsaken(before, was) {
			checkTurn(r, "dispatch", before, list[0])
		}
	}
}

// forsaken reports whether a conversation's agent cannot go on with it.
func forsaken(d desk, c Conversation) bool {
	a, ok := d.agents[c.Agent]
	return c.Status == Assigned && (!ok || a.Status == Offline)
}

// checkNumbers checks that what was said is numbered without gaps.
func (f fixture) checkNumbers(r rapid.TB) {
	var wrong []string
	err := f.reads.NewRaw("SELECT c.id FROM conversations AS c LEFT JOIN conversation_messages AS m ON m.conversation = c.id GROUP BY c.id, c.last "+
		"HAVING count(m.n) <> c.last OR coalesce(max(m.n), 0) <> c.last OR coalesce(min(m.n), 1) <> 1").Scan(f.t.Context(), &wrong)
	if err != nil || len(wrong) > 0 {
		r.Fatalf("numbers with gaps: %v, %v", wrong, err)
	}
}

// staffed are the people of the tests below: some ask, some answer, some do both.
var staffed = struct{ askers, agents []string }{
	askers: []string{"ask1", "ask2", "ask3", "ask4", "ask5", "ask6", "agent1", "agent2"},
	agents: []string{"agent1", "agent2", "agent3", "agent4"},
}

func agentOf(id string) bot.User {
	return bot.User{ID: id, Name: id, Level: bot.Agent, Roles: []string{"agent"}}
}

// expected reports whether err is an answer and not a fault.
func expected(err error) bool {
	_, answer := errors.AsType[*DeskError](err)
	return err == nil || answer || errors.Is(err, ErrNotFound) || errors.Is(err, ErrEnded)
}

// act does something at the desk. pick chooses one of n.
func (f fixture) act(d desk, pick func(n int) int) (what string, err error) {
	ctx := f.t.Context()
	one := func(list []string) string { return list[pick(len(list))] }
	agent, asker := one(staffed.agents), one(staffed.askers)
	ids := make([]string, 0, len(d.list))
	for id := range d.list {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { // as they were begun: ids are never the same again
		return cmp.Or(d.list[a].CreatedAt.Compare(d.list[b].CreatedAt), cmp.Compare(d.list[a].Asker, d.list[b].Asker), cmp.Compare(d.list[a].Last, d.list[b].Last))
	})
	var c Conversation
	if len(ids) > 0 {
		c = d.list[ids[len(ids)-1-pick(min(len(ids), 12))]]
	}
	party := func(key string) Party { return Party{Key: key, ID: key, Name: key} }
	side := party([]string{c.Asker, c.Agent}[pick(2)])
	statuses := []string{Online, Online, Busy, Offline}
	doing := func(s string, fn func(tx *Tx) error) (string, error) { return s, f.Tx(ctx, fn) }
	switch pick(14) {
	case 0, 1, 2:
		return doing("begin", func(tx *Tx) error {
			_, _, err := tx.Begin(ctx, party(asker), "", "")
			return err
		})
	case 3:
		return doing("close", func(tx *Tx) error {
			_, err := tx.CloseConversation(ctx, c.ID, side)
			return err
		})
	case 4:
		return doing("transfer", func(tx *Tx) error {
			by := side
			by.Admin = pick(2) == 0
			_, err := tx.Transfer(ctx, c.ID, agent, "over to you", by)
			return err
		})
	case 5:
		return doing("reopen", func(tx *Tx) error {
			_, err := tx.Reopen(ctx, c.ID, side)
			return err
		})
	case 6, 7:
		status, d := statuses[pick(len(statuses))], time.Duration(pick(3))*time.Minute
		return doing("status "+status, func(tx *Tx) error {
			_, err := tx.SetStatus(ctx, agent, status, "", d)
			return err
		})
	case 8:
		f.agents.Delete(agent)
		return doing("join", func(tx *Tx) error { return tx.EnsureAgent(ctx, agentOf(agent)) })
	case 9:
		if pick(2) == 0 {
			return doing("dismiss", func(tx *Tx) error { return tx.dismissAgent(ctx, bot.User{ID: agent}) })
		}
		return doing("leave", func(tx *Tx) error {
			_, err := tx.db.NewUpdate().Model((*personRow)(nil)).Set("state = ?", bot.Active).Where("id = ?", agent).Exec(ctx)
			if err == nil {
				err = tx.CutOff(ctx, agent, bot.Left)
			}
			return err
		})
	case 10:
		room := pick(4)
		return doing("room", func(tx *Tx) error {
			_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("max_load = ?", room).Set("own_load = TRUE").Where("id = ?", agent).Exec(ctx)
			return err
		})
	case 11:
		return "dispatch", f.Dispatch(ctx)
	case 12:
		return doing("several", func(tx *Tx) error { // as one of several commands of a transaction
			if _, err := tx.SetStatus(ctx, agent, statuses[pick(len(statuses))], "", 0); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			_, _, err := tx.Begin(ctx, party(asker), "", "")
			return err
		})
	default:
		return doing("say", func(tx *Tx) error {
			now, err := tx.Conversation(ctx, c.ID, side)
			if err == nil {
				_, _, err = tx.Say(ctx, now, side, Words{Content: "hello", Nonce: fmt.Sprint(pick(1000))})
			}
			return err
		})
	}
}

// Whatever happens at the desk in whatever order: nobody gets more than they have
// room for, nobody busy or offline gets anything, and nobody waits in vain.
func TestAssignment(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		f.guard()
		for _, id := range slices.Concat(staffed.askers, staffed.agents) {
			f.know(id)
		}
		round := 0
		rapid.Check(t, func(r *rapid.T) {
			if round++; f.pg && round > 20 { // it takes ten times as long there
				return
			}
			for _, table := range []string{"conversations", "agents", "outbox", "tokens"} {
				if _, err := f.db.NewRaw("DELETE FROM " + table).Exec(t.Context()); err != nil {
					r.Fatal(err)
				}
			}
			f.agents.Clear()
			for _, id := range staffed.agents {
				f.employ(agentOf(id))
			}
			pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "pick") }
			var trail []string
			before := f.snapshot()
			for range rapid.IntRange(1, 60).Draw(r, "steps") {
				if pick(4) == 0 {
					f.pass([]time.Duration{time.Millisecond, time.Second, time.Minute, 6 * time.Minute, 25 * time.Hour}[pick(5)])
					before = f.snapshot() // statuses end by themselves
				}
				what, err := f.act(before, pick)
				trail = append(trail, what)
				if !expected(err) {
					r.Fatalf("%s: %v", strings.Join(trail, ", "), err)
				}
				after := f.snapshot()
				checkDesk(r, what, before, after)
				switch list := given(before, after); {
				case what == "dispatch":
					checkDispatched(r, before, after)
				case what == "begin" && len(list) == 1:
					checkTurn(r, what, before, list[0])
					if queue := before.queue(); len(queue) > 0 && queue[0].QueuedAt.Before(list[0].QueuedAt) {
						r.Fatalf("%s was served before %s", list[0].Asker, queue[0].Asker)
					}
				case what == "reopen" && len(list) == 1 && list[0].Agent != before.list[list[0].ID].Agent:
					checkTurn(r, what, before, list[0])
				case len(list) > 1 || len(list) == 1 && !slices.Contains([]string{"reopen", "transfer", "several"}, what):
					r.Fatalf("%s gave %d away", what, len(list))
				}
				before = after
			}
			if err := f.CloseIdle(t.Context()); err != nil {
				r.Fatal(err)
			}
			for range 2 { // the second time there is nothing to do
				before = f.snapshot()
				f.dispatch()
				checkDesk(r, "dispatch", before, f.snapshot())
				checkDispatched(r, before, f.snapshot())
			}
			f.checkNumbers(r)
		})
	})
}

// The same by many at once: on PostgreSQL as three instances over one database.
func TestAssignmentAtOnce(t *testing.T) {
	const hands = 12
	storetest.Each(t, func(t *testing.T, url string) {
		operations := int64(1500)
		real := func(o *Options) { o.Now = time.Now; o.Desk.AnswerWithin = 300 * time.Millisecond }
		stores := []fixture{open(t, url, real)}
		if stores[0].pg {
			operations = 5000
			stores = append(stores, open(t, url, real), open(t, url, real))
		}
		f := stores[0]
		f.guard()
		for _, id := range slices.Concat(staffed.askers, staffed.agents) {
			f.know(id)
		}
		for _, id := range staffed.agents {
			f.employ(agentOf(id))
		}
		var left, raced, refused atomic.Int64
		left.Store(operations)
		began := time.Now()
		var slowest atomic.Int64
		var wg sync.WaitGroup
		for hand := range hands {
			f := stores[hand%len(stores)]
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(hand), 5))
				for left.Add(-1) >= 0 {
					d := f.snapshot()
					at := time.Now()
					what, err := f.act(d, rnd.IntN)
					slowest.Store(max(slowest.Load(), int64(time.Since(at))))
					switch {
					case Raced(err):
						raced.Add(1)
					case !expected(err):
						t.Errorf("%s: %v", what, err)
						return
					case err != nil:
						refused.Add(1)
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%d operations in %v, %d refused, %d to be tried again, the slowest took %v", operations, time.Since(began).Round(time.Millisecond), refused.Load(), raced.Load(), time.Duration(slowest.Load()).Round(time.Millisecond))
		for range 3 { // whoever does not answer goes to another one meanwhile
			f.dispatch()
		}
		after := f.snapshot()
		checkDesk(t, "all", after, after)
		for _, c := range after.queue() {
			if free := after.free(c.Asker); len(free) > 0 {
				t.Errorf("%s waits while %s has room", c.Asker, free[0].Key)
			}
		}
		f.checkNumbers(t)
		if raced.Load() > operations/20 {
			t.Errorf("%d of %d lost a race", raced.Load(), operations)
		}
	})
}
