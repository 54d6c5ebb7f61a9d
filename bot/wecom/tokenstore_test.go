package wecom

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// cliStore is a TokenStore in memory, with faults.
type cliStore struct {
	mu     sync.Mutex
	values map[string]cliEntry
	fault  error // of every method
	deaf   bool  // nothing ever returns
}

type cliEntry struct {
	value string
	until time.Time
}

func (s *cliStore) enter() error {
	if s.deaf {
		select {}
	}
	s.mu.Lock()
	if s.values == nil {
		s.values = map[string]cliEntry{}
	}
	return s.fault
}

func (s *cliStore) Get(_ context.Context, key string) (string, time.Duration, error) {
	err := s.enter()
	defer s.mu.Unlock()
	e := s.values[key]
	left := time.Until(e.until)
	if err != nil || left <= 0 {
		return "", 0, err
	}
	return e.value, left, nil
}

func (s *cliStore) Set(_ context.Context, key, value string, ttl time.Duration) error {
	err := s.enter()
	defer s.mu.Unlock()
	s.values[key] = cliEntry{value, time.Now().Add(ttl)}
	return err
}

func (s *cliStore) Lock(_ context.Context, key string, ttl time.Duration) (func(), bool, error) {
	err := s.enter()
	defer s.mu.Unlock()
	if err != nil || time.Now().Before(s.values[key].until) {
		return nil, false, err
	}
	s.values[key] = cliEntry{"held", time.Now().Add(ttl)}
	return func() {
		s.enter()
		defer s.mu.Unlock()
		delete(s.values, key)
	}, true, nil
}

// cliTogether lets every instance ask at once, ten times each.
func cliTogether(t *testing.T, instances []*tokens, refused string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, tok := range instances {
		for range 10 {
			wg.Go(func() {
				if got, err := tok.get(t.Context(), refused); err != nil || got == refused {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
	}
	wg.Wait()
	synctest.Wait()
}

func TestClusterSharesOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s cliTokens
		var store cliStore
		cluster := []*tokens{s.client(&store), s.client(&store), s.client(&store), s.client(&store)}
		cliTogether(t, cluster, "")
		if s.count() != 1 {
			t.Errorf("cold: %d gettoken calls, want 1", s.count())
		}
		time.Sleep(100 * time.Minute)
		cliTogether(t, cluster, "") // these start the refresh
		time.Sleep(5 * time.Second)
		cliTogether(t, cluster, "")
		if s.count() != 2 {
			t.Errorf("after a refresh: %d gettoken calls, want 2", s.count())
		}
		cliTogether(t, cluster, "token-2")
		if s.count() != 3 {
			t.Errorf("after a refusal: %d gettoken calls, want 3", s.count())
		}
	})
}

// WeCom gives out the same token while it lives, with less and less to go.
func TestClusterAgreesOnAnUnchangedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store cliStore
		var mu sync.Mutex
		var calls int
		dies := time.Now().Add(2 * time.Hour)
		var cluster []*tokens
		for range 4 {
			tok := (&cliTokens{}).client(&store)
			tok.fetch = func(context.Context) (accessToken, error) {
				mu.Lock()
				defer mu.Unlock()
				calls++
				left := time.Until(dies)
				return accessToken{value: "same", life: left, left: left}, nil
			}
			cluster = append(cluster, tok)
		}
		for range 110 {
			cliTogether(t, cluster, "")
			time.Sleep(time.Minute)
		}
		if calls > 3 {
			t.Errorf("%d gettoken calls in 110 minutes", calls)
		}
	})
}

func TestHolderThatDiesIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s cliTokens
		var store cliStore
		if _, ok, err := store.Lock(t.Context(), "k:lease", lease); !ok || err != nil {
			t.Fatal(ok, err)
		}
		start := time.Now()
		cliWant(t, s.client(&store), "", "token-1")
		if d := time.Since(start); d > lease+2*time.Second {
			t.Errorf("took %v", d)
		}
		synctest.Wait()
	})
}

func TestStoreFailuresAreOnlyALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s cliTokens
		cliWant(t, s.client(&cliStore{fault: errors.New("redis://:password@host is down")}), "", "token-1")
		store := &cliStore{values: map[string]cliEntry{"k": {"nonsense", time.Now().Add(time.Hour)}}}
		cliWant(t, s.client(store), "", "token-2")
		synctest.Wait()
	})
}

func TestDeafStoreCostsATenthOfASecond(t *testing.T) {
	var s cliTokens
	tok := s.client(&cliStore{deaf: true})
	tok.fetch = func(context.Context) (accessToken, error) {
		return accessToken{value: "mine", life: time.Hour, left: time.Hour}, nil
	}
	start := time.Now()
	cliWant(t, tok, "", "mine")
	if d := time.Since(start); d > 3*storePatience+200*time.Millisecond {
		t.Errorf("took %v", d)
	}
}
