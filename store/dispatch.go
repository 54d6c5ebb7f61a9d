package store

import (
	"context"
	"errors"
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
			c, err := tx.holdConversation(ctx, id, Party{Admin: true})
			if err != nil || c.Status != Assigned || c.SaidAt.After(before) {
				return err
			}
			return tx.end(ctx, &c, Party{})
		})
		if err != nil && !Raced(err) && !errors.Is(err, ErrNotFound) {
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
	for _, c := range live {
		if c.Asker != id {
			sessions++
		} else if err := tx.endNow(ctx, c.ID); err != nil {
			return 0, err
		}
	}
	tx.after(tx.s.wakeDesk)
	return sessions, nil
}

// endNow closes a conversation that has nobody to answer to any more.
func (tx *Tx) endNow(ctx context.Context, id string) error {
	c, err := tx.holdConversation(ctx, id, Party{Admin: true})
	if err != nil || c.Status == Closed {
		return err
	}
	return tx.end(ctx, &c, Party{})
}

// endOf closes what end users have open, under a condition: they can read no
// answer any more.
func (tx *Tx) endOf(ctx context.Context, where string, args ...any) error {
	var ids []string
	err := tx.db.NewSelect().Model((*Conversation)(nil)).Column("id").Where("share <> ''").Where("status <> 'closed'").Where(where, args...).Order("id").Scan(ctx, &ids)
	if err != nil {
		return fmt.Errorf("look for conversations: %w", err)
	}
	for _, id := range ids {
		if err := tx.endNow(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// purgeConversations removes what was said in conversations that were closed long
// ago, then these, in bites: one that went on for long has thousands of messages.
func (s *Store) purgeConversations(ctx context.Context) (int64, error) {
	n, err := s.purge(ctx, "DELETE FROM conversation_messages WHERE (conversation, n) IN (SELECT m.conversation, m.n FROM conversations AS c JOIN conversation_messages AS m ON m.conversation = c.id WHERE "+
		"c.status = 'closed' AND c.closed_at < ? ORDER BY c.closed_at LIMIT 500)", s.Desk.Keep)
	if err != nil || n > 0 {
		return n, err
	}
	return s.purge(ctx, "DELETE FROM conversations WHERE status = 'closed' AND id IN (SELECT id FROM conversations WHERE status = 'closed' AND closed_at < ? ORDER BY closed_at LIMIT 500)", s.Desk.Keep)
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
	res, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("current = ?", id).Set("chosen_at = ?", tx.Now).Where("id = ?", by.Key).Exec(ctx)
	if err := changedOne(res, err, "use a conversation"); err != nil && !errors.Is(err, ErrNotFound) {
		return c, err // somebody who is no agent has one conversation only
	}
	return c, nil
}

// Live lists the conversations that somebody takes part in and that are not
// closed: their own first, then those they answer, the oldest first.
func (tx *Tx) Live(ctx context.Context, by Party) ([]Conversation, error) {
	if by.Key == "" {
		return nil, nil
	}
	var list []Conversation
	err := tx.db.NewSelect().Model(&list).Where(liveOf, by.Key).
		OrderExpr("CASE WHEN asker = ? THEN 0 ELSE 1 END, created_at, id", by.Key).Limit(1000).Scan(ctx)
	for i := range list {
		tx.overhear(&list[i])
	}
	return list, wrap(err, "list conversations")
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
	_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("current = ?", c.ID).Set("chosen_at = ?", tx.Now).Where("id = ?", by.Key).
		Where("current <> ? OR chosen_at IS NULL OR chosen_at < ?", c.ID, c.AssignedAt).Exec(ctx)
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
	var a Agent
	err = tx.db.NewSelect().Model(&a).Column("current", "chosen_at").Where("id = ?", by.Key).Scan(ctx)
	if err := agentErr(err, "current conversation"); err != nil && !errors.Is(err, ErrNotFound) {
		return c, live, err
	}
	for _, c := range live {
		since := c.AssignedAt
		if c.Asker == by.Key {
			since = nil
		}
		if c.ID == a.Current && a.ChosenAt != nil && (since == nil || !a.ChosenAt.Before(*since)) {
			return c, live, nil
		}
	}
	if len(live) > 1 {
		return c, live, ErrChoose
	}
	if meant, err := tx.stillMeant(ctx, a.Current, live[0]); err != nil || meant {
		return live[0], live, err
	}
	return c, live, ErrChoose
}

// stillMeant reports whether an agent's only conversation is the one they mean:
// not if they chose another one that has ended since this one began.
func (tx *Tx) stillMeant(ctx context.Context, chosen string, only Conversation) (bool, error) {
	if chosen == "" || chosen == only.ID {
		return true, nil
	}
	was, err := findConversation(ctx, tx.db, chosen, Party{Admin: true})
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	ended := was.UpdatedAt // somebody else has it
	if was.ClosedAt != nil {
		ended = *was.ClosedAt
	}
	return only.AssignedAt != nil && only.AssignedAt.After(ended), err
}

// ErrChoose means that somebody has to say which of their conversations is meant.
var ErrChoose = errors.New("there are several conversations")

// ConversationID finds one of a party's conversations by the beginning of its id.
func (tx *Tx) ConversationID(ctx context.Context, short string, by Party) (string, error) {
	if len(short) < 4 || by.Key == "" && !by.Admin {
		return "", fmt.Errorf("conversation: %w", ErrNotFound)
	}
	var ids []string
	q := tx.db.NewSelect().Model((*Conversation)(nil)).Column("id").Where("substr(id, 1, ?) = ?", len(short), short).Limit(2)
	if !by.Admin {
		q.Where("id IN (SELECT id FROM conversations WHERE asker = ?0 UNION ALL SELECT id FROM conversations WHERE agent = ?0)", by.Key)
	}
	if err := q.Scan(ctx, &ids); err != nil {
		return "", fmt.Errorf("conversation: %w", err)
	}
	if len(ids) != 1 {
		return "", fmt.Errorf("conversation: %w", ErrNotFound)
	}
	return ids[0], nil
}
