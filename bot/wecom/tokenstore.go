package wecom

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// TokenStore shares the access token between instances. Every method may fail;
// the client then goes on by itself. A value is a secret: who implements this
// seals it before it is written anywhere.
type TokenStore interface {
	Get(ctx context.Context, key string) (value string, ttl time.Duration, err error) // "" when absent
	Set(ctx context.Context, key, value string, ttl time.Duration) error
	Lock(ctx context.Context, key string, ttl time.Duration) (unlock func(), ok bool, err error)
}

const (
	storePatience = 100 * time.Millisecond // for one question to the store
	storePoll     = 50 * time.Millisecond  // between looks for what another instance is fetching
	lease         = 3 * time.Second        // an instance that fetches and dies holds the others up this long
)

// obtain gets a token other than refused: the one in the store, if nobody needs
// to refresh it yet, or else a new one. Instances that need a new one at the same
// time elect one of them to fetch it. Without a store, or when it fails or does
// not answer, the instance fetches for itself.
func (t *tokens) obtain(ctx context.Context, refused string) (accessToken, error) {
	if t.shared == nil {
		return t.fetch(ctx)
	}
	for waited := time.Duration(0); waited < t.timeout; waited += storePoll {
		got, unlock, err := t.consult(ctx, refused)
		switch {
		case err != nil:
			t.log.Warn("wecom access token: going on without the shared store", "err", scrub(err.Error()))
			return t.fetch(ctx)
		case got.value != "":
			return got, nil
		case unlock != nil:
			return t.fetchForAll(ctx, unlock)
		}
		select {
		case <-time.After(storePoll):
		case <-ctx.Done():
			return accessToken{}, &outage{call: "gettoken", what: "another instance is fetching the access token, in vain", cause: ctx.Err()}
		}
	}
	return t.fetch(ctx)
}

// consult returns the shared token, or the lease for fetching one, or neither
// when another instance has the lease.
func (t *tokens) consult(ctx context.Context, refused string) (accessToken, func(), error) {
	got, err := t.read(ctx, refused)
	if err != nil || got.value != "" {
		return got, nil, err
	}
	unlock, err := ask(ctx, func(ctx context.Context) (func(), error) {
		unlock, ok, err := t.shared.Lock(ctx, t.key+":lease", lease)
		if err != nil || !ok {
			return nil, err
		}
		return unlock, nil
	})
	if err != nil || unlock == nil {
		return accessToken{}, nil, err
	}
	// The lease may have come free because its holder was done.
	got, err = t.read(ctx, refused)
	if err != nil || got.value != "" {
		go unlock()
		return got, nil, err
	}
	return accessToken{}, unlock, nil
}

// fetchForAll fetches a token and puts it into the store, where a slow store
// holds nobody up.
func (t *tokens) fetchForAll(ctx context.Context, unlock func()) (accessToken, error) {
	got, err := t.fetch(ctx)
	go func() {
		defer unlock()
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
		defer cancel()
		if err := t.shared.Set(ctx, t.key, encodeShared(got), got.left); err != nil {
			t.log.Warn("share the wecom access token", "err", scrub(err.Error()))
		}
	}()
	return got, err
}

// read returns the shared token, or none if it is refused or due for a refresh.
func (t *tokens) read(ctx context.Context, refused string) (accessToken, error) {
	return ask(ctx, func(ctx context.Context) (accessToken, error) {
		value, left, err := t.shared.Get(ctx, t.key)
		if err != nil {
			return accessToken{}, err
		}
		got := decodeShared(value, left)
		if got.value == refused || got.refreshIn() <= 0 {
			return accessToken{}, nil
		}
		return got, nil
	})
}

// ask puts one question to the store, and stops listening after storePatience
// even if the store does not heed its context.
func ask[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		value, err := question(ctx)
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// encodeShared puts the whole life before the token. With what is left of it,
// the entry's own time to live, every instance can tell when it is due.
func encodeShared(t accessToken) string {
	return strconv.Itoa(int(t.life/time.Second)) + " " + t.value
}

func decodeShared(s string, left time.Duration) accessToken {
	life, value, _ := strings.Cut(s, " ")
	seconds, err := strconv.Atoi(life)
	if err != nil || value == "" {
		return accessToken{}
	}
	return accessToken{value: value, life: time.Duration(seconds) * time.Second, left: left}
}
