package store

import (
	"context"
	"fmt"
	"time"

	"deskbell/bot"
)

// dispatchAtOnce bounds the conversations of one transaction.
const dispatchAtOnce = 20

// wakeDesk has Dispatch look at the queue soon.
func (s *Store) wakeDesk() {
	select {
	case s.desk <- struct{}{}:
	default:
	}
}

// wakeDeskSoon is wakeDesk in a moment, for what somebody else holds right now.
func (s *Store) wakeDeskSoon() { time.AfterFunc(20*time.Millisecond, s.wakeDesk) }

// RunDesk sees to the queue until ctx ends: at once when something changed here,
// and each second for what time and other instances bring. Any number of
// instances may run it.
func (s *Store) RunDesk(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.desk:
		case <-tick.C:
			if err := s.CloseIdle(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("desk", "err", err)
			}
		}
		if err := s.Dispatch(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("desk", "err", err)
		}
	}
}

// Dispatch takes conversations from agents who went offline, left or did not
// answer in time, and gives those in the queue to agents who have room. It
// returns when there is nothing more to do at this moment.
func (s *Store) Dispatch(ctx context.Context) error {
	for raced := 0; ; {
		todo, err := s.undispatched(ctx)
		if err != nil || !todo {
			return err
		}
		moved := 0
		err = s.Tx(ctx, func(tx *Tx) error {
			var err error
			moved, err = tx.dispatch(ctx)
			return err
		})
		switch {
		case Raced(err) && raced < 5: // another instance, or a command, was faster
			raced++
		case err != nil || moved == 0 || ctx.Err() != nil:
			return err
		}
	}
}

// gone is the condition under which the agent a of a conversation c cannot go on
// with it, waits that under which it has none, and late that under which another
// one should.
const (
	gone  = "c.status = 'open' AND NOT EXISTS (SELECT 1 FROM agents AS a WHERE a.id = c.agent AND a.role <> 'user' AND (a.status <> 'offline' AND (a.until IS NULL OR a.until > ?0) OR a.until <= ?0 AND a.back <> 'offline'))"
	waits = "c.status = 'queued' AND c.queued_at <= ?0"
	late  = "c.status = 'open' AND c.waiting_since <= ?1 AND c.assigned_at <= ?1"
)

// undispatched reports whether there is anything for dispatch to do, or to try.
func (s *Store) undispatched(ctx context.Context) (bool, error) {
	now := s.Now().UTC()
	var todo bool
	err := s.reads.NewRaw("SELECT EXISTS (SELECT 1 FROM conversations AS c WHERE c.status = 'queued') OR EXISTS (SELECT 1 FROM conversations AS c WHERE "+
		gone+") OR EXISTS (SELECT 1 FROM conversations AS c WHERE "+late+")", now, now.Add(-s.Desk.AnswerWithin)).Scan(ctx, &todo)
	return todo, wrap(err, "look at the queue")
}

// dispatch moves some conversations and tells how many. Those that have an agent
// who does not answer come after everybody who has none.
func (tx *Tx) dispatch(ctx context.Context) (moved int, err error) {
	taken, err := tx.takeBack(ctx)
	if err != nil {
		return 0, err
	}
	free, err := tx.free(ctx)
	if err != nil || len(free) == 0 {
		return taken, err
	}
	served, err := tx.serve(ctx, free)
	if err != nil || taken+served > 0 {
		return taken + served, err
	}
	return tx.hurry(ctx, free)
}

// some are conversations under a condition that nobody else is changing, in the
// order of the queue.
func (tx *Tx) some(ctx context.Context, where string) (list []Conversation, err error) {
	q := tx.db.NewSelect().Model(&list).Where(where, tx.Now, tx.Now.Add(-tx.s.Desk.AnswerWithin)).OrderExpr("c.queued_at, c.id").Limit(dispatchAtOnce)
	if tx.s.pg {
		q = q.For("UPDATE OF c SKIP LOCKED")
	}
	return list, wrap(q.Scan(ctx), "look for conversations")
}

// takeBack puts the conversations of agents who are gone back into the queue.
func (tx *Tx) takeBack(ctx context.Context) (int, error) {
	list, err := tx.some(ctx, gone)
	if err != nil {
		return 0, err
	}
	for i := range list {
		c, from := &list[i], list[i].Agent
		if err := tx.release(ctx, c); err != nil {
			return 0, raced(err)
		}
		if err := tx.retract(ctx, *c, from); err != nil {
			return 0, err
		}
		if bot.ValidUserID(c.Asker) {
			if err := tx.tellAt(ctx, c.Asker, bot.Text("session.requeued", *c), tx.Now, requeuedRef(c.ID)); err != nil {
				return 0, err
			}
		}
		tx.note(c.ID, saidQueued, "", "")
	}
	return len(list), nil
}

// serve gives those in the queue to agents, for as long as one has room. Nobody is
// served before somebody whose conversation is held by another transaction: that
// is over in a moment.
func (tx *Tx) serve(ctx context.Context, free []Agent) (served int, err error) {
	list, err := tx.some(ctx, waits)
	if err != nil {
		return 0, err
	}
	var order []string
	if err := tx.db.NewSelect().Model((*Conversation)(nil)).Column("id").Where(waits, tx.Now).OrderExpr("c.queued_at, c.id").Limit(dispatchAtOnce).Scan(ctx, &order); err != nil {
		return 0, fmt.Errorf("look at the queue: %w", err)
	}
	for i := range order {
		if i >= len(list) || order[i] != list[i].ID {
			tx.after(tx.s.wakeDeskSoon)
			break
		}
		var a Agent
		if a, free, err = tx.first(ctx, free, list[i].Asker); err != nil {
			return 0, err
		}
		if a.Key == "" { // an agent does not answer themselves, but maybe the next one
			continue
		}
		if err := tx.assign(ctx, &list[i], a, true); err != nil {
			return 0, err
		}
		served++
	}
	return served, nil
}

// hurry gives conversations whose agent did not answer in time to another. With
// nobody else free they stay where they are.
func (tx *Tx) hurry(ctx context.Context, free []Agent) (moved int, err error) {
	list, err := tx.some(ctx, late)
	if err != nil {
		return 0, err
	}
	for i := range list {
		c, from := &list[i], list[i].Agent
		var a Agent
		if a, free, err = tx.first(ctx, free, c.Asker, from); err != nil {
			return 0, err
		}
		if a.Key == "" {
			continue
		}
		if err := tx.release(ctx, c); err != nil {
			return 0, raced(err)
		}
		if err := tx.assign(ctx, c, a, true); err != nil {
			return 0, err
		}
		if err := tx.retract(ctx, *c, from); err != nil {
			return 0, err
		}
		moved++
	}
	return moved, nil
}
