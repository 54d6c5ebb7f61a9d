package wecom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// cliTokens counts what it issues, each good for two hours, after a second of
// thought.
type cliTokens struct {
	mu     sync.Mutex
	issued int
	err    error
}

func (s *cliTokens) fetch(context.Context) (accessToken, error) {
	time.Sleep(time.Second) // of a synctest bubble
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return accessToken{}, s.err
	}
	s.issued++
	return accessToken{value: fmt.Sprint("token-", s.issued), life: 2 * time.Hour, left: 2 * time.Hour}, nil
}

func (s *cliTokens) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
}

func (s *cliTokens) client(shared TokenStore) *tokens {
	return &tokens{fetch: s.fetch, shared: shared, key: "k", timeout: 5 * time.Second, now: time.Now, log: slog.New(slog.DiscardHandler)}
}

func cliWant(t *testing.T, tok *tokens, refused, want string) {
	t.Helper()
	if got, err := tok.get(t.Context(), refused); got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestTokenIsRefreshedAheadInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s cliTokens
		tok := s.client(nil)
		cliWant(t, tok, "", "token-1")
		time.Sleep(95 * time.Minute)
		cliWant(t, tok, "", "token-1")
		time.Sleep(time.Minute) // 80 % of the life is over
		before := time.Now()
		cliWant(t, tok, "", "token-1")
		if time.Since(before) != 0 {
			t.Error("a caller waited for the refresh")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		cliWant(t, tok, "", "token-2")
		if s.count() != 2 {
			t.Errorf("%d fetched, want 2", s.count())
		}
	})
}

func TestOldTokenServesWhileTheRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s cliTokens
		tok := s.client(nil)
		cliWant(t, tok, "", "token-1")
		time.Sleep(100 * time.Minute)
		s.err = &outage{call: "gettoken", what: "down"}
		for range 10 {
			cliWant(t, tok, "", "token-1")
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Hour)
		if got, err := tok.get(t.Context(), ""); !Temporary(err) {
			t.Errorf("a token past its life: %q, %v", got, err)
		}
		s.err = nil
		time.Sleep(time.Minute)
		cliWant(t, tok, "", "token-2")
	})
}

func TestShortTokenIsUsedToItsEnd(t *testing.T) {
	short := accessToken{life: time.Minute, left: time.Minute}
	if short.refreshIn() != 54*time.Second || short.diesIn() != 54*time.Second {
		t.Errorf("refreshed after %v, dead after %v", short.refreshIn(), short.diesIn())
	}
}

func TestCallerGivesUpTheOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s cliTokens
		tok := s.client(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := tok.get(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cliWant(t, tok, "", "token-1")
		if s.count() != 1 {
			t.Errorf("%d fetched, want 1", s.count())
		}
	})
}

func TestRefusalDuringARefreshIsNotAnsweredWithTheRefusedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values := []string{"old", "old", "new"}
		tok := (&cliTokens{}).client(nil)
		tok.fetch = func(context.Context) (accessToken, error) {
			time.Sleep(time.Second)
			v := values[0]
			values = values[1:]
			return accessToken{value: v, life: 2 * time.Hour, left: 2 * time.Hour}, nil
		}
		cliWant(t, tok, "", "old")
		time.Sleep(100 * time.Minute)
		cliWant(t, tok, "", "old") // the refresh is in the air
		cliWant(t, tok, "old", "new")
	})
}

func TestWrongCredentialsAreNotTriedAgainForAMinute(t *testing.T) {
	for code, key := range map[int]string{40001: "wecom.secret", 40091: "wecom.secret", 40013: "wecom.corp_id"} {
		clock := cliNewClock()
		f, c := cliStart(t, func(o *ClientOptions) { o.Now = clock.Now }, map[string]func(*http.Request) string{
			"gettoken": cliFails(code),
		})
		for range 20 {
			_, err := c.App(t.Context())
			if err == nil || Temporary(err) || !strings.Contains(err.Error(), key) {
				t.Fatalf("%d: %v", code, err)
			}
			clock.move(time.Second)
		}
		if n := f.count("gettoken"); n != 1 {
			t.Errorf("%d: asked %d times within 20 s, want once", code, n)
		}
		clock.move(quietAfterRefusal)
		c.App(t.Context())
		if n := f.count("gettoken"); n != 2 {
			t.Errorf("%d: asked %d times, want once more after a minute", code, n)
		}
	}
}
