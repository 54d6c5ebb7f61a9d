package store

import (
	"context"
	"fmt"
	"time"

	"deskbell/bot"
)

// AuditQuery asks for entries of the audit trail, the newest first.
type AuditQuery struct {
	Person string    // who did it or to whom it was done: a userid, or as entries name others
	Action string    // an action, or what several begin with
	From   time.Time // not before
	To     time.Time // before
	Before int64     // only those older than the entry with this id
	Limit  int
}

// AuditPage is a part of the trail. Next, when it is not 0, is the Before of the
// following part; it can be there although this one is empty.
type AuditPage struct {
	Entries []AuditFound
	Next    int64
}

// AuditFound is an entry and where it is in the trail.
type AuditFound struct {
	ID int64
	AuditEntry
}

// auditStretch is how many entries one query goes through, at most: what is
// rare must not make it read years of the trail.
const auditStretch = 20000

// auditSkew is how far the time of an entry may be from that of its neighbours:
// it is when its transaction began, and they are in the order they ended in.
const auditSkew = time.Minute

// FindAudit gives a part of the trail.
func (s *Store) FindAudit(ctx context.Context, q AuditQuery) (page AuditPage, err error) {
	first, last, err := s.auditRange(ctx, q)
	if err != nil {
		return page, err
	}
	stretch := last - first
	if q.Person == "" { // otherwise there is an index
		stretch = min(stretch, auditStretch)
	}
	query := s.reads.NewSelect().Table("audit").Column("id", "at", "actor", "action", "target", "result", "detail").
		Where("id < ?", last).Where("id >= ?", last-stretch).Order("id DESC").Limit(q.Limit)
	if q.Person != "" {
		query = query.Where("actor = ?0 OR target = ?0", bot.Canonical(q.Person))
	}
	if q.Action != "" {
		query = query.Where("action"+likeEscape, beginning(q.Action))
	}
	if !q.From.IsZero() {
		query = query.Where("at >= ?", q.From.UTC())
	}
	if !q.To.IsZero() {
		query = query.Where("at < ?", q.To.UTC())
	}
	if err := query.Scan(ctx, &page.Entries); err != nil {
		return page, fmt.Errorf("search the audit trail: %w", err)
	}
	if len(page.Entries) == q.Limit {
		page.Next = page.Entries[q.Limit-1].ID
	} else if last-stretch > first {
		page.Next = last - stretch
	}
	return page, nil
}

// auditRange is between which ids the entries are that a query can mean: from
// first on, before last. The trail is in the order of time, nearly, so its
// primary key finds a time as well, and no index has to be kept for it.
func (s *Store) auditRange(ctx context.Context, q AuditQuery) (first, last int64, err error) {
	err = s.reads.NewRaw("SELECT COALESCE(min(id), 0), COALESCE(max(id) + 1, 0) FROM audit").Scan(ctx, &first, &last)
	if err != nil {
		return 0, 0, fmt.Errorf("search the audit trail: %w", err)
	}
	begin, end := first, last
	if !q.From.IsZero() {
		if first, err = s.auditFrom(ctx, begin, end, q.From.Add(-auditSkew)); err != nil {
			return 0, 0, err
		}
	}
	if !q.To.IsZero() {
		if last, err = s.auditFrom(ctx, begin, end, q.To.Add(auditSkew)); err != nil {
			return 0, 0, err
		}
	}
	if q.Before > 0 {
		last = min(last, q.Before)
	}
	return first, max(first, last), nil
}

// auditFrom is the id of the first entry between two ids that is not before at.
func (s *Store) auditFrom(ctx context.Context, low, high int64, at time.Time) (int64, error) {
	for low < high {
		middle := low + (high-low)/2
		var found []struct {
			ID int64     `bun:"id"`
			At time.Time `bun:"at"`
		}
		err := s.reads.NewSelect().Table("audit").Column("id", "at").Where("id >= ?", middle).Where("id < ?", high).Order("id").Limit(1).Scan(ctx, &found)
		if err != nil {
			return 0, fmt.Errorf("search the audit trail: %w", err)
		}
		if len(found) == 1 && found[0].At.Before(at) {
			low = found[0].ID + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
