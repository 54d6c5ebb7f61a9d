package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// begun stores a session that began, was answered and closed so long after a
// moment; a negative time is never.
func (f fixture) begun(id, status, agent string, at time.Time, answered time.Duration) {
	f.t.Helper()
	var first *time.Time
	if answered >= 0 {
		first = new(at.Add(answered))
	}
	_, err := f.db.NewRaw(`INSERT INTO conversations (id, title, status, asker, asker_id, asker_name, agent, created_at, queued_at, answered_at, said_at, updated_at)
		VALUES (?, 'x', ?, ?, 'x', 'x', ?, ?, ?, ?, ?, ?)`, id, status, id, agent, at.UTC(), at.UTC(), first, at.UTC(), at.UTC().Add(max(0, answered))).Exec(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestDeskNow(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		if now, err := f.DeskNow(t.Context()); err != nil || now != (DeskNow{}) {
			t.Errorf("%+v %v", now, err)
		}
		f.employ(lilei)
		f.begun("a", "open", "lilei", f.now(), -1)
		f.begun("b", "queued", "", f.now(), -1)
		f.pass(3 * time.Minute)
		f.begun("c", "queued", "", f.now(), -1)
		f.begun("d", "closed", "lilei", f.now(), time.Second)
		f.pass(time.Minute)
		if now, err := f.DeskNow(t.Context()); err != nil || now != (DeskNow{Open: 1, Queued: 2, Longest: 4 * time.Minute}) {
			t.Errorf("%+v %v", now, err)
		}
		if list, err := f.FindAgents(t.Context(), AgentQuery{}); err != nil || len(list) != 1 || list[0].Load != 1 {
			t.Errorf("%+v %v", list, err)
		}
	})
}

func TestDeskDays(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		// The second of these days has 23 hours, as days have in spring.
		begins := []time.Time{f.now(), f.now().Add(24 * time.Hour), f.now().Add(47 * time.Hour)}
		end := f.now().Add(71 * time.Hour)
		f.begun("before", "closed", "", begins[0].Add(-time.Microsecond), time.Hour)
		f.begun("after", "queued", "", end, -1)
		for i, answered := range []time.Duration{90 * time.Second, -1, 30 * time.Second, time.Hour} {
			f.begun(fmt.Sprint("first", i), "closed", "", begins[0].Add(time.Duration(i)*time.Hour), answered)
		}
		f.begun("even1", "closed", "", begins[1], 10*time.Second)
		f.begun("even2", "closed", "", begins[2].Add(-time.Microsecond), 20*time.Second)
		f.begun("none", "queued", "", begins[2], -1)
		got, err := f.DeskDays(t.Context(), begins, end)
		want := []DeskDay{{4, 3, 90 * time.Second}, {2, 2, 15 * time.Second}, {1, 0, 0}}
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Error(err, d)
		}
		if got, err := f.DeskDays(t.Context(), nil, end); err != nil || len(got) != 0 {
			t.Errorf("%+v %v", got, err)
		}
	})
}

// The engines' medians are those one counts by hand.
func TestDeskDayMedian(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		rapid.Check(t, func(rt *rapid.T) {
			if _, err := f.db.ExecContext(t.Context(), "DELETE FROM conversations"); err != nil {
				rt.Fatal(err)
			}
			waits := rapid.SliceOfN(rapid.IntRange(0, 100_000), 0, 12).Draw(rt, "seconds")
			for i, w := range waits {
				f.begun(fmt.Sprint(i), "closed", "", f.now(), time.Duration(w)*time.Second)
			}
			got, err := f.DeskDays(t.Context(), []time.Time{f.now()}, f.now().Add(time.Hour))
			if err != nil {
				rt.Fatal(err)
			}
			want := time.Duration(0)
			if n := len(waits); n > 0 {
				slices.Sort(waits)
				want = time.Duration(waits[(n-1)/2]+waits[n/2]) * time.Second / 2
			}
			if off := (got[0].Answer - want).Abs(); off > time.Millisecond || got[0].Sessions != len(waits) || got[0].Answered != len(waits) {
				rt.Fatalf("%+v, want the median %v of %v", got[0], want, waits)
			}
		})
	})
}
