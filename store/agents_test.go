package store

import (
	"errors"
	"sync"
	"testing"
	"time"

	"deskbell/bot"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// employ makes people agents.
func (f fixture) employ(users ...bot.User) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		for _, u := range users {
			if err := tx.EnsureAgent(f.t.Context(), u); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f fixture) setStatus(userID, status, note string, d time.Duration) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		_, err := tx.SetStatus(f.t.Context(), userID, status, note, d)
		return err
	})
}

// checkStatus checks what an agent's status is now, and until when.
func (f fixture) checkStatus(userID, want string, left time.Duration) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		a, err := tx.Agent(f.t.Context(), userID)
		if a.Status != want || (a.Until == nil) != (left == 0) || a.Until != nil && !a.Until.Equal(f.now().Add(left)) {
			f.t.Errorf("%s is %s until %v, want %s for %v", userID, a.Status, a.Until, want, left)
		}
		return err
	})
}

var lilei = bot.User{ID: "LiLei", Name: "李雷", Level: bot.Agent, Roles: []string{"agent"}}

func TestAgentAtFirstSight(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.employ(lilei, bot.User{ID: "hanmeimei", Level: bot.Anyone, Roles: []string{"user"}})
		began := f.now()
		f.pass(time.Hour)
		f.setStatus("lilei", Online, "", 0)
		boss := bot.User{ID: "lilei", Name: "李 雷", Level: bot.Admin, Roles: []string{"admin", "agent"}}
		f.employ(boss, boss)
		f.tx(func(tx *Tx) error {
			got, err := tx.Agents(t.Context(), "")
			want := []Agent{{
				Key: "lilei", ID: "lilei", Name: "李 雷", Role: "admin", Roles: []string{"admin", "agent"},
				Status: Online, MaxLoad: 5, CreatedAt: began, UpdatedAt: f.now(),
			}}
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Agent{}, "BaseModel")); d != "" {
				t.Error(d)
			}
			return err
		})
		for _, of := range []string{"hanmeimei", "nobody"} {
			err := f.Tx(t.Context(), func(tx *Tx) error {
				_, err := tx.SetStatus(t.Context(), of, Online, "", 0)
				return err
			})
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("status of %s: %v", of, err)
			}
		}
	})
}

// An agent whose first transaction fails is still new in the next one.
func TestAgentOfAFailedTransaction(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		boom := errors.New("boom")
		if err := f.Tx(t.Context(), func(tx *Tx) error {
			return errors.Join(tx.EnsureAgent(t.Context(), lilei), boom)
		}); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		f.employ(lilei)
		f.checkStatus("LILEI", Offline, 0)
	})
}

func TestAgentsByName(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		for _, u := range []struct{ id, name string }{{"d", "b"}, {"c", "李"}, {"b", "B"}, {"a", "b"}, {"e", "_"}, {"f", "李a"}} {
			f.employ(bot.User{ID: u.id, Name: u.name, Level: bot.Agent, Roles: []string{"agent"}})
		}
		f.setStatus("c", Online, "", 0)
		f.setStatus("a", Online, "", time.Minute)
		f.setStatus("e", Busy, "", time.Minute)
		order := func(status, want string) {
			t.Helper()
			f.tx(func(tx *Tx) error {
				list, err := tx.Agents(t.Context(), status)
				got := ""
				for _, a := range list {
					got += a.ID
				}
				if got != want {
					t.Errorf("%q: %s, want %s", status, got, want)
				}
				return err
			})
		}
		order("", "beadcf")
		order(Online, "ac")
		order(Busy, "e")
		f.pass(time.Minute) // and nobody has tidied up
		order(Online, "c")
		order(Busy, "")
		order(Offline, "beadf")
	})
}

func TestStatusReturnsToTheOneBefore(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.employ(lilei)
		f.setStatus("lilei", Online, "", 0)
		f.setStatus("LILEI", Busy, "lunch", 30*time.Minute)
		f.checkStatus("lilei", Busy, 30*time.Minute)
		f.pass(30*time.Minute - time.Microsecond)
		f.checkStatus("lilei", Busy, time.Microsecond)
		f.pass(time.Microsecond)
		f.checkStatus("lilei", Online, 0) // at once, also when nobody tidied up yet

		f.setStatus("lilei", Busy, "", time.Hour) // timed after one that ended
		f.pass(time.Minute)
		f.setStatus("lilei", Offline, "", time.Hour) // timed after timed
		f.checkStatus("lilei", Offline, time.Hour)
		f.pass(time.Hour)
		f.checkStatus("lilei", Online, 0)

		f.setStatus("lilei", Busy, "", time.Hour)
		f.setStatus("lilei", Offline, "home", 0) // for good
		f.pass(2 * time.Hour)
		f.checkStatus("lilei", Offline, 0)
		if err := f.ReturnStatuses(t.Context()); err != nil {
			t.Fatal(err)
		}
		if texts := f.texts(); len(texts) > 0 {
			t.Errorf("told %v", texts)
		}
	})
}

func TestReturnedOnce(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.employ(lilei, bot.User{ID: "mei", Level: bot.Agent, Roles: []string{"agent"}})
		f.setStatus("lilei", Online, "", 0)
		f.setStatus("lilei", Busy, "lunch", 30*time.Minute)
		f.setStatus("mei", Busy, "", time.Hour)
		if err := f.ReturnStatuses(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.checkStatus("lilei", Busy, 30*time.Minute)
		f.pass(30 * time.Minute)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := f.ReturnStatuses(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		f.checkStatus("lilei", Online, 0)
		f.checkStatus("mei", Busy, 30*time.Minute)
		if d := cmp.Diff([]string{"LiLei: zh status.returned"}, f.texts()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"lilei status.return ok"}, f.trail("")); d != "" {
			t.Error(d)
		}
	})
}

// Whatever is set in whatever order, and whether or not anybody tidies up, the
// status is the one a person would expect.
func TestStatusAsExpected(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	f.employ(lilei)
	rapid.Check(t, func(r *rapid.T) {
		f.setStatus("lilei", Offline, "", 0)
		now, back, end := Offline, "", time.Time{} // end is zero without a time
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			if !end.IsZero() && !f.now().Before(end) {
				now, end = back, time.Time{}
			}
			switch rapid.IntRange(0, 3).Draw(r, "step") {
			case 0:
				now, end = rapid.SampledFrom([]string{Online, Busy, Offline}).Draw(r, "status"), time.Time{}
				f.setStatus("lilei", now, "", 0)
			case 1:
				d := time.Duration(rapid.IntRange(1, 5).Draw(r, "minutes")) * time.Minute
				next := rapid.SampledFrom([]string{Online, Busy, Offline}).Draw(r, "status")
				if end.IsZero() {
					back = now
				}
				if back == next {
					back = Online
				}
				now, end = next, f.now().Add(d)
				f.setStatus("lilei", now, "", d)
			case 2:
				f.pass(time.Duration(rapid.IntRange(0, 4).Draw(r, "passed")) * time.Minute)
			case 3:
				if err := f.ReturnStatuses(t.Context()); err != nil {
					r.Fatal(err)
				}
			}
			want := now
			if !end.IsZero() && !f.now().Before(end) {
				want = back
			}
			f.tx(func(tx *Tx) error {
				a, err := tx.Agent(t.Context(), "lilei")
				if a.Status != want {
					r.Fatalf("%s, want %s", a.Status, want)
				}
				return err
			})
		}
	})
}

// Within a transaction whatever reads agents sees what was set before, and
// nothing of what was set is lost by what else is written of them.
func TestStatusesOfOneTransaction(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		mei := bot.User{ID: "hanmeimei", Name: "韩梅梅", Level: bot.Agent, Roles: []string{"agent"}}
		f.employ(lilei, mei)
		f.pass(2 * time.Minute) // what is known of agents is written again
		ctx := t.Context()
		f.tx(func(tx *Tx) error {
			tx.people = []string{"lilei", "hanmeimei", "nobody"}
			set := func(userID, status string, d time.Duration) {
				t.Helper()
				if a, err := tx.SetStatus(ctx, userID, status, "", d); err != nil || a.Status != status {
					t.Fatal(a, err)
				}
			}
			statuses := func(want ...string) {
				t.Helper()
				list, err := tx.Agents(ctx, "")
				var got []string
				for _, a := range list {
					got = append(got, a.Key+" "+a.Status)
				}
				if d := cmp.Diff(want, got); d != "" || err != nil {
					t.Error(err, d)
				}
			}
			set("lilei", Online, 0)
			set("HanMeimei", Busy, time.Minute)
			set("lilei", Busy, 0)
			statuses("lilei busy", "hanmeimei busy")
			renamed := lilei
			renamed.Name = "李 雷"
			if err := tx.EnsureAgent(ctx, renamed); err != nil {
				t.Fatal(err)
			}
			if a, err := tx.Agent(ctx, "lilei"); err != nil || a.Status != Busy || a.Name != "李 雷" {
				t.Error(a, err)
			}
			set("lilei", Online, 0)
			if _, err := tx.SetStatus(ctx, "nobody", Online, "", 0); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
			mei.Level = bot.Anyone
			if err := tx.dismissAgent(ctx, mei); err != nil {
				t.Fatal(err)
			}
			statuses("lilei online")
			set("lilei", Offline, 0)
			return nil
		})
		f.checkStatus("lilei", Offline, 0)
		f.checkStatus("hanmeimei", Offline, 0)
	})
}

// However statuses follow each other, a timed one ends in another.
func TestTimedStatusNeverReturnsToItself(t *testing.T) {
	now := time.Unix(1760000000, 0).UTC()
	rapid.Check(t, func(t *rapid.T) {
		a, at := Agent{Status: rapid.SampledFrom([]string{Online, Busy, Offline}).Draw(t, "at first")}, now
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "later")) * time.Minute)
			status := rapid.SampledFrom([]string{Online, Busy, Offline}).Draw(t, "status")
			d := time.Duration(rapid.IntRange(0, 2).Draw(t, "for")) * time.Hour
			a = a.with(status, "", d, at)
			if a.Status != status || (a.Until != nil) != (d > 0) || (a.Back != "") != (d > 0) {
				t.Fatalf("%s for %v: %+v", status, d, a)
			}
			if a.Back == status && status != Online {
				t.Fatalf("%s returns to itself", status)
			}
		}
	})
}
