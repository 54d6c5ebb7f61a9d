package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/uptrace/bun"
)

// What the pages show of conversations beside the conversations themselves.

// Reopens reports whether a conversation that was closed may still go on.
func (c Conversation) Reopens(now time.Time) bool {
	return c.Status == Closed && c.ClosedAt != nil && now.Sub(*c.ClosedAt) <= reopenWithin
}

// usualOf is of how many conversations UsualAnswer is the median, and usualFew
// how many there must be for it to mean anything.
const (
	usualOf  = 100
	usualFew = 5
)

// UsualAnswer is how long people have waited lately until somebody answered: the
// median. It is 0 when too few have asked to say.
func (s *Store) UsualAnswer(ctx context.Context) (time.Duration, error) {
	var rows []Conversation
	err := s.reads.NewSelect().Model(&rows).Column("created_at", "answered_at").Where("updated_at > ?", s.Now().UTC().Add(-7*24*time.Hour)).
		Where("answered_at IS NOT NULL").Order("updated_at DESC").Limit(usualOf).Scan(ctx)
	if err != nil || len(rows) < usualFew {
		return 0, wrap(err, "how long answers take")
	}
	waits := make([]time.Duration, len(rows))
	for i, c := range rows {
		waits[i] = max(c.AnsweredAt.Sub(c.CreatedAt), 0)
	}
	slices.Sort(waits)
	return waits[len(waits)/2], nil
}

// LastWords are the latest messages of some conversations, by the conversation's
// id.
func (s *Store) LastWords(ctx context.Context, list []Conversation) (map[string]Said, error) {
	words := make(map[string]Said, len(list))
	if len(list) == 0 {
		return words, nil
	}
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.ID
	}
	var rows []Said
	err := s.reads.NewSelect().Model(&rows).Where("conversation IN (?)", bun.List(ids)).
		Where("n = (SELECT max(n) FROM conversation_messages AS l WHERE l.conversation = m.conversation)").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list last words: %w", err)
	}
	for _, m := range rows {
		words[m.Conversation] = m
	}
	return words, nil
}
