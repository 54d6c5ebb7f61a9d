package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
	ended, hands := make(chan *parcel, claimAtOnce), make(chan struct{}, sendAtOnce)
	last := context.WithoutCancel(ctx) // what was begun is finished
	tick := time.NewTicker(cmp.Or(o.Poll, time.Second))
	defer tick.Stop()
	flying := map[int64]bool{}
	var done []*parcel // and not recorded yet
	for {
		more, stop, room := o.Store.pushed, ctx.Done(), claimAtOnce-len(flying)+len(done)
		if ctx.Err() != nil {
			more, stop = nil, nil
		}
		if ctx.Err() != nil || room < claimAtOnce/2 {
			room = 0
		}
		parcels, err := o.round(last, done, room)
		if err != nil {
			o.Store.Log.Warn("outbox: cannot look for pushes, or record what came of some", "ended", len(done), "err", err)
		}
		for _, p := range done {
			delete(flying, p.ID)
		}
		done = nil
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
				ended <- p
			}()
		}
		if len(parcels) == room { // all hands are full
			more = nil
		}
		if ctx.Err() != nil && len(flying) == 0 {
			return
		}
		select {
		case p := <-ended:
			done = gather(ended, append(done, p), claimAtOnce)
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

// round records what came of the sends that ended and leases up to room others,
// in one transaction. A record that fails is harmless: the lease runs out and the
// identical message is sent again, which WeCom recognises.
func (o *Outbox) round(ctx context.Context, ended []*parcel, room int) (parcels []*parcel, err error) {
	if len(ended) == 0 && room == 0 {
		return nil, nil
	}
	if len(ended) > 0 {
		bot.Failpoint("before-outbox-done")
	}
	told := o.told
	err = o.Store.Tx(ctx, func(tx *Tx) error {
		if err := o.record(ctx, tx, ended); err != nil || room == 0 {
			return err
		}
		var err error
		parcels, err = tx.claim(ctx, room)
		return err
	})
	for _, p := range ended {
		o.count(p)
	}
	if err != nil {
		o.told = told
		return nil, err
	}
	return parcels, nil
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
