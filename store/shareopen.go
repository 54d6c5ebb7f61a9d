package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"
)

// OpenShare shows the bot behind a share token to an end user, and counts it. One
// statement decides that it is good and counts, so that no order of events serves
// one that was revoked or has expired. ErrNotFound: there is no such token;
// ErrEnded: it is good no more.
func (s *Store) OpenShare(ctx context.Context, token string, a Account) (b Bot, err error) {
	if tokenKind(token) != kindShare {
		return Bot{}, fmt.Errorf("share: %w", ErrNotFound)
	}
	for range 3 {
		opened := false
		err = s.Tx(ctx, func(tx *Tx) error {
			b, opened, err = tx.openShare(ctx, token, a)
			return err
		})
		if err != nil || opened {
			return b, err
		}
		// Not good at that moment. Why not is asked afterwards, when it may be: then
		// it is only just made or extended, and the statement gets another chance.
		if _, err := s.PeekShare(ctx, token); err != nil {
			return Bot{}, err
		}
	}
	return Bot{}, fmt.Errorf("open a share: %w", errRaced)
}

func (tx *Tx) openShare(ctx context.Context, token string, a Account) (b Bot, opened bool, err error) {
	var row shareRow
	err = tx.db.NewUpdate().Model(&row).Set("opens = opens + 1").Set("opened_at = ?", tx.Now).Where("hash IN (?)", bun.List(tx.s.keys.digests(kindShare, token))).
		Where("revoked_at IS NULL").Where("expires_at IS NULL OR expires_at > ?", tx.Now).Returning("id, bot, expires_at").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Bot{}, false, nil
	}
	if err != nil {
		return Bot{}, false, fmt.Errorf("open a share: %w", err)
	}
	// The statement may have waited for another one past the expiry.
	if now := tx.s.Now(); !row.share(now).Live(now) {
		return Bot{}, false, fmt.Errorf("share: %w", ErrEnded)
	}
	if b, err = findBot(ctx, tx.db, row.Bot); err != nil {
		return Bot{}, false, err
	}
	tx.Audit(AuditEntry{Actor: a.Audited(), Action: "share.open", Target: row.ID, Detail: row.Bot})
	return b, true, nil
}

// PeekShare tells what a share token is for, without counting. Errors as
// OpenShare.
func (s *Store) PeekShare(ctx context.Context, token string) (Share, error) {
	if tokenKind(token) != kindShare {
		return Share{}, fmt.Errorf("share: %w", ErrNotFound)
	}
	row, err := findShare(ctx, s.reads, "t.hash IN (?)", bun.List(s.keys.digests(kindShare, token)))
	if err != nil {
		return Share{}, err
	}
	now := s.Now()
	sh := row.share(now)
	if !sh.Live(now) {
		return Share{}, fmt.Errorf("share: %w", ErrEnded)
	}
	return sh, nil
}
