package store

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskbell/store/storetest"

	"pgregory.net/rapid"
)

var epoch = time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC)

func TestLimit(t *testing.T) {
	var l Limiter
	rate := Rate{3, time.Minute}
	for i, c := range []struct {
		after, want time.Duration
	}{
		{0, 0}, {0, 0}, {0, 0}, // three at once
		{0, 20 * time.Second}, {0, 20 * time.Second}, // refusals cost nothing
		{19 * time.Second, time.Second},
		{20 * time.Second, 0}, {20 * time.Second, 20 * time.Second},
		{80 * time.Second, 0}, {80 * time.Second, 0}, {80 * time.Second, 0}, {80 * time.Second, 20 * time.Second},
		{time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, {time.Hour, 20 * time.Second}, // rest is not saved up
	} {
		if got := l.Allow("lilei", rate, epoch.Add(c.after)); got != c.want {
			t.Errorf("%d, after %v: %v, want %v", i, c.after, got, c.want)
		}
	}
	if wait := l.Allow("hanmeimei", rate, epoch); wait != 0 {
		t.Errorf("somebody else waits %v", wait)
	}
	for range 1000 {
		if wait := l.Allow("anybody", Rate{}, epoch); wait != 0 {
			t.Fatalf("without a limit: %v", wait)
		}
	}
}

func TestManyAtOnceGetExactlyTheLimit(t *testing.T) {
	for _, rate := range []Rate{{1, time.Minute}, {7, time.Second}, {25, time.Minute}, {900, time.Hour}} {
		var l Limiter
		var wg sync.WaitGroup
		var allowed atomic.Int64
		for range 1000 {
			wg.Go(func() {
				if l.Allow("key", rate, epoch) == 0 {
					allowed.Add(1)
				}
			})
		}
		wg.Wait()
		if n := allowed.Load(); n != int64(rate.N) {
			t.Errorf("%v: %d allowed", rate, n)
		}
	}
}

func TestNamedLimits(t *testing.T) {
	limits := Limits{Rates: map[string]Rate{"address": {1, time.Minute}, "account": {1, time.Minute}}}
	for _, c := range []struct {
		name, key string
		want      bool
	}{{"address", "a", true}, {"account", "a", true}, {"address", "a", false}, {"account", "b", true}, {"unheard of", "a", true}, {"unheard of", "a", true}} {
		if got := limits.Allow(t.Context(), c.name, c.key, epoch) == 0; got != c.want {
			t.Errorf("%s %s: %v", c.name, c.key, got)
		}
	}
}

func TestStaleKeysGo(t *testing.T) {
	var l Limiter
	now := epoch
	for i := range 100_000 { // each has its allowance back after a second
		now = now.Add(10 * time.Millisecond)
		if l.Allow(fmt.Sprint(i), Rate{5, 5 * time.Second}, now) != 0 {
			t.Fatal("a new key has to wait")
		}
		if len(l.next) > 1024 {
			t.Fatalf("%d keys after %d", len(l.next), i+1)
		}
	}
	var held Limiter
	for i := range 5000 { // none may be forgotten while it is limited
		held.Allow(fmt.Sprint(i), Rate{1, time.Hour}, epoch)
	}
	for i := range 5000 {
		if held.Allow(fmt.Sprint(i), Rate{1, time.Hour}, epoch) == 0 {
			t.Fatalf("key %d was forgotten", i)
		}
	}
}

// A key that is refused may come back after exactly the time it was told, no
// earlier; and no stretch of time holds more than the limit at once and one each
// Per/N after it.
func TestLimitProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{rapid.IntRange(1, 50).Draw(t, "n"), rapid.SampledFrom([]time.Duration{time.Nanosecond, 37, time.Second, time.Minute, time.Hour}).Draw(t, "per")}
		each := max(rate.Per/time.Duration(rate.N), 1)
		var l Limiter
		var at []time.Time
		now := epoch
		for range rapid.IntRange(1, 200).Draw(t, "uses") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*each)).Draw(t, "pause")))
			wait := l.Allow("key", rate, now)
			if wait > 0 {
				if early := now.Add(wait - 1); l.Allow("key", rate, early) == 0 {
					t.Fatalf("allowed before the %v were over", wait)
				}
				if now = now.Add(wait); l.Allow("key", rate, now) != 0 {
					t.Fatalf("refused after %v", wait)
				}
			}
			at = append(at, now)
		}
		for i := range at {
			for j := i; j < len(at); j++ {
				if most := rate.N + int(at[j].Sub(at[i])/each); j-i+1 > most {
					t.Fatalf("%d uses in %v, want at most %d", j-i+1, at[j].Sub(at[i]), most)
				}
			}
		}
	})
}

// What is given back can be taken once more, and nothing beyond.
func TestGiveBack(t *testing.T) {
	var l Limiter
	rate := Rate{3, time.Minute}
	for range 10 {
		if wait := l.Allow("lilei", rate, epoch); wait != 0 {
			t.Fatalf("waits %v", wait)
		}
		l.GiveBack("lilei", rate)
	}
	l.GiveBack("lilei", rate)
	l.GiveBack("nobody", rate)
	l.GiveBack("lilei", Rate{})
	for i, want := range []time.Duration{0, 0, 0, 20 * time.Second} {
		if got := l.Allow("lilei", rate, epoch); got != want {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
	}
}

// The same, counted in Redis.
func TestGiveBackToRedis(t *testing.T) {
	r, err := OpenRedis(storetest.Redis(t), [][]byte{testKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	l, key, now := &Limits{Rates: map[string]Rate{"login": {N: 3, Per: time.Hour}}, Redis: r}, rand.Text(), time.Now()
	for range 10 {
		if wait := l.Allow(t.Context(), "login", key, now); wait != 0 {
			t.Fatalf("waits %v", wait)
		}
		l.GiveBack(t.Context(), "login", key, now)
	}
	l.GiveBack(t.Context(), "login", key, now)
	for i := range 4 {
		if wait := l.Allow(t.Context(), "login", key, now); (wait == 0) != (i < 3) {
			t.Errorf("%d: %v", i, wait)
		}
	}
}
