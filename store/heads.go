package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/uptrace/bun"
)

// A chain alone does not show that its end was cut off, nor a set of chains that
// one is gone. Each chain therefore has a head, a row that says where it ends and
// changes in every transaction that makes it longer; the chains are numbered, and
// the roll says how many there are. All of that is sealed with the key, so that
// nobody who has the database alone can bring it in line with what they deleted.
//
// They can put back a head, or the roll, as they saw it earlier, together with
// the entries of that time. Only what is kept elsewhere shows that: checkpoints
// in a log.

// headRow is where a chain ends.
type headRow struct {
	bun.BaseModel `bun:"table:audit_heads"`

	Chain string `bun:"chain,pk"`
	N     int64  `bun:"n"` // of the chain, from 1, without gaps
	Seq   int64  `bun:"seq"`
	MAC   string `bun:"mac"`   // of its last entry
	Proof string `bun:"proof"` // that it was made here
}

// headed marks the ids of chains that have a head: those from before there were
// any do not. The id is in the hash of every entry.
const headed = "h"

func (h *headRow) sum(key subkeys) string {
	return sum(key, "head", h.Chain, strconv.FormatInt(h.N, 10), strconv.FormatInt(h.Seq, 10), h.MAC)
}

// rollRow is how many chains there are. It is the only one of its table.
type rollRow struct {
	bun.BaseModel `bun:"table:audit_roll"`

	ID    int    `bun:"id,pk"`
	N     int64  `bun:"n"`
	Proof string `bun:"proof"`
}

func (r *rollRow) sum(key subkeys) string { return sum(key, "roll", strconv.FormatInt(r.N, 10)) }

// writeHead moves the head of the transaction's chain to its new end. A head that
// somebody deleted is not made anew: that would hide it.
func (tx *Tx) writeHead(text []byte) ([]byte, error) {
	if tx.chain == nil || tx.chain.n == 0 {
		return text, nil
	}
	h := tx.head(tx.chain.n)
	return append(tx.s.db.QueryGen().AppendQuery(text, "UPDATE audit_heads SET seq = ?, mac = ?, proof = ? WHERE chain = ?", h.Seq, h.MAC, h.Proof, h.Chain), ';'), nil
}

// head is the head of the transaction's chain once it is committed.
func (tx *Tx) head(n int64) headRow {
	last := tx.audits[len(tx.audits)-1]
	h := headRow{Chain: last.Chain, N: n, Seq: last.Seq, MAC: last.MAC}
	h.Proof = h.sum(tx.s.keys.keys[0])
	return h
}

// enrol gives a chain its number and its head, in the transaction of its first
// entries: once for each lane of each process. It comes last, since whoever
// enrols a chain holds up all others who do.
func (tx *Tx) enrol(ctx context.Context) error {
	if tx.chain == nil || tx.chain.n > 0 {
		return nil
	}
	var roll rollRow
	err := tx.db.NewRaw("INSERT INTO audit_roll (id, n, proof) VALUES (1, 1, '') ON CONFLICT (id) DO UPDATE SET n = audit_roll.n + 1 RETURNING n, proof").Scan(ctx, &roll.N, &roll.Proof)
	if err != nil {
		return fmt.Errorf("number an audit chain: %w", err)
	}
	tx.number = roll.N
	head := tx.head(roll.N)
	text, err := tx.insert(nil, &head)
	if err != nil {
		return fmt.Errorf("number an audit chain: %w", err)
	}
	// A number that was tampered with must not get a good proof from here.
	before := rollRow{N: roll.N - 1, Proof: roll.Proof}
	if before == (rollRow{}) || tx.s.keys.made(before.Proof, before.sum) {
		text = tx.s.db.QueryGen().AppendQuery(text, "UPDATE audit_roll SET proof = ? WHERE id = 1", roll.sum(tx.s.keys.keys[0]))
	}
	if _, err := tx.db.ExecContext(ctx, string(text)); err != nil {
		return fmt.Errorf("number an audit chain: %w", err)
	}
	return nil
}

// collectHeads gathers the heads, and what is wrong with them. The roll is read
// on both sides, since chains may begin meanwhile.
func (e *examiner) collectHeads(ctx context.Context, db bun.IDB) error {
	before, err := readRoll(ctx, db)
	if err != nil {
		return err
	}
	var heads []headRow
	if err := db.NewSelect().Model(&heads).Order("n").Scan(ctx); err != nil {
		return fmt.Errorf("read audit heads: %w", err)
	}
	after, err := readRoll(ctx, db)
	if err == nil {
		e.call(before, heads, after)
	}
	return err
}

func readRoll(ctx context.Context, db bun.IDB) (roll rollRow, err error) {
	err = db.NewSelect().Model(&roll).Scan(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return roll, fmt.Errorf("read audit roll: %w", err)
	}
	return roll, nil
}

// call compares the heads, in the order of their numbers, with the roll from
// before they were read and after.
func (e *examiner) call(before rollRow, heads []headRow, after rollRow) {
	for _, roll := range []rollRow{before, after} {
		if roll != (rollRow{}) && !e.keys.made(roll.Proof, roll.sum) {
			e.fault("the number of chains (%d) was changed, or sealed with a key that is not configured", roll.N)
			break
		}
	}
	next := int64(1)
	for _, h := range heads {
		if !e.keys.made(h.Proof, h.sum) {
			e.fault("the head of chain %s was changed, or sealed with a key that is not configured", h.Chain)
		} else {
			e.heads[h.Chain] = h
		}
		switch {
		case h.N < next:
			e.fault("chain %s has the number %d, as another has: one of them was deleted once, or put back", h.Chain, h.N)
		case h.N > next:
			e.fault("%d chains before chain %s, number %d, are missing altogether", h.N-next, h.Chain, h.N)
		}
		next = max(next, h.N+1)
	}
	if next <= before.N {
		e.fault("%d chains are missing altogether: there were %d", before.N-next+1, before.N)
	}
	if next-1 > after.N {
		e.fault("the number of chains was set back to %d: there are %d", after.N, next-1)
	}
}

// late looks once more for the heads of chains that had none: they may have begun
// after the heads were read.
func (e *examiner) late(ctx context.Context, db bun.IDB) error {
	for _, id := range e.headless {
		var h headRow
		err := db.NewSelect().Model(&h).Where("chain = ?", id).Scan(ctx)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read audit heads: %w", err)
		}
		if err != nil || !e.keys.made(h.Proof, h.sum) {
			e.fault("chain %s has no head that was made here: nobody knows where it ended", id)
		}
	}
	return nil
}

// isHeaded reports whether a chain must have a head.
func isHeaded(chain string) bool { return strings.HasPrefix(chain, headed) }
