package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskbell/bot"
)

// offer gives a queued conversation to the least loaded agent who is online and
// has room, if there is one. told has the asker hear of it.
func (tx *Tx) offer(ctx context.Context, c *Conversation, told bool) error {
	free, err := tx.free(ctx)
	if err != nil {
		return err
	}
	a, _, err := tx.first(ctx, free, c.Asker)
	if err != nil || a.Key == "" {
		return err
	}
	return tx.assign(ctx, c, a, told)
}

// first hires the first of these agents who is none of not and whom it can, or
// nobody. Those it cannot are not in the list that it returns, and the one it
// hired is where they belong with one more.
func (tx *Tx) first(ctx context.Context, free []Agent, not ...string) (a Agent, left []Agent, err error) {
	for i := 0; i < len(free); {
		a := free[i]
		if slices.Contains(not, a.Key) {
			i++
			continue
		}
		free = slices.Delete(free, i, i+1)
		if ok, err := tx.hire(ctx, a.Key); err != nil {
			return Agent{}, nil, err
		} else if !ok {
			continue
		}
		if more := a; more.Load+1 < more.MaxLoad {
			more.Load, more.AssignedAt = more.Load+1, &tx.Now
			free = append(free, more)
			slices.SortStableFunc(free, byTurn)
		}
		return a, free, nil
	}
	return Agent{}, free, nil
}

// online is the condition under which an agent is, at a moment.
const online = "role <> 'user' AND (status = 'online' AND (until IS NULL OR until > ?0) OR until <= ?0 AND back = 'online')"

// free lists the agents who are online and have room: the least loaded first, and
// of those whoever has gone longest without a conversation. It is a wish list:
// hire decides.
func (tx *Tx) free(ctx context.Context) ([]Agent, error) {
	if err := tx.offDuty(ctx); err != nil {
		return nil, err
	}
	var list []Agent
	if err := tx.db.NewSelect().Model(&list).ColumnExpr(withLoad).Where(online, tx.Now).Scan(ctx); err != nil {
		return nil, fmt.Errorf("look for an agent: %w", err)
	}
	list = slices.DeleteFunc(list, func(a Agent) bool { return a.Load >= a.MaxLoad })
	slices.SortFunc(list, byTurn)
	return list, nil
}

// byTurn compares whose turn it is to get a conversation.
func byTurn(a, b Agent) int {
	return cmp.Or(cmp.Compare(a.Load, b.Load), sinceAssigned(a).Compare(sinceAssigned(b)), cmp.Compare(a.Key, b.Key))
}

func sinceAssigned(a Agent) time.Time {
	if a.AssignedAt == nil {
		return time.Time{}
	}
	return *a.AssignedAt
}

// hire holds an agent until this transaction ends, and reports whether they are
// still online and have room then. Everything that gives an agent a conversation
// holds them first, so that none gets more than they have room for, and whoever
// goes busy or offline gets none after that. One whom somebody else holds is
// passed over: two transactions that each hold an agent must not wait for the
// other's.
func (tx *Tx) hire(ctx context.Context, agent string) (bool, error) {
	return tx.hireAs(ctx, agent, "UPDATE SKIP LOCKED")
}

func (tx *Tx) hireAs(ctx context.Context, agent, lock string) (bool, error) {
	if err := tx.line(ctx); err != nil {
		return false, err
	}
	if err := tx.offDuty(ctx); err != nil { // their status may have been set right here
		return false, err
	}
	var a Agent
	q := tx.db.NewSelect().Model(&a).Column("id", "max_load").Where("id = ?", agent).Where(online, tx.Now)
	if tx.s.pg {
		q = q.For(lock)
	}
	if err := agentErr(q.Scan(ctx), "hire"); errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	load, err := tx.loads(ctx, agent) // a statement later, so that it sees what others committed
	return load[agent] < a.MaxLoad, err
}

// assign gives a queued conversation to an agent who was hired.
func (tx *Tx) assign(ctx context.Context, c *Conversation, a Agent, told bool, note ...string) error {
	tx.note(c.ID, saidAssigned, "", a.shown())
	if err := tx.speak(ctx, c.ID); err != nil {
		return err
	}
	q := tx.db.NewUpdate().Model(c).Set("status = ?", Assigned).Set("agent = ?", a.Key).Set("agent_id = ?", a.ID).Set("agent_name = ?", a.shown()).
		Set("assigned_at = ?", tx.Now).Set("waiting_since = coalesce(waiting_since, ?)", tx.Now).Set("agent_seen = 0").Set("agent_here = NULL").Set("updated_at = ?", tx.Now).
		Where("id = ?", c.ID).Where("status = ?", Queued).Returning("*")
	if err := conversationErr(q.Scan(ctx)); errors.Is(err, ErrNotFound) {
		return fmt.Errorf("assign: %w", errRaced)
	} else if err != nil {
		return err
	}
	c.Position = 0
	if _, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("assigned_at = ?", tx.Now).Where("id = ?", a.Key).Exec(ctx); err != nil {
		return fmt.Errorf("assign: %w", err)
	}
	tx.Audit(AuditEntry{Actor: byTheDesk, Action: "session.assign", Target: c.ID, Detail: a.Key})
	tx.changes(*c)
	if err := tx.offered(ctx, *c, a, strings.Join(note, " ")); err != nil {
		return err
	}
	if told && bot.ValidUserID(c.Asker) {
		if err := tx.unsend(ctx, requeuedRef(c.ID)); err != nil { // they need not hear of a queue they never stood in
			return err
		}
		return tx.Tell(ctx, c.Asker, bot.Text("session.assigned", *c))
	}
	return nil
}

// Offer is the data of the card session.offer, which an agent gets with a
// conversation, and which follows what becomes of it.
type Offer struct {
	Conversation
	To   string // the agent whose card it is, canonical
	URL  string // of the conversation at the desk; "" when it is not theirs any more
	Note string // of who transferred it
}

func offerRef(id, agent string) string { return "offer/" + id + "/" + agent }

// requeuedRef names what tells the asker that they are back in the queue.
func requeuedRef(id string) string { return "requeued/" + id }

// offered sends an agent the card of a conversation that is theirs now. note is
// of who gave it on.
func (tx *Tx) offered(ctx context.Context, c Conversation, a Agent, note string) error {
	link, err := tx.NewLink(ctx, a.user(), "/agent/chat?session="+c.ID)
	if err != nil {
		return err
	}
	return tx.tellAt(ctx, a.ID, bot.Card("session.offer", Offer{Conversation: c, To: a.Key, URL: link.URL, Note: note}), tx.Now, offerRef(c.ID, a.Key))
}

// retract tells an agent that a conversation is theirs no more: on the card they
// have of it, if WeCom allows. One who was not sent the card yet hears nothing.
func (tx *Tx) retract(ctx context.Context, c Conversation, from string) error {
	if !bot.ValidUserID(from) {
		return nil
	}
	if err := tx.unsentTo(ctx, from, c.ID); err != nil {
		return err
	}
	if n, err := tx.unsent(ctx, offerRef(c.ID, from)); err != nil || n > 0 {
		return err
	}
	return tx.Retell(ctx, from, bot.Card("session.offer", Offer{Conversation: c, To: from}), offerRef(c.ID, from))
}

// release puts a conversation back into the queue, at its old place: of one that
// went on after it was closed, that is where it came in again.
func (tx *Tx) release(ctx context.Context, c *Conversation) error {
	from := c.Agent
	q := tx.db.NewUpdate().Model(c).Set("status = ?", Queued).Set("agent = ''").Set("agent_id = ''").Set("agent_name = ''").Set("agent_here = NULL").
		Set("updated_at = ?", tx.Now).Where("id = ?", c.ID).Where("status = ?", Assigned).Where("agent = ?", from).Returning("*")
	if err := conversationErr(q.Scan(ctx)); err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: byTheDesk, Action: "session.release", Target: c.ID, Detail: from})
	tx.moved = append(tx.moved, Change{c.ID, c.Asker, from, c.Last, tx.Now})
	return tx.offDuty(ctx) // what is known of their load
}
