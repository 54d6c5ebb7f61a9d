package api

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/store"
	"deskbell/store/storetest"
)

// BenchmarkMessageToPage measures from the moment somebody's words are handed to
// the server until the other side's page has them, over the loopback, while
// others look on at sessions of their own.
func BenchmarkMessageToPage(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		for _, others := range []int{0, 999} {
			b.Run(fmt.Sprintf("%s/%d-streams", engine.name, others+1), func(b *testing.B) {
				f := newFloor(newRigOn(b, engine.url(b)))
				f.status("lilei", "online")
				o := f.online()
				at := o.asks("hanmeimei")
				o.crowd(others)
				mei := o.hears(at+"/events", o.bearer("hanmeimei"))
				mei.next("session")
				c, err := o.o.Store.Conversation(b.Context(), strings.TrimPrefix(at, "/api/sessions/"), store.Party{Admin: true})
				o.ok(err)
				lilei := store.Party{Key: "lilei", ID: "lilei", Name: "李雷"}
				var took []time.Duration
				for b.Loop() {
					began := time.Now()
					o.ok(o.o.Store.Tx(b.Context(), func(tx *store.Tx) error {
						_, _, err := tx.Say(b.Context(), c, lilei, store.Words{Content: "Is it still on fire?"})
						return err
					}))
					mei.next("message", "session")
					took = append(took, time.Since(began))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			})
		}
	}
}

// BenchmarkStreamMemory opens 1,000 streams and reports what each keeps: heap and
// stack, after what can be freed was.
func BenchmarkStreamMemory(b *testing.B) {
	const n = 1000
	for b.Loop() {
		f := newFloor(newRig(b))
		o := f.online()
		before := inUse()
		o.crowd(n)
		after := inUse()
		b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/n/1024, "heap-KiB/stream")
		b.ReportMetric(float64(after.StackInuse-before.StackInuse)/n/1024, "stack-KiB/stream")
	}
}

func inUse() (m runtime.MemStats) {
	for range 4 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}

// crowd has n people look on, each at a session of their own, and returns when
// they do.
func (o online) crowd(n int) {
	o.Helper()
	var all sync.WaitGroup
	for i := range n {
		a, err := o.o.Store.CreateAccount(o.Context(), store.NewAccount{Username: fmt.Sprint("looker", i), EndUser: true}, "test")
		o.ok(err)
		var session, token string
		o.ok(o.o.Store.Tx(o.Context(), func(tx *store.Tx) error {
			c, _, begun := tx.Begin(o.Context(), a.PartyOf(), "", "")
			made, _, err := tx.NewToken(o.Context(), store.TokenSpec{Account: a.UID})
			session, token = c.ID, made
			return errors.Join(begun, err)
		}))
		c, err := net.Dial("tcp", strings.TrimPrefix(o.url, "http://"))
		o.ok(err)
		o.Cleanup(func() { _ = c.Close() })
		_, err = fmt.Fprintf(c, "GET /api/sessions/%s/events HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer %s\r\n\r\n", session, token)
		o.ok(err)
		all.Go(func() {
			lines := bufio.NewScanner(c)
			for lines.Scan() {
				if lines.Text() == "event: session" {
					break
				}
			}
			if lines.Err() != nil {
				o.Error(lines.Err())
			}
		})
	}
	all.Wait()
}
