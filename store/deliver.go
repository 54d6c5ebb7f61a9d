package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
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
)

// Outbox delivers what transactions pushed: in order for each person, paced
// under WeCom's silent limits, and until WeCom has taken it. Any number of
// instances may run one over the same store.
type Outbox struct {
	Store  *Store
	Sender bot.Sender
	Poll   time.Duration        // looks for due pushes this often, besides being woken; default 1 s
	Result func(outcome string) // counts sent, retry and dead; may be nil

	alerts Limiter
}

// parcel is a push on its way.
type parcel struct {
	outboxRow
	out bot.Outgoing
	err error // what came of sending it
}

// Run delivers until ctx ends, then finishes the sends under way.
func (o *Outbox) Run(ctx context.Context) {
	settled := make(chan *parcel, sendAtOnce)
	last := context.WithoutCancel(ctx) // what was begun is finished
	tick := time.NewTicker(cmp.Or(o.Poll, time.Second))
	defer tick.Stop()
	flying := map[int64]bool{}
	for ctx.Err() == nil || len(flying) > 0 {
		more, stop := o.Store.pushed, ctx.Done()
		if ctx.Err() == nil {
			room := sendAtOnce - len(flying)
			parcels, err := o.Store.claim(ctx, room)
			if err != nil && ctx.Err() == nil {
				o.Store.Log.Warn("outbox: cannot look for pushes", "err", err)
			}
			for _, p := range parcels {
				flying[p.ID] = true
				go func() {
					o.send(last, p)
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
	if p.err != nil { // it could not even be unsealed
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	bot.Failpoint("before-send")
	_, p.err = o.Sender.Send(ctx, p.out)
	bot.Failpoint("after-send")
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
			Where("NOT EXISTS (SELECT 1 FROM outbox AS earlier WHERE earlier.person = outbox_row.person AND earlier.state = ? AND earlier.id < outbox_row.id)", Pending).
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
			var body []byte
			if body, p.err = s.keys.open("outbox/"+row.Digest, row.Body); p.err == nil {
				p.err = json.Unmarshal(body, &p.out)
			}
			if p.FirstTry == nil {
				p.FirstTry = &tx.Now
			}
			p.Tries++
			parcels, ids = append(parcels, p), append(ids, row.ID)
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

// paced tells from when on one more message to the recipient stays under the
// limits over any minute and any hour. Every try counts, since one that timed
// out may have arrived.
func (tx *Tx) paced(ctx context.Context, row outboxRow) (time.Time, error) {
	pace := tx.s.Pace
	if pace.N == 0 || !row.Counts {
		return tx.Now, nil
	}
	var tried []time.Time
	err := tx.db.NewSelect().Model((*outboxRow)(nil)).Column("tried_at").Where("person = ?", row.Person).Where("tried_at > ?", tx.Now.Add(-time.Hour)).
		Where("counts").Order("tried_at DESC").Limit(max(hourly, pace.N)).Scan(ctx, &tried)
	if err != nil {
		return tx.Now, fmt.Errorf("pace: %w", err)
	}
	free := tx.Now
	if len(tried) >= pace.N {
		free = tried[pace.N-1].Add(pace.Per)
	}
	if len(tried) >= hourly {
		if hour := tried[hourly-1].Add(time.Hour); hour.After(free) {
			free = hour
		}
	}
	return free, nil
}

// settle records what came of first and of every other send that has ended
// meanwhile. A record that fails is harmless: the lease runs out and the
// identical message is sent again, which WeCom recognises.
func (o *Outbox) settle(ctx context.Context, first *parcel, more <-chan *parcel, flying map[int64]bool) {
	batch := []*parcel{first}
	for range cap(more) {
		select {
		case p := <-more:
			batch = append(batch, p)
		default:
		}
	}
	bot.Failpoint("before-outbox-done")
	err := o.Store.Tx(ctx, func(tx *Tx) error {
		var sent []int64
		for _, p := range batch {
			if p.err == nil {
				sent = append(sent, p.ID)
			} else if err := o.failed(ctx, tx, p); err != nil {
				return err
			}
		}
		if len(sent) == 0 {
			return nil
		}
		_, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("state = ?", Sent).Set("body = ''").Set("leased_to = NULL").Set("last_error = ''").
			Where("id IN (?)", bun.List(sent)).Exec(ctx)
		return err
	})
	if err != nil {
		o.Store.Log.Warn("outbox: cannot record deliveries", "n", len(batch), "err", err)
	}
	for _, p := range batch {
		delete(flying, p.ID)
		o.count(p)
	}
}

// failed puts a push off, or gives it up when trying again cannot help.
func (o *Outbox) failed(ctx context.Context, tx *Tx, p *parcel) error {
	next := tx.Now.Add(backoff(p.Tries, p.err))
	dead := !worthRetrying(p.err) || next.After(p.FirstTry.Add(duplicateCheck-time.Minute))
	state := Pending
	if dead {
		state = Dead
	}
	res, err := tx.db.NewUpdate().Model(&p.outboxRow).Set("state = ?", state).Set("due_at = ?", next).Set("leased_to = NULL").
		Set("last_error = ?", clip(p.err.Error(), 300)).WherePK().Where("state = ?", Pending).Exec(ctx)
	if err != nil || !dead {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 { // somebody else got it through meanwhile
		return err
	}
	p.State = Dead
	o.Store.Log.Error("outbox: given up", "id", p.ID, "user", p.Person, "tries", p.Tries, "err", p.err)
	return o.alert(ctx, tx, p)
}

// alert tells the administrators that a push was given up: now and then, not
// about each one, and nobody about a push to themselves.
func (o *Outbox) alert(ctx context.Context, tx *Tx, p *parcel) error {
	if o.alerts.Allow("dead", Rate{N: 1, Per: 10 * time.Minute}, tx.Now) > 0 {
		return nil
	}
	admins, err := tx.Admins(ctx)
	if err != nil {
		return err
	}
	for _, admin := range admins {
		if admin.Key() == p.Person {
			continue
		}
		if err := tx.Tell(ctx, admin.ID, bot.Text("outbox.dead", Delivery{ID: p.ID, To: p.Person, State: Dead, Tries: p.Tries, LastError: p.err.Error(), CreatedAt: p.CreatedAt})); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) count(p *parcel) {
	switch {
	case o.Result == nil:
	case p.err == nil:
		o.Result("sent")
	case p.State == Dead:
		o.Result("dead")
	default:
		o.Result("retry")
	}
}

func worthRetrying(err error) bool {
	e, ok := errors.AsType[*bot.Error](err)
	return ok && (e.Kind == bot.Unavailable || e.Kind == bot.Limited)
}

// backoff doubles from a second to five minutes. A limit of WeCom's is over at
// the earliest when its minute is (document 90312).
func backoff(tries int, err error) time.Duration {
	d := min(time.Second<<min(tries-1, 9), 5*time.Minute)
	if e, ok := errors.AsType[*bot.Error](err); ok && e.Kind == bot.Limited {
		d = max(d, time.Minute)
	}
	return d + rand.N(d/4+1)
}

func clip(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }
