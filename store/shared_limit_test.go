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
)

// TestSharedLimits counts in Redis from many clients at once, then loses Redis.
func TestSharedLimits(t *testing.T) {
	proxy := newCutter(t, storetest.Redis(t))
	rates := map[string]Rate{"login": {N: 40, Per: time.Hour}}
	key := rand.Text()
	var instances []*Limits
	for range 4 {
		r, err := OpenRedis(proxy.url, [][]byte{testKey})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		if err := r.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		instances = append(instances, &Limits{Rates: rates, Redis: r})
	}
	now := time.Now()
	if n := spend(t, instances, key, now, 400); n != 40 {
		t.Errorf("%d of 400 uses allowed by 4 instances together, want 40", n)
	}
	if wait := instances[0].Allow(t.Context(), "login", key, now); wait <= 0 || wait > 90*time.Second {
		t.Errorf("to wait: %s", wait)
	}
	if wait := instances[0].Allow(t.Context(), "nobody set this", key, now); wait != 0 {
		t.Errorf("a rate nobody set: %s", wait)
	}

	proxy.cut()
	began := time.Now()
	if n := spend(t, instances, key, now.Add(time.Minute), 400); n != 4*40-40 {
		t.Errorf("without Redis %d of 400 uses, want 40 for each of 4 instances, less the 40 they had", n)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("400 uses without Redis took %s", took)
	}
}

// A Redis that forgets everything gives nobody a second allowance.
func TestLimitsOutliveRedis(t *testing.T) {
	r, err := OpenRedis(storetest.Redis(t), [][]byte{testKey})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	limits, key := &Limits{Rates: map[string]Rate{"login": {N: 3, Per: time.Hour}}, Redis: r}, rand.Text()
	for i := range 6 {
		if wait := limits.Allow(t.Context(), "login", key, time.Now()); (wait > 0) != (i >= 3) {
			t.Errorf("use %d: wait %s", i, wait)
		}
		if err := r.client.Del(t.Context(), redisPrefix+"limit:login/"+key).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func spend(t *testing.T, instances []*Limits, key string, now time.Time, tries int) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	allowed := 0
	room := make(chan struct{}, 16)
	for i := range tries {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			if instances[i%len(instances)].Allow(context.WithoutCancel(t.Context()), "login", key, now) == 0 {
				mu.Lock()
				allowed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return allowed
}

// cutter passes connections on until it is cut.
type cutter struct {
	url   string
	ln    net.Listener
	mu    sync.Mutex
	conns []net.Conn
	dead  bool
}

func newCutter(t *testing.T, redisURL string) *cutter {
	t.Helper()
	host := strings.TrimPrefix(redisURL, "redis://")
	host, path, _ := strings.Cut(host, "/")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{ln: ln, url: "redis://" + ln.Addr().String() + "/" + path}
	t.Cleanup(c.cut)
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", host)
			if err != nil || !c.keep(in, out) {
				in.Close()
				continue
			}
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
	return c
}

func pipe(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (c *cutter) keep(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conns...)
	return !c.dead
}

func (c *cutter) cut() {
	c.ln.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for _, conn := range c.conns {
		conn.Close()
	}
}
