package store

import (
	"context"
	"database/sql"
	"encoding/json"
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
// the new one, once; else this is a second card. Which it is of one that is on its
// way right now turns out when the new one is sent.
func (tx *Tx) Retell(ctx context.Context, userID string, r bot.Reply, ref string) error {
	if err := tx.unsend(ctx, ref); err != nil {
		return err
	}
	before, taskID, err := tx.flying(ctx, ref)
	code := ""
	if err == nil && before == 0 {
		taskID, code, err = tx.responseCode(ctx, ref)
	}
	if err != nil {
		return wrap(err, "retell")
	}
	if taskID == "" {
		return tx.tellAt(ctx, userID, r, tx.Now, ref)
	}
	o, err := tx.wordAs(ctx, userID, taskID, r) // WeCom refuses an update with another id
	if err != nil {
		return err
	}
	o.ResponseCode = code
	if before != 0 {
		o.Ref = ref
	}
	if err := tx.Push(ctx, o); err != nil {
		return err
	}
	tx.pushes[len(tx.pushes)-1].Updates = before
	return nil
}

// flying is the latest push of a ref that somebody is sending, and the id of its
// card. What follows it to the same person is sent after it.
func (tx *Tx) flying(ctx context.Context, ref string) (id int64, taskID string, err error) {
	var row outboxRow
	err = tx.db.NewSelect().Model(&row).Column("id", "digest", "body").Where("ref = ?", ref).Where("state = ?", Pending).Order("id DESC").Limit(1).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	body, err := tx.s.keys.open("outbox/"+row.Digest, row.Body)
	if err != nil {
		return 0, "", err
	}
	var o bot.Outgoing
	if err := json.Unmarshal(body, &o); err != nil {
		return 0, "", err
	}
	if o.TaskID == "" {
		return 0, "", nil
	}
	return row.ID, o.TaskID, nil
}

// follow makes a card that was made while an earlier one was on its way an update
// of that one, if it arrived. Every try sends the same: it is decided once.
func (tx *Tx) follow(ctx context.Context, p *parcel) error {
	was := outboxRow{ID: p.Updates}
	err := tx.db.NewSelect().Model(&was).Column("id", "state", "response_code").WherePK().Scan(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("follow a card: %w", err)
	}
	if err == nil && was.State == Sent && was.ResponseCode != "" {
		if _, p.out.ResponseCode, err = tx.useCode(ctx, was); err != nil {
			return fmt.Errorf("follow a card: %w", err)
		}
	}
	body, err := json.Marshal(p.out)
	if err != nil {
		return fmt.Errorf("follow a card: %w", err)
	}
	p.Body, p.Updates, p.Counts = tx.s.keys.seal("outbox/"+p.Digest, body), 0, p.out.ResponseCode == ""
	_, err = tx.db.NewUpdate().Model(&p.outboxRow).Column("body", "updates", "counts").WherePK().Exec(ctx)
	return wrap(err, "follow a card")
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
	return tx.useCode(ctx, was)
}

// useCode takes away the code that allows one update of a card, and tells the id
// of that card.
func (tx *Tx) useCode(ctx context.Context, was outboxRow) (taskID, code string, err error) {
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
