package store

import (
	"cmp"
	"context"
	"fmt"
)

// The kinds of accounts, as AccountQuery tells them apart.
const (
	KindEndUser = "enduser"
	KindAccount = "account"
)

// AccountQuery asks for accounts, the newest first. The zero query means the
// first hundred of all kinds.
type AccountQuery struct {
	Text  string // in a name of theirs
	Kind  string // only those of it
	After string // only those behind this one in the list, by uid
	Limit int    // default 100
}

// FindAccounts lists accounts.
func (s *Store) FindAccounts(ctx context.Context, q AccountQuery) ([]Account, error) {
	var rows []accountRow
	query := s.reads.NewSelect().Model(&rows).OrderExpr("created_at DESC, uid DESC").Limit(cmp.Or(q.Limit, 100))
	if q.Text != "" {
		where, args := anyLike(q.Text, "username", "nickname", "email", "mobile")
		query = query.Where(where, args...)
	}
	switch q.Kind {
	case KindEndUser:
		query = query.Where("is_end_user")
	case KindAccount:
		query = query.Where("NOT is_end_user")
	}
	if q.After != "" {
		query = query.Where("(created_at, uid) < (SELECT created_at, uid FROM accounts WHERE uid = ?)", q.After)
	}
	if err := query.Scan(ctx); err != nil {
		return nil, fmt.Errorf("find accounts: %w", err)
	}
	list := make([]Account, len(rows))
	for i, row := range rows {
		list[i] = row.Account
	}
	return list, nil
}
