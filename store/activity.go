package store

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"

	"github.com/uptrace/bun"
)

// activity tells what somebody who watches a transaction from outside must know:
// whether it is waiting for the database right now, whether it wrote anything
// since the last Mark, and whether a statement failed. PostgreSQL then takes no
// further one, and turns even a COMMIT into a rollback without saying so.
type activity struct {
	busy   atomic.Int32
	wrote  atomic.Bool
	broken atomic.Bool
}

// Waiting reports whether a statement is under way: a transaction that takes
// long while Waiting is held up by the database, not by the code using it.
func (a *activity) Waiting() bool { return a.busy.Load() > 0 }

// BeforeQuery implements bun.QueryHook.
func (a *activity) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	a.busy.Add(1)
	if !a.wrote.Load() && e.Operation() != "SELECT" {
		a.wrote.Store(true)
	}
	return ctx
}

// AfterQuery implements bun.QueryHook.
func (a *activity) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	a.busy.Add(-1)
	if e.Err != nil && !errors.Is(e.Err, sql.ErrNoRows) {
		a.broken.Store(true)
	}
}
