package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

// Tally counts what happens on each day, for the dashboard. It counts in memory,
// so that the road of a message pays nothing for it, and adds that up in the
// store every few seconds: any number of instances may. A process that is killed
// takes its last seconds with it; one that stops does not. Its methods are safe
// for many goroutines.
type Tally struct {
	Store *Store
	Zone  *time.Location // whose days they are; default time.Local

	mu     sync.Mutex
	counts map[happening]int64

	writing sync.Mutex
	purged  string // the day on which old ones last went
}

// happening is what is counted, and how it went.
type happening struct{ what, outcome string }

// Push is what tries to push a message are counted as; no command is called so.
const Push = "(push)"

const (
	tallyEvery = 10 * time.Second
	dailyKept  = 400 * 24 * time.Hour
)

// Command counts a message by its command.
func (t *Tally) Command(name, outcome string) { t.count(happening{name, outcome}) }

// Delivery counts a try to push a message, by what came of it.
func (t *Tally) Delivery(outcome string) { t.count(happening{Push, outcome}) }

func (t *Tally) count(h happening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[happening]int64{}
	}
	t.counts[h]++
}

// Run adds up until ctx ends. Flush once more when nothing counts any longer.
func (t *Tally) Run(ctx context.Context) {
	tick := time.NewTicker(tallyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := t.Flush(ctx); err != nil && ctx.Err() == nil {
			t.Store.Log.Warn("tally", "err", err)
		}
	}
}

// dailyRow is how often something happened on a day.
type dailyRow struct {
	bun.BaseModel `bun:"table:daily,alias:daily"`

	Day     string `bun:"day,pk"`
	What    string `bun:"what,pk"`
	Outcome string `bun:"outcome,pk"`
	N       int64  `bun:"n"`
}

// Flush adds what was counted to the day it is. What cannot be written is counted
// the next time.
func (t *Tally) Flush(ctx context.Context) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	counts := t.counts
	t.counts = nil
	t.mu.Unlock()
	now := t.Store.Now()
	day := dayOf(now, t.Zone)
	rows := make([]dailyRow, 0, len(counts))
	for h, n := range counts {
		rows = append(rows, dailyRow{Day: day, What: h.what, Outcome: h.outcome, N: n})
	}
	slices.SortFunc(rows, func(a, b dailyRow) int { // in one order, so that no two instances wait in a circle
		return strings.Compare(a.What+"\x00"+a.Outcome, b.What+"\x00"+b.Outcome)
	})
	err := t.add(ctx, rows)
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.counts == nil {
			t.counts = map[happening]int64{}
		}
		for h, n := range counts {
			t.counts[h] += n
		}
		return fmt.Errorf("add up the day: %w", err)
	}
	if t.purged != day {
		if _, err := t.Store.db.NewDelete().Model((*dailyRow)(nil)).Where("day < ?", dayOf(now.Add(-dailyKept), t.Zone)).Exec(ctx); err != nil {
			return fmt.Errorf("forget old days: %w", err)
		}
		t.purged = day
	}
	return nil
}

func (t *Tally) add(ctx context.Context, rows []dailyRow) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := t.Store.db.NewInsert().Model(&rows).On("CONFLICT (day, what, outcome) DO UPDATE").Set("n = daily.n + EXCLUDED.n").Returning("NULL").Exec(ctx)
	return err
}

// dayOf names a day, so that later ones sort behind.
func dayOf(at time.Time, zone *time.Location) string {
	if zone == nil {
		zone = time.Local
	}
	return at.In(zone).Format(time.DateOnly)
}

// DayCount is what was counted on a day.
type DayCount struct {
	Day         string `bun:"day"`
	Commands    int64  `bun:"commands"`    // messages that came in, whatever they were
	Failed      int64  `bun:"failed"`      // of those, the ones that failed through no fault of their senders
	Undelivered int64  `bun:"undelivered"` // pushes that were given up
}

// DayCounts gives the days since one, without those on which nothing happened.
func (s *Store) DayCounts(ctx context.Context, since string) (map[string]DayCount, error) {
	var rows []DayCount
	err := s.reads.NewSelect().Table("daily").Column("day").
		ColumnExpr("CAST(SUM(CASE WHEN what <> ? THEN n ELSE 0 END) AS BIGINT) AS commands", Push).
		ColumnExpr("CAST(SUM(CASE WHEN what <> ? AND outcome IN ('failed', 'unavailable') THEN n ELSE 0 END) AS BIGINT) AS failed", Push).
		ColumnExpr("CAST(SUM(CASE WHEN what = ? AND outcome = 'dead' THEN n ELSE 0 END) AS BIGINT) AS undelivered", Push).
		Where("day >= ?", since).Group("day").Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("count days: %w", err)
	}
	days := make(map[string]DayCount, len(rows))
	for _, r := range rows {
		days[r.Day] = r
	}
	return days, nil
}
