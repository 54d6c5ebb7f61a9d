package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"deskbell/store/storetest"
)

// trail is all that the database has of the audit trail.
type trail struct {
	rows   []auditRow // in the order they are examined in
	heads  []headRow
	points []Checkpoint
	roll   rollRow
}

func (f fixture) wholeTrail() (all trail) {
	f.t.Helper()
	ctx := f.t.Context()
	err := errors.Join(
		f.reads.NewSelect().Model(&all.rows).Order("chain", "seq", "id").Scan(ctx),
		f.reads.NewSelect().Model(&all.heads).Order("n").Scan(ctx),
		f.reads.NewSelect().Model(&all.points).Scan(ctx),
		f.reads.NewSelect().Model(&all.roll).Scan(ctx),
	)
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// faults is what an examination finds.
func (a trail) faults(keys *keyring) string {
	e := newExaminer(keys)
	e.call(a.roll, a.heads, a.roll)
	return a.examined(e)
}

// of is what is there of one chain, examined by itself.
func (a trail) of(chain string, keys *keyring) string {
	a = a.without(func(r auditRow) bool { return r.Chain != chain })
	e := newExaminer(keys)
	for _, h := range a.heads {
		if h.Chain == chain {
			e.heads[chain] = h
		}
	}
	return a.examined(e)
}

func (a trail) examined(e *examiner) string {
	for _, p := range a.points {
		e.point(p, "here")
	}
	for i := range a.rows {
		e.entry(&a.rows[i])
	}
	e.end()
	for _, id := range e.headless {
		e.fault("chain %s has no head", id)
	}
	return strings.Join(e.Faults, "\n")
}

// without is the trail without some rows.
func (a trail) without(gone func(r auditRow) bool) trail {
	a.rows = slices.DeleteFunc(slices.Clone(a.rows), gone)
	return a
}

// A thousand entries written by eight transactions at a time, and not one
// checkpoint: whichever is changed, moved, taken out, or cut off together with
// all that follow it in its chain, it shows. So does a chain that is gone whole,
// with its head or without.
func TestNoEntryGoesMissing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		const entries = 1000
		f.writeAtOnce(8, entries/25)
		for range 24 {
			f.chains.free = nil // as after transactions that never learnt whether they were committed
			f.writeAtOnce(8, entries/25)
		}
		all := f.wholeTrail()
		if len(all.rows) != entries || len(all.points) > 0 || len(all.heads) != int(all.roll.N) || len(all.heads) < 25 {
			t.Fatalf("%d entries, %d heads, %d chains, %d checkpoints", len(all.rows), len(all.heads), all.roll.N, len(all.points))
		}
		if said := all.faults(f.keys); said != "" {
			t.Fatal("untouched: ", said)
		}
		found := func(what string, tampered trail, says string) {
			if said := tampered.faults(f.keys); !strings.Contains(said, says) {
				t.Errorf("%s: found %q, want %q", what, said, says)
			}
		}
		inChain := func(what string, r auditRow, tampered trail, says string) {
			if said := tampered.of(r.Chain, f.keys); !strings.Contains(said, says) {
				t.Errorf("%s: found %q, want %q", what, said, says)
			}
		}
		for i, r := range all.rows {
			name := fmt.Sprintf("entry %d, number %d of chain %s", r.ID, r.Seq, r.Chain)
			edited := all
			edited.rows = slices.Clone(all.rows)
			edited.rows[i].Detail += "."
			inChain("changing "+name, r, edited, fmt.Sprintf("entry %d ", r.ID))
			inChain("deleting "+name, r, all.without(func(o auditRow) bool { return o.ID == r.ID }), r.Chain)
			inChain("cutting off from "+name, r, all.without(func(o auditRow) bool { return o.Chain == r.Chain && o.Seq >= r.Seq }), r.Chain)
			if i+1 < len(all.rows) && all.rows[i+1].Chain == r.Chain {
				swapped := all
				swapped.rows = slices.Clone(all.rows)
				swapped.rows[i], swapped.rows[i+1] = swapped.rows[i+1], swapped.rows[i]
				inChain("swapping "+name, r, swapped, fmt.Sprintf("entry %d ", all.rows[i+1].ID))
			}
		}
		for i, h := range all.heads {
			gone := all.without(func(o auditRow) bool { return o.Chain == h.Chain })
			found("deleting chain "+h.Chain, gone, "chain "+h.Chain+" is missing altogether")
			gone.heads = slices.Delete(slices.Clone(all.heads), i, i+1)
			found("and its head", gone, "missing altogether")
			gone.roll.N = int64(i) // whoever counts again has no key to say so with
			found("and the roll", gone, "the number of chains (")
			beheaded := all
			beheaded.heads = gone.heads
			found("deleting the head of "+h.Chain, beheaded, "has no head")
			lower := all.without(func(o auditRow) bool { return o.Chain == h.Chain && o.Seq == h.Seq })
			lower.heads = slices.Clone(all.heads)
			lower.heads[i].Seq--
			found("setting back the head of "+h.Chain, lower, "the head of chain "+h.Chain+" was changed")
		}
		none := all
		none.roll = rollRow{}
		found("deleting the roll", none, "set back to 0")
		none.rows = nil
		found("and all entries", none, "missing altogether")
		found("deleting all but the roll", trail{roll: all.roll}, "missing altogether")

		// What is not found, as heads.go says: an earlier state, put back whole.
		f.writeAtOnce(8, 100)
		now := f.wholeTrail()
		if said := now.faults(f.keys); said != "" {
			t.Fatal("later: ", said)
		}
		found("putting back the entries alone", trail{all.rows, now.heads, nil, now.roll}, "the rest was cut off")
		if said := all.faults(f.keys); said != "" {
			t.Errorf("an earlier state is a good one: %s", said)
		}
		if err := f.Checkpoint(t.Context()); err != nil {
			t.Fatal(err)
		}
		all.points = f.wholeTrail().points // as a log has them
		found("putting back everything, with a log", all, "the rest was cut off")
	})
}

// writeAtOnce writes n entries, from several transactions at a time.
func (f fixture) writeAtOnce(hands, n int) {
	f.t.Helper()
	var all sync.WaitGroup
	for h := range hands {
		all.Go(func() {
			left := n / hands
			if h < n%hands {
				left++
			}
			for left > 0 {
				some := min(left, 1+left%3)
				left -= some
				if err := f.Tx(f.t.Context(), func(tx *Tx) error {
					for range some {
						tx.Audit(AuditEntry{Actor: fmt.Sprint("w", h), Action: "status.set", Detail: fmt.Sprint(left)})
					}
					return nil
				}); err != nil {
					f.t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// The same by SQL, where a server is still writing: what it does next hides
// nothing.
func TestDeletedEntriesStayMissed(t *testing.T) {
	for what, c := range map[string]struct {
		sql  []string
		says string
	}{
		"the last entry":        {[]string{"DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)"}, ""},
		"a whole chain":         {[]string{"DELETE FROM audit", "DELETE FROM audit_heads"}, ""},
		"a head":                {[]string{"DELETE FROM audit_heads"}, "has no head"},
		"the roll":              {[]string{"DELETE FROM audit_roll"}, "as another has"},
		"the roll, counted":     {[]string{"DELETE FROM audit", "DELETE FROM audit_heads", "UPDATE audit_roll SET n = 0"}, ""},
		"the head, set back":    {[]string{"DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)", "UPDATE audit_heads SET seq = seq - 1"}, ""},
		"the roll's seal alone": {[]string{"UPDATE audit_roll SET proof = ''"}, "the number of chains"},
	} {
		t.Run(what, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, url string) {
				f := open(t, url, nil)
				f.write(9)
				for _, statement := range c.sql {
					if _, err := f.db.ExecContext(t.Context(), statement); err != nil {
						t.Fatal(err)
					}
				}
				// One that goes on with its chain, and one that begins another.
				f.write(2)
				again := open(t, url, func(o *Options) { o.Beside = true })
				again.write(2)
				if r := verify(t, url, ""); len(r.Faults) == 0 || !strings.Contains(strings.Join(r.Faults, "\n"), c.says) {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}
