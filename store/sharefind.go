package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// notOwned tells why a statement found no bot of the owner's.
func (tx *Tx) notOwned(ctx context.Context, botID string) error {
	if _, err := findBot(ctx, tx.db, botID); err != nil {
		return err
	}
	return fmt.Errorf("bot: %w", ErrNotOwner)
}

func selectShares(db bun.IDB, into any) *bun.SelectQuery {
	return db.NewSelect().Model(into).ColumnExpr("t.*").ColumnExpr("b.owner, b.name AS bot_name").Join("JOIN bots AS b ON b.id = t.bot")
}

// Share returns a share by its id.
func (tx *Tx) Share(ctx context.Context, id string) (Share, error) {
	row, err := findShare(ctx, tx.db, "t.id = ?", id)
	return row.share(tx.Now), err
}

func findShare(ctx context.Context, db bun.IDB, where string, args ...any) (shareRow, error) {
	var row shareRow
	err := selectShares(db, &row).Where(where, args...).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, fmt.Errorf("share: %w", ErrNotFound)
	}
	if err != nil {
		return row, fmt.Errorf("share: %w", err)
	}
	return row, nil
}

// Shares lists a bot's shares, newest first. ErrNotFound and ErrNotOwner as
// CreateShare.
func (s *Store) Shares(ctx context.Context, botID string, by Asker) ([]Share, error) {
	b, err := s.Bot(ctx, botID)
	if err != nil {
		return nil, err
	}
	if !by.Master && (b.Owner == "" || b.Owner != bot.Canonical(by.UserID)) {
		return nil, fmt.Errorf("bot: %w", ErrNotOwner)
	}
	var rows []shareRow
	if err := selectShares(s.reads, &rows).Where("t.bot = ?", botID).OrderExpr("t.created_at DESC, t.id DESC").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list shares: %w", err)
	}
	return shares(rows, s.Now()), nil
}

// ShareQuery asks for the shares of all of an owner's bots, the newest first.
type ShareQuery struct {
	Owner Asker
	Text  string // in the name of the share or of its bot, or the end of its token
	Ended bool   // those that are good no more, too
	After string // only those behind this one in the list, by id
	Limit int    // default 100
}

// FindShares lists shares.
func (s *Store) FindShares(ctx context.Context, q ShareQuery) ([]Share, error) {
	now := s.Now().UTC()
	var rows []shareRow
	query := selectShares(s.reads, &rows).Where("?", q.Owner.owns()).OrderExpr("t.created_at DESC, t.id DESC").Limit(cmp.Or(q.Limit, 100))
	if q.Text != "" {
		where, args := anyLike(q.Text, "t.name", "b.name")
		query = query.Where("("+where+" OR t.last4 = ?)", append(args, q.Text)...)
	}
	if !q.Ended {
		query = query.Where("t.revoked_at IS NULL").Where("t.expires_at IS NULL OR t.expires_at > ?", now)
	}
	if q.After != "" {
		query = query.Where("(t.created_at, t.id) < (SELECT created_at, id FROM share_tokens WHERE id = ?)", q.After)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("find shares: %w", err)
	}
	return shares(rows, now), nil
}

// LiveShares lists a person's shares that are good, newest first.
func (tx *Tx) LiveShares(ctx context.Context, owner string) ([]Share, error) {
	var rows []shareRow
	err := selectShares(tx.db, &rows).Where("b.owner = ?", bot.Canonical(owner)).Where("t.revoked_at IS NULL").
		Where("t.expires_at IS NULL OR t.expires_at > ?", tx.Now).OrderExpr("t.created_at DESC, t.id DESC").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list shares: %w", err)
	}
	return shares(rows, tx.Now), nil
}

func shares(rows []shareRow, now time.Time) []Share {
	list := make([]Share, len(rows))
	for i, row := range rows {
		list[i] = row.share(now)
	}
	return list
}

// ShareID completes the id of a person's share, of which the first characters
// that ShortID gives will do. Of what is not theirs it says ErrNotFound.
func (tx *Tx) ShareID(ctx context.Context, id, owner string) (string, error) {
	from, to, ok := idsFrom(id)
	if !ok {
		return "", ErrNotFound
	}
	var found []shareRow
	err := selectShares(tx.db, &found).Where("b.owner = ?", bot.Canonical(owner)).Where("t.id BETWEEN ? AND ?", from, to).Limit(2).Scan(ctx)
	if err != nil {
		return "", fmt.Errorf("share: %w", err)
	}
	if len(found) != 1 {
		return "", ErrNotFound
	}
	return found[0].ID, nil
}
