package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAuditTrail(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		began := f.now()
		f.tx(func(tx *Tx) error {
			tx.Audit(AuditEntry{Actor: "LiLei", Action: "status.set", Target: "LiLei", Detail: "busy"})
			tx.Audit(AuditEntry{Actor: "boss", Action: "role.grant", Target: "LILEI", Result: "refused"})
			trail, err := tx.AuditTrail(t.Context(), "", 10)
			if len(trail) != 0 {
				t.Errorf("not committed yet: %+v", trail)
			}
			return err
		})
		f.pass(time.Hour)
		f.tx(func(tx *Tx) error {
			tx.Audit(AuditEntry{Actor: "boss", Action: "login", At: began})
			return nil
		})
		boom := errors.New("boom")
		if err := f.Tx(t.Context(), func(tx *Tx) error {
			tx.Audit(AuditEntry{Actor: "lilei", Action: "never"})
			return boom
		}); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		set := AuditEntry{At: began, Actor: "lilei", Action: "status.set", Target: "lilei", Result: "ok", Detail: "busy"}
		grant := AuditEntry{At: began, Actor: "boss", Action: "role.grant", Target: "lilei", Result: "refused"}
		login := AuditEntry{At: f.now(), Actor: "boss", Action: "login", Result: "ok"}
		for _, c := range []struct {
			who  string
			n    int
			want []AuditEntry
		}{
			{"", 10, []AuditEntry{login, grant, set}},
			{"", 2, []AuditEntry{login, grant}},
			{"LiLei", 10, []AuditEntry{grant, set}},
			{"BOSS", 10, []AuditEntry{login, grant}},
			{"BOSS", 1, []AuditEntry{login}},
			{"nobody", 10, nil},
		} {
			f.tx(func(tx *Tx) error {
				got, err := tx.AuditTrail(t.Context(), c.who, c.n)
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("%q, %d: %s", c.who, c.n, d)
				}
				return err
			})
		}
	})
}

func TestMarkAndReset(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.tx(func(tx *Tx) error {
			tx.Audit(AuditEntry{Actor: "a", Action: "kept"})
			mark := tx.Mark()
			tx.Audit(AuditEntry{Actor: "a", Action: "dropped"})
			if _, err := tx.AuditTrail(t.Context(), "", 1); err != nil { // reading is no obstacle
				return err
			}
			if _, err := tx.Agent(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			if !tx.Reset(mark) {
				t.Error("cannot be taken back")
			}
			tx.Audit(AuditEntry{Actor: "a", Action: "after"})
			return nil
		})
		if d := cmp.Diff([]string{"a kept ok", "a after ok"}, f.trail("")); d != "" {
			t.Error(d)
		}
		f.tx(func(tx *Tx) error {
			mark := tx.Mark()
			if _, err := tx.RevokeTokens(t.Context(), "a", true); err != nil {
				return err
			}
			if tx.Reset(mark) {
				t.Error("what was written cannot be taken back")
			}
			return nil
		})
	})
}

// A failed statement ends a transaction on PostgreSQL, whose COMMIT then rolls
// back and reports success. Nothing may be taken for committed that is not.
func TestIgnoredFailureDoesNotCommit(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		err := f.Tx(t.Context(), func(tx *Tx) error {
			tx.Audit(AuditEntry{Actor: "a", Action: "lost"})
			if err := tx.EnsureAgent(t.Context(), lilei); err != nil {
				return err
			}
			mark := tx.Mark()
			if _, err := tx.db.NewRaw("SELECT * FROM nothing_of_the_kind").Exec(t.Context()); err == nil {
				t.Error("no such table, and no error")
			}
			if tx.Reset(mark) {
				t.Error("a transaction in pieces cannot be taken up again")
			}
			return nil
		})
		if err == nil || Transient(err) {
			t.Errorf("got %v", err)
		}
		if trail := f.trail(""); len(trail) > 0 {
			t.Errorf("committed %v", trail)
		}
		f.employ(lilei)
		f.checkStatus("lilei", Offline, 0)
	})
}
