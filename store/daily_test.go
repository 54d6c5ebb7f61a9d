package store

import (
	"context"
	"sync"
	"testing"
	"time"
)

func (f fixture) dayCounts(since string) map[string]DayCount {
	f.t.Helper()
	days, err := f.DayCounts(f.t.Context(), since)
	if err != nil {
		f.t.Fatal(err)
	}
	return days
}

// What several instances count adds up, also over their ends.
func TestTallyAddsUp(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		var all sync.WaitGroup
		for range 4 {
			one := &Tally{Store: f.Store, Zone: time.UTC}
			for range 25 {
				all.Go(func() {
					one.Command("status", "ok")
					one.Command("login", "failed")
					one.Command("login", "denied")
					one.Command("audit", "unavailable")
					one.Delivery("sent")
					one.Delivery("dead")
					if err := one.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		want := DayCount{Day: "2026-11-20", Commands: 400, Failed: 200, Undelivered: 100}
		if got := f.dayCounts("2026-11-20"); len(got) != 1 || got["2026-11-20"] != want {
			t.Errorf("%+v", got)
		}
		if got := f.dayCounts("2026-11-21"); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// A day is the desk's, not one of UTC: in Shanghai it is the 21st already.
func TestTallyByDay(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		one := &Tally{Store: f.Store, Zone: time.FixedZone("CST", 8*3600)}
		for range 2 {
			one.Command("status", "ok")
			if err := one.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.pass(13 * time.Hour)
		}
		if got := f.dayCounts(""); len(got) != 2 || got["2026-11-20"].Commands != 1 || got["2026-11-21"].Commands != 1 {
			t.Errorf("%+v", got)
		}
		f.pass(dailyKept - 12*time.Hour)
		if err := one.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.dayCounts(""); len(got) != 1 || got["2026-11-21"].Commands != 1 {
			t.Errorf("long after: %+v", got)
		}
	})
}

// What cannot be written is not lost.
func TestTallyOfAStoreThatIsAway(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		one := &Tally{Store: f.Store, Zone: time.UTC}
		one.Command("status", "ok")
		over, stop := context.WithCancel(t.Context())
		stop()
		if err := one.Flush(over); err == nil {
			t.Error("written after the end")
		}
		one.Command("status", "ok")
		if err := one.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.dayCounts("")["2026-11-20"]; got.Commands != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func BenchmarkTally(b *testing.B) {
	var one Tally
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			one.Command("status", "ok")
		}
	})
}
