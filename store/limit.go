package store

import (
	"sync"
	"time"
)

// Rate is so many in a time; the zero Rate is unlimited.
type Rate struct {
	N   int
	Per time.Duration
}

// Limiter counts uses of keys against a Rate (GCRA): N at once, then one each
// Per/N. It lives in the process. Its zero value is ready to use.
type Limiter struct {
	mu   sync.Mutex
	next map[string]time.Time // when the key has its full allowance again
	size int                  // at which stale keys are next swept out
}

// Allow takes one use of key and returns 0, or returns how long to wait. One
// over the limit costs nothing: being refused does not prolong the wait.
func (l *Limiter) Allow(key string, r Rate, now time.Time) time.Duration {
	if r.N <= 0 {
		return 0
	}
	each := max(r.Per/time.Duration(r.N), 1)
	all := each * time.Duration(r.N) // r.Per, but for what the division left over
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		l.next, l.size = map[string]time.Time{}, 1024
	}
	full := l.next[key]
	if full.Before(now) {
		full = now
	}
	if wait := full.Add(each).Sub(now) - all; wait > 0 {
		return wait
	}
	l.next[key] = full.Add(each)
	if len(l.next) >= l.size {
		for k, t := range l.next {
			if t.Before(now) {
				delete(l.next, k)
			}
		}
		l.size = max(1024, 2*len(l.next))
	}
	return 0
}

// GiveBack takes back one use of key that Allow took.
func (l *Limiter) GiveBack(key string, r Rate) {
	if r.N <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if full, ok := l.next[key]; ok { // Allow takes what lies in the past for now
		l.next[key] = full.Add(-max(r.Per/time.Duration(r.N), 1))
	}
}
