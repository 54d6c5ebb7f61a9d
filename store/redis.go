package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis shares what many instances would otherwise each fetch for themselves.
// It holds nothing that cannot be fetched again: without it, or after it lost
// everything, each instance goes on by itself.
type Redis struct {
	client redis.UniversalClient
	keys   *keyring
}

// silent keeps the client from writing to stderr in a form of its own: each
// failure comes back as an error anyway.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(silent{}) }

// OpenRedis connects to redis://…, rediss://…, or several addresses of a
// Sentinel or Cluster in one URL (?addr=…). Values are sealed with keys, as in
// Options. It does not wait for an answer: Redis may be down and come later.
func OpenRedis(url string, keys [][]byte) (*Redis, error) {
	ring, err := newKeyring(keys)
	if err != nil {
		return nil, err
	}
	options, err := universal(url)
	if err != nil {
		return nil, err
	}
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = time.Second, time.Second, time.Second
	options.MaxRetries, options.DialerRetries = 1, 1
	options.ContextTimeoutEnabled = true
	return &Redis{redis.NewUniversalClient(options), ring}, nil
}

// CheckRedisURL reports what is wrong with an address, without going there and
// without repeating it.
func CheckRedisURL(url string) error {
	_, err := universal(url)
	return err
}

func universal(url string) (*redis.UniversalOptions, error) {
	if one, err := redis.ParseURL(url); err == nil {
		return &redis.UniversalOptions{Addrs: []string{one.Addr}, DB: one.DB, Username: one.Username, Password: one.Password, TLSConfig: one.TLSConfig}, nil
	}
	if o, err := redis.ParseFailoverURL(url); err == nil && o.MasterName != "" {
		return &redis.UniversalOptions{MasterName: o.MasterName, Addrs: o.SentinelAddrs, DB: o.DB, Username: o.Username, Password: o.Password,
			SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword, TLSConfig: o.TLSConfig}, nil
	}
	if o, err := redis.ParseClusterURL(url); err == nil {
		return &redis.UniversalOptions{Addrs: o.Addrs, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig, IsClusterMode: true}, nil
	}
	return nil, errors.New("redis.url is none: want redis://[user:password@]host:port[/db]") // the URL may hold a password
}

// Close disconnects.
func (r *Redis) Close() error { return r.client.Close() }

// Ping reports whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

const redisPrefix = "deskbell:"

// Get returns a value and how long it will stay, "" when there is none.
func (r *Redis) Get(ctx context.Context, key string) (string, time.Duration, error) {
	var sealed *redis.StringCmd
	var left *redis.DurationCmd
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		sealed, left = p.Get(ctx, redisPrefix+key), p.PTTL(ctx, redisPrefix+key)
		return nil
	})
	if errors.Is(err, redis.Nil) || err == nil && left.Val() <= 0 {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("redis: %w", err)
	}
	plain, err := r.keys.open("redis/"+key, sealed.Val())
	if err != nil {
		return "", 0, nil // not ours, or sealed with a key that is gone: as good as absent
	}
	return string(plain), left.Val(), nil
}

// Set keeps a value for a time.
func (r *Redis) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	if err := r.client.Set(ctx, redisPrefix+key, r.keys.seal("redis/"+key, []byte(value)), ttl).Err(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// unlock deletes a lock only for the one that holds it.
var unlock = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

// Lock takes key for at most ttl. ok is false while somebody else has it. It
// spares work; nothing may depend on it for being right.
func (r *Redis) Lock(ctx context.Context, key string, ttl time.Duration) (release func(), ok bool, err error) {
	holder := rand.Text()
	ok, err = r.client.SetNX(ctx, redisPrefix+key, holder, ttl).Result()
	if err != nil {
		return nil, false, fmt.Errorf("redis: %w", err)
	}
	if !ok {
		return nil, false, nil
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = unlock.Run(ctx, r.client, []string{redisPrefix + key}, holder).Err() // it runs out by itself
	}, true, nil
}
