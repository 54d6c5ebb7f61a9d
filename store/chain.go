package store

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

// The audit trail is tamper evident: each entry carries a keyed hash of itself
// and of the hash before it, so that none can be changed, moved or taken out of
// the middle without the key, which is not in the database. What a chain cannot
// show is that its end is missing; heads (heads.go) and checkpoints do.
//
// A chain has one writer at a time, or it would fork. So that transactions need
// not wait for each other, a store writes several: a transaction takes a free
// one when it is about to commit, and gives it back when it is known how that
// went. Usually there are as many as lanes.

// chain is the end of one sequence of entries, as far as it is committed.
type chain struct {
	id   string
	n    int64  // among the chains; 0 while nothing of it is committed
	seq  int64  // of the last entry, and their number
	mac  string // of the last entry
	kept int64  // the seq of its last checkpoint
}

// chains are the sequences written since this store was opened.
type chains struct {
	mu   sync.Mutex
	free []*chain
	all  []*chain
}

func (c *chains) take() *chain {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		last := c.free[n-1]
		c.free = c.free[:n-1]
		return last
	}
	fresh := &chain{id: headed + rand.Text()}
	c.all = append(c.all, fresh)
	return fresh
}

// give puts a chain back, at its new end.
func (c *chains) give(ch *chain, n, seq int64, mac string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch.n, ch.seq, ch.mac = n, seq, mac
	c.free = append(c.free, ch)
}

// moved lists the ends that no checkpoint has yet.
func (c *chains) moved() []chain {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []chain
	for _, ch := range c.all {
		if ch.seq > ch.kept {
			list = append(list, *ch)
		}
	}
	return list
}

// kept notes that checkpoints of these were written.
func (c *chains) keep(list []chain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, was := range list {
		if i := slices.IndexFunc(c.all, func(ch *chain) bool { return ch.id == was.id }); i >= 0 {
			c.all[i].kept = was.seq
		}
	}
}

// link puts the transaction's entries behind each other, on a chain that is
// theirs until the transaction has ended.
func (tx *Tx) link() {
	tx.chain = tx.s.chains.take()
	seq, mac := tx.chain.seq, tx.chain.mac
	for i := range tx.audits {
		row := &tx.audits[i]
		seq++
		row.Chain, row.Seq, row.Prev = tx.chain.id, seq, mac
		mac = tx.s.keys.macOf(row)
		row.MAC = mac
	}
}

// unlink gives the chain back after the transaction was committed, or surely
// was not. When nobody knows, as after a connection lost while committing, it
// is not given back: it ends there.
func (tx *Tx) unlink(committed bool) {
	if tx.chain == nil {
		return
	}
	number, seq, mac := tx.chain.n, tx.chain.seq, tx.chain.mac
	if n := len(tx.audits); committed && n > 0 {
		number, seq, mac = max(number, tx.number), tx.audits[n-1].Seq, tx.audits[n-1].MAC
	}
	tx.s.chains.give(tx.chain, number, seq, mac)
	tx.chain = nil
}

// A keyed hash begins with the id of its key, like everything sealed.

func (k *keyring) macOf(row *auditRow) string { return row.sum(k.keys[0]) }

// vouches reports whether an entry's hash was made here, with a key that is
// still configured.
func (k *keyring) vouches(row *auditRow) bool { return k.made(row.MAC, row.sum) }

func (k *keyring) made(mac string, sum func(subkeys) string) bool {
	id, _, _ := strings.Cut(mac, ".")
	key := k.named(id)
	return key != nil && hmac.Equal([]byte(sum(*key)), []byte(mac))
}

func (row *auditRow) sum(key subkeys) string {
	return sum(key, "entry", row.Chain, strconv.FormatInt(row.Seq, 10), strconv.FormatInt(row.At.UnixNano(), 10),
		row.Actor, row.Action, row.Target, row.Result, row.Detail, row.Prev)
}

// sum hashes fields, each behind its length, so that none can flow into the next.
func sum(key subkeys, fields ...string) string {
	text := make([]byte, 0, 512)
	for _, f := range fields {
		text = append(append(strconv.AppendInt(text, int64(len(f)), 10), ':'), f...)
	}
	h := hmac.New(sha256.New, key.audit)
	h.Write(text)
	return key.id + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Checkpoint says that a chain had got as far as entry Seq, whose hash is MAC.
// Entries are numbered from 1 without gaps, so Seq is also how many there were.
type Checkpoint struct {
	bun.BaseModel `bun:"table:audit_checkpoints" json:"-"`

	Chain string    `bun:"chain,pk" json:"chain"`
	Seq   int64     `bun:"seq,pk" json:"seq"`
	MAC   string    `bun:"mac" json:"mac"`
	At    time.Time `bun:"at" json:"at"`
	Proof string    `bun:"proof" json:"proof"` // that it was made here
}

func (c *Checkpoint) sum(key subkeys) string {
	return sum(key, "checkpoint", c.Chain, strconv.FormatInt(c.Seq, 10), c.MAC, strconv.FormatInt(c.At.UnixMicro(), 10))
}

func (k *keyring) vouchesFor(c *Checkpoint) bool { return k.made(c.Proof, c.sum) }

// checkpointEvery is for how long the latest entries may be cut off a chain, and
// its head be set back, without a log kept elsewhere showing it.
const checkpointEvery = 5 * time.Minute

// Checkpoint records how far the audit trail has got, in the database and in the
// log: whoever changes the database cannot change a log that is kept elsewhere.
func (s *Store) Checkpoint(ctx context.Context) error {
	moved := s.chains.moved()
	if err := s.keepPoints(ctx, moved); err != nil {
		return err
	}
	s.chains.keep(moved)
	return nil
}

func (s *Store) keepPoints(ctx context.Context, ends []chain) error {
	if len(ends) == 0 {
		return nil
	}
	points := make([]Checkpoint, len(ends))
	for i, end := range ends {
		points[i] = Checkpoint{Chain: end.id, Seq: end.seq, MAC: end.mac, At: s.Now().UTC().Truncate(time.Microsecond)}
		points[i].Proof = points[i].sum(s.keys.keys[0])
	}
	if _, err := s.db.NewInsert().Model(&points).On("CONFLICT (chain, seq) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("write audit checkpoints: %w", err)
	}
	for _, p := range points {
		s.Log.Info("audit checkpoint", "chain", p.Chain, "seq", p.Seq, "mac", p.MAC, "at", p.At, "proof", p.Proof)
	}
	return nil
}

// checkpointOthers makes up for the last checkpoint of chains whose process was
// killed. That it may mark those of other instances too does no harm.
func (s *Store) checkpointOthers(ctx context.Context) error {
	var last []auditRow
	err := s.reads.NewSelect().Model(&last).
		Join("JOIN (SELECT chain, max(seq) AS seq FROM audit WHERE chain <> '' GROUP BY chain) AS e ON e.chain = audit_row.chain AND e.seq = audit_row.seq").
		Where("NOT EXISTS (SELECT 1 FROM audit_checkpoints AS c WHERE c.chain = audit_row.chain AND c.seq >= audit_row.seq)").Scan(ctx)
	if err != nil {
		return fmt.Errorf("look for open audit chains: %w", err)
	}
	var ends []chain
	for i := range last {
		if s.keys.vouches(&last[i]) { // or else verify will say so
			ends = append(ends, chain{id: last[i].Chain, seq: last[i].Seq, mac: last[i].MAC})
		}
	}
	return s.keepPoints(ctx, ends)
}

// adopt chains the entries from before there were chains: only while
// there is no chain at all, or anybody could smuggle entries in that way.
func (tx *Tx) adopt(ctx context.Context) error {
	chained, err := tx.db.NewSelect().Model((*auditRow)(nil)).Where("chain <> ''").Exists(ctx)
	if err != nil || chained {
		return wrap(err, "look for audit chains")
	}
	for _, trace := range []any{(*Checkpoint)(nil), (*headRow)(nil), (*rollRow)(nil)} {
		if marked, err := tx.db.NewSelect().Model(trace).Exists(ctx); err != nil || marked {
			return wrap(err, "look for audit chains")
		}
	}
	var rows []auditRow
	q := tx.db.NewSelect().Model(&rows).Order("id")
	if tx.s.pg {
		q = q.For("UPDATE")
	}
	if err := q.Scan(ctx); err != nil {
		return fmt.Errorf("read audit: %w", err)
	}
	end := chain{id: rand.Text()}
	for i := range rows {
		row := &rows[i]
		if row.Chain != "" { // another instance has just done this
			return nil
		}
		end.seq++
		row.Chain, row.Seq, row.Prev = end.id, end.seq, end.mac
		end.mac = tx.s.keys.macOf(row)
		row.MAC = end.mac
		if _, err := tx.db.NewUpdate().Model(row).Column("chain", "seq", "prev_mac", "mac").WherePK().Exec(ctx); err != nil {
			return fmt.Errorf("chain audit: %w", err)
		}
	}
	return nil
}

func wrap(err error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
