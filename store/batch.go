package store

import (
	"context"
	"sync"
)

// batcher gathers items while the previous batch is being written and hands
// them over together: one commit for many callers, no timer, and no wait when
// the store is at rest.
type batcher[T any] struct {
	items chan T
	flush func(context.Context, []T)
	done  sync.WaitGroup
}

func newBatcher[T any](ctx context.Context, limit int, flush func(context.Context, []T)) *batcher[T] {
	b := &batcher[T]{items: make(chan T, limit), flush: flush}
	b.done.Go(func() {
		batch := make([]T, 0, limit)
		for {
			select {
			case first := <-b.items:
				batch = b.gather(append(batch[:0], first), limit)
				b.flush(ctx, batch)
				clear(batch)
			case <-ctx.Done():
				return
			}
		}
	})
	return b
}

func (b *batcher[T]) gather(batch []T, limit int) []T {
	for len(batch) < limit {
		select {
		case item := <-b.items:
			batch = append(batch, item)
		default:
			return batch
		}
	}
	return batch
}

// wait returns when the last batch has been flushed, after the context ended.
func (b *batcher[T]) wait() { b.done.Wait() }
