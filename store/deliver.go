package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

const (
	// duplicateCheck is how long WeCom recognises an identical message and does
	// not deliver it twice: 4 h at most (document 90236). Trying longer than that
	// could show a message twice, so it is also when a push is given up.
	duplicateCheck = 4 * time.Hour
	// sendLease is how long a push is left to whoever is sending it and has not
	// said since that it still is: the delay after a crash in between.
	sendLease = 5 * time.Second
	// sendWithin bounds one try to send, a new access token included.
	sendWithin = 18 * time.Second
	// hourly is under the 1,000 messages an hour to one member above which WeCom
	// drops silently (document 90312).
	hourly = 900
	// sendAtOnce bounds the calls under way, below WeCom's limit on concurrency.
	sendAtOnce = 16
	// claimAtOnce bounds what is claimed: more than is sent at once, so that one
	// transaction serves many sends.
	claimAtOnce = 64
)

// Outbox delivers what transactions pushed: in order for each person, paced
// under WeCom's silent limits, and until WeCom has taken it. Any number of
// instances may run one over the same store.
type Outbox struct {
	Store  *Store
	Sender bot.Sender
	Poll   time.Duration        // looks for due pushes this often, besides being woken; default 1 s
	Result func(outcome string) // counts sent, retry and dead; may be nil

	told time.Time // when the administrators last heard of a push that was given up
}

// errUnsent is what came of a push that was claimed, and then the outbox was
// stopped.
var errUnsent = errors.New("not sent: stopping")

// parcel is a push on its way.
type parcel struct {
	outboxRow
	out     bot.Outgoing
	moot    bool        // it takes back what never arrived
	receipt bot.Receipt // what came of sending it
	err     error
}

// Run delivers until ctx ends, then finishes the sends under way.
func (o *Outbox) Run(ctx context.Context) {
	settled, hands := make(chan *parcel, claimAtOnce), make(chan struct{}, sendAtOnce)
	last := context.WithoutCancel(ctx) // what was begun is finished
	tick := time.NewTicker(cmp.Or(o.Poll, time.Second))
	defer tick.Stop()
	flying := map[int64]bool{}
	for ctx.Err() == nil || len(flying) > 0 {
		more, stop := o.Store.pushed, ctx.Done()
		if ctx.Err() == nil {
			room := claimAtOnce - len(flying)
			if room < claimAtOnce/2 {
				room = 0
			}
			parcels, err := o.Store.claim(ctx, room)
			if err != nil && ctx.Err() == nil {
				o.Store.Log.Warn("outbox: cannot look for pushes", "err", err)
			}
			for _, p := range parcels {
				flying[p.ID] = true
				go func() {
					hands <- struct{}{}
					if ctx.Err() == nil {
						o.send(last, p)
					} else if p.err == nil {
						p.err = errUnsent
					}
					<-hands
					settled <- p
				}()
			}
			if len(parcels) == room { // all hands are full
				more = nil
			}
		} else {
			more, stop = nil, nil
		}
		select {
		case p := <-settled:
			o.settle(last, p, settled, flying)
		case <-more:
		case <-tick.C:
			o.renew(last, flying)
		case <-stop:
		}
	}
}

// renew keeps the leases on what is being sent.
func (o *Outbox) renew(ctx context.Context, flying map[int64]bool) {
	if len(flying) == 0 {
		return
	}
	ctx, done := bounded(ctx)
	defer done()
	_, err := o.Store.db.NewUpdate().Model((*outboxRow)(nil)).Set("leased_to = ?", o.Store.Now().UTC().Add(sendLease)).
		Where("id IN (?)", bun.List(slices.Collect(maps.Keys(flying)))).Where("state = ?", Pending).Exec(ctx)
	if err != nil {
		o.Store.Log.Warn("outbox: cannot keep what is being sent; it may be sent twice, which WeCom recognises", "err", err)
	}
}

func (o *Outbox) send(ctx context.Context, p *parcel) {
	defer func() {
		if v := recover(); v != nil {
			p.err = fmt.Errorf("panic while sending: %v", v)
		}
	}()
	if p.err != nil || p.moot { // it could not even be unsealed
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	if p.err = o.prepare(ctx, p); p.err != nil {
		return
	}
	bot.Failpoint("before-send")
	p.receipt, p.err = o.Sender.Send(ctx, p.out)
	if p.err == nil && slices.ContainsFunc(p.receipt.Invalid, func(id string) bool { return bot.Canonical(id) == p.Person }) {
		p.err = errNobody
	}
	bot.Failpoint("after-send")
}

// prepare has an image handed over and keeps under which name, before anything
// is sent: a second try then sends the same bytes, whatever happens meanwhile.
func (o *Outbox) prepare(ctx context.Context, p *parcel) error {
	sender, ok := o.Sender.(bot.Preparer)
	if !ok || len(p.out.Image) == 0 {
		return nil
	}
	out, err := sender.Prepare(ctx, p.out)
	if err != nil {
		return err
	}
	body, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	bot.Failpoint("before-prepared")
	sealed := o.Store.keys.seal("outbox/"+p.Digest, body)
	res, err := o.Store.db.NewUpdate().Model((*outboxRow)(nil)).Set("body = ?", sealed).Where("id = ?", p.ID).Where("body = ?", p.Body).Exec(ctx)
	if err := changedOne(res, err, "prepare"); errors.Is(err, ErrNotFound) {
		return errRaced // another instance prepared it too: that is what will be sent
	} else if err != nil {
		return err
	}
	p.out, p.Body = out, sealed
	return nil
}

// claim leases up to n pushes that are due: for each person only the oldest one
// that waits, so that messages arrive in order, and none above the pace.
func (s *Store) claim(ctx context.Context, n int) ([]*parcel, error) {
	if n == 0 {
		return nil, nil
	}
	var parcels []*parcel
	err := s.tx(ctx, &Tx{}, func(tx *Tx) error {
		var rows []outboxRow
		q := tx.db.NewSelect().Model(&rows).Where("state = ?", Pending).Where("due_at <= ?", tx.Now).
			Where("leased_to IS NULL OR leased_to < ?", tx.Now).
			Where("id IN (SELECT min(id) FROM outbox WHERE state = ? GROUP BY person)", Pending).
			Order("id").Limit(n)
		if s.pg {
			q = q.For("UPDATE SKIP LOCKED")
		}
		if err := q.Scan(ctx); err != nil || len(rows) == 0 {
			return err
		}
		var ids []int64
		for _, row := range rows {
			wait, err := tx.paced(ctx, row)
			if err != nil {
				return err
			}
			if wait.After(tx.Now) {
				if _, err := tx.db.NewUpdate().Model(&row).Set("due_at = ?", wait).WherePK().Exec(ctx); err != nil {
					return err
				}
				continue
			}
			p := &parcel{outboxRow: row}
			if err := tx.unwrap(ctx, p); err != nil {
				return err
			}
			if row.Recalls != "" {
				if err := tx.db.NewSelect().Table("outbox").Column("msg_id").Where("ref = ?", row.Recalls).Scan(ctx, &p.out.Recall); err != nil && !errors.Is(err, sql.ErrNoRows) {
					return err
				}
				p.moot = p.out.Recall == ""
			}
			parcels, ids = append(parcels, p), append(ids, row.ID)
		}
		if len(rows) == n && len(ids) < n { // some were put off: there may be others in their place
			tx.after(s.wakeOutbox)
		}
		if len(ids) == 0 {
			return nil
		}
		_, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("leased_to = ?", tx.Now.Add(sendLease)).Set("tries = tries + 1").
			Set("tried_at = ?", tx.Now).Set("first_tried = coalesce(first_tried, ?)", tx.Now).Where("id IN (?)", bun.List(ids)).Exec(ctx)
		return err
	})
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

// settle records what came of first and of every other send that has ended
// meanwhile. A record that fails is harmless: the lease runs out and the
// identical message is sent again, which WeCom recognises.
func (o *Outbox) settle(ctx context.Context, first *parcel, more <-chan *parcel, flying map[int64]bool) {
	batch := []*parcel{first}
	runtime.Gosched() // others are about to end
	for range len(more) {
		batch = append(batch, <-more)
	}
	bot.Failpoint("before-outbox-done")
	told := o.told
	err := o.Store.Tx(ctx, func(tx *Tx) error {
		var sent, unsent []int64
		for _, p := range batch {
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
	})
	if err != nil {
		o.told = told
		o.Store.Log.Warn("outbox: cannot record deliveries", "n", len(batch), "err", err)
	}
	for _, p := range batch {
		delete(flying, p.ID)
		o.count(p)
	}
}

// named keeps WeCom's name for a message that may have to be taken back.
func (tx *Tx) named(ctx context.Context, p *parcel) error {
	if p.Ref == "" {
		return nil
	}
	_, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("msg_id = ?", p.receipt.MsgID).Where("id = ?", p.ID).Exec(ctx)
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

func (o *Outbox) count(p *parcel) {
	switch {
	case o.Result == nil:
	case p.err == errUnsent:
	case p.err == nil:
		o.Result("sent")
	case p.State == Dead:
		o.Result("dead")
	default:
		o.Result("retry")
	}
}

func clip(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }
