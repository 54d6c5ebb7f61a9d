package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// collect gets a medium and keeps its pieces. w.err says what came of it.
func (c *Collector) collect(ctx context.Context, w *wanted) {
	defer func() {
		if v := recover(); v != nil {
			w.err = fmt.Errorf("panic while collecting: %v\n%s", v, debug.Stack())
		}
	}()
	if w.err != nil { // it could not even be unsealed
		return
	}
	ctx, cancel := context.WithTimeout(ctx, collectWithin)
	defer cancel()
	limit := cmp.Or(c.Limit, maxMedia)
	d, err := c.Fetcher.Fetch(ctx, w.wid, limit)
	if err != nil {
		w.err = err
		return
	}
	defer d.Body.Close()
	piece := make([]byte, mediaPiece)
	for n := 0; err == nil; n++ {
		var size int
		if size, err = fill(d.Body, piece); err != nil && err != io.EOF {
			break
		}
		if n == 0 {
			w.m.Type = sniff(piece[:size])
		}
		if size == 0 {
			break
		}
		if w.m.Size += int64(size); w.m.Size > limit {
			w.err = errTooLarge
			return
		}
		if kept := c.Store.keepPiece(ctx, w, n, piece[:size]); kept != nil {
			err = kept
		}
		bot.Failpoint("after-media-piece")
	}
	if err != io.EOF {
		w.err = err
		return
	}
	w.m.Name = cmp.Or(w.m.Name, bot.FileName(d.Name), string(w.Kind)+extensions[w.m.Type])
}

// fill reads until p is full, and passes errors on as they are.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}

// held is the condition under which w is still ours to write: nobody has taken it
// over. Whoever tests it by an update also keeps others from doing so until the
// transaction ends.
func (w *wanted) held(q *bun.UpdateQuery) *bun.UpdateQuery {
	return q.Where("id = ?", w.ID).Where("state = ?", MediaWanted).Where("tries = ?", w.Tries)
}

// lost is what became of an update that held was a condition of.
func lost(err error) error {
	if errors.Is(err, ErrNotFound) {
		return errRaced
	}
	return err
}

// keepPiece keeps a piece as it comes, so that none of it has to wait in memory. The
// first one takes the place of what an earlier try left.
func (s *Store) keepPiece(ctx context.Context, w *wanted, n int, piece []byte) error {
	row := struct {
		bun.BaseModel `bun:"table:media_parts"`
		Media         string `bun:"media"`
		N             int    `bun:"n"`
		Body          string `bun:"body"`
	}{Media: w.ID, N: n, Body: w.m.seal.seal(strconv.Itoa(n), piece)}
	ctx, done := context.WithTimeout(ctx, within)
	defer done()
	return s.Tx(ctx, func(tx *Tx) error {
		res, err := w.held(tx.db.NewUpdate().Model((*mediaRow)(nil)).Set("leased_to = ?", tx.Now.Add(collectLease))).Exec(ctx)
		if err := lost(changedOne(res, err, "keep a piece")); err != nil {
			return err
		}
		if n == 0 {
			if err := tx.dropPieces(ctx, w.ID, 0); err != nil {
				return err
			}
		}
		if _, err := tx.db.NewInsert().Model(&row).Exec(ctx); err != nil {
			return fmt.Errorf("keep a piece: %w", err)
		}
		return nil
	})
}

func (tx *Tx) dropPieces(ctx context.Context, id string, from int) error {
	_, err := tx.db.NewDelete().Table("media_parts").Where("media = ?", id).Where("n >= ?", from).Exec(ctx)
	return wrapped(err, "drop pieces")
}

// settle records what came of a medium. A record that fails is harmless: the lease
// runs out, and it is got again.
func (c *Collector) settle(ctx context.Context, w *wanted) {
	bot.Failpoint("before-media-settled")
	err := c.settled(ctx, w)
	if err != nil && !errors.Is(err, errRaced) {
		c.Store.Log.Error("collector: not recorded", "id", w.ID, "err", err)
		if err = c.putOff(ctx, w, err); err != nil {
			c.Store.Log.Warn("collector: not put off", "id", w.ID, "err", err)
		}
	}
	bot.Failpoint("after-media-settled")
}

func (c *Collector) settled(ctx context.Context, w *wanted) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	ctx, done := bounded(ctx)
	defer done()
	switch next := c.Store.Now().UTC().Add(backoff(w.Tries, w.err)); {
	case w.err == nil:
		w.m.State = MediaKept
	case errors.Is(w.err, context.Canceled): // we stop
		return c.putBack(ctx, w)
	case errors.Is(w.err, errRaced):
		return w.err
	case worthRetrying(w.err) && !next.After(w.CreatedAt.Add(mediaLife)):
		return c.putOff(ctx, w, w.err)
	default:
		w.m.State, w.m.Size, w.m.Type, w.m.Reason = MediaFailed, 0, "", reasonFor(w.err)
		c.Store.Log.Warn("collector: given up", "id", w.ID, "user", w.Person, "tries", w.Tries, "err", w.err)
	}
	return c.Store.Tx(ctx, func(tx *Tx) error {
		if err := tx.settle(ctx, w); err != nil || c.Settled == nil {
			return err
		}
		return c.Settled(ctx, tx, w.m)
	})
}

// reasonFor is what people hear of a medium that was given up.
func reasonFor(err error) string {
	if e, ok := errors.AsType[*bot.Error](err); ok && (e.Key == "media.expired" || e.Key == "media.toolarge") {
		return e.Key
	}
	if worthRetrying(err) { // WeCom has forgotten it by now
		return "media.expired"
	}
	return "media.failed"
}

func (tx *Tx) settle(ctx context.Context, w *wanted) error {
	m, why := w.m, ""
	if w.err != nil {
		why = clip(w.err.Error(), 300)
	}
	q := tx.db.NewUpdate().Model((*mediaRow)(nil)).Set("state = ?", m.State).Set("reason = ?", m.Reason).Set("type = ?", m.Type).Set("size = ?", m.Size).
		Set("error = ?", why).Set("leased_to = NULL")
	if m.seal != nil {
		q = q.Set("name = ?", m.seal.seal("name", []byte(m.Name)))
	}
	res, err := w.held(q).Exec(ctx)
	if err := lost(changedOne(res, err, "settle a medium")); err != nil {
		return err
	}
	return tx.dropPieces(ctx, w.ID, int((m.Size+mediaPiece-1)/mediaPiece)) // of an earlier try, or all
}

// putOff has w tried again later.
func (c *Collector) putOff(ctx context.Context, w *wanted, cause error) error {
	ctx, done := bounded(ctx)
	defer done()
	_, err := w.held(c.Store.db.NewUpdate().Model((*mediaRow)(nil)).Set("due_at = ?", c.Store.Now().UTC().Add(backoff(w.Tries, cause))).
		Set("leased_to = NULL").Set("error = ?", clip(cause.Error(), 300))).Exec(ctx)
	return wrapped(err, "put a medium off")
}

// putBack undoes the claim of a medium that a stopping process had begun to get.
func (c *Collector) putBack(ctx context.Context, w *wanted) error {
	ctx, done := bounded(ctx)
	defer done()
	_, err := w.held(c.Store.db.NewUpdate().Model((*mediaRow)(nil)).Set("leased_to = NULL").Set("tries = tries - 1")).Exec(ctx)
	return wrapped(err, "put a medium back")
}
