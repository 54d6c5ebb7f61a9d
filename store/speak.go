package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"
)

// speak writes what was said in some conversations, before something else is done
// with them. Everything else is written at the end: a conversation is held from
// here to the commit.
func (tx *Tx) speak(ctx context.Context, ids ...string) error {
	text, left, err := tx.writeSaid(ctx, nil, ids...)
	if err != nil || len(text) == 0 {
		return err
	}
	if _, err := tx.db.ExecContext(ctx, string(text)); err != nil {
		return fmt.Errorf("write what was said: %w", saidTwice(err))
	}
	tx.said = left
	return nil
}

// writeSaid appends the statements that write what was said in some
// conversations, or in all, and returns what is left. It holds each conversation
// from here to the commit, so that the numbers of its messages are without gaps
// and are seen in their order.
func (tx *Tx) writeSaid(ctx context.Context, text []byte, only ...string) (_ []byte, left []saying, err error) {
	var now []saying
	for _, m := range tx.said {
		if len(only) == 0 || slices.Contains(only, m.Conversation) {
			now = append(now, m)
		} else {
			left = append(left, m)
		}
	}
	if len(now) == 0 {
		return text, left, nil
	}
	slices.SortStableFunc(now, func(a, b saying) int { return strings.Compare(a.Conversation, b.Conversation) })
	list, err := tx.listeners(ctx, now)
	if err != nil {
		return nil, nil, err
	}
	rows := make([]Said, 0, len(now))
	for i := range list {
		c := &list[i]
		for len(rows) < len(now) && now[len(rows)].Conversation == c.ID {
			m := now[len(rows)]
			if c.Status == Closed {
				return nil, nil, fmt.Errorf("say: closed meanwhile: %w", errRaced) // whoever said it decides anew
			}
			if err := tx.passOn(ctx, *c, m); err != nil {
				return nil, nil, err
			}
			c.hear(&m.Said)
			rows = append(rows, m.Said)
		}
		q := tx.db.NewUpdate().Model(c).Column("title", "last", "asker_seen", "agent_seen", "answered_at", "waiting_since", "said_at", "updated_at").WherePK()
		if text, err = q.AppendQuery(tx.s.db.QueryGen(), text); err != nil {
			return nil, nil, fmt.Errorf("say: %w", err)
		}
		text = append(text, ';')
		tx.changes(*c)
	}
	if len(rows) < len(now) {
		return nil, nil, fmt.Errorf("say: gone meanwhile: %w", errRaced)
	}
	text, err = tx.insert(text, &rows)
	return text, left, wrap(err, "say")
}

// listeners holds the conversations of these messages, in the order of their ids.
func (tx *Tx) listeners(ctx context.Context, said []saying) (list []Conversation, err error) {
	ids := make([]string, len(said))
	for i, m := range said {
		ids[i] = m.Conversation
	}
	q := tx.db.NewSelect().Model(&list).Where("id IN (?)", bun.List(slices.Compact(ids))).Order("id")
	if tx.s.pg {
		q = q.For("NO KEY UPDATE")
	}
	err = wrap(q.Scan(ctx), "say")
	slices.SortFunc(list, func(a, b Conversation) int { return strings.Compare(a.ID, b.ID) }) // databases differ in how they order text
	return list, err
}

// hear has a conversation follow from what is said in it, and numbers that.
func (c *Conversation) hear(m *Said) {
	c.Last++
	m.N = c.Last
	c.UpdatedAt = m.CreatedAt
	switch m.Role {
	case ByAsker: // who writes has read what there was
		if c.Title == "" && m.Media == "" { // the name of a file says little
			c.Title = firstLine(m.Content)
		}
		if c.WaitingSince == nil {
			c.WaitingSince = &m.CreatedAt
		}
		c.AskerSeen, c.SaidAt = c.Last, m.CreatedAt
	case ByAgent:
		if m.Author == c.Agent { // and not an administrator
			c.AgentSeen = c.Last
		}
		if c.AnsweredAt == nil {
			c.AnsweredAt = &m.CreatedAt
		}
		c.WaitingSince, c.SaidAt = nil, m.CreatedAt
	}
}

// overhear has a conversation that was read follow from what this transaction
// has yet to write of it.
func (tx *Tx) overhear(c *Conversation) {
	for _, m := range tx.said {
		if m.Conversation == c.ID {
			c.hear(&m.Said)
		}
	}
}

// saidTwice turns the refusal of a message that another request has just said
// into a reason to try again, which finds it.
func saidTwice(err error) error {
	if taken(err, "conversation_messages_nonce", "conversation_messages.nonce") {
		return fmt.Errorf("said by another request: %w", errRaced)
	}
	return err
}

// firstLine is a title made of what was said first.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return titled(s)
}

// maxTitle bounds a title, in characters.
const maxTitle = 60

// titled is s as a title: one line, not too long.
func titled(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if utf8.RuneCountInString(s) > maxTitle {
		s = string([]rune(s)[:maxTitle-1]) + "…"
	}
	return s
}
