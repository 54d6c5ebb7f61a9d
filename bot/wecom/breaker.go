package wecom

import (
	"sync"
	"time"
)

const (
	breakAfter = 5
	probeEvery = 5 * time.Second
)

// breaker stops calls while WeCom does not answer: after five failures in a row
// only one call in five seconds goes out, until one is answered. An errcode is
// an answer. The zero breaker lets everything pass.
type breaker struct {
	mu       sync.Mutex
	failures int
	probe    time.Time // no call before this one, once open
}

func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < breakAfter {
		return true
	}
	if now.Before(b.probe) {
		return false
	}
	b.probe = now.Add(probeEvery)
	return true
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}

// failed reports whether this failure was the one that opened it.
func (b *breaker) failed(now time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures++
	opened = b.failures == breakAfter
	if opened {
		b.probe = now.Add(probeEvery)
	}
	return opened
}
