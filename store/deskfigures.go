package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// DeskNow is how things are with helpdesk sessions at a moment.
type DeskNow struct {
	Open, Queued int
	Longest      time.Duration // how long the first in the queue has waited
}

// DeskNow counts the sessions that are open, and those that wait.
func (s *Store) DeskNow(ctx context.Context) (now DeskNow, err error) {
	var first []time.Time
	err = s.reads.NewSelect().Table("conversations").Column("queued_at").Where("status = 'queued'").Order("queued_at").Limit(1).Scan(ctx, &first)
	if err == nil {
		err = s.reads.NewRaw("SELECT (SELECT count(*) FROM conversations WHERE status = 'open'), (SELECT count(*) FROM conversations WHERE status = 'queued')").
			Scan(ctx, &now.Open, &now.Queued)
	}
	if err != nil {
		return DeskNow{}, fmt.Errorf("count sessions: %w", err)
	}
	if len(first) > 0 && now.Queued > 0 {
		now.Longest = max(0, s.Now().Sub(first[0]))
	}
	return now, nil
}

// DeskDay is what the sessions of a day came to.
type DeskDay struct {
	Sessions int
	Answered int
	Answer   time.Duration // the median of the time to the first answer
}

// DeskDays gives what became of the sessions that began on each of some days. They
// are given by when they begin, and the last one ends at end.
func (s *Store) DeskDays(ctx context.Context, begins []time.Time, end time.Time) ([]DeskDay, error) {
	days := make([]DeskDay, len(begins))
	if len(begins) == 0 {
		return days, nil
	}
	// What is as young as that was also changed since, by which there is an index.
	since, day := begins[0].UTC(), dayNumber(begins)
	var rows []struct {
		Day      int             `bun:"day"`
		Sessions int             `bun:"sessions"`
		Answered int             `bun:"answered"`
		Answer   sql.NullFloat64 `bun:"answer"`
	}
	waited := "(julianday(answered_at) - julianday(created_at)) * 86400.0"
	if s.pg {
		waited = "CAST(EXTRACT(EPOCH FROM answered_at - created_at) AS DOUBLE PRECISION)"
	}
	err := s.reads.NewRaw(`
		WITH begun AS (
			SELECT ? AS day, answered_at, ? AS waited FROM conversations
			WHERE updated_at >= ? AND created_at >= ? AND created_at < ?
		), ranked AS (
			SELECT day, waited, row_number() OVER (PARTITION BY day ORDER BY waited) AS place, count(*) OVER (PARTITION BY day) AS n
			FROM begun WHERE answered_at IS NOT NULL
		), middle AS (
			SELECT day, avg(waited) AS answer FROM ranked WHERE place IN ((n + 1) / 2, (n + 2) / 2) GROUP BY day
		)
		SELECT begun.day AS day, count(*) AS sessions, count(begun.answered_at) AS answered, max(middle.answer) AS answer
		FROM begun LEFT JOIN middle ON middle.day = begun.day GROUP BY begun.day`,
		day, bun.Safe(waited), since, since, end.UTC()).Scan(ctx, &rows)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("count the sessions of days: %w", err)
	}
	for _, r := range rows {
		days[r.Day] = DeskDay{r.Sessions, r.Answered, time.Duration(max(0, r.Answer.Float64) * float64(time.Second)).Round(time.Millisecond)}
	}
	return days, nil
}

// dayNumber is which of the days created_at is on: engines differ in what they
// can do with times, but all can compare them, and a day may have 23 hours.
func dayNumber(begins []time.Time) schema.QueryWithArgs {
	var b strings.Builder
	var args []any
	b.WriteString("CASE")
	for i, begin := range begins {
		fmt.Fprintf(&b, " WHEN created_at < ? THEN %d", i-1)
		args = append(args, begin.UTC())
	}
	fmt.Fprintf(&b, " ELSE %d END", len(begins)-1)
	return bun.SafeQuery(b.String(), args...)
}

// loads counts the open sessions of some agents.
func (s *Store) loads(ctx context.Context, list []Agent) error {
	if len(list) == 0 {
		return nil
	}
	ids := make([]string, len(list))
	for i, a := range list {
		ids[i] = a.Key
	}
	var rows []struct {
		Agent string `bun:"agent"`
		N     int    `bun:"n"`
	}
	err := s.reads.NewSelect().Table("conversations").Column("agent").ColumnExpr("count(*) AS n").Where("status = 'open'").
		Where("agent IN (?)", bun.List(ids)).Group("agent").Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("count the sessions of agents: %w", err)
	}
	for _, r := range rows {
		for i := range list {
			if list[i].Key == r.Agent {
				list[i].Load = r.N
			}
		}
	}
	return nil
}
