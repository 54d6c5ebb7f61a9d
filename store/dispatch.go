package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	for {
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
		if err != nil && !Transient(err) || err == nil && moved == 0 || ctx.Err() != nil {
			return err
		}
		if err != nil { // another instance, or a command, was faster: it wakes us, or the next second does
			return nil
		}
	}
}

// gone is the condition under which the agent a of a conversation c cannot go on
// with it, and late that under which another one should.
const (
	gone = "c.status = 'open' AND NOT EXISTS (SELECT 1 FROM agents AS a WHERE a.id = c.agent AND a.role <> 'user' AND (a.status <> 'offline' AND (a.until IS NULL OR a.until > ?0) OR a.until <= ?0 AND a.back <> 'offline'))"
	late = "c.status = 'open' AND c.waiting_since <= ?0 AND c.assigned_at <= ?0"
)

// undispatched reports whether there is anything for dispatch to do, or to try.
func (s *Store) undispatched(ctx context.Context) (bool, error) {
	now := s.Now().UTC()
	var todo bool
	err := s.reads.NewRaw("SELECT EXISTS (SELECT 1 FROM conversations AS c WHERE c.status = 'queued') OR EXISTS (SELECT 1 FROM conversations AS c WHERE "+gone+") OR EXISTS (SELECT 1 FROM conversations AS c WHERE "+
		"c.status = 'open' AND c.waiting_since <= ?1 AND c.assigned_at <= ?1)", now, now.Add(-s.Desk.AnswerWithin)).Scan(ctx, &todo)
	return todo, wrap(err, "look at the queue")
}

// dispatch moves some conversations and tells how many.
func (tx *Tx) dispatch(ctx context.Context) (moved int, err error) {
	for _, step := range []func(context.Context) (int, error){tx.takeBack, tx.serve, tx.hurry} {
		n, err := step(ctx)
		if err != nil {
			return 0, err
		}
		moved += n
	}
	return moved, nil
}

// some are conversations under a condition that nobody else is changing, in the
// order of the queue.
func (tx *Tx) some(ctx context.Context, where string, at time.Time) (list []Conversation, err error) {
	q := tx.db.NewSelect().Model(&list).Where(where, at).OrderExpr("c.queued_at, c.id").Limit(dispatchAtOnce)
	if tx.s.pg {
		q = q.For("UPDATE OF c SKIP LOCKED")
	}
	return list, wrap(q.Scan(ctx), "look for conversations")
}

// takeBack puts the conversations of agents who are gone back into the queue.
func (tx *Tx) takeBack(ctx context.Context) (int, error) {
	list, err := tx.some(ctx, gone, tx.Now)
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

// serve gives those in the queue to agents, for as long as one has room.
func (tx *Tx) serve(ctx context.Context) (served int, err error) {
	list, err := tx.some(ctx, "c.status = 'queued' AND c.queued_at <= ?", tx.Now)
	if err != nil {
		return 0, err
	}
	for i := range list {
		if err := tx.offer(ctx, &list[i], true); err != nil {
			return 0, err
		}
		if list[i].Status == Assigned {
			served++
		}
	}
	return served, nil
}

// hurry gives conversations whose agent did not answer in time to another. With
// nobody else free they stay where they are.
func (tx *Tx) hurry(ctx context.Context) (moved int, err error) {
	list, err := tx.some(ctx, late, tx.Now.Add(-tx.s.Desk.AnswerWithin))
	if err != nil {
		return 0, err
	}
	for i := range list {
		c, from := &list[i], list[i].Agent
		others, err := tx.free(ctx, c.Asker, from)
		if err != nil {
			return 0, err
		}
		for _, a := range others {
			if ok, err := tx.hire(ctx, a.Key); err != nil {
				return 0, err
			} else if !ok {
				continue
			}
			if err := tx.speak(ctx); err != nil {
				return 0, err
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
			break
		}
	}
	return moved, nil
}

// CloseIdle closes conversations in which nobody said anything for too long.
// Those in the queue are not idle: they wait.
func (s *Store) CloseIdle(ctx context.Context) error {
	before := s.Now().UTC().Add(-s.Desk.IdleClose)
	var ids []string
	err := s.reads.NewSelect().Model((*Conversation)(nil)).Column("id").Where("status = ?", Assigned).Where("said_at <= ?", before).Limit(dispatchAtOnce).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return wrap(err, "look for idle conversations")
	}
	for _, id := range ids {
		err := s.Tx(ctx, func(tx *Tx) error {
			c, err := tx.Conversation(ctx, id, Party{Admin: true})
			if err != nil || c.Status != Assigned || c.SaidAt.After(before) {
				return err
			}
			return tx.end(ctx, &c, Party{})
		})
		if err != nil && !errors.Is(err, errRaced) && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("close an idle conversation: %w", err)
		}
	}
	return nil
}

// leaveDesk closes what somebody who left had asked, and counts what they had to
// answer: that goes to others, since their agent is offline now.
func (tx *Tx) leaveDesk(ctx context.Context, id string) (sessions int, err error) {
	live, err := tx.Live(ctx, Party{Key: id})
	if err != nil {
		return 0, err
	}
	for i := range live {
		if live[i].Asker != id {
			sessions++
		} else if err := tx.end(ctx, &live[i], Party{}); err != nil {
			return 0, err
		}
	}
	tx.after(tx.s.wakeDesk)
	return sessions, nil
}

// purgeConversations removes what was closed long ago, with what was said.
func (s *Store) purgeConversations(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM conversations WHERE id IN (SELECT id FROM conversations WHERE status = 'closed' AND closed_at < ? ORDER BY closed_at LIMIT 100)", s.Desk.Keep)
}

// Use makes a conversation the one that what an agent writes in the chat goes to.
func (tx *Tx) Use(ctx context.Context, id string, by Party) (Conversation, error) {
	c, err := tx.Conversation(ctx, id, by)
	if err != nil {
		return c, err
	}
	if c.Status == Closed {
		return c, fmt.Errorf("use: %w", ErrEnded)
	}
	if !c.has(by) {
		return c, cannot(NotYours)
	}
	if err := tx.offDuty(ctx); err != nil {
		return c, err
	}
	res, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("current = ?", id).Where("id = ?", by.Key).Exec(ctx)
	if err := changedOne(res, err, "use a conversation"); err != nil && !errors.Is(err, ErrNotFound) {
		return c, err // somebody who is no agent has one conversation only
	}
	return c, nil
}

// Live lists the conversations that somebody takes part in and that are not
// closed: their own first, then those they answer, the oldest first.
func (tx *Tx) Live(ctx context.Context, by Party) (list []Conversation, err error) {
	look := func() error {
		list = nil
		return tx.db.NewSelect().Model(&list).Where("status <> ?", Closed).Where("asker = ?0 OR agent = ?0", by.Key).
			OrderExpr("CASE WHEN asker = ? THEN 0 ELSE 1 END, created_at, id", by.Key).Limit(1000).Scan(ctx)
	}
	if err := look(); err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	// What other people said in this transaction is written at its end, in one
	// order, so that two transactions do not wait for each other's conversations.
	if !slices.ContainsFunc(tx.said, func(m Said) bool {
		return slices.ContainsFunc(list, func(c Conversation) bool { return c.ID == m.Conversation })
	}) {
		return list, nil
	}
	if err := tx.speak(ctx); err != nil {
		return nil, err
	}
	return list, wrap(look(), "list conversations")
}

// LiveOfOthers lists conversations that are not closed and that somebody takes no
// part in, the oldest first.
func (tx *Tx) LiveOfOthers(ctx context.Context, than string, n int) ([]Conversation, error) {
	if err := tx.speak(ctx); err != nil {
		return nil, err
	}
	var list []Conversation
	err := tx.db.NewSelect().Model(&list).Where("status <> ?", Closed).Where("asker <> ?0 AND agent <> ?0", than).Order("created_at", "id").Limit(n).Scan(ctx)
	return list, wrap(err, "list conversations")
}

// Stay makes the conversation an agent wrote into the current one, so that they
// go on in it when they get another.
func (tx *Tx) Stay(ctx context.Context, c Conversation, by Party) error {
	if by.Key != c.Agent {
		return nil
	}
	if err := tx.offDuty(ctx); err != nil {
		return err
	}
	_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("current = ?", c.ID).Where("id = ?", by.Key).Where("current <> ?", c.ID).Exec(ctx)
	return wrap(err, "stay in a conversation")
}

// Current is the conversation that what somebody writes in the chat goes to: the
// only one they take part in, or the one they chose or wrote into last.
// ErrNotFound: there is none; ErrChoose: there are several and none was chosen,
// or the one they wrote into has just ended, and nobody may read words that were
// meant for somebody else.
func (tx *Tx) Current(ctx context.Context, by Party) (c Conversation, live []Conversation, err error) {
	live, err = tx.Live(ctx, by)
	if err != nil {
		return c, nil, err
	}
	switch {
	case len(live) == 0:
		return c, nil, ErrNotFound
	case len(live) == 1 && live[0].Asker == by.Key:
		return live[0], live, nil
	}
	if err := tx.offDuty(ctx); err != nil {
		return c, nil, err
	}
	var current string
	err = tx.db.NewSelect().Model((*Agent)(nil)).Column("current").Where("id = ?", by.Key).Scan(ctx, &current)
	if err := agentErr(err, "current conversation"); err != nil && !errors.Is(err, ErrNotFound) {
		return c, live, err
	}
	for _, c := range live {
		if c.ID == current {
			return c, live, nil
		}
	}
	if len(live) == 1 && current != noLonger {
		return live[0], live, nil
	}
	return c, live, ErrChoose
}

// ErrChoose means that somebody has to say which of their conversations is meant.
var ErrChoose = errors.New("there are several conversations")

// ConversationID finds one of a party's conversations by the beginning of its id.
func (tx *Tx) ConversationID(ctx context.Context, short string, by Party) (string, error) {
	if len(short) < 4 {
		return "", fmt.Errorf("conversation: %w", ErrNotFound)
	}
	var ids []string
	q := tx.db.NewSelect().Model((*Conversation)(nil)).Column("id").Where("substr(id, 1, ?) = ?", len(short), short).Limit(2)
	if !by.Admin {
		q.Where("asker = ?0 OR agent = ?0", by.Key)
	}
	if err := q.Scan(ctx, &ids); err != nil {
		return "", fmt.Errorf("conversation: %w", err)
	}
	if len(ids) != 1 {
		return "", fmt.Errorf("conversation: %w", ErrNotFound)
	}
	return ids[0], nil
}
