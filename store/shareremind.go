package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskbell/bot"
)

const (
	// remindLong is how long before the end the owner of a share hears of it, and
	// remindShort the same for one that is good for less than shortShare.
	remindLong  = 24 * time.Hour
	remindShort = 10 * time.Minute
	shortShare  = 48 * time.Hour
)

// remindAt is when the owner hears that a share is about to expire; nil for one
// that was made so shortly before that they will remember.
func remindAt(now, expires time.Time) *time.Time {
	switch left := expires.Sub(now); {
	case left >= shortShare:
		return new(expires.Add(-remindLong))
	case left >= 2*remindShort:
		return new(expires.Add(-remindShort))
	}
	return nil
}

// RemindShares tells the owners of shares that are about to expire, once each.
func (s *Store) RemindShares(ctx context.Context) error {
	const isDue = "remind_at <= ?0 AND revoked_at IS NULL AND expires_at > ?0"
	due, err := s.reads.NewSelect().Model((*shareRow)(nil)).Where(isDue, s.Now().UTC()).Count(ctx)
	if err != nil || due == 0 {
		return wrapped(err, "look for shares about to expire")
	}
	return s.Tx(ctx, func(tx *Tx) error {
		var rows []shareRow
		err := tx.db.NewUpdate().Model((*shareRow)(nil)).Set("remind_at = NULL").Where(isDue, tx.Now).Returning("id").Scan(ctx, &rows)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("remind of shares: %w", err)
		}
		for _, row := range rows {
			sh, err := tx.Share(ctx, row.ID)
			if err != nil {
				return err
			}
			if sh.Owner == "" { // the master key has no chat
				continue
			}
			if err := tx.Tell(ctx, sh.Owner, bot.Card("share.ending", sh)); err != nil {
				return err
			}
		}
		return nil
	})
}
