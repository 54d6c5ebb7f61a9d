package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// sealedColumn is a column of values that depend on a key, and what it takes to
// seal one anew.
type sealedColumn struct {
	what   string // as `keys status` calls it
	table  string
	column string
	where  string   // rows that hold a value worth keeping
	kept   bool     // nobody starts without its keys; the others go by themselves in hours
	row    []string // columns that name a row
	bound  func(row []string) string
	lasts  bool   // what depends on a key does so for as long as it is there
	at     int    // where in the value the key's id begins, 1 unless set
	kind   string // of the token that the value is, which the column hash finds it by
}

// sealed lists them all. Passwords cannot be sealed anew, as nobody knows them:
// each is when its owner signs in.
var sealed = []sealedColumn{
	{what: "one-time passwords", table: "otp", column: "secret", where: "secret <> ''", kept: true, row: []string{"person"}, bound: func(r []string) string { return otpRow{Person: r[0]}.bound() }},
	{what: "recovery codes", table: "recovery_codes", column: "hash", where: "hash <> ''", kept: true, row: []string{"person", "n"}, bound: func(r []string) string { return recoveryBound(r[0], r[1]) }},
	{what: "passwords of devices", table: "device_configs", column: "password", where: "password <> ''", kept: true, row: []string{"id"}, bound: func(r []string) string { return configPlace(r[0]) }},
	{what: "media of people", table: "media", column: "secret", where: "secret <> ''", kept: true, row: []string{"id"}, bound: func(r []string) string { return mediaPlace(r[0]) }},
	{what: "tokens shared with the service desk", table: "tokens", column: "shared", where: "shared <> ''", row: []string{"id"}, bound: func(r []string) string { return sharedPlace(r[0]) }},
	{what: "share links", table: "share_tokens", column: "link", where: "link <> ''", row: []string{"id"}, bound: func(r []string) string { return sharePlace(r[0]) }, kind: kindShare},
	{what: "messages not delivered", table: "outbox", column: "body", where: "body <> ''", row: []string{"id", "digest"}, bound: func(r []string) string { return "outbox/" + r[1] }},
	{what: "cards that may be updated", table: "outbox", column: "response_code", where: "response_code <> ''", row: []string{"id"}, bound: func(r []string) string { return "response/" + r[0] }},
	{what: "messages not answered", table: "inbox", column: "message", where: "done_at IS NULL", row: []string{"seq", "key"}, bound: func(r []string) string { return "inbox/" + r[1] }},
	{what: "passwords of people", table: "passwords", column: "hash", where: "hash LIKE '" + ourHash + ".%'", at: len(ourHash) + 2},
	{what: "passwords of accounts", table: "accounts", column: "password", where: "password LIKE '" + ourHash + ".%'", at: len(ourHash) + 2},
	{what: "audit entries", table: "audit", column: "mac", where: "mac <> ''", lasts: true},
	{what: "audit heads", table: "audit_heads", column: "proof", where: "proof <> ''", lasts: true},
	{what: "audit roll", table: "audit_roll", column: "proof", where: "proof <> ''", lasts: true},
	{what: "audit checkpoints", table: "audit_checkpoints", column: "proof", where: "proof <> ''", lasts: true},
}

// keyID is SQL for the id of the key that a value depends on.
func (c sealedColumn) keyID() schema.QueryWithArgs {
	return bun.SafeQuery("substr(?, ?, 8)", bun.Ident(c.column), max(c.at, 1))
}

// KeyUse is how many values a key has sealed.
type KeyUse struct {
	What  string
	Key   string
	Rows  int
	First bool // it is security.encryption_key
	Known bool // it is configured
	Fixed bool // RotateKeys does not change these
	Lasts bool // and nothing else does: the key is needed for as long as they are
}

// KeyUses counts, for everything that is sealed, the values by key.
func (s *Store) KeyUses(ctx context.Context) ([]KeyUse, error) {
	var all []KeyUse
	for _, c := range sealed {
		uses, err := s.keyUses(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, uses...)
	}
	return all, nil
}

func (s *Store) keyUses(ctx context.Context, c sealedColumn) ([]KeyUse, error) {
	var uses []KeyUse
	err := s.reads.NewSelect().TableExpr(c.table).ColumnExpr("? AS key", c.keyID()).ColumnExpr("count(*) AS rows").
		Where(c.where).GroupExpr("1").OrderExpr("1").Scan(ctx, &uses)
	if err != nil {
		return nil, fmt.Errorf("count %s by key: %w", c.what, err)
	}
	for i := range uses {
		uses[i].What, uses[i].Fixed, uses[i].Lasts = c.what, c.bound == nil, c.lasts
		uses[i].First = uses[i].Key == s.keys.keys[0].id
		uses[i].Known = s.keys.named(uses[i].Key) != nil
	}
	return uses, nil
}

// lostKeys refuses a configuration without a key that something kept is sealed
// with.
func (s *Store) lostKeys(ctx context.Context) error {
	var lost []string
	for _, c := range sealed {
		if !c.kept {
			continue
		}
		uses, err := s.keyUses(ctx, c)
		if err != nil {
			return err
		}
		for _, u := range uses {
			if !u.Known {
				lost = append(lost, fmt.Sprintf("key %s, which sealed %d %s", u.Key, u.Rows, u.What))
			}
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("the configuration lacks %s: put it back into security.old_encryption_keys", strings.Join(lost, "; "))
}

// rotateBite is how many values are sealed anew in one transaction: few, so that
// nobody waits for it.
const rotateBite = 100

// RotateKeys seals everything anew that another key than the first has sealed,
// while servers go on using it, and counts the values. Servers must have the
// first key already, at least among the old ones.
func (s *Store) RotateKeys(ctx context.Context) (n int, err error) {
	for _, c := range sealed {
		if c.bound == nil {
			continue
		}
		var failed int
		var last error
		for {
			done, broken, total, err := s.rotate(ctx, c, failed)
			if err != nil {
				return n, fmt.Errorf("rotate %s: %w", c.what, err)
			}
			n += done
			if broken != nil {
				last = broken
			}
			if failed += total - done; total < rotateBite {
				break
			}
		}
		if last != nil {
			return n, fmt.Errorf("rotate %s: %d values cannot be opened: %w", c.what, failed, last)
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, s.Tx(ctx, func(tx *Tx) error {
		tx.Audit(AuditEntry{Actor: "host", Action: "keys.rotate", Target: s.keys.keys[0].id, Detail: fmt.Sprintf("%d values", n)})
		return nil
	})
}

// rotate seals one bite of a column anew, beginning behind the rows that are
// known to be broken.
func (s *Store) rotate(ctx context.Context, c sealedColumn, skip int) (done int, broken error, total int, err error) {
	err = s.Tx(ctx, func(tx *Tx) error {
		q := tx.db.NewSelect().TableExpr(c.table).ColumnExpr("?", bun.Ident(c.column)).Where(c.where).
			Where("? <> ?", c.keyID(), s.keys.keys[0].id).Limit(rotateBite).Offset(skip)
		for _, name := range c.row {
			q = q.ColumnExpr("CAST(? AS TEXT)", bun.Ident(name)).OrderExpr("?", bun.Ident(name))
		}
		rows, err := q.Rows(ctx)
		if err != nil {
			return err
		}
		var bite [][]string
		for rows.Next() {
			row := make([]string, 1+len(c.row))
			into := make([]any, len(row))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				return err
			}
			bite = append(bite, row)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		total = len(bite)
		for _, row := range bite {
			old, name := row[0], row[1:]
			plain, err := s.keys.open(c.bound(name), old)
			if err != nil {
				broken = err
				continue
			}
			q := tx.db.NewUpdate().TableExpr(c.table).Set("? = ?", bun.Ident(c.column), s.keys.seal(c.bound(name), plain)).
				Where("? = ?", bun.Ident(c.column), old) // or it was written meanwhile, with the first key
			if c.kind != "" {
				q = q.Set("hash = ?", s.keys.digest(c.kind, string(plain)))
			}
			for i, column := range c.row {
				q = q.Where("? = ?", bun.Ident(column), name[i])
			}
			if _, err := q.Exec(ctx); err != nil {
				return err
			}
			done++
		}
		return nil
	})
	return done, broken, total, err
}
