package store

import (
	"context"
	"crypto/rand"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/store/storetest"

	"github.com/redis/go-redis/v9"
)

func openRedis(t *testing.T, url string, keys ...[]byte) *Redis {
	t.Helper()
	r, err := OpenRedis(url, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// key is one that nothing else uses; it is removed after the test.
func (r *Redis) key(t *testing.T) string {
	key := "test:" + rand.Text()
	t.Cleanup(func() { r.client.Del(context.Background(), redisPrefix+key) })
	return key
}

// has checks what is kept under a key.
func (r *Redis) has(t *testing.T, key, want string) time.Duration {
	t.Helper()
	got, left, err := r.Get(t.Context(), key)
	if err != nil || got != want || (left > 0) != (want != "") {
		t.Errorf("%q for %v, %v, want %q", got, left, err, want)
	}
	return left
}

func TestRedisKeepsForATime(t *testing.T) {
	r := openRedis(t, storetest.Redis(t), testKey)
	key := r.key(t)
	if err := r.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.has(t, key, "")
	for _, value := range []string{"first", "second"} {
		if err := r.Set(t.Context(), key, value, time.Minute); err != nil {
			t.Fatal(err)
		}
		if left := r.has(t, key, value); left > time.Minute || left < 50*time.Second {
			t.Errorf("stays for %v", left)
		}
	}
	if err := r.client.PExpireAt(t.Context(), redisPrefix+key, time.Now().Add(-time.Second)).Err(); err != nil {
		t.Fatal(err)
	}
	r.has(t, key, "")
}

func TestRedisHoldsNothingReadable(t *testing.T) {
	url := storetest.Redis(t)
	r, rotated, stranger := openRedis(t, url, testKey), openRedis(t, url, otherKey, testKey), openRedis(t, url, otherKey)
	key, other := r.key(t), r.key(t)
	if err := r.Set(t.Context(), key, "CANARY", time.Minute); err != nil {
		t.Fatal(err)
	}
	raw, err := r.client.Get(t.Context(), redisPrefix+key).Result()
	if err != nil || raw == "" || strings.Contains(raw, "CANARY") {
		t.Errorf("%q, %v", raw, err)
	}
	rotated.has(t, key, "CANARY")
	stranger.has(t, key, "")
	// Whoever writes to Redis can neither move a value nor make one.
	for _, planted := range []string{raw, "CANARY", ""} {
		if err := r.client.Set(t.Context(), redisPrefix+other, planted, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		if got, _, err := r.Get(t.Context(), other); err != nil || got != "" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := r.client.Persist(t.Context(), redisPrefix+key).Err(); err != nil {
		t.Fatal(err)
	}
	r.has(t, key, "") // nothing of ours stays for ever
}

func TestRedisLock(t *testing.T) {
	url := storetest.Redis(t)
	one, two := openRedis(t, url, testKey), openRedis(t, url, testKey)
	key := one.key(t)
	lock := func(r *Redis, want bool) func() {
		t.Helper()
		release, ok, err := r.Lock(t.Context(), key, time.Minute)
		if err != nil || ok != want {
			t.Errorf("locked: %v, %v, want %v", ok, err, want)
		}
		return release
	}
	first := lock(one, true)
	lock(two, false)
	lock(one, false)
	first()
	second := lock(two, true)
	first() // it is not the first one's any more
	lock(one, false)
	second()

	lost := lock(one, true)
	if left, err := one.client.PTTL(t.Context(), redisPrefix+key).Result(); err != nil || left <= 0 || left > time.Minute {
		t.Errorf("held for %v, %v", left, err)
	}
	if err := one.client.Del(t.Context(), redisPrefix+key).Err(); err != nil { // its time ran out
		t.Fatal(err)
	}
	third := lock(two, true)
	lost()
	lock(one, false)
	third()
}

func TestFlushedRedisHasNothing(t *testing.T) {
	r := openRedis(t, storetest.Redis(t), testKey)
	key := r.key(t)
	release, ok, err := r.Lock(t.Context(), key, time.Minute)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := r.client.Del(t.Context(), redisPrefix+key).Err(); err != nil {
		t.Fatal(err)
	}
	release()
	r.has(t, key, "")
}

// deaf is an address where connections are taken and nothing is ever said.
func deaf(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// dead is an address where nobody listens.
func dead(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestDeadRedisSaysSoQuickly(t *testing.T) {
	for name, c := range map[string]struct {
		address string
		within  time.Duration
	}{"dead": {dead(t), 2 * time.Second}, "deaf": {deaf(t), 6 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			r := openRedis(t, "redis://:hunter2@"+c.address, testKey)
			if took := time.Since(began); took > time.Second {
				t.Errorf("opening took %v", took)
			}
			var calls sync.WaitGroup
			for what, call := range map[string]func(context.Context) error{
				"ping": r.Ping,
				"get":  func(ctx context.Context) error { _, _, err := r.Get(ctx, "key"); return err },
				"set":  func(ctx context.Context) error { return r.Set(ctx, "key", "value", time.Minute) },
				"lock": func(ctx context.Context) error { _, _, err := r.Lock(ctx, "key", time.Minute); return err },
			} {
				calls.Go(func() {
					began := time.Now()
					err := call(t.Context())
					if took := time.Since(began); err == nil || took > c.within {
						t.Errorf("%s: %v after %v", what, err, took)
					} else if strings.Contains(err.Error(), "hunter2") {
						t.Errorf("%s: %v shows the password", what, err)
					}
				})
			}
			calls.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			began = time.Now()
			if err := r.Ping(ctx); err == nil || time.Since(began) > time.Second {
				t.Errorf("%v after %v, for a caller who waits 100 ms", err, time.Since(began))
			}
		})
	}
}

func TestRedisAddresses(t *testing.T) {
	for url, want := range map[string]string{
		"redis://127.0.0.1:6379/2":                                             "*redis.Client",
		"rediss://user:hunter2@redis.example.com":                              "*redis.Client",
		"redis://user:hunter2@127.0.0.1:26379/0?master_name=main&addr=a:26379": "*redis.Client",
		"redis://127.0.0.1:7000?addr=127.0.0.1:7001":                           "*redis.ClusterClient",
	} {
		r, err := OpenRedis(url, [][]byte{testKey})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got := "*redis.Client"
		if _, ok := r.client.(*redis.ClusterClient); ok {
			got = "*redis.ClusterClient"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
		r.Close()
	}
	for _, url := range []string{"", "localhost:6379", "http://:hunter2@x", "redis://:hunter2@x/y?z", "redis://user:hun%ter2@host"} {
		if _, err := OpenRedis(url, [][]byte{testKey}); err == nil || strings.Contains(err.Error(), "hun") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
