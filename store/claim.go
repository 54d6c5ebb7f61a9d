package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/uptrace/bun"
)

// claim leases up to n pushes that are due: for each person only the oldest one
// that waits, so that messages arrive in order, and none above the pace.
func (tx *Tx) claim(ctx context.Context, n int) ([]*parcel, error) {
	var rows []outboxRow
	q := tx.db.NewSelect().Model(&rows).ExcludeColumn("state", "last_error", "due_at", "leased_to", "tried_at", "msg_id").
		Where("state = ?", Pending).Where("due_at <= ?", tx.Now).
		Where("leased_to IS NULL OR leased_to < ?", tx.Now).
		Where("id IN (SELECT min(id) FROM outbox WHERE state = ? GROUP BY person)", Pending).
		Order("id").Limit(n)
	if tx.s.pg {
		q = q.For("UPDATE SKIP LOCKED")
	}
	if err := q.Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	waits, err := tx.paced(ctx, rows)
	if err != nil {
		return nil, err
	}
	var parcels []*parcel
	var ids []int64
	for _, row := range rows {
		if wait := waits[row.Person]; row.Counts && wait.After(tx.Now) {
			if _, err := tx.db.NewUpdate().Model(&row).Set("due_at = ?", wait).WherePK().Exec(ctx); err != nil {
				return nil, err
			}
			continue
		}
		p := &parcel{outboxRow: row}
		if err := tx.unwrap(ctx, p); err != nil {
			return nil, err
		}
		if row.Updates != 0 && p.err == nil {
			if err := tx.follow(ctx, p); err != nil {
				return nil, err
			}
		}
		if row.Recalls != "" {
			if err := tx.db.NewSelect().Table("outbox").Column("msg_id").Where("ref = ?", row.Recalls).Scan(ctx, &p.out.Recall); err != nil && !errors.Is(err, sql.ErrNoRows) {
				return nil, err
			}
			p.moot = p.out.Recall == ""
		}
		parcels, ids = append(parcels, p), append(ids, row.ID)
	}
	if len(rows) == n && len(ids) < n { // some were put off: there may be others in their place
		tx.after(tx.s.wakeOutbox)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	_, err = tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("leased_to = ?", tx.Now.Add(sendLease)).Set("tries = tries + 1").
		Set("tried_at = ?", tx.Now).Set("first_tried = coalesce(first_tried, ?)", tx.Now).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return parcels, err
}

// unwrap makes p ready to be sent. p.err says that it cannot be.
func (tx *Tx) unwrap(ctx context.Context, p *parcel) error {
	var body []byte
	if body, p.err = tx.s.keys.open("outbox/"+p.Digest, p.Body); p.err == nil {
		p.err = json.Unmarshal(body, &p.out)
	}
	p.Tries++
	switch {
	case p.FirstTry == nil:
		p.FirstTry = &tx.Now
		if p.out.Text != "" { // a card has an id of its own, so only texts can be equal
			if err := tx.vary(ctx, p); err != nil {
				return err
			}
		}
	case tx.Now.After(lastTry(p)):
		p.err = errTooLate
	}
	p.out.Variant = p.Variant
	return nil
}

// record writes what came of sends.
func (o *Outbox) record(ctx context.Context, tx *Tx, ended []*parcel) error {
	var sent, unsent []int64
	for _, p := range ended {
		if p.err == nil {
			sent = append(sent, p.ID)
			if err := tx.named(ctx, p); err != nil {
				return err
			}
		} else if p.err == errUnsent {
			unsent = append(unsent, p.ID)
		} else if err := o.failed(ctx, tx, p); err != nil {
			return err
		}
	}
	if err := tx.putBack(ctx, unsent); err != nil {
		return err
	}
	if len(sent) == 0 {
		return nil
	}
	_, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("state = ?", Sent).Set("body = ''").Set("leased_to = NULL").Set("last_error = ''").
		Where("id IN (?)", bun.List(sent)).Exec(ctx)
	return err
}

// named keeps WeCom's name for a message that may have to be taken back.
func (tx *Tx) named(ctx context.Context, p *parcel) error {
	if p.Ref == "" {
		return nil
	}
	code := ""
	if p.receipt.ResponseCode != "" {
		code = tx.s.keys.seal(responsePlace(p.ID), []byte(p.out.TaskID+" "+p.receipt.ResponseCode))
	}
	_, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("msg_id = ?", p.receipt.MsgID).Set("response_code = ?", code).Where("id = ?", p.ID).Exec(ctx)
	return err
}

// putBack undoes the claim of pushes that nobody tried to send.
func (tx *Tx) putBack(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("leased_to = NULL").Set("tries = tries - 1").
		Set("first_tried = CASE WHEN tries > 1 THEN first_tried END").Where("id IN (?)", bun.List(ids)).Where("state = ?", Pending).Exec(ctx)
	return err
}
