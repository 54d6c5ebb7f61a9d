package store

import (
	"context"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// AuditEntry is something worth remembering that somebody did.
type AuditEntry struct {
	At     time.Time // set by Audit
	Actor  string    // userid
	Action string    // noun.verb, as in status.set
	Target string    // userid or id of what it was done to
	Result string    // "ok" when empty
	Detail string    // never a secret
}

type auditRow struct {
	bun.BaseModel `bun:"table:audit"`

	ID     int64     `bun:"id,pk,autoincrement"`
	At     time.Time `bun:"at"`
	Actor  string    `bun:"actor"`
	Action string    `bun:"action"`
	Target string    `bun:"target"`
	Result string    `bun:"result"`
	Detail string    `bun:"detail"`
	Chain  string    `bun:"chain"`
	Seq    int64     `bun:"seq"`      // from 1, without gaps in a chain
	Prev   string    `bun:"prev_mac"` // the MAC of the entry before
	MAC    string    `bun:"mac"`      // over all of the above but the id
}

// Audit records e with the effect of this transaction: there is no effect
// without its entry, and no entry without its effect.
func (tx *Tx) Audit(e AuditEntry) {
	if e.Result == "" {
		e.Result = "ok"
	}
	tx.audits = append(tx.audits, auditRow{At: tx.Now.Truncate(time.Microsecond), Actor: bot.Canonical(e.Actor), Action: e.Action, Target: bot.Canonical(e.Target), Result: e.Result, Detail: e.Detail})
}

func (tx *Tx) writeAudit(text []byte) ([]byte, error) {
	if len(tx.audits) == 0 {
		return text, nil
	}
	tx.link()
	return tx.insert(text, &tx.audits, "id")
}

// AuditTrail lists the latest n entries, newest first: those a person made or
// was the target of, or everybody's for "". What this transaction itself did is
// not in it yet.
func (tx *Tx) AuditTrail(ctx context.Context, userID string, n int) ([]AuditEntry, error) {
	q := tx.db.NewSelect().Table("audit").Column("at", "actor", "action", "target", "result", "detail").Order("id DESC").Limit(n)
	if userID != "" {
		q = q.Where("actor = ?0 OR target = ?0", bot.Canonical(userID))
	}
	var list []AuditEntry
	if err := q.Scan(ctx, &list); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	return list, nil
}
