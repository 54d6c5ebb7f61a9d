package store

import (
	"context"
	"errors"
	"time"
)

// within bounds what is asked of the database by a caller who set no bound, and
// a COMMIT, for which none can. A server that lost its power answers nothing and
// closes nothing.
const within = 10 * time.Second

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, within)
}

// suspect closes the idle connections to PostgreSQL after one did not answer in
// time. They may lead to the same server, which may be gone; trying each would
// take a time-out each.
func (s *Store) suspect(err error) {
	if !s.pg || !timedOut(err) {
		return
	}
	for _, n := range []int{-1, maxConns} {
		s.db.SetMaxIdleConns(n)
	}
}

func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	wait, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && wait.Timeout()
}
