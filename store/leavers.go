package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"deskbell/bot"
)

const (
	// sweepEvery is how old the directory's word on a person may get: below the
	// five minutes within which a leaver is out, by the time a round may be late.
	sweepEvery = 4 * time.Minute
	// WeCom allows 150,000 calls of one kind an hour (document 90312). The sweep
	// stays below that, at so many questions a second: enough for 8,400 people.
	sweepSlowest, sweepFastest = 10, 35
	// sweepLease is how long an instance sweeps for all of them.
	sweepLease = 30 * time.Second
	// askAgainAfter is how long the sweep leaves somebody alone about whom the
	// directory gave no answer.
	askAgainAfter = 20 * time.Second
)

// Leavers finds out who left, also when no event says so: one of the instances
// asks the directory about everybody who is active here, every four minutes,
// spread over that time. And each instance hears from the store of the
// departures that others came to know of, so that its memory of the directory
// lets nobody in for longer than a moment.
type Leavers struct {
	Directory *Directory

	holder  string
	until   time.Time            // the lease is held for so long
	met     bool                 // the people named by the rules are known
	pace    int                  // questions a second
	paced   time.Time            // when that was worked out
	putOff  map[string]time.Time // no answer lately
	problem time.Time            // when the log last heard of it
}

// Run watches until ctx ends.
func (l *Leavers) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.Step(ctx); err != nil && ctx.Err() == nil && l.now().Sub(l.problem) > time.Minute {
			l.problem = l.now()
			l.Directory.Store.Log.Warn("looking for people who left", "err", err)
		}
	}
}

func (l *Leavers) now() time.Time { return l.Directory.Store.Now() }

// Step does what is due within a second.
func (l *Leavers) Step(ctx context.Context) error {
	if err := l.follow(ctx); err != nil {
		return err
	}
	mine, err := l.lease(ctx)
	if err != nil || !mine {
		return err
	}
	if !l.met {
		l.meet(ctx)
		l.met = true
	}
	return l.sweep(ctx)
}

// follow forgets what the directory said of people before they left.
func (l *Leavers) follow(ctx context.Context) error {
	left, err := l.Directory.Store.departed(ctx, l.now().Add(-time.Minute))
	for id, at := range left {
		l.Directory.forgetBefore(id, at)
	}
	return err
}

// lease makes sure that one instance sweeps. Two at once would only ask twice.
func (l *Leavers) lease(ctx context.Context) (bool, error) {
	l.holder = cmp.Or(l.holder, rand.Text())
	now := l.now().UTC()
	if l.until.Sub(now) > sweepLease/2 {
		return true, nil
	}
	until := now.Add(sweepLease)
	res, err := l.Directory.Store.db.NewRaw(`INSERT INTO leases (name, holder, until) VALUES ('leavers', ?0, ?1)
		ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, until = EXCLUDED.until WHERE leases.holder = ?0 OR leases.until < ?2 OR leases.until > ?3`,
		l.holder, until, now, now.Add(10*sweepLease) /* by a clock that was wrong */).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("take the lease: %w", err)
	}
	n, err := res.RowsAffected()
	if n == 0 || err != nil {
		return false, err
	}
	l.until = until
	return true, nil
}

// meet gets to know the people whom the rules name by userid, so that
// administrators who never said anything are told things as well.
func (l *Leavers) meet(ctx context.Context) {
	rules := l.Directory.Store.Roles
	for _, id := range slices.Concat(rules.Admin.Users, rules.Agent.Users) {
		if _, err := l.Directory.Person(ctx, id); err != nil && ctx.Err() == nil {
			l.Directory.Store.Log.Warn("a role rule names somebody the directory says nothing of", "user", id, "err", err)
		}
	}
}

// sweep asks about those whom the directory was not asked about for longest.
func (l *Leavers) sweep(ctx context.Context) error {
	due, err := l.due(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	hands := make(chan struct{}, 8)
	for _, row := range due {
		hands <- struct{}{}
		asking.Go(func() {
			defer func() { <-hands }()
			if asked := l.ask(ctx, row); asked != nil {
				mu.Lock()
				defer mu.Unlock()
				l.putOff[row.ID], err = l.now(), asked
			}
		})
	}
	asking.Wait()
	return err
}

func (l *Leavers) ask(ctx context.Context, row personRow) error {
	q := l.Directory.askAnew(row.ID, row.UserID)
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// due lists whom to ask about in this second.
func (l *Leavers) due(ctx context.Context) ([]personRow, error) {
	s, now := l.Directory.Store, l.now()
	if l.putOff == nil {
		l.putOff = map[string]time.Time{}
	}
	for id, at := range l.putOff {
		if now.Sub(at) >= askAgainAfter {
			delete(l.putOff, id)
		}
	}
	if now.Sub(l.paced) >= time.Minute {
		active, err := s.reads.NewSelect().Model((*personRow)(nil)).Where("state = ?", bot.Active).Count(ctx)
		if err != nil {
			return nil, fmt.Errorf("count people: %w", err)
		}
		l.pace = min(max(active/int(sweepEvery/2/time.Second), sweepSlowest), sweepFastest)
		l.paced = now
	}
	var rows []personRow
	err := s.reads.NewSelect().Model(&rows).Column("id", "user_id").Where("state = ?", bot.Active).Where("checked_at <= ?", now.UTC().Add(-sweepEvery)).
		Order("checked_at").Limit(l.pace + len(l.putOff)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for people to ask about: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(row personRow) bool { _, off := l.putOff[row.ID]; return off })
	return rows[:min(len(rows), l.pace)], nil
}
