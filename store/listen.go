package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"
)

// Messages lists up to n messages after one of that number, in their order.
func (s *Store) Messages(ctx context.Context, id string, after int64, n int) ([]Said, error) {
	var list []Said
	if err := s.reads.NewSelect().Model(&list).Where("conversation = ?", id).Where("n > ?", after).Order("n").Limit(n).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	return list, nil
}

// LatestMessages lists the last n messages up to one of that number, in their
// order; before is 0 for the end.
func (s *Store) LatestMessages(ctx context.Context, id string, before int64, n int) ([]Said, error) {
	var list []Said
	q := s.reads.NewSelect().Model(&list).Where("conversation = ?", id).Order("n DESC").Limit(n)
	if before > 0 {
		q.Where("n < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	slices.Reverse(list)
	return list, nil
}

// MessageNumber is the number of a message of a conversation, or ErrNotFound.
func (s *Store) MessageNumber(ctx context.Context, conversation, id string) (n int64, err error) {
	err = s.reads.NewSelect().Model((*Said)(nil)).Column("n").Where("conversation = ?", conversation).Where("id = ?", id).Scan(ctx, &n)
	return n, conversationErr(err)
}

// Seen notes that a party saw everything up to a message of that number, and
// takes back the pushes of what they saw. It does nothing for whoever takes no
// part in it any more.
func (s *Store) Seen(ctx context.Context, c Conversation, by Party, n int64) error {
	who, role := c.side(by)
	if who == "" {
		return nil
	}
	return s.Tx(ctx, func(tx *Tx) error {
		var was Conversation
		err := tx.db.NewUpdate().Model(&was).Set("?0 = CASE WHEN last < ?1 THEN last ELSE ?1 END", bun.Ident(who+"_seen"), n).
			Where("id = ?", c.ID).Where("? = ?", bun.Ident(who), by.Key).Where("?0 < ?1 AND ?0 < last", bun.Ident(who+"_seen"), n).
			Returning("id, asker, agent, last").Scan(ctx)
		if errors.Is(conversationErr(err), ErrNotFound) {
			return nil // seen before
		}
		if err != nil {
			return fmt.Errorf("note what was seen: %w", err)
		}
		var ids []string
		err = tx.db.NewSelect().Model((*Said)(nil)).Column("id").Where("conversation = ?", c.ID).Where("n <= ?", n).Where("role = ?", role).
			Where("created_at > ?", tx.Now.Add(-time.Hour)).Order("n DESC").Limit(200).Scan(ctx, &ids)
		if err != nil {
			return fmt.Errorf("note what was seen: %w", err)
		}
		refs := make([]string, len(ids))
		for i, id := range ids {
			refs[i] = sayingRef(c.ID, role, id)
		}
		if len(refs) > 0 { // one that was claimed is on its way: it has been tried
			_, err = tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("state = ?", Cancelled).Set("body = ''").Where("ref IN (?)", bun.List(refs)).
				Where("person = ?", by.Key).Where("state = ?", Pending).Where("tries = 0").Exec(ctx)
		}
		tx.changes(was)
		return wrap(err, "take back what was seen")
	})
}

// side tells as what a party takes part, which is also the column that says so,
// and the role of what the other side says. "" is an administrator looking on.
func (c Conversation) side(by Party) (who, role string) {
	switch {
	case !c.has(by):
		return "", ""
	case by.Key == c.Asker:
		return "asker", ByAgent
	}
	return "agent", ByAsker
}

// here is how long a page is believed to be open after it last said so.
const here = 45 * time.Second

// Here notes that a party has the conversation's page open. The page says so
// again before Here is over.
func (s *Store) Here(ctx context.Context, c Conversation, by Party) error {
	who, _ := c.side(by)
	if who == "" {
		return nil
	}
	return s.Tx(ctx, func(tx *Tx) error {
		_, err := tx.db.NewUpdate().Model((*Conversation)(nil)).Set("? = ?", bun.Ident(who+"_here"), tx.Now.Add(here)).
			Where("id = ?", c.ID).Where("? = ?", bun.Ident(who), by.Key).Where("status <> ?", Closed).Exec(ctx)
		return wrap(err, "note who looks on")
	})
}
