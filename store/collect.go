package store

import (
	"cmp"
	"context"
	"errors"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

const (
	// mediaLife is how long WeCom keeps what people sent (document 90254).
	mediaLife = 3 * 24 * time.Hour
	// collectAtOnce is how many an instance gets at once.
	collectAtOnce = 2
	// collectLease is how long a medium is left to whoever is getting it and has not
	// said since that it still is: the delay after a crash in between.
	collectLease = 10 * time.Second
	// collectWithin bounds one try.
	collectWithin = 5 * time.Minute
	// maxMedia is the largest file WeCom hands out in one answer (document 90254).
	maxMedia = 20 << 20
)

// Collector gets what transactions wanted from WeCom and keeps it, before WeCom
// forgets it. Any number of instances may run one over the same store.
type Collector struct {
	Store   *Store
	Fetcher bot.Fetcher
	Limit   int64         // the most bytes of one medium; default 20 MB
	Poll    time.Duration // looks for what is wanted this often, besides being woken; default 1 s

	// Settled runs in the transaction that keeps a medium, or gives it up. When it
	// fails so does that transaction, and the medium is tried again later. May be nil.
	Settled func(ctx context.Context, tx *Tx, m Media) error

	quiet   time.Time // WeCom is left alone until then
	outages int       // in a row
}

// wanted is a medium on its way.
type wanted struct {
	mediaRow
	m   Media
	wid string // WeCom's media_id
	err error  // what came of it
}

// errTooLarge is what a Fetcher should have said.
var errTooLarge = bot.Fail(bot.Invalid, "media.toolarge", nil, errors.New("larger than allowed"))

// Run collects until ctx ends. What is under way then is put back for the next
// process: it may take minutes.
func (c *Collector) Run(ctx context.Context) {
	last := context.WithoutCancel(ctx) // what came of it is recorded all the same
	ended := make(chan *wanted, collectAtOnce)
	tick := time.NewTicker(cmp.Or(c.Poll, time.Second))
	defer tick.Stop()
	flying := map[string]bool{}
	for {
		found, err := c.claim(ctx, collectAtOnce-len(flying))
		if err != nil && ctx.Err() == nil {
			c.Store.Log.Warn("collector: cannot look for media", "err", err)
		}
		for _, w := range found {
			flying[w.ID] = true
			go func() {
				c.collect(ctx, w)
				c.settle(last, w)
				ended <- w
			}()
		}
		more, stop := c.Store.wanted, ctx.Done()
		if ctx.Err() != nil {
			if len(flying) == 0 {
				return
			}
			stop = nil
		}
		if len(flying) == collectAtOnce {
			more = nil
		}
		select {
		case w := <-ended:
			delete(flying, w.ID)
			c.hear(w.err)
		case <-more:
		case <-tick.C:
			c.renew(last, flying)
		case <-stop:
		}
	}
}

// hear leaves WeCom alone for a while when it does not answer: each medium is put
// off by itself, but there may be thousands.
func (c *Collector) hear(err error) {
	e, ok := errors.AsType[*bot.Error](err)
	if !ok || e.Kind != bot.Unavailable && e.Kind != bot.Limited || errors.Is(err, context.Canceled) {
		c.outages = 0
		return
	}
	c.outages++
	pause := min(time.Second<<min(c.outages-1, 6), time.Minute)
	if e.Kind == bot.Limited {
		pause = time.Minute
	}
	c.quiet = c.Store.Now().Add(pause)
}

// renew keeps the leases on what is coming.
func (c *Collector) renew(ctx context.Context, flying map[string]bool) {
	if len(flying) == 0 {
		return
	}
	ctx, done := bounded(ctx)
	defer done()
	var ids []string
	for id := range flying {
		ids = append(ids, id)
	}
	_, err := c.Store.db.NewUpdate().Model((*mediaRow)(nil)).Set("leased_to = ?", c.Store.Now().UTC().Add(collectLease)).
		Where("id IN (?)", bun.List(ids)).Where("state = ?", MediaWanted).Where("leased_to IS NOT NULL").Exec(ctx)
	if err != nil {
		c.Store.Log.Warn("collector: cannot keep what is coming; somebody else may get it too", "err", err)
	}
}

// claim leases up to n media that are due.
func (c *Collector) claim(ctx context.Context, n int) (found []*wanted, err error) {
	s := c.Store
	if ctx.Err() != nil || n == 0 || s.Now().Before(c.quiet) {
		return nil, nil
	}
	due, err := s.reads.NewSelect().Model((*mediaRow)(nil)).Where("state = ?", MediaWanted).Where("due_at <= ?", s.Now().UTC()).Exists(ctx)
	if err != nil || !due { // nearly always: a look is cheaper than a turn at writing
		return nil, err
	}
	err = s.Tx(ctx, func(tx *Tx) error {
		found, err = tx.claimMedia(ctx, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (tx *Tx) claimMedia(ctx context.Context, n int) (found []*wanted, err error) {
	var rows []mediaRow
	q := tx.db.NewSelect().Model(&rows).Where("state = ?", MediaWanted).Where("due_at <= ?", tx.Now).
		Where("leased_to IS NULL OR leased_to < ?", tx.Now).Order("due_at").Limit(n)
	if tx.s.pg {
		q = q.For("UPDATE SKIP LOCKED")
	}
	if err := q.Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	var ids []string
	for _, row := range rows {
		w := &wanted{mediaRow: row}
		w.Tries++
		if w.m, w.err = tx.s.unsealMedia(&row); w.err == nil {
			var id []byte
			id, w.err = w.m.seal.open("media_id", row.MediaID)
			w.wid = string(id)
		}
		found, ids = append(found, w), append(ids, row.ID)
	}
	_, err = tx.db.NewUpdate().Model((*mediaRow)(nil)).Set("leased_to = ?", tx.Now.Add(collectLease)).Set("tries = tries + 1").Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return found, err
}
