package store

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// AuditReport is what an examination of the audit trail found.
type AuditReport struct {
	Entries, Chains, Checkpoints int
	Faults                       []string // what was tampered with, naming the entry; empty when all is well
}

// examiner walks the trail, chain by chain.
type examiner struct {
	AuditReport
	keys   *keyring
	points map[string]map[int64]Checkpoint // by chain, then by seq
	heads  map[string]headRow              // by chain
	last   auditRow                        // the entry before this one, of the same chain

	headless []string // chains that had no head when the heads were read
}

func newExaminer(keys *keyring) *examiner {
	return &examiner{keys: keys, points: map[string]map[int64]Checkpoint{}, heads: map[string]headRow{}}
}

// VerifyAudit examines the audit trail of the store at url, beside whoever has
// it open. checkpoints may be nil, or hold checkpoints kept elsewhere: lines of
// JSON, as the log has them.
func VerifyAudit(ctx context.Context, url string, keys [][]byte, checkpoints io.Reader) (AuditReport, error) {
	s, err := openBeside(url, keys)
	if err != nil {
		return AuditReport{}, err
	}
	defer s.close()
	e := newExaminer(s.keys)
	err = e.examine(ctx, s.reads, checkpoints)
	return e.AuditReport, err
}

func (e *examiner) examine(ctx context.Context, db bun.IDB, checkpoints io.Reader) error {
	// First how far it got, and then the entries, which may still grow.
	if err := e.collectHeads(ctx, db); err != nil {
		return err
	}
	if err := e.collect(ctx, db, checkpoints); err != nil {
		return err
	}
	if err := eachEntry(ctx, db, func(row *auditRow) error { e.entry(row); return nil }); err != nil {
		return err
	}
	e.end()
	return e.late(ctx, db)
}

// end examines what no entry led to.
func (e *examiner) end() {
	e.endOfChain()
	gone := slices.AppendSeq(slices.Collect(maps.Keys(e.points)), maps.Keys(e.heads))
	slices.Sort(gone)
	for _, id := range slices.Compact(gone) {
		seq, witness := e.furthest(id)
		e.fault("chain %s is missing altogether: %s counts %d entries", id, witness, seq)
	}
}

// ExportAudit writes the audit trail as lines of JSON, chain by chain.
func ExportAudit(ctx context.Context, url string, keys [][]byte, w io.Writer) error {
	s, err := openBeside(url, keys)
	if err != nil {
		return err
	}
	defer s.close()
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return eachEntry(ctx, s.reads, func(row *auditRow) error {
		return out.Encode(struct {
			ID      int64     `json:"id"`
			At      time.Time `json:"at"`
			Actor   string    `json:"actor"`
			Action  string    `json:"action"`
			Target  string    `json:"target"`
			Result  string    `json:"result"`
			Detail  string    `json:"detail"`
			Chain   string    `json:"chain"`
			Seq     int64     `json:"seq"`
			PrevMAC string    `json:"prev_mac"`
			MAC     string    `json:"mac"`
		}{row.ID, row.At.UTC(), row.Actor, row.Action, row.Target, row.Result, row.Detail, row.Chain, row.Seq, row.Prev, row.MAC})
	})
}

// openBeside opens a store for reading, also while a process has it.
func openBeside(url string, keys [][]byte) (*Store, error) {
	ring, err := newKeyring(keys)
	if err != nil {
		return nil, err
	}
	s := &Store{keys: ring, unlock: func() {}}
	file, lite := strings.CutPrefix(url, "sqlite:")
	if !lite {
		return s, s.connect(url)
	}
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, s.openReadOnly(file)
}

// eachEntry calls fn with every entry, in the order of the chains.
func eachEntry(ctx context.Context, db bun.IDB, fn func(*auditRow) error) error {
	const atOnce = 1000
	for at, more := (auditRow{Seq: -1}), true; more; {
		var rows []auditRow
		err := db.NewSelect().Model(&rows).Where("(chain, seq, id) > (?, ?, ?)", at.Chain, at.Seq, at.ID).
			Order("chain", "seq", "id").Limit(atOnce).Scan(ctx)
		if err != nil {
			return fmt.Errorf("read audit: %w", err)
		}
		for i := range rows {
			if err := fn(&rows[i]); err != nil {
				return err
			}
			at = rows[i]
		}
		more = len(rows) == atOnce
	}
	return nil
}

// collect gathers the checkpoints, and what is wrong with them.
func (e *examiner) collect(ctx context.Context, db bun.IDB, file io.Reader) error {
	var points []Checkpoint
	if err := db.NewSelect().Model(&points).Order("chain", "seq").Scan(ctx); err != nil {
		return fmt.Errorf("read audit checkpoints: %w", err)
	}
	for _, p := range points {
		e.point(p, "in the database")
	}
	if file == nil {
		return nil
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var p Checkpoint
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil || p.Chain == "" || p.Proof == "" {
			continue // another line of the log
		}
		e.point(p, "in the file")
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read checkpoints: %w", err)
	}
	return nil
}

func (e *examiner) point(p Checkpoint, where string) {
	if !e.keys.vouchesFor(&p) {
		e.fault("checkpoint %d of chain %s %s was changed, or sealed with a key that is not configured", p.Seq, p.Chain, where)
		return
	}
	if e.points[p.Chain] == nil {
		e.points[p.Chain] = map[int64]Checkpoint{}
	}
	if _, known := e.points[p.Chain][p.Seq]; !known {
		e.Checkpoints++
	}
	e.points[p.Chain][p.Seq] = p
}

// entry examines the next entry.
func (e *examiner) entry(row *auditRow) {
	e.Entries++
	name := fmt.Sprintf("entry %d (number %d of chain %s, %s %s of %s)", row.ID, row.Seq, row.Chain, row.Actor, row.Action, stamp(row.At))
	if row.Chain == "" {
		e.fault("%s is in no chain: it was not written by Deskbell", name)
		return
	}
	if row.Chain != e.last.Chain {
		e.endOfChain()
		e.Chains++
		e.last = auditRow{Chain: row.Chain}
	}
	switch {
	case !e.keys.vouches(row):
		e.fault("%s was changed, or sealed with a key that is not configured", name)
	case row.Seq != e.last.Seq+1:
		e.fault("%s follows number %d: %d missing in between", name, e.last.Seq, row.Seq-e.last.Seq-1)
	case row.Prev != e.last.MAC:
		e.fault("%s does not follow the entry before it, which was changed", name)
	case row.ID <= e.last.ID:
		e.fault("%s was moved: it stood behind entry %d", name, e.last.ID)
	}
	if p, ok := e.points[row.Chain][row.Seq]; ok && p.MAC != row.MAC {
		e.fault("%s is not the one the checkpoint of %s saw", name, stamp(p.At))
	}
	if h, ok := e.heads[row.Chain]; ok && h.Seq == row.Seq && h.MAC != row.MAC {
		e.fault("%s is not the one the head of its chain names", name)
	}
	e.last = *row
}

// endOfChain compares where a chain ends with how far it is known to have got.
func (e *examiner) endOfChain() {
	id := e.last.Chain
	if id == "" {
		return
	}
	if seq, witness := e.furthest(id); seq > e.last.Seq {
		e.fault("chain %s ends with entry %d, its number %d, but %s counts %d: the rest was cut off", id, e.last.ID, e.last.Seq, witness, seq)
	}
	if _, ok := e.heads[id]; !ok && isHeaded(id) {
		e.headless = append(e.headless, id)
	}
	delete(e.points, id)
	delete(e.heads, id)
}

// furthest is how far a chain is known to have got, and who says so.
func (e *examiner) furthest(id string) (seq int64, witness string) {
	for at, p := range e.points[id] {
		if at > seq {
			seq, witness = at, "a checkpoint of "+stamp(p.At)
		}
	}
	if h := e.heads[id]; h.Seq > seq {
		seq, witness = h.Seq, "its head"
	}
	return seq, witness
}

func (e *examiner) fault(format string, args ...any) {
	e.Faults = append(e.Faults, fmt.Sprintf(format, args...))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
