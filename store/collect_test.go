package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

var (
	pngBytes = append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte("pixel"), 100)...)
	expired  = bot.Fail(bot.Invalid, "media.expired", nil, errors.New("wecom media/get: errcode 40007"))
)

// shelf is a WeCom that has media, or an error, under their ids.
type shelf struct {
	mu    sync.Mutex
	has   map[string]any // []byte, error, or func(context.Context) (bot.Download, error)
	calls []string
}

func (s *shelf) Fetch(ctx context.Context, id string, _ int64) (bot.Download, error) {
	s.mu.Lock()
	s.calls = append(s.calls, id)
	v := s.has[id]
	s.mu.Unlock()
	switch v := v.(type) {
	case []byte:
		return bot.Download{Name: "from wecom.bin", Size: int64(len(v)), Body: io.NopCloser(bytes.NewReader(v))}, nil
	case error:
		return bot.Download{}, v
	case func(context.Context) (bot.Download, error):
		return v(ctx)
	}
	return bot.Download{}, expired
}

func (s *shelf) put(id string, v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[id] = v
}

func (s *shelf) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// collector is one that goes round when the test says so. It notes what it settled.
func (f fixture) collector(has map[string]any) (*Collector, *shelf, *[]string) {
	var settled []string
	s := &shelf{has: has}
	return &Collector{Store: f.Store, Fetcher: s, Settled: func(_ context.Context, tx *Tx, m Media) error {
		settled = append(settled, m.Name+" "+m.State+" "+m.Reason)
		tx.Audit(AuditEntry{Actor: m.Person, Action: "media", Target: m.ID, Detail: m.State})
		return nil
	}}, s, &settled
}

// sent is a message with something in it.
func sent(from string, n int, id string, kind bot.MediaKind, name string) bot.Message {
	m := said(from, n)
	m.Text, m.Media = "", bot.Media{Kind: kind, ID: id, Name: name}
	return m
}

func (f fixture) want(m bot.Message) (id string) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		id, err = tx.WantMedia(f.t.Context(), m)
		return err
	})
	return id
}

// collectDue gets what is due now, one after the other.
func (f fixture) collectDue(c *Collector) (n int) {
	f.t.Helper()
	for ; ; n++ {
		found, err := c.claim(f.t.Context(), 1)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(found) == 0 {
			return n
		}
		c.collect(f.t.Context(), found[0])
		c.settle(f.t.Context(), found[0])
		c.hear(found[0].err)
	}
}

func (f fixture) media(id, state, reason string) Media {
	f.t.Helper()
	m, err := f.Media(f.t.Context(), id)
	if err != nil || m.State != state || m.Reason != reason {
		f.t.Errorf("%+v, %v; want %s %s", m, err, state, reason)
	}
	return m
}

func (f fixture) read(m Media) []byte {
	f.t.Helper()
	data, err := io.ReadAll(f.MediaBytes(f.t.Context(), m))
	if err != nil {
		f.t.Error(err)
	}
	return data
}

func (f fixture) pieces(id string) int {
	f.t.Helper()
	n, err := f.db.NewSelect().Table("media_parts").Where("media = ?", id).Count(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func TestMediaIsKept(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		large := make([]byte, 2*mediaPiece+7)
		_, _ = rand.Read(large)
		exact := large[:mediaPiece]
		c, _, settled := f.collector(map[string]any{"i": pngBytes, "l": large, "e": exact, "z": []byte{}})
		ids := map[string]string{}
		for n, m := range []bot.Message{
			sent("LiLei", 1, "i", bot.Image, ""), sent("lilei", 2, "l", bot.File, "../报价.xlsx"),
			sent("lilei", 3, "e", bot.File, "e"), sent("lilei", 4, "z", bot.File, "z.txt"),
		} {
			ids[m.Media.ID] = f.want(m)
			if again := f.want(m); again != ids[m.Media.ID] {
				t.Errorf("message %d has media %s and %s", n, ids[m.Media.ID], again)
			}
			f.pass(time.Millisecond)
		}
		before := f.media(ids["l"], MediaWanted, "")
		if before.Name != "报价.xlsx" || before.Person != "lilei" || before.Kind != bot.File {
			t.Errorf("%+v", before)
		}
		if _, err := io.ReadAll(f.MediaBytes(t.Context(), before)); !errors.Is(err, ErrNotFound) {
			t.Errorf("read before it was there: %v", err)
		}
		if n := f.collectDue(c); n != 4 {
			t.Errorf("got %d", n)
		}
		if d := cmp.Diff([]string{"from wecom.bin kept ", "报价.xlsx kept ", "e kept ", "z.txt kept "}, *settled); d != "" {
			t.Error(d)
		}
		for id, want := range map[string][]byte{"i": pngBytes, "l": large, "e": exact, "z": {}} {
			m := f.media(ids[id], MediaKept, "")
			if got := f.read(m); !bytes.Equal(got, want) || m.Size != int64(len(want)) {
				t.Errorf("%s: %d bytes, said to be %d, want %d", id, len(got), m.Size, len(want))
			}
			if pieces := (len(want) + mediaPiece - 1) / mediaPiece; f.pieces(ids[id]) != pieces {
				t.Errorf("%s: %d pieces, want %d", id, f.pieces(ids[id]), pieces)
			}
		}
		if m := f.media(ids["i"], MediaKept, ""); m.Type != "image/png" || m.Person != "lilei" {
			t.Errorf("%+v", m)
		}
		if m := f.media(ids["l"], MediaKept, ""); m.Type != plainType {
			t.Errorf("%+v", m)
		}
		f.tx(func(tx *Tx) error {
			trail, err := tx.AuditTrail(t.Context(), "", 10)
			if len(trail) != 4 {
				t.Errorf("settled in another transaction: %+v", trail)
			}
			return err
		})
		all, err := f.Medias(t.Context(), []string{ids["i"], "unknown", ids["z"]})
		if err != nil || len(all) != 2 || all[ids["z"]].Name != "z.txt" {
			t.Errorf("%+v, %v", all, err)
		}
		if _, err := f.Media(t.Context(), "unknown"); !errors.Is(err, ErrNotFound) {
			t.Errorf("an unknown one: %v", err)
		}
	})
}

func TestWantMediaWantsSomething(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		for _, m := range []bot.Message{said("lilei", 1), {From: "lilei", Media: bot.Media{Kind: bot.Image, ID: "m"}}, sent("lilei", 1, "", bot.Image, "")} {
			if err := f.Tx(t.Context(), func(tx *Tx) error { _, err := tx.WantMedia(t.Context(), m); return err }); err == nil {
				t.Errorf("wanted %+v", m)
			}
		}
	})
}

// What is refused for good is given up at once, what WeCom has forgotten after
// three days, and both say so where the message is.
func TestMediaIsGivenUp(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c, s, settled := f.collector(map[string]any{"x": expired, "d": busyWeCom, "f": final, "b": make([]byte, 101)})
		c.Limit = 100
		gone, down, faulty, big := f.want(sent("lilei", 1, "x", bot.Image, "a.png")), f.want(sent("lilei", 2, "d", bot.Image, "b.png")),
			f.want(sent("lilei", 3, "f", bot.Image, "c.png")), f.want(sent("lilei", 4, "b", bot.File, "d.bin"))
		for range 40 {
			f.collectDue(c)
			f.pass(time.Minute)
		}
		f.media(gone, MediaFailed, "media.expired")
		f.media(faulty, MediaFailed, "media.failed")
		f.media(big, MediaFailed, "media.toolarge")
		f.media(down, MediaWanted, "")
		if f.pieces(big) != 0 {
			t.Error("pieces of what was refused are still there")
		}
		for end := f.now().Add(mediaLife - time.Hour - 40*time.Minute); f.now().Before(end); f.pass(3 * time.Minute) {
			f.collectDue(c)
		}
		f.media(down, MediaWanted, "")
		for range 30 {
			f.collectDue(c)
			f.pass(3 * time.Minute)
		}
		f.media(down, MediaFailed, "media.expired")
		slices.Sort(*settled)
		if d := cmp.Diff([]string{"a.png failed media.expired", "b.png failed media.expired", "c.png failed media.failed", "d.bin failed media.toolarge"}, *settled); d != "" {
			t.Error(d)
		}
		if n := s.called(); n > 3+1000 {
			t.Errorf("%d calls in three days", n)
		}
	})
}

// An instance dies between claiming a medium and keeping it: another one takes it
// up, and what the first still writes, should it be alive after all, changes
// nothing.
func TestMediaClaimOfADeadInstance(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		first, _, settledFirst := f.collector(map[string]any{"m": bytes.Repeat([]byte("old"), mediaPiece)})
		second, _, settled := f.collector(map[string]any{"m": pngBytes})
		id := f.want(sent("lilei", 1, "m", bot.Image, "a.png"))
		found, err := first.claim(t.Context(), 2)
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		dead := found[0]
		first.collect(t.Context(), dead) // three pieces, and no end of it
		if n := f.collectDue(second); n != 0 || f.pieces(id) != 3 {
			t.Errorf("claimed while the first one has it: %d, %d pieces", n, f.pieces(id))
		}
		f.pass(collectLease + time.Second)
		taken, err := second.claim(t.Context(), 2)
		if err != nil || len(taken) != 1 {
			t.Fatalf("not taken up: %v, %v", taken, err)
		}
		if err := f.keepPiece(t.Context(), dead, 0, []byte("late")); !errors.Is(err, errRaced) {
			t.Errorf("a late piece: %v", err)
		}
		second.collect(t.Context(), taken[0])
		first.settle(t.Context(), dead)
		f.media(id, MediaWanted, "")
		second.settle(t.Context(), taken[0])
		if m := f.media(id, MediaKept, ""); !bytes.Equal(f.read(m), pngBytes) || f.pieces(id) != 1 {
			t.Errorf("%+v, %d pieces", m, f.pieces(id))
		}
		first.settle(t.Context(), dead)
		f.media(id, MediaKept, "")
		if len(*settledFirst) != 0 || len(*settled) != 1 {
			t.Errorf("settled %v and %v", *settledFirst, *settled)
		}
	})
}

// The word about a medium and what follows from it are one: while the latter fails
// the medium is not kept, and neither is it got in a loop.
func TestMediaSettledWithTheRest(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c, s, settled := f.collector(map[string]any{"m": pngBytes})
		note, fails := c.Settled, true
		c.Settled = func(ctx context.Context, tx *Tx, m Media) error {
			if err := note(ctx, tx, m); err != nil || !fails {
				return err
			}
			if s.called() == 1 {
				panic("boom")
			}
			return errors.New("no such session")
		}
		id := f.want(sent("lilei", 1, "m", bot.Image, "a.png"))
		f.collectDue(c)
		f.media(id, MediaWanted, "")
		if f.collectDue(c); s.called() != 1 {
			t.Errorf("got %d times at once", s.called())
		}
		f.pass(time.Minute)
		f.collectDue(c)
		f.media(id, MediaWanted, "")
		fails = false
		f.pass(time.Minute)
		f.collectDue(c)
		f.media(id, MediaKept, "")
		if len(*settled) != 3 {
			t.Errorf("%v", *settled)
		}
		f.tx(func(tx *Tx) error {
			trail, err := tx.AuditTrail(t.Context(), "", 10)
			if len(trail) != 1 {
				t.Errorf("%+v", trail)
			}
			return err
		})
	})
}

// During an outage of WeCom's, media are not tried one after the other.
func TestCollectorLeavesADeadWeComAlone(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		has := map[string]any{}
		for i := range 50 {
			id := fmt.Sprint("m", i)
			has[id] = busyWeCom
			f.want(sent("lilei", i, id, bot.Image, ""))
		}
		c, s, _ := f.collector(has)
		for range 600 { // ten minutes
			f.collectDue(c)
			f.pass(time.Second)
		}
		if n := s.called(); n > 20 {
			t.Errorf("%d calls in ten minutes of outage", n)
		}
		for id := range has {
			s.put(id, pngBytes)
		}
		for range 600 {
			f.collectDue(c)
			f.pass(time.Second)
		}
		kept, err := f.db.NewSelect().Model((*mediaRow)(nil)).Where("state = ?", MediaKept).Count(t.Context())
		if err != nil || kept != 50 {
			t.Errorf("%d of 50 kept after the outage, %v", kept, err)
		}
		s.put("l", limited)
		f.want(sent("lilei", 100, "l", bot.Image, ""))
		f.collectDue(c)
		if wait := c.quiet.Sub(f.now()); wait < time.Minute {
			t.Errorf("after a limit of WeCom's, %s", wait)
		}
	})
}

// A running collector gets two at once, is woken by what is wanted, and stops
// while a file is still coming: that one is put back as if it had not been begun.
func TestCollectorRuns(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		coming := make(chan string, 10)
		hang := func(ctx context.Context) (bot.Download, error) {
			coming <- "hangs"
			<-ctx.Done()
			return bot.Download{}, bot.Fail(bot.Unavailable, "error.wecom", nil, ctx.Err())
		}
		kept := make(chan Media, 10)
		s := &shelf{has: map[string]any{"h": hang, "i": pngBytes, "h2": hang, "h3": hang}}
		c := &Collector{Store: f.Store, Fetcher: s, Poll: time.Hour, Settled: func(_ context.Context, _ *Tx, m Media) error {
			kept <- m
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); c.Run(ctx) }()
		stuck := f.want(sent("lilei", 1, "h", bot.Image, ""))
		<-coming
		f.pass(time.Millisecond)
		image := f.want(sent("lilei", 2, "i", bot.Image, ""))
		if m := <-kept; m.ID != image || m.State != MediaKept {
			t.Errorf("%+v", m)
		}
		f.pass(time.Millisecond)
		also := f.want(sent("lilei", 3, "h2", bot.Image, ""))
		<-coming
		third := f.want(sent("lilei", 4, "h3", bot.Image, ""))
		cancel()
		<-ended
		if n := s.called(); n != 3 {
			t.Errorf("%d calls, and only two at once", n)
		}
		for _, id := range []string{stuck, also, third} {
			f.media(id, MediaWanted, "")
			var row mediaRow
			if err := f.db.NewSelect().Model(&row).Where("id = ?", id).Scan(t.Context()); err != nil || row.Tries != 0 || row.LeasedTo != nil || row.DueAt.After(f.now()) {
				t.Errorf("%+v, %v", row, err)
			}
		}
	})
}

// 25 MB are refused, and 20 MB kept and read, without either being in memory.
func TestLargeMediaIsNotInMemory(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		endless := func(size int64) func(context.Context) (bot.Download, error) {
			return func(context.Context) (bot.Download, error) {
				return bot.Download{Size: -1, Body: io.NopCloser(io.LimitReader(zeros{}, size))}, nil
			}
		}
		c, _, _ := f.collector(map[string]any{"25": endless(25 << 20), "20": endless(20 << 20)})
		big := f.want(sent("lilei", 1, "25", bot.File, "a.bin"))
		f.pass(time.Millisecond)
		fits := f.want(sent("lilei", 2, "20", bot.File, "b.bin"))
		var most uint64
		watch := func() {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
		}
		watch()
		before := most
		most = 0
		fetch := c.Fetcher
		c.Fetcher = fetcherFunc(func(ctx context.Context, id string, limit int64) (bot.Download, error) {
			d, err := fetch.Fetch(ctx, id, limit)
			d.Body = io.NopCloser(&every{Reader: d.Body, n: 4 << 20, fn: watch})
			return d, err
		})
		f.collectDue(c)
		f.media(big, MediaFailed, "media.toolarge")
		m := f.media(fits, MediaKept, "")
		n, err := io.Copy(io.Discard, &every{Reader: f.MediaBytes(t.Context(), m), n: 4 << 20, fn: watch})
		if err != nil || n != 20<<20 || m.Size != n {
			t.Errorf("%d of %d bytes, %v", n, m.Size, err)
		}
		if most > before+16<<20 {
			t.Errorf("%d MB in use, %d before", most>>20, before>>20)
		}
		if f.pieces(big) != 0 || f.pieces(fits) != 40 {
			t.Errorf("%d and %d pieces", f.pieces(big), f.pieces(fits))
		}
	})
}

type fetcherFunc func(context.Context, string, int64) (bot.Download, error)

func (f fetcherFunc) Fetch(ctx context.Context, id string, limit int64) (bot.Download, error) {
	return f(ctx, id, limit)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// every calls fn after so many bytes.
type every struct {
	io.Reader
	n, since int
	fn       func()
}

func (e *every) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if e.since += n; e.since >= e.n {
		e.since = 0
		e.fn()
	}
	return n, err
}

func TestMediaAtRest(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		ctx := t.Context()
		content := []byte("CANARY-content")
		c, _, _ := f.collector(map[string]any{"CANARY-id": content, "CANARY-2": expired})
		id, other := f.want(sent("lilei", 1, "CANARY-id", bot.File, "CANARY-name.txt")), f.want(sent("lilei", 2, "CANARY-2", bot.File, "CANARY-2.txt"))
		f.collectDue(c)
		for _, table := range []string{"media", "media_parts"} {
			var rows []map[string]any
			if err := f.db.NewSelect().Table(table).Scan(ctx, &rows); err != nil {
				t.Fatal(err)
			}
			if dump, err := json.Marshal(rows); err != nil || bytes.Contains(dump, []byte("CANARY")) || len(rows) == 0 {
				t.Errorf("%s: %s, %v", table, dump, err)
			}
		}
		// A piece moved to another medium, or to another place in its own, does not open.
		if _, err := f.db.NewRaw("UPDATE media_parts SET n = 1 WHERE media = ?", id).Exec(ctx); err != nil {
			t.Fatal(err)
		}
		m := f.media(id, MediaKept, "")
		if data, err := io.ReadAll(f.MediaBytes(ctx, m)); !errors.Is(err, io.ErrUnexpectedEOF) || len(data) > 0 {
			t.Errorf("without its first piece: %q, %v", data, err)
		}
		m.Size *= 2
		if _, err := f.db.NewRaw("INSERT INTO media_parts (media, n, body) SELECT media, 0, body FROM media_parts").Exec(ctx); err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(f.MediaBytes(ctx, m)); err == nil || !strings.Contains(err.Error(), "piece 1: unseal") || !bytes.Equal(data, content) {
			t.Errorf("with a piece out of its place: %q, %v", data, err)
		}
		if _, err := f.db.NewRaw("DELETE FROM media_parts WHERE n = 0").Exec(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := f.db.NewRaw("UPDATE media_parts SET n = 0").Exec(ctx); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}

		if _, err := Open(ctx, Options{URL: url, Keys: [][]byte{otherKey}}); err == nil || !strings.Contains(err.Error(), "2 media of people") {
			t.Errorf("without the key: %v", err)
		}
		g := fixture{reopen(t, url, otherKey, testKey), f.clock, t}
		if n, err := g.RotateKeys(ctx); err != nil || n != 2 {
			t.Errorf("%d, %v", n, err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		h := fixture{reopen(t, url, otherKey), f.clock, t}
		defer h.Close()
		if m := h.media(id, MediaKept, ""); m.Name != "CANARY-name.txt" || !bytes.Equal(h.read(m), content) {
			t.Errorf("with the new key: %+v", m)
		}
		h.media(other, MediaFailed, "media.expired")
	})
}

func TestPurgeMedia(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c, s, _ := f.collector(map[string]any{"i": pngBytes})
		var ids []string
		for i := range purgeMediaAtOnce + 2 {
			ids = append(ids, f.want(sent("lilei", i, "i", bot.Image, "")))
			f.collectDue(c)
		}
		f.pass(time.Hour)
		young := f.want(sent("lilei", 100, "i", bot.Image, ""))
		f.collectDue(c)
		s.put("w", busyWeCom)
		half := f.Store.MediaBytes(t.Context(), f.media(ids[0], MediaKept, ""))
		before := f.now().Add(-time.Minute)
		for _, want := range []int64{purgeMediaAtOnce, 2, 0} {
			if n, err := f.PurgeMedia(t.Context(), before); err != nil || n != want {
				t.Errorf("purged %d, %v; want %d", n, err, want)
			}
		}
		for _, id := range ids {
			if _, err := f.Media(t.Context(), id); !errors.Is(err, ErrNotFound) || f.pieces(id) != 0 {
				t.Errorf("%s is still there: %v", id, err)
			}
		}
		if _, err := io.ReadAll(half); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read while it was purged: %v", err)
		}
		if m := f.media(young, MediaKept, ""); !bytes.Equal(f.read(m), pngBytes) {
			t.Error("a young one went too")
		}
		f.pass(f.Desk.Keep + time.Hour)
		if err := f.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Media(t.Context(), young); !errors.Is(err, ErrNotFound) {
			t.Errorf("what is not kept any more is still there: %v", err)
		}
	})
}

func TestSniff(t *testing.T) {
	for _, tt := range []struct{ begins, want string }{
		{string(pngBytes), "image/png"}, {"\xff\xd8\xff\xe0", "image/jpeg"}, {"GIF89a", "image/gif"}, {"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"},
		{"\x00\x00\x00\x20ftypisom", "video/mp4"}, {"#!AMR\n\x3c", "audio/amr"}, {"ID3\x04", "audio/mpeg"}, {"\xff\xfb\x90", "audio/mpeg"}, {"%PDF-1.7", "application/pdf"},
		{"", plainType}, {"\x89PNG", plainType}, {" \x89PNG\r\n\x1a\n", plainType}, {"<html><script>", plainType}, {"<svg xmlns=", plainType}, {"<?xml version=", plainType},
		{"GIF87", plainType}, {"RIFF\x00\x00\x00\x00WAVEfmt ", plainType}, {"\x00\x00\x00\x20ftypheic", plainType}, {"\xff\xfe<\x00s\x00", plainType},
		{"MZ", plainType}, {"PK\x03\x04", plainType}, {"#!/bin/sh", plainType}, {"{\"a\":1}", plainType}, {"BM", plainType},
	} {
		if got := sniff([]byte(tt.begins)); got != tt.want {
			t.Errorf("%q is %s, want %s", tt.begins, got, tt.want)
		}
	}
}

// TestMediaGoWithTheirSession: what was sent is kept for as long as its message,
// and no longer.
func TestMediaGoWithTheirSession(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c, _, _ := f.collector(map[string]any{"i": pngBytes})
		f.staff(1, "wang")
		talk := f.asks("lilei")
		id := f.want(sent("lilei", 1, "i", bot.Image, ""))
		f.collectDue(c)
		if err := f.Tx(t.Context(), func(tx *Tx) error {
			_, _, err := tx.Say(t.Context(), talk, Party{Key: "lilei"}, Words{Media: id})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		purge := func() {
			t.Helper()
			if err := f.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		f.pass(366 * 24 * time.Hour) // the session is still open
		purge()
		f.media(id, MediaKept, "")
		if err := f.CloseIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.pass(366 * 24 * time.Hour)
		purge()
		if _, err := f.Media(t.Context(), id); !errors.Is(err, ErrNotFound) || f.pieces(id) != 0 {
			t.Errorf("it is still there: %v", err)
		}
	})
}

// A medium that could not be had is told to both sides: where it was sent, and in
// the chat of whoever sent it.
func TestLostMediaAreTold(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c, _, _ := f.collector(map[string]any{})
		c.Settled = func(ctx context.Context, tx *Tx, m Media) error { return tx.MediaSettled(ctx, m) }
		f.staff(1, "wang")
		talk := f.asks("lilei")
		send := func(n int) {
			t.Helper()
			id := f.want(sent("lilei", n, fmt.Sprint(n), bot.Image, ""))
			f.tx(func(tx *Tx) error {
				_, _, err := tx.Say(t.Context(), talk, Party{Key: "lilei"}, Words{Content: "image", Media: id})
				return err
			})
		}
		send(1)
		f.collectDue(c)
		said, err := f.Messages(t.Context(), talk.ID, 0, 10)
		if err != nil || len(said) != 3 || said[2].Kind != saidLost || said[2].Role != ByDesk || said[2].Content != "image" {
			t.Errorf("%+v, %v", said, err)
		}
		send(2)
		f.closes(talk, "lilei")
		f.collectDue(c) // nothing is said in what is closed
		said, err = f.Messages(t.Context(), talk.ID, 0, 10)
		if err != nil || len(said) != 5 || said[4].Kind != saidClosed {
			t.Errorf("%+v, %v", said, err)
		}
	})
}
