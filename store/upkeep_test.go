package store

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"
)

// replies lists which messages still have a reply, oldest first.
func (f fixture) replies() (keys []string) {
	f.t.Helper()
	if err := f.db.NewSelect().Model((*inboxRow)(nil)).Column("key").Where("reply <> ''").Order("seq").Scan(f.t.Context(), &keys); err != nil {
		f.t.Fatal(err)
	}
	return keys
}

func TestRepliesAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		answer := func(person string) {
			t.Helper()
			if err := f.work(person, func(tx *Tx, items []Item) error {
				tx.Finish(items[0], "secret", false)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		purge := func(want ...string) {
			t.Helper()
			if err := f.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := f.replies(); !slices.Equal(got, want) {
				t.Errorf("%v have replies, want %v", got, want)
			}
		}
		f.receive(said("old", 1))
		f.receive(said("late", 1))
		answer("old")
		f.pass(replyKept - time.Second)
		f.receive(said("young", 1))
		answer("young")
		answer("late") // was long in coming
		purge("m:old:1", "m:late:1", "m:young:1")
		f.pass(time.Second + time.Microsecond) // of two at one moment the second is stamped that much later
		purge("m:late:1", "m:young:1")
		f.pass(replyKept)
		purge("m:late:1")
		for _, who := range []string{"old", "young"} {
			if first, ans := f.receive(said(who, 1)); first || ans != (Answer{Done: true}) {
				t.Errorf("%s after its reply was forgotten: %v, %+v", who, first, ans)
			}
		}
		f.pass(inboxKept)
		purge()
	})
}

// fill puts many rows into the store that are older than anything is kept.
func (f fixture) fill(rows int) {
	f.t.Helper()
	const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?0) "
	old := f.now().Add(-30 * 24 * time.Hour)
	for _, insert := range []string{
		"INSERT INTO inbox (key, person, message, reply, received_at, done_at) " + numbers + "SELECT 'k' || i, 'p' || i, '', 'x', ?1, ?1 FROM n",
		"INSERT INTO outbox (person, body, digest, counts, state, created_at, due_at) " + numbers + "SELECT 'p' || i, '', 'd' || i, TRUE, 'sent', ?1, ?1 FROM n",
		"INSERT INTO tokens (id, hash, kind, person, family, source, created_at, expires_at) " + numbers + "SELECT 'i' || i, 'h' || i, 'dba', 'p' || i, 'f' || i, 'chat', ?1, ?1 FROM n",
	} {
		if _, err := f.db.NewRaw(insert, rows, old).Exec(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}
	if _, err := f.db.ExecContext(f.t.Context(), "ANALYZE"); err != nil {
		f.t.Fatal(err)
	}
}

// queries remembers what was asked of the database.
type queries []string

func (q *queries) BeforeQuery(ctx context.Context, e *bun.QueryEvent) context.Context {
	*q = append(*q, e.Query)
	return ctx
}

func (*queries) AfterQuery(context.Context, *bun.QueryEvent) {}

// A purge reads and removes some hundred rows, however many have piled up.
func TestPurgeTakesSmallBites(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		rows := 2000
		if f.pg { // which reads a small table whole, and is right to
			rows = 30_000
		}
		f.fill(rows)
		var asked queries
		db, reads := f.Store.db, f.Store.reads
		f.Store.db, f.Store.reads = db.WithQueryHook(&asked), reads.WithQueryHook(&asked)
		for what, purge := range map[string]func(context.Context) (int64, error){
			"inbox": f.purgeInbox, "outbox": f.purgeOutbox, "tokens": f.purgeTokens, "replies": f.wipeReplies,
		} {
			if n, err := purge(t.Context()); err != nil || n != 500 {
				t.Errorf("%s: a bite of %d, %v", what, n, err)
			}
		}
		f.Store.db, f.Store.reads = db, reads
		if len(asked) != 5 {
			t.Fatalf("asked %q", asked)
		}
		for _, query := range asked {
			if f.pg {
				f.handles(query, 4000)
			} else {
				f.searches(query)
			}
		}
	})
}

// searches checks that SQLite finds the rows of a query by an index, and sorts
// nothing. The one scan there may be goes along the primary key, to a limit.
func (f fixture) searches(query string) {
	f.t.Helper()
	var steps []struct {
		Detail string
	}
	if err := f.db.NewRaw("EXPLAIN QUERY PLAN "+query).Scan(f.t.Context(), &steps); err != nil {
		f.t.Fatal(err)
	}
	if !strings.HasPrefix(steps[0].Detail, "SEARCH ") {
		f.t.Errorf("%s: %+v", query, steps)
	}
	for _, step := range steps {
		if strings.Contains(step.Detail, "TEMP B-TREE") || strings.HasPrefix(step.Detail, "SCAN ") && !strings.Contains(query, "LIMIT 500") {
			f.t.Errorf("%s: %+v", query, steps)
		}
	}
}

// plan is a step of PostgreSQL's plan and what it came to.
type plan struct {
	Type    string  `json:"Node Type"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []plan
}

func (p plan) rows() float64 {
	n := (p.Rows + p.Removed) * p.Loops
	for _, step := range p.Plans {
		n += step.rows()
	}
	return n
}

// handles checks that PostgreSQL handles at most so many rows in all the steps of
// a query, when it plans as for a table that is too large to be read whole.
func (f fixture) handles(query string, most float64) {
	f.t.Helper()
	var text string
	f.tx(func(tx *Tx) error {
		if _, err := tx.db.ExecContext(f.t.Context(), "SET LOCAL enable_seqscan = off"); err != nil {
			return err
		}
		return tx.db.NewRaw("EXPLAIN (ANALYZE, FORMAT JSON) "+query).Scan(f.t.Context(), &text)
	})
	var plans []struct{ Plan plan }
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		f.t.Fatal(err)
	}
	if n := plans[0].Plan.rows(); n > most {
		f.t.Errorf("%v rows for %s: %s", n, query, text)
	}
}

func TestPurgeGoesOnUntilAllIsGone(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.fill(1200)
		if err := f.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"inbox", "outbox", "tokens"} {
			if n, err := f.db.NewSelect().Table(table).Count(t.Context()); err != nil || n != 0 {
				t.Errorf("%d left in %s, %v", n, table, err)
			}
		}
	})
}
