package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/store/storetest"
)

// examine examines entries and checkpoints as if they had been read from a
// database.
func examine(t *testing.T, keys *keyring, rows []auditRow, points []Checkpoint) []string {
	t.Helper()
	e := newExaminer(keys)
	for _, p := range points {
		e.point(p, "here")
	}
	for i := range rows {
		e.entry(&rows[i])
	}
	e.end()
	return e.Faults
}

// A thousand entries in ten chains: whichever of them is changed, in whichever
// column, taken out, moved or cut off with all behind it, it shows.
func TestNoEntryCanBeTamperedWith(t *testing.T) {
	keys, err := newKeyring([][]byte{testKey})
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{keys: keys}
	const chains, length = 10, 100
	var all []auditRow
	for range chains {
		tx := &Tx{s: s, Now: time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC)}
		for i := range length {
			tx.Audit(AuditEntry{Actor: "lilei", Action: "status.set", Target: "lilei", Detail: fmt.Sprint("busy ", i)})
		}
		tx.link() // and never back, so that each is a chain of its own
		all = append(all, tx.audits...)
	}
	for i := range all {
		all[i].ID = int64(i + 1)
	}
	edits := map[string]func(*auditRow){
		"at": func(r *auditRow) { r.At = r.At.Add(time.Microsecond) }, "actor": func(r *auditRow) { r.Actor = "boss" },
		"action": func(r *auditRow) { r.Action = "status.get" }, "target": func(r *auditRow) { r.Target = "" },
		"result": func(r *auditRow) { r.Result = "refused" }, "detail": func(r *auditRow) { r.Detail += " " },
		"chain": func(r *auditRow) { r.Chain += "A" }, "no chain": func(r *auditRow) { r.Chain = "" },
		"seq": func(r *auditRow) { r.Seq++ }, "prev": func(r *auditRow) { r.Prev += "A" }, "mac": func(r *auditRow) { r.MAC = "A" + r.MAC[1:] + "A" },
		"field boundary": func(r *auditRow) { r.Actor, r.Action = r.Actor+r.Action[:1], r.Action[1:] },
	}
	for c := range chains {
		rows := all[c*length : (c+1)*length]
		last := rows[length-1]
		points := []Checkpoint{{Chain: last.Chain, Seq: last.Seq, MAC: last.MAC, At: last.At}}
		points[0].Proof = points[0].sum(keys.keys[0])
		if faults := examine(t, keys, rows, points); len(faults) > 0 {
			t.Fatalf("untouched: %s", faults)
		}
		found := func(what string, at int, tampered []auditRow, names int64) {
			faults := strings.Join(examine(t, keys, tampered, points), "\n")
			if faults == "" {
				t.Errorf("chain %d, number %d: %s went unnoticed", c, at+1, what)
			}
			if names > 0 && !strings.Contains(faults, fmt.Sprintf("entry %d ", names)) {
				t.Errorf("chain %d, number %d: %s: entry %d is not named: %s", c, at+1, what, names, faults)
			}
		}
		for i := range rows {
			for what, edit := range edits {
				tampered := slices.Clone(rows)
				edit(&tampered[i])
				found(what, i, tampered, rows[i].ID)
			}
			without := append(slices.Clone(rows[:i]), rows[i+1:]...)
			after := int64(0)
			if i+1 < length {
				after = rows[i+1].ID
			}
			found("taking it out", i, without, after)
			found("cutting it off", i, slices.Clone(rows[:i]), 0)
			if i+1 < length {
				tampered := slices.Clone(rows) // contents change places
				tampered[i], tampered[i+1] = tampered[i+1], tampered[i]
				found("swapping it", i, tampered, rows[i+1].ID)
				tampered = slices.Clone(rows) // only the order they are shown in
				tampered[i].ID, tampered[i+1].ID = tampered[i+1].ID, tampered[i].ID
				found("moving it", i, tampered, rows[i].ID)
			}
		}
		found("cutting off all", 0, nil, 0)
	}
}

// write leaves n entries, some to a transaction.
func (f fixture) write(n int) {
	f.t.Helper()
	for i := 0; i < n; {
		f.tx(func(tx *Tx) error {
			for range 1 + i%3 {
				tx.Audit(AuditEntry{Actor: "LiLei", Action: "status.set", Target: "lilei", Detail: fmt.Sprint("忙碌 ", i)})
				i++
			}
			return nil
		})
	}
}

func verify(t *testing.T, url, checkpoints string) AuditReport {
	t.Helper()
	r, err := VerifyAudit(t.Context(), url, [][]byte{testKey}, strings.NewReader(checkpoints))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The same through the databases: what SQL can do to the table is found.
func TestTamperingWithTheDatabaseShows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		var log bytes.Buffer
		f := open(t, url, func(o *Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
		f.write(40)
		if err := f.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept := log.String()
		if r := verify(t, url, kept); len(r.Faults) > 0 || r.Entries < 40 || r.Chains != 1 || r.Checkpoints != 1 {
			t.Fatalf("untouched: %+v", r)
		}
		for _, c := range []struct{ sql, says string }{
			{"UPDATE audit SET detail = 'online' WHERE id = 7", "entry 7 "},
			{"UPDATE audit SET actor = 'boss' WHERE id = 1", "entry 1 "},
			{"UPDATE audit SET at = '2026-11-20 04:00:01+00:00' WHERE id = 9", "entry 9 "},
			{"DELETE FROM audit WHERE id = 12", "entry 13 "},
			{"DELETE FROM audit WHERE id > 30", "ends with entry 30"},
			{"DELETE FROM audit", "missing altogether"},
			{"UPDATE audit SET id = CASE WHEN id = 3 THEN 1004 WHEN id = 4 THEN 1003 END WHERE id IN (3, 4)", "entry 1003 "},
			{"INSERT INTO audit (at, actor, action, target, result, detail) SELECT at, actor, action, target, result, detail FROM audit WHERE id = 5", "in no chain"},
			{"INSERT INTO audit (at, actor, action, target, result, detail, chain, seq, prev_mac, mac) SELECT at, 'boss', action, target, result, detail, chain, 1000, prev_mac, mac FROM audit WHERE id = 5", "boss status.set"},
			{"UPDATE audit_checkpoints SET seq = 3", "checkpoint 3 "},
			{"DELETE FROM audit WHERE id > 30; DELETE FROM audit_checkpoints", "ends with entry 30"},
			{"DELETE FROM audit; DELETE FROM audit_checkpoints", "missing altogether"},
		} {
			undo := errors.New("undo")
			// Each is examined inside its own transaction, and taken back.
			err := f.Tx(t.Context(), func(tx *Tx) error {
				for statement := range strings.SplitSeq(c.sql, "; ") {
					if _, err := tx.db.ExecContext(t.Context(), statement); err != nil {
						return err
					}
				}
				e := newExaminer(f.keys)
				if err := e.examine(t.Context(), tx.db, strings.NewReader(kept)); err != nil {
					return err
				}
				if said := strings.Join(e.Faults, "\n"); !strings.Contains(said, c.says) {
					t.Errorf("%s: found %q, want %q", c.sql, said, c.says)
				}
				return undo
			})
			if !errors.Is(err, undo) {
				t.Errorf("%s: %v", c.sql, err)
			}
		}
		if r := verify(t, url, kept); len(r.Faults) > 0 {
			t.Errorf("afterwards: %+v", r)
		}
	})
}

// Transactions side by side, some of them taken back before and some after their
// entries were written, fork no chain and leave no gap; neither does a process
// that ends without a word, nor the next one.
func TestChainsSurviveEverything(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		undo := errors.New("take it back")
		var workers sync.WaitGroup
		for w := range 8 {
			workers.Go(func() {
				for i := range 20 {
					err := f.Tx(t.Context(), func(tx *Tx) error {
						tx.Audit(AuditEntry{Actor: fmt.Sprint("w", w), Action: "status.set", Detail: fmt.Sprint(i)})
						switch i % 5 {
						case 3:
							tx.Finish(Item{Seq: 1 << 40}, "", false) // there is none: fails behind the entry
						case 4:
							return undo
						}
						return nil
					})
					if (err != nil) != (i%5 >= 3) {
						t.Error(i, err)
					}
				}
			})
		}
		workers.Wait()
		f.chains.take() // by a transaction that never learnt whether it was committed
		f.write(5)
		r := verify(t, url, "")
		if len(r.Faults) > 0 || r.Checkpoints != 0 || r.Entries < 8*12+5 {
			t.Errorf("%+v", r)
		}
		if err := f.checkpointOthers(t.Context()); err != nil { // as the next process would
			t.Fatal(err)
		}
		if r := verify(t, url, ""); len(r.Faults) > 0 || r.Checkpoints != r.Chains {
			t.Errorf("with checkpoints: %+v", r)
		}
	})
}

// A store that was closed has its whole trail under checkpoints, and the trail of
// one that is open has heads.
func TestLastCheckpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		f.write(3)
		if err := f.Store.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, url, func(o *Options) { o.Keys = [][]byte{otherKey, testKey} }) // the key was rotated meanwhile
		again.write(3)
		if _, err := again.db.NewDelete().Model((*auditRow)(nil)).Where("actor = 'lilei'").Where("seq = 3").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := VerifyAudit(t.Context(), url, [][]byte{otherKey, testKey}, nil)
		if said := strings.Join(r.Faults, "\n"); err != nil || len(r.Faults) != 2 || !strings.Contains(said, "checkpoint of 2026-11-20T04:00:00Z counts 3") || !strings.Contains(said, "its head counts 3") {
			t.Errorf("%+v %v", r, err)
		}
		if r, err := VerifyAudit(t.Context(), url, [][]byte{bytes.Repeat([]byte("x"), 32)}, nil); err != nil || len(r.Faults) == 0 {
			t.Errorf("with another key: %+v %v", r, err)
		}
	})
}

// Entries from before there were chains are taken into one, once.
func TestOldEntriesAreChained(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		for i := range 3 {
			if _, err := f.db.NewRaw("INSERT INTO audit (at, actor, action, target, result, detail) VALUES (?, 'lilei', 'status.set', 'lilei', 'ok', ?)", f.now(), fmt.Sprint(i)).Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if r := verify(t, url, ""); len(r.Faults) != 3 {
			t.Fatalf("%+v", r)
		}
		for range 2 {
			f.tx(func(tx *Tx) error { return tx.adopt(t.Context()) })
		}
		if r := verify(t, url, ""); len(r.Faults) > 0 || r.Entries != 3 {
			t.Errorf("%+v", r)
		}
		if _, err := f.db.NewRaw("INSERT INTO audit (at, actor, action, target, result, detail) VALUES (?, 'boss', 'x', '', 'ok', '')", f.now()).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.tx(func(tx *Tx) error { return tx.adopt(t.Context()) })
		if r := verify(t, url, ""); len(r.Faults) != 1 {
			t.Errorf("an entry was smuggled in: %+v", r)
		}
	})
}

func TestExport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		f.write(3)
		var out bytes.Buffer
		if err := ExportAudit(t.Context(), url, [][]byte{testKey}, &out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 || !strings.HasPrefix(lines[1], `{"id":2,"at":"2026-11-20T04:00:00Z","actor":"lilei","action":"status.set","target":"lilei","result":"ok","detail":"忙碌 1","chain":"`) {
			t.Errorf("exported %s", out.String())
		}
	})
}
