package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// tellEvery keeps the administrators from hearing of each push that is given up
// when a thousand are.
const tellEvery = 10 * time.Minute

// errTooLate ends a push whose first try lies so far back that WeCom would take
// another one for a new message.
var errTooLate = errors.New("nobody knows whether an earlier try arrived, and WeCom would not recognise it any more")

// errNobody is for a call that succeeded and reached nobody: outside the app's
// visible range, or without a licence.
var errNobody = errors.New("WeCom took the message, but not for this person")

// lastTry is until when WeCom still recognises p. The margin is for the time a
// try takes, and for the second that each variant takes off WeCom's check.
func lastTry(p *parcel) time.Time { return p.FirstTry.Add(duplicateCheck - 5*time.Minute) }

// paced tells from when on one more message to each recipient of these stays
// under the limits over any minute and any hour. Every try counts, since one that
// timed out may have arrived; earlier tries of a row as if they were as late as
// its latest, which is on the safe side.
func (tx *Tx) paced(ctx context.Context, rows []outboxRow) (map[string]time.Time, error) {
	pace := tx.s.Pace
	var people []string
	for _, row := range rows {
		if pace.N > 0 && row.Counts {
			people = append(people, row.Person)
		}
	}
	if len(people) == 0 {
		return nil, nil
	}
	since := tx.Now.Add(-max(time.Hour, pace.Per))
	var many []string // nearly always nobody
	err := tx.db.NewSelect().Table("outbox").Column("person").Where("person IN (?)", bun.List(people)).Where("tried_at > ?", since).Where("counts").
		Group("person").Having("sum(tries) >= ?", min(pace.N, hourly)).Scan(ctx, &many)
	if err != nil || len(many) == 0 {
		return nil, wrap(err, "pace")
	}
	var latest []outboxRow
	err = tx.db.NewSelect().Model(&latest).Column("person", "tried_at", "tries").Where("person IN (?)", bun.List(many)).Where("tried_at > ?", since).Where("counts").
		Order("tried_at DESC").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("pace: %w", err)
	}
	free, tries := make(map[string]time.Time, len(people)), make(map[string]int, len(people))
	for _, r := range latest {
		before := tries[r.Person]
		after := before + r.Tries
		tries[r.Person] = after
		for _, limit := range []Rate{pace, {hourly, time.Hour}} {
			if before < limit.N && after >= limit.N && r.TriedAt.Add(limit.Per).After(free[r.Person]) {
				free[r.Person] = r.TriedAt.Add(limit.Per)
			}
		}
	}
	return free, nil
}

// vary tells p apart from the equal messages to the same person that WeCom still
// recognises: two messages with equal text are two messages. Nobody else is
// sending to this person, so nobody else chooses the same.
func (tx *Tx) vary(ctx context.Context, p *parcel) error {
	var taken []int
	err := tx.db.NewSelect().Model((*outboxRow)(nil)).Column("variant").Where("person = ?", p.Person).Where("digest = ?", p.Digest).
		Where("tried_at > ?", tx.Now.Add(-duplicateCheck-sendWithin)).Scan(ctx, &taken)
	if err != nil {
		return fmt.Errorf("vary: %w", err)
	}
	for p.Variant = 0; slices.Contains(taken, p.Variant); p.Variant++ {
	}
	if p.Variant == 0 {
		return nil
	}
	if _, err := tx.db.NewUpdate().Model(&p.outboxRow).Set("variant = ?", p.Variant).WherePK().Exec(ctx); err != nil {
		return fmt.Errorf("vary: %w", err)
	}
	return nil
}

// failed puts a push off, or gives it up when trying again cannot help. It does
// nothing for one that another instance has taken over since.
func (o *Outbox) failed(ctx context.Context, tx *Tx, p *parcel) error {
	next := tx.Now.Add(backoff(p.Tries, p.err))
	dead := !worthRetrying(p.err) || next.After(lastTry(p))
	state := Pending
	if dead {
		state = Dead
	}
	res, err := tx.db.NewUpdate().Model(&p.outboxRow).Set("state = ?", state).Set("due_at = ?", next).Set("leased_to = NULL").
		Set("last_error = ?", clip(p.err.Error(), 300)).WherePK().Where("state = ?", Pending).Where("tries = ?", p.Tries).Exec(ctx)
	if err != nil || !dead {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	p.State = Dead
	o.Store.Log.Error("outbox: given up", "id", p.ID, "user", p.Person, "tries", p.Tries, "err", p.err)
	return o.alert(ctx, tx, p)
}

// alert tells the administrators that a push was given up: now and then, not
// about each one, and nobody about a push to themselves.
func (o *Outbox) alert(ctx context.Context, tx *Tx, p *parcel) error {
	if tx.Now.Sub(o.told) < tellEvery {
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
		o.told = tx.Now
	}
	return nil
}

func worthRetrying(err error) bool {
	e, ok := errors.AsType[*bot.Error](err)
	return ok && (e.Kind == bot.Unavailable || e.Kind == bot.Limited) || Transient(err)
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
