package store

import (
	"context"
	"runtime"
	"sync"
)

// batcher gathers items while the previous batch is being written and hands
// them over together: one commit for many callers, no timer, and no wait when
// the store is at rest.
type batcher[T any] struct {
	items chan T
	flush func(context.Context, []T) // gathers the rest of the batch when it can write it
	done  sync.WaitGroup
}

func newBatcher[T any](ctx context.Context, limit int, flush func(context.Context, []T)) *batcher[T] {
	b := &batcher[T]{items: make(chan T, limit), flush: flush}
	b.done.Go(func() {
		batch := make([]T, 0, limit)
		for {
			select {
			case first := <-b.items:
				b.flush(ctx, append(batch, first))
				clear(batch[:limit])
			case <-ctx.Done():
				return
			}
		}
	})
	return b
}

// gather takes what waits; nobody else may receive. It lets everybody else run
// first for as long as that brings more: whoever was answered by the last flush
// is about to ask again, and would otherwise just miss this one.
func gather[T any](items <-chan T, batch []T, limit int) []T {
	for before := 0; before < len(batch); {
		before = len(batch)
		runtime.Gosched()
		for range min(len(items), limit-len(batch)) {
			batch = append(batch, <-items)
		}
	}
	return batch
}

// wait returns when the last batch has been flushed, after the context ended.
func (b *batcher[T]) wait() { b.done.Wait() }
