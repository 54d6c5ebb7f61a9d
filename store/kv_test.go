package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/store/storetest"
)

// writer gives an app that may write to a device of its own.
func (f fixture) writer(namespace string) App {
	f.t.Helper()
	f.config(f.device(ada, namespace), "writer", "", false)
	_, app := f.app(namespace, "writer")
	return app
}

func (f fixture) put(app App, key, value string) (v Value, err error) {
	err = f.Tx(f.t.Context(), func(tx *Tx) error {
		v, err = tx.PutValue(f.t.Context(), app, key, value)
		return err
	})
	return v, err
}

func (f fixture) unput(app App, key string) error {
	return f.Tx(f.t.Context(), func(tx *Tx) error { return tx.RemoveValue(f.t.Context(), app, key) })
}

// sums compares what a device counts with what it has.
func (f fixture) sums(device string) {
	f.t.Helper()
	var n, size int
	if err := f.reads.NewRaw("SELECT count(*), COALESCE(sum(size), 0) FROM kv WHERE device = ?", device).Scan(f.t.Context(), &n, &size); err != nil {
		f.t.Fatal(err)
	}
	d, err := findDevice(f.t.Context(), f.reads, "id = ?", device)
	if err != nil || d.Entries != n || d.Bytes != size {
		f.t.Errorf("counts %d entries of %d bytes, has %d of %d, %v", d.Entries, d.Bytes, n, size, err)
	}
}

func TestValues(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		app, other := f.writer("one"), f.writer("two")
		first, err := f.put(app, "a", `{"x":1}`)
		if err != nil || !first.Created() {
			t.Fatalf("%+v, %v", first, err)
		}
		f.pass(time.Minute)
		second, err := f.put(app, "a", `"\u0000 it's ?"`)
		if err != nil || second.Created() {
			t.Errorf("%+v, %v", second, err)
		}
		v, err := f.Value(t.Context(), app, "a")
		if err != nil || v.Value != `"\u0000 it's ?"` || !v.CreatedAt.Equal(first.CreatedAt) || v.UpdatedAt.Sub(v.CreatedAt) != time.Minute {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := f.Value(t.Context(), other, "a"); !errors.Is(err, ErrNotFound) {
			t.Errorf("another device reads it: %v", err)
		}
		if err := f.unput(other, "a"); !errors.Is(err, ErrNotFound) {
			t.Errorf("another device removes it: %v", err)
		}
		f.sums(app.Device)
		if err := f.unput(app, "a"); err != nil {
			t.Error(err)
		}
		if err := f.unput(app, "a"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
		f.sums(app.Device)
		for key, good := range map[string]bool{
			strings.Repeat("键", 191): true, strings.Repeat("键", 192): false, "": false, "a/b": false, `a\b`: false, "..": false, ".": false, "a\x00": false,
			"_info": false, "_keys": false, "_token": false, "_batchimport": false, "_other": true, "metadata": true, "a b?c#d%": true, "\xff": false,
		} {
			_, err := f.put(app, key, "1")
			_, read := f.Value(t.Context(), app, key)
			if good != (err == nil) || good != (read == nil) || !good && (errKey(err) != "device.key" || errKey(read) != "device.key") {
				t.Errorf("%q: %v, %v", key, err, read)
			}
		}
		if _, err := f.put(app, "large", strings.Repeat("1", ValueMax+1)); errKey(err) != "device.value" {
			t.Errorf("%v", err)
		}
	})
}

// The store itself refuses a read-only token, whatever the caller believes.
func TestReadOnlyInTheStore(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		app := f.writer("class")
		if _, err := f.put(app, "k", "1"); err != nil {
			t.Fatal(err)
		}
		d, err := f.DeviceOf(t.Context(), app)
		if err != nil {
			t.Fatal(err)
		}
		f.config(d, "reader", "", true)
		_, reader := f.app("class", "reader")
		forged := reader
		forged.ReadOnly = false
		for _, app := range []App{reader, forged} {
			_, put := f.put(app, "k", "2")
			batch := f.Tx(t.Context(), func(tx *Tx) error { _, err := tx.PutValues(t.Context(), app, map[string]string{"k": "2"}); return err })
			for _, err := range []error{put, batch, f.unput(app, "k")} {
				if errKey(err) != "device.readonly" {
					t.Errorf("%v", err)
				}
			}
		}
		if v, err := f.Value(t.Context(), reader, "k"); err != nil || v.Value != "1" {
			t.Errorf("%+v, %v", v, err)
		}
		f.tx(func(tx *Tx) error { return tx.EndApp(t.Context(), ada, app.Device, app.ID) })
		if _, err := f.put(app, "k", "2"); !errors.Is(err, ErrEnded) {
			t.Errorf("with a token that has just ended: %v", err)
		}
	})
}

// Ten thousand entries are one transaction: all of them, or none.
func TestImport(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		app := f.writer("class")
		values := map[string]string{}
		for i := range 10_000 {
			values[fmt.Sprintf("key-%05d", i)] = fmt.Sprint(i)
		}
		in := func(values map[string]string) (put []Value, err error) {
			err = f.Tx(t.Context(), func(tx *Tx) error {
				put, err = tx.PutValues(t.Context(), app, values)
				return err
			})
			return put, err
		}
		if _, err := f.put(app, "key-00007", "7"); err != nil {
			t.Fatal(err)
		}
		put, err := in(values)
		if err != nil || len(put) != 10_000 {
			t.Fatalf("%d, %v", len(put), err)
		}
		for i, v := range put {
			if v.Key != fmt.Sprintf("key-%05d", i) || v.Created() == (i == 7) {
				t.Fatalf("%d: %+v", i, v)
			}
		}
		f.sums(app.Device)

		f.tx(func(tx *Tx) error {
			_, err := tx.db.NewUpdate().Model((*Device)(nil)).Set("entries = ?", maxEntries).Where("id = ?", app.Device).Exec(t.Context())
			return err
		})
		_, err = in(map[string]string{"key-00001": "changed", "new": "1"})
		if errKey(err) != "device.full" {
			t.Errorf("%v", err)
		}
		if v, err := f.Value(t.Context(), app, "key-00001"); err != nil || v.Value != "1" {
			t.Errorf("a part of it was kept: %+v, %v", v, err)
		}
		if _, err := in(map[string]string{"key-00001": "12345"}); err != nil {
			t.Errorf("a full device cannot be changed: %v", err)
		}
		f.tx(func(tx *Tx) error {
			_, err := tx.db.NewUpdate().Model((*Device)(nil)).Set("entries = 10000").Set("bytes = ?", maxBytes-1).Where("id = ?", app.Device).Exec(t.Context())
			return err
		})
		if _, err := in(map[string]string{"x": "12"}); errKey(err) != "device.full" {
			t.Errorf("%v", err)
		}
	})
}

// An import that fails at its last entry leaves nothing, and whoever reads beside
// one sees nothing of it or all.
func TestImportIsWhole(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		const n = 10_000
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // the readers leave it little time
		defer cancel()
		app := f.writer("class")
		first, last, values := "key-00000", fmt.Sprintf("key-%05d", n-1), map[string]string{}
		for i := range n {
			values[fmt.Sprintf("key-%05d", i)] = fmt.Sprint(i)
		}
		in := func() error {
			return f.Tx(ctx, func(tx *Tx) error { _, err := tx.PutValues(ctx, app, values); return err })
		}
		// look reads as apps do. Whatever is seen of the first key is asked before the
		// last key is.
		look := func() (seen int) {
			_, noFirst := f.Value(ctx, app, first)
			_, noLast := f.Value(ctx, app, last)
			list, total, err := f.Values(ctx, app, Page{Limit: 2 * n})
			switch {
			case err != nil || len(list) != 0 && len(list) != n || total != 0 && total != n || total < len(list):
				t.Errorf("a reader sees %d of %d, %v", len(list), total, err)
			case noFirst == nil && (noLast != nil || len(list) != n):
				t.Errorf("a reader sees the first, and then of the last: %v, of all: %d", noLast, len(list))
			}
			return len(list)
		}
		beside := func(work func() error) (looks int, err error) {
			done := make(chan struct{})
			go func() { defer close(done); err = work() }()
			for {
				looks++
				look()
				select {
				case <-done:
					return looks, err
				default:
				}
			}
		}
		refuse, allow := "CREATE TRIGGER refused BEFORE INSERT ON kv WHEN NEW.key = '"+last+"' BEGIN SELECT RAISE(ABORT, 'the last entry'); END", "DROP TRIGGER refused"
		if f.pg {
			refuse, allow = "ALTER TABLE kv ADD CONSTRAINT refused CHECK (key <> '"+last+"')", "ALTER TABLE kv DROP CONSTRAINT refused"
		}
		exec := func(statement string) {
			if _, err := f.db.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		exec(refuse)
		if looks, err := beside(in); err == nil || looks == 0 {
			t.Errorf("%v, seen %d times", err, looks)
		}
		exec(allow)
		if seen := look(); seen != 0 || f.rows("kv") != 0 {
			t.Errorf("%d entries of an import that failed, %d rows", seen, f.rows("kv"))
		}
		f.sums(app.Device)
		if looks, err := beside(in); err != nil || looks == 0 {
			t.Errorf("%v, seen %d times", err, looks)
		}
		if seen := look(); seen != n {
			t.Errorf("%d entries", seen)
		}
		f.sums(app.Device)
	})
}

// Every order, in pages, whichever way they are asked for, is the whole list.
func TestPaging(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		app := f.writer("class")
		for i := range 23 {
			if i%3 == 0 { // several at one moment
				f.pass(time.Second)
			}
			if _, err := f.put(app, fmt.Sprintf("k%02d", (i*7)%23), "1"); err != nil {
				t.Fatal(err)
			}
		}
		f.pass(time.Second)
		for _, key := range []string{"k03", "k19", "K", "键", "~"} {
			if _, err := f.put(app, key, "2"); err != nil {
				t.Fatal(err)
			}
		}
		for _, by := range []string{"key", "createdAt", "updatedAt"} {
			for _, down := range []bool{false, true} {
				all, total, err := f.Values(t.Context(), app, Page{By: by, Down: down, Limit: 1000})
				if err != nil || total != 26 || len(all) != 26 {
					t.Fatalf("%d of %d, %v", len(all), total, err)
				}
				if by == "key" {
					sorted := slices.IsSortedFunc(all, func(a, b Value) int { return strings.Compare(a.Key, b.Key) })
					if down == sorted {
						t.Errorf("not in the order of bytes: %v", all)
					}
				}
				var skipped, followed []string
				p := Page{By: by, Down: down, Limit: 5}
				for skip := 0; skip < total; skip += 5 {
					list, _, err := f.Values(t.Context(), app, Page{By: by, Down: down, Limit: 5, Skip: skip})
					next, _, err2 := f.Values(t.Context(), app, p)
					if err != nil || err2 != nil || len(list) != len(next) {
						t.Fatal(list, next, err, err2)
					}
					for i := range list {
						skipped, followed = append(skipped, list[i].Key), append(followed, next[i].Key)
					}
					last := next[len(next)-1]
					p.After, p.At = last.Key, last.UpdatedAt
					if by == "createdAt" {
						p.At = last.CreatedAt
					}
				}
				for i, v := range all {
					if skipped[i] != v.Key || followed[i] != v.Key {
						t.Errorf("%s %v: %d is %s, skipped %s, followed %s", by, down, i, v.Key, skipped[i], followed[i])
					}
				}
			}
		}
	})
}

func TestTwoWritersOfOneKey(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		app := f.writer("class")
		var all sync.WaitGroup
		var mu sync.Mutex
		made := 0
		for w := range 4 {
			all.Go(func() {
				for i := range 20 {
					v, err := f.put(app, fmt.Sprint("k", i%5), strings.Repeat("1", w+i+1))
					if err != nil {
						t.Error(err)
						return
					}
					batch := map[string]string{"k0": "1", "k1": "2", fmt.Sprint("own", w): "3"}
					var put []Value
					if err := f.Tx(t.Context(), func(tx *Tx) error {
						put, err = tx.PutValues(t.Context(), app, batch)
						return err
					}); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, v := range append(put, v) {
						if v.Created() {
							made++
						}
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if made != 9 {
			t.Errorf("%d entries were made, want 9", made)
		}
		f.sums(app.Device)
	})
}

// A device that is removed while apps write to it is gone whole.
func TestRemoveWhileWriting(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		for round := range 5 {
			ns := fmt.Sprint("class", round)
			app := f.writer(ns)
			writing := make(chan struct{}, 4)
			var all sync.WaitGroup
			for w := range 4 {
				all.Go(func() {
					for i := 0; ; i++ {
						if _, err := f.put(app, fmt.Sprint(w, "-", i), "1"); err != nil {
							if !errors.Is(err, ErrEnded) {
								t.Error(err)
							}
							return
						}
						if i == 0 {
							writing <- struct{}{}
						}
					}
				})
			}
			for range cap(writing) {
				<-writing
			}
			f.tx(func(tx *Tx) error { return tx.RemoveDevice(t.Context(), ada, app.Device) })
			all.Wait()
			for _, table := range []string{"devices", "device_configs", "app_tokens", "kv"} {
				if n := f.rows(table); n != 0 {
					t.Errorf("%s: %d rows are left", table, n)
				}
			}
		}
	})
}

// timed runs fn for each name in turn, b.N times, so that whatever else the
// machine does, it does to all of them.
func timed(b *testing.B, names []string, fn func(name string)) map[string]time.Duration {
	took := map[string]time.Duration{}
	for _, name := range names { // nothing is cold
		fn(name)
	}
	b.ResetTimer()
	for range b.N {
		for _, name := range names {
			began := time.Now()
			fn(name)
			took[name] += time.Since(began)
		}
	}
	b.StopTimer()
	for _, name := range names {
		b.ReportMetric(float64(took[name].Nanoseconds())/float64(b.N), name+"-ns/op")
	}
	return took
}

// BenchmarkKV lists, pages through and reads a device of 1,000 entries and one of
// 100,000, by turns: what it costs does not depend on how much there is. skip is
// the exception that page, which follows load_more, avoids.
func BenchmarkKV(b *testing.B) {
	for engine, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(engine, func(b *testing.B) {
			s, err := Open(b.Context(), Options{URL: url(b), Keys: [][]byte{testKey}})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			apps, middle := map[int]App{}, map[int]Value{}
			sizes := []int{1000, 100_000}
			for _, n := range sizes {
				apps[n] = filled(b, s, n)
				if middle[n], err = s.Value(b.Context(), apps[n], fmt.Sprintf("key-%06d", n/2)); err != nil {
					b.Fatal(err)
				}
			}
			list := func(n int, p Page) {
				p.Limit = 100
				if all, total, err := s.Values(b.Context(), apps[n], p); err != nil || len(all) != 100 || total != n {
					b.Fatal(len(all), total, err)
				}
			}
			for _, c := range []struct {
				name string
				run  func(n int)
			}{
				{"list", func(n int) { list(n, Page{}) }},
				{"list-updated", func(n int) { list(n, Page{By: "updatedAt", Down: true}) }},
				{"page", func(n int) { list(n, Page{After: middle[n].Key}) }},
				{"page-updated", func(n int) { list(n, Page{By: "updatedAt", Down: true, After: middle[n].Key, At: middle[n].UpdatedAt}) }},
				{"skip", func(n int) { list(n, Page{Skip: n / 2}) }},
				{"read", func(n int) {
					if _, err := s.Value(b.Context(), apps[n], middle[n].Key); err != nil {
						b.Fatal(err)
					}
				}},
				{"write", func(n int) {
					if err := s.Tx(b.Context(), func(tx *Tx) error { _, err := tx.PutValue(b.Context(), apps[n], "key-000001", "1"); return err }); err != nil {
						b.Fatal(err)
					}
				}},
			} {
				b.Run(c.name, func(b *testing.B) {
					took := timed(b, []string{"1000", "100000"}, func(name string) {
						if name == "1000" {
							c.run(1000)
						} else {
							c.run(100_000)
						}
					})
					b.ReportMetric(float64(took["100000"])/float64(took["1000"]), "x-1000")
				})
			}
		})
	}
}

// filled is an app of a device with n entries, each of its own moment.
func filled(b *testing.B, s *Store, n int) App {
	b.Helper()
	ctx := context.Background()
	var d Device
	if err := s.Tx(ctx, func(tx *Tx) (err error) {
		d, err = tx.NewDevice(ctx, ada, "x", fmt.Sprint("ns-", n))
		return err
	}); err != nil {
		b.Fatal(err)
	}
	if _, err := s.AddConfig(ctx, ada, d.ID, ConfigChange{}); err != nil {
		b.Fatal(err)
	}
	_, app, err := s.OpenNamespace(ctx, d.Namespace, "", "x", Client{})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now().UTC()
	for at := 0; at < n; at += 1000 {
		if err := s.Tx(ctx, func(tx *Tx) error {
			rows := make([]Value, 1000)
			for i := range rows {
				when := began.Add(time.Duration((at+i)*7919%n) * time.Millisecond)
				rows[i] = Value{Device: d.ID, Key: fmt.Sprintf("key-%06d", at+i), Size: 300, Previous: -1, CreatedAt: when, UpdatedAt: when, Value: `"` + strings.Repeat("x", 298) + `"`}
			}
			if _, err := tx.db.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
				return err
			}
			return tx.grow(ctx, d.ID, len(rows), 300*len(rows))
		}); err != nil {
			b.Fatal(err)
		}
	}
	return app
}
