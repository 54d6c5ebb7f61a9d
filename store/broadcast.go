package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Broadcast is a message of an administrator to everybody.
type Broadcast struct {
	bun.BaseModel `bun:"table:broadcasts,alias:b"`

	ID          string     `bun:"id,pk"`
	Author      string     `bun:"author"` // canonical userid
	AuthorName  string     `bun:"author_name"`
	Content     string     `bun:"content"`
	AskedAt     time.Time  `bun:"asked_at"`
	CountedAt   *time.Time `bun:"counted_at"` // its author was asked whether it is to go out
	Listed      bool       `bun:"listed"`     // the directory said whom the app is for
	People      string     `bun:"people"`     // userids, one a line
	Count       int        `bun:"count"`      // of them
	ConfirmedAt *time.Time `bun:"confirmed_at"`
	Sent        int        `bun:"sent"` // to how many of them it was pushed
	DoneAt      *time.Time `bun:"done_at"`

	For     time.Duration `bun:"-"` // how long it may be confirmed
	Again   bool          `bun:"-"` // it had been confirmed before
	Failed  int           `bun:"-"` // whom it did not reach, once it is done
	Arrived int           `bun:"-"` // and whom it did
}

// maxBroadcast bounds a broadcast, in bytes: everybody gets it whole, in one text.
const maxBroadcast = 1800

// ConfirmWithin is how long a broadcast may be confirmed.
const ConfirmWithin = 10 * time.Minute

func broadcastRef(id string) string { return "broadcast/" + id }

// AskBroadcast keeps a message that is to go to everybody. Its author is asked
// first, as soon as it is known how many that are.
func (tx *Tx) AskBroadcast(ctx context.Context, by bot.User, content string) error {
	content = spoken(content)
	switch {
	case content == "":
		return fmt.Errorf("broadcast: %w", ErrEmpty)
	case len(content) > maxBroadcast:
		return fmt.Errorf("broadcast: %w", ErrTooLong)
	}
	b := Broadcast{ID: uuid.NewString(), Author: by.Key(), AuthorName: PartyOf(by).name(), Content: content, AskedAt: tx.Now}
	if _, err := tx.db.NewInsert().Model(&b).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	tx.Audit(AuditEntry{Actor: b.Author, Action: "broadcast.ask", Target: b.ID, Detail: titled(content)})
	tx.after(tx.s.wakeBroadcasts)
	return nil
}

// ConfirmBroadcast has it sent, once. Only its author may, within ConfirmWithin:
// ErrEnded, too late.
func (tx *Tx) ConfirmBroadcast(ctx context.Context, id string, by bot.User) (b Broadcast, err error) {
	q := tx.db.NewUpdate().Model(&b).Set("confirmed_at = ?", tx.Now).Where("id = ?", id).Where("author = ?", by.Key()).
		Where("confirmed_at IS NULL").Where("counted_at > ?", tx.Now.Add(-ConfirmWithin)).Returning("*")
	err = q.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.db.NewSelect().Model(&b).Where("id = ?", id).Where("author = ?", by.Key()).Scan(ctx)
		b.Again = b.ConfirmedAt != nil
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return b, fmt.Errorf("broadcast: %w", ErrNotFound)
		case err == nil && !b.Again:
			return b, fmt.Errorf("broadcast: %w", ErrEnded)
		}
		return b, wrap(err, "broadcast")
	}
	if err != nil {
		return b, fmt.Errorf("broadcast: %w", err)
	}
	tx.Audit(AuditEntry{Actor: b.Author, Action: "broadcast.send", Target: b.ID, Detail: fmt.Sprint(b.Count, " people")})
	tx.after(tx.s.wakeBroadcasts)
	return b, nil
}

func (s *Store) wakeBroadcasts() {
	select {
	case s.cried <- struct{}{}:
	default:
	}
}

func (s *Store) purgeBroadcasts(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM broadcasts WHERE asked_at < ? AND (done_at IS NOT NULL OR confirmed_at IS NULL)", outboxKept)
}
