package wecom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"deskbell/bot"
)

const (
	// Asking again with a wrong secret gets the server's IP banned for an hour
	// (document 90455), so a refusal is believed for a while.
	quietAfterRefusal = time.Minute
	quietAfterErrcode = 10 * time.Second
	quietAfterOutage  = time.Second

	// A token that lives shorter than this is not refreshed ahead: WeCom hands
	// out the same one until it dies, and asking more often gains nothing.
	worthRefreshing = 5 * time.Minute

	maxToken = 512 // bytes, document 91039
)

// accessToken is a token as somebody got it: it lives for life in all, of which
// left remains. Spans, not times of day, so that instances whose clocks differ
// can share one.
type accessToken struct {
	value      string
	life, left time.Duration
}

// refreshIn is after how long a new one is fetched while this one still works.
func (t accessToken) refreshIn() time.Duration {
	if t.life < worthRefreshing {
		return t.diesIn()
	}
	return t.left - t.life/5
}

// diesIn is after how long it is no longer used, a little before WeCom stops
// taking it.
func (t accessToken) diesIn() time.Duration { return t.left - min(t.life/10, time.Minute) }

// tokens keeps the access token of one application. However many callers there
// are, one gettoken is under way at most.
type tokens struct {
	fetch   func(context.Context) (accessToken, error)
	shared  TokenStore
	key     string
	timeout time.Duration
	now     func() time.Time
	log     *slog.Logger

	mu            sync.Mutex
	value         string
	refresh, dies time.Time
	flight        *flight
	failure       error     // why the last gettoken failed;
	quiet         time.Time // none is sent before this
}

// flight is one fetch that any number of callers wait for.
type flight struct {
	refused string // the token that must not come out of it
	done    chan struct{}
	value   string
	err     error
}

// get returns a token WeCom should take, other than refused: the one it has just
// turned down, or "". Of many callers whose calls were turned down together, the
// first fetches and the others find that the token is not the refused one any
// more.
func (t *tokens) get(ctx context.Context, refused string) (string, error) {
	for {
		value, f, err := t.current(refused)
		if f == nil {
			return value, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return "", &outage{call: "gettoken", what: "given up by the caller", cause: ctx.Err()}
		}
		if f.err != nil {
			return "", f.err
		}
		if f.value != refused {
			return f.value, nil
		}
		// A fetch begun before the refusal brought the refused token back.
	}
}

// current returns the token in hand, or the flight to wait for, or why there is
// neither.
func (t *tokens) current(refused string) (string, *flight, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	silent := now.Before(t.quiet)
	if t.value != "" && t.value != refused && now.Before(t.dies) {
		if !silent && !now.Before(t.refresh) {
			t.start("")
		}
		return t.value, nil, nil
	}
	if silent && t.flight == nil {
		return "", nil, t.failure
	}
	return "", t.start(refused), nil
}

// start begins a flight unless one is in the air. t.mu is held.
func (t *tokens) start(refused string) *flight {
	if t.flight == nil {
		t.flight = &flight{refused: refused, done: make(chan struct{})}
		go t.fly(t.flight)
	}
	return t.flight
}

// fly runs apart from the callers: one of them giving up takes nothing away from
// the others.
func (t *tokens) fly(f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*t.timeout)
	defer cancel()
	asked := t.now()
	got, err := t.obtain(ctx, f.refused)
	if err == nil && got.value == f.refused {
		err = &APIError{Call: "gettoken", Code: codeBadToken, Msg: "gives the access token again that was just refused"}
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(f.done)
	t.flight = nil
	if err != nil {
		f.err = err
		t.failure, t.quiet = err, t.now().Add(quietAfter(err))
		t.log.Warn("no wecom access token", "err", err)
		return
	}
	f.value = got.value
	t.value, t.refresh, t.dies = got.value, asked.Add(got.refreshIn()), asked.Add(got.diesIn())
}

func quietAfter(err error) time.Duration {
	if Temporary(err) && kind(err) != bot.Limited {
		return quietAfterOutage
	}
	if e, ok := errors.AsType[*APIError](err); ok && e.badCredentials() {
		return quietAfterRefusal
	}
	return quietAfterErrcode
}

// getToken is gettoken (document 91039).
func (c *Client) getToken(ctx context.Context) (accessToken, error) {
	req, err := newRequest(ctx, "gettoken", url.Values{"corpid": {c.corpID}, "corpsecret": {c.secret}}, nil)
	if err != nil {
		return accessToken{}, err
	}
	raw, err := c.exchange(ctx, req, "")
	if err != nil {
		return accessToken{}, explainCredentials(err)
	}
	var answer struct {
		Token string `json:"access_token"`
		Life  int    `json:"expires_in"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Token == "" || len(answer.Token) > maxToken {
		return accessToken{}, &outage{call: "gettoken", what: "the answer holds no access token"}
	}
	life := time.Duration(max(answer.Life, 1)) * time.Second
	return accessToken{value: answer.Token, life: life, left: life}, nil
}

// explainCredentials names the key of the configuration to fix.
func explainCredentials(err error) error {
	e, ok := errors.AsType[*APIError](err)
	if !ok || !e.badCredentials() {
		return err
	}
	key := "wecom.secret"
	if e.Code == codeBadCorpID {
		key = "wecom.corp_id"
	}
	return fmt.Errorf("%w: fix %s in the configuration", err, key)
}
