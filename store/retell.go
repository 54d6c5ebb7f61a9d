package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"deskbell/bot"
)

// updatable is for how long WeCom lets a card that it delivered be replaced: 72 h
// (document 94888), less a margin.
const updatable = 71 * time.Hour

func responsePlace(id int64) string { return "response/" + strconv.FormatInt(id, 10) }

// Retell is Tell for a card that follows an earlier one of the same ref. One that
// nobody tried to send yet is not sent any more; one that was delivered becomes
// the new one, once; else this is a second card.
func (tx *Tx) Retell(ctx context.Context, userID string, r bot.Reply, ref string) error {
	if err := tx.unsend(ctx, ref); err != nil {
		return err
	}
	taskID, code, err := tx.responseCode(ctx, ref)
	if err != nil {
		return wrap(err, "retell")
	}
	if code == "" {
		return tx.tellAt(ctx, userID, r, tx.Now, ref)
	}
	o, err := tx.wordAs(ctx, userID, taskID, r) // WeCom refuses an update with another id
	if err != nil {
		return err
	}
	o.ResponseCode = code
	return tx.Push(ctx, o)
}

// unsend cancels what nobody has tried to send yet.
func (tx *Tx) unsend(ctx context.Context, ref string) error {
	_, err := tx.unsent(ctx, ref)
	return err
}

// unsent is unsend, and counts.
func (tx *Tx) unsent(ctx context.Context, ref string) (n int64, err error) {
	for i := range tx.pushes {
		if p := &tx.pushes[i]; p.Ref == ref && p.State == Pending {
			p.State, p.Body = Cancelled, ""
			tx.wrote.Store(true) // a Reset could not undo this
			n++
		}
	}
	res, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("state = ?", Cancelled).Set("body = ''").
		Where("ref = ?", ref).Where("state = ?", Pending).Where("tries = 0").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("unsend: %w", err)
	}
	rows, err := res.RowsAffected()
	return n + rows, wrap(err, "unsend")
}

// responseCode takes the code away that allows one update of the latest card of
// a ref, and tells the id of that card; "" means there is none.
func (tx *Tx) responseCode(ctx context.Context, ref string) (taskID, code string, err error) {
	var was outboxRow
	err = tx.db.NewSelect().Model(&was).Column("id", "response_code").Where("ref = ?", ref).Where("state = ?", Sent).Where("response_code <> ''").
		Where("tried_at > ?", tx.Now.Add(-updatable)).Order("id DESC").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	res, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("response_code = ''").Where("id = ?", was.ID).Where("response_code <> ''").Exec(ctx)
	if err := changedOne(res, err, "use a response code"); errors.Is(err, ErrNotFound) {
		return "", "", nil // somebody else was faster
	} else if err != nil {
		return "", "", err
	}
	kept, err := tx.s.keys.open(responsePlace(was.ID), was.ResponseCode)
	taskID, code, _ = strings.Cut(string(kept), " ")
	return taskID, code, err
}
