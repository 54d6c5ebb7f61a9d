package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskbell/bot"
)

// reopenWithin is for how long a closed conversation may go on.
const reopenWithin = 24 * time.Hour

// byTheDesk closed a conversation when nobody did.
const byTheDesk = "desk"

// CloseConversation ends one, for whoever takes part in it and administrators.
// One that is closed stays as it is.
func (tx *Tx) CloseConversation(ctx context.Context, id string, by Party) (Conversation, error) {
	c, err := tx.holdConversation(ctx, id, by)
	if err != nil || c.Status == Closed {
		return c, err
	}
	err = tx.end(ctx, &c, by)
	return c, err
}

// end closes a conversation; the zero Party is the desk.
func (tx *Tx) end(ctx context.Context, c *Conversation, by Party) error {
	who := cmp.Or(by.Key, byTheDesk)
	if err := tx.line(ctx); err != nil {
		return err
	}
	tx.note(c.ID, saidClosed, by.name(), "")
	if err := tx.speak(ctx, c.ID); err != nil {
		return err
	}
	q := tx.db.NewUpdate().Model(c).Set("status = ?", Closed).Set("closed_at = ?", tx.Now).Set("closed_by = ?", who).Set("waiting_since = NULL").
		Set("asker_here = NULL").Set("agent_here = NULL").Set("updated_at = ?", tx.Now).Where("id = ?", c.ID).Where("status <> ?", Closed).Returning("*")
	if err := conversationErr(q.Scan(ctx)); err != nil {
		return raced(err)
	}
	c.Position = 0
	actor := who
	if by.Key == "" && by.Admin {
		actor = "master key"
	}
	tx.Audit(AuditEntry{Actor: actor, Action: "session.close", Target: c.ID})
	tx.changes(*c)
	if err := tx.offDuty(ctx); err != nil { // what is known of their agent's load
		return err
	}
	if c.Agent != "" {
		if err := tx.retract(ctx, *c, c.Agent); err != nil {
			return err
		}
	}
	tx.after(tx.s.wakeDesk)
	if by.Key == c.Asker || !bot.ValidUserID(c.Asker) {
		return nil
	}
	if p, err := tx.person(ctx, c.Asker); err == nil && p.State != bot.Active { // WeCom would take nothing for them
		return nil
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return tx.Tell(ctx, c.Asker, bot.Text("session.closed", *c))
}

// reachable reports whether whoever asked can still read an answer.
func (tx *Tx) reachable(ctx context.Context, c Conversation) (bool, error) {
	if c.Share == "" {
		p, err := tx.person(ctx, c.Asker)
		if errors.Is(err, ErrNotFound) { // nobody said that they left
			return true, nil
		}
		return p.State == bot.Active, err
	}
	_, err := findAccount(ctx, tx.db, "uid = ?", strings.TrimPrefix(c.Asker, "account:"))
	var sh Share
	if err == nil {
		sh, err = tx.Share(ctx, c.Share)
	}
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return sh.Live(tx.Now), err
}

// Reopen goes on with a conversation that was closed within a day: with the same
// agent if they are online and have room, else with whoever is.
func (tx *Tx) Reopen(ctx context.Context, id string, by Party) (Conversation, error) {
	c, err := tx.holdConversation(ctx, id, by)
	switch {
	case err != nil || c.Status != Closed:
		return c, err
	case tx.Now.Sub(*c.ClosedAt) > reopenWithin:
		return c, cannot(TooOld)
	}
	if there, err := tx.reachable(ctx, c); err != nil {
		return c, err
	} else if !there {
		return c, cannot(Unreachable)
	}
	if _, err := tx.OpenConversation(ctx, c.Asker, c.Share); err == nil {
		return c, cannot(OtherOpen)
	} else if !errors.Is(err, ErrNotFound) {
		return c, err
	}
	before, told := c.Agent, by.Key != c.Asker // who was told that it is over has to hear that it is not
	q := tx.db.NewUpdate().Model(&c).Set("status = ?", Queued).Set("agent = ''").Set("agent_id = ''").Set("agent_name = ''").Set("queued_at = ?", tx.Now).Set("said_at = ?", tx.Now).
		Set("closed_at = NULL").Set("closed_by = ''").Set("updated_at = ?", tx.Now).Where("id = ?", c.ID).Where("status = ?", Closed).Returning("*")
	if err := conversationErr(q.Scan(ctx)); taken(err, "conversations_one", "conversations.share") {
		return c, cannot(OtherOpen) // begun this very moment
	} else if err != nil {
		return c, raced(err)
	}
	tx.Audit(AuditEntry{Actor: cmp.Or(by.Key, "master key"), Action: "session.reopen", Target: c.ID})
	tx.note(c.ID, saidReopened, by.name(), "")
	tx.changes(c)
	tx.after(tx.s.wakeDesk)
	if a, err := tx.Agent(ctx, before); err == nil && before != "" && a.Status == Online {
		if ok, err := tx.hire(ctx, before); err != nil {
			return c, err
		} else if ok {
			err = tx.assign(ctx, &c, a, told)
			return c, err
		}
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return c, err
	}
	if err := place(ctx, tx.db, &c); err != nil {
		return c, err
	}
	if c.Position == 1 {
		err = tx.offer(ctx, &c, told)
	}
	if c.Status == Queued {
		tx.overhear(&c)
	}
	return c, err
}

// CloseIdle closes conversations in which nobody said anything for too long, and
// those of customers whose share has expired: they can write no more. Those in the
// queue are not idle: they wait.
func (s *Store) CloseIdle(ctx context.Context) error {
	before := s.Now().UTC().Add(-s.Desk.IdleClose)
	var ids []string
	const over = "status = 'open' AND said_at <= ?0 OR status <> 'closed' AND share <> '' AND share IN (SELECT id FROM share_tokens WHERE expires_at <= ?1)"
	err := s.reads.NewSelect().Model((*Conversation)(nil)).Column("id").Where(over, before, s.Now().UTC()).Limit(dispatchAtOnce).Scan(ctx, &ids)
	if err != nil || len(ids) == 0 {
		return wrap(err, "look for idle conversations")
	}
	for _, id := range ids {
		err := s.Tx(ctx, func(tx *Tx) error {
			c, err := tx.holdConversation(ctx, id, Party{Admin: true})
			if err != nil {
				return err
			}
			still, err := tx.db.NewSelect().Model((*Conversation)(nil)).Where("id = ?", id).Where(over, before, tx.Now).Exists(ctx)
			if err != nil || !still {
				return wrap(err, "look for idle conversations")
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
