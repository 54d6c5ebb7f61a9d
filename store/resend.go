package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
)

// DeliveryQuery asks for pushes, the newest first.
type DeliveryQuery struct {
	State  string // only those in it
	Text   string // in the userid of whom they are for
	Before int64  // only those older than the one with this id
	Limit  int    // default 100
}

// FindDeliveries lists pushes.
func (s *Store) FindDeliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, error) {
	var list []Delivery
	query := s.reads.NewSelect().Table("outbox").ColumnExpr("id, person AS \"to\", state, tries, last_error, created_at, due_at").
		Order("id DESC").Limit(cmp.Or(q.Limit, 100))
	if q.State != "" {
		query = query.Where("state = ?", q.State)
	}
	if q.Text != "" {
		query = query.Where("person"+likeEscape, containing(q.Text))
	}
	if q.Before > 0 {
		query = query.Where("id < ?", q.Before)
	}
	if err := query.Scan(ctx, &list); err != nil {
		return nil, fmt.Errorf("find deliveries: %w", err)
	}
	return list, nil
}

// Resend has a push that was given up sent again. Within two hours of its first
// try WeCom recognises it, and the person sees it once at most; later it is a new
// message with four hours of its own, and an earlier try that arrived without our
// knowing makes it twice. ErrNotFound: there is none that was given up.
func (tx *Tx) Resend(ctx context.Context, id int64, by string) (to string, err error) {
	var row outboxRow
	err = tx.db.NewUpdate().Model(&row).Set("state = ?", Pending).Set("tries = 0").Set("due_at = ?", tx.Now).Set("leased_to = NULL").
		Set("first_tried = CASE WHEN first_tried > ? THEN first_tried END", tx.Now.Add(-duplicateCheck/2)).
		Where("id = ?", id).Where("state = ?", Dead).Where("body <> ''").Returning("person").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("resend: %w", err)
	}
	tx.Audit(AuditEntry{Actor: by, Action: "push.resend", Target: row.Person, Detail: strconv.FormatInt(id, 10)})
	tx.after(tx.s.wakeOutbox)
	return row.Person, nil
}
