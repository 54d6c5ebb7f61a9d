package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// HeldFor is how long what somebody wrote waits for them to say where it goes.
const HeldFor = 10 * time.Minute

// heldWords are what somebody wrote in the chat without having said which of
// their conversations it is for.
type heldWords struct {
	bun.BaseModel `bun:"table:held_words,alias:h"`

	Person    string    `bun:"person,pk"` // canonical userid
	N         int       `bun:"n,pk"`      // in their order
	Content   string    `bun:"content"`
	Media     string    `bun:"media"`
	Kind      string    `bun:"kind"` // of the medium
	Nonce     string    `bun:"nonce"`
	CreatedAt time.Time `bun:"created_at"`
}

// Hold keeps words until their author chooses a conversation, and tells how many
// wait now.
func (tx *Tx) Hold(ctx context.Context, by Party, w Words) (waiting int, err error) {
	w.Content = spoken(w.Content)
	if len(w.Content) > MaxSaid {
		return 0, fmt.Errorf("hold: %w", ErrTooLong)
	}
	var was []heldWords
	if err := tx.db.NewSelect().Model(&was).Column("n", "created_at").Where("person = ?", by.Key).Order("n").Scan(ctx); err != nil {
		return 0, fmt.Errorf("hold: %w", err)
	}
	row := heldWords{Person: by.Key, N: 1, Content: w.Content, Media: w.Media, Kind: w.Kind, Nonce: w.Nonce, CreatedAt: tx.Now}
	if len(was) > 0 {
		row.N = was[len(was)-1].N + 1
	}
	for _, h := range was {
		if h.fresh(tx.Now) {
			waiting++
		}
	}
	_, err = tx.db.NewInsert().Model(&row).Returning("NULL").Exec(ctx)
	return waiting + 1, wrap(err, "hold")
}

func (h heldWords) fresh(now time.Time) bool { return h.CreatedAt.After(now.Add(-HeldFor)) }

// Held takes the words that wait, in their order. What waited too long is not
// sent: whoever wrote it has long been told that it would not be.
func (tx *Tx) Held(ctx context.Context, by Party) ([]Words, error) {
	var rows []heldWords
	if err := tx.db.NewSelect().Model(&rows).Where("person = ?", by.Key).Order("n").Scan(ctx); err != nil || len(rows) == 0 {
		return nil, wrap(err, "what was held")
	}
	if _, err := tx.db.NewDelete().Model((*heldWords)(nil)).Where("person = ?", by.Key).Exec(ctx); err != nil {
		return nil, fmt.Errorf("what was held: %w", err)
	}
	var list []Words
	for _, h := range rows {
		if h.fresh(tx.Now) {
			list = append(list, Words{Content: h.Content, Media: h.Media, Kind: h.Kind, Nonce: h.Nonce})
		}
	}
	return list, nil
}

func (s *Store) purgeHeld(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM held_words WHERE created_at <= ?", HeldFor)
}
