package store

import (
	"context"
	"sync/atomic"

	"github.com/uptrace/bun"
)

// activity tells the two things somebody who watches a transaction from outside
// must know: whether it is waiting for the database right now, and whether it
// wrote anything since the last Mark.
type activity struct {
	busy  atomic.Int32
	wrote atomic.Bool
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
func (a *activity) AfterQuery(context.Context, *bun.QueryEvent) { a.busy.Add(-1) }
