package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// gcra is Limiter.Allow over one Redis key, in microseconds of Redis' own clock.
// It is atomic, so that no two instances both take the last use.
var gcra = redis.NewScript(`
local t = redis.call("TIME")
local now = t[1] * 1000000 + t[2]
local each, all = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = tonumber(redis.call("GET", KEYS[1]) or "0")
if full < now then full = now end
local wait = full + each - now - all
if wait > 0 then return wait end
redis.call("SET", KEYS[1], string.format("%.0f", full + each), "PX", math.ceil((full + each - now) / 1000) + 1)
return 0`)

// Allow is Limiter.Allow, shared by all instances.
func (r *Redis) Allow(ctx context.Context, key string, rate Rate) (time.Duration, error) {
	if rate.N <= 0 {
		return 0, nil
	}
	each := max(rate.Per/time.Duration(rate.N), time.Microsecond)
	wait, err := gcra.Run(ctx, r.client, []string{redisPrefix + "limit:" + key}, each.Microseconds(), each.Microseconds()*int64(rate.N)).Int64()
	if err != nil {
		return 0, fmt.Errorf("redis: limit: %w", err)
	}
	return time.Duration(wait) * time.Microsecond, nil
}

// unspend is Limiter.GiveBack over one Redis key.
var unspend = redis.NewScript(`
local full, each = tonumber(redis.call("GET", KEYS[1]) or "0"), tonumber(ARGV[1])
if full > each then redis.call("SET", KEYS[1], string.format("%.0f", full - each), "KEEPTTL") end
return 0`)

// GiveBack is Limiter.GiveBack, shared by all instances.
func (r *Redis) GiveBack(ctx context.Context, key string, rate Rate) error {
	if rate.N <= 0 {
		return nil
	}
	each := max(rate.Per/time.Duration(rate.N), time.Microsecond)
	return wrap(unspend.Run(ctx, r.client, []string{redisPrefix + "limit:" + key}, each.Microseconds()).Err(), "redis: limit")
}

const (
	limitPatience = 250 * time.Millisecond // for Redis to count a use
	limitPause    = 2 * time.Second        // before Redis is asked again after it failed
)

// Limits are rates by name. They are counted in Redis, for all instances
// together, and always in the process too: without Redis, or after it forgot
// everything, the limits still hold for each instance by itself.
type Limits struct {
	Rates map[string]Rate
	Redis *Redis // may be nil

	local Limiter
	mu    sync.Mutex
	retry time.Time // when Redis may be asked again
}

// Allow counts a use of key against the named rate; see Limiter.Allow. A rate
// nobody set limits nothing. The keys are canonical already: one person or
// address, one key.
func (l *Limits) Allow(ctx context.Context, name, key string, now time.Time) time.Duration {
	rate, key := l.Rates[name], name+"/"+key
	if l.Redis != nil && l.up(now) {
		ctx, cancel := context.WithTimeout(ctx, limitPatience)
		defer cancel()
		wait, err := l.Redis.Allow(ctx, key, rate)
		switch {
		case err == nil && wait > 0:
			return wait
		case err != nil:
			l.mu.Lock()
			l.retry = now.Add(limitPause)
			l.mu.Unlock()
		}
	}
	return l.local.Allow(key, rate, now)
}

// GiveBack takes back a use that Allow took. One that Redis counted and that
// cannot be taken back there stays taken.
func (l *Limits) GiveBack(ctx context.Context, name, key string, now time.Time) {
	rate, key := l.Rates[name], name+"/"+key
	if l.Redis != nil && l.up(now) {
		ctx, cancel := context.WithTimeout(ctx, limitPatience)
		defer cancel()
		_ = l.Redis.GiveBack(ctx, key, rate)
	}
	l.local.GiveBack(key, rate)
}

func (l *Limits) up(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !now.Before(l.retry)
}
