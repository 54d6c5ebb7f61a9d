package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store"
	"deskbell/store/storetest"
)

// manyStreams is how many people look on at once.
const manyStreams = 1000

// TestMemoryOfStreams says what a process costs at which 1,000 people look on,
// each with a session of their own.
func TestMemoryOfStreams(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRig(t, url, 1, sim.Config{})
		crowd := r.crowd(t, manyStreams)
		i := r.start()
		look := i.lookOn(t, crowd[:1]) // what the first costs, the others need not
		before := i.memory(t, "VmRSS")
		began := time.Now()
		look = append(look, i.lookOn(t, crowd[1:])...)
		took := time.Since(began)
		after := i.memory(t, "VmRSS")
		each := float64(after-before) / manyStreams
		t.Logf("%.1f KiB each: from %d to %d KiB, all of them in %v", each, before, after, took.Round(time.Millisecond))
		if each > 128 {
			t.Errorf("a stream costs %.1f KiB", each)
		}
		for _, c := range look {
			_ = c.Close()
		}
		if d := r.box.Say(agent(0), "/help"); !d.OK() {
			t.Errorf("callback afterwards: %+v", d)
		}
	})
}

// looker has a session, and a token that opens it.
type looker struct{ session, token string }

// crowd makes people who wait for an agent, while nothing else has the store.
func (r *rig) crowd(t *testing.T, n int) []looker {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString("Zm91ciBzY29yZSBhbmQgc2V2ZW4geWVhcnMgYWdvIG8=") // of configure
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Options{URL: r.store, Keys: [][]byte{key}})
	if err != nil {
		t.Fatal(err)
	}
	asked := make([]store.NewAccount, n)
	for i := range asked {
		asked[i] = store.NewAccount{Username: fmt.Sprint("looker", i), EndUser: true}
	}
	made, err := st.CreateAccounts(t.Context(), asked, "test")
	if err != nil {
		t.Fatal(err)
	}
	var crowd []looker
	for some := range slices.Chunk(made, 100) {
		var lookers []looker
		err := st.Tx(t.Context(), func(tx *store.Tx) error {
			for _, a := range some {
				c, _, err := tx.Begin(t.Context(), a.PartyOf(), "", "")
				token, _, made := tx.NewToken(t.Context(), store.TokenSpec{Account: a.UID})
				if err := errors.Join(a.Err, err, made); err != nil {
					return err
				}
				lookers = append(lookers, looker{c.ID, token})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, lookers...)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return crowd
}

// lookOn opens a stream for each, and returns when each has begun.
func (i *instance) lookOn(t *testing.T, crowd []looker) []net.Conn {
	t.Helper()
	host, _, _ := strings.Cut(strings.TrimPrefix(i.url, "http://"), "/")
	conns := make([]net.Conn, len(crowd))
	var all sync.WaitGroup
	for n, l := range crowd {
		c, err := net.DialTimeout("tcp", host, patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns[n] = c
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(c, "GET /api/sessions/%s/events HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer %s\r\n\r\n", l.session, l.token); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			lines := bufio.NewScanner(c)
			for lines.Scan() {
				if lines.Text() == "event: session" {
					return
				}
			}
			t.Errorf("a stream did not begin: %v", lines.Err())
		})
	}
	all.Wait()
	return conns
}
