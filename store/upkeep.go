package store

import (
	"context"
	"fmt"
	"time"

	"deskbell/bot"
)

// Upkeep does what time asks for, until ctx ends: statuses return when they are
// due, and what was kept long enough goes, in small bites.
func (s *Store) Upkeep(ctx context.Context) {
	if err := s.checkpointOthers(ctx); err != nil && ctx.Err() == nil {
		s.Log.Warn("upkeep", "err", err)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.ReturnStatuses(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("upkeep", "err", err)
		}
		if err := s.ShareDue(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("upkeep", "err", err)
		}
		if n%int(shareEvery/time.Second) == 0 {
			if err := s.ShareAll(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("upkeep", "err", err)
			}
		}
		if err := s.ExpireOTP(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("upkeep", "err", err)
		}
		if n%60 == 0 {
			if err := s.Purge(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("upkeep", "err", err)
			}
		}
		if n%int(checkpointEvery/time.Second) == 0 {
			if err := s.Checkpoint(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("upkeep", "err", err)
			}
		}
	}
}

// ReturnStatuses ends the timed statuses that are due and tells their agents.
func (s *Store) ReturnStatuses(ctx context.Context) error {
	var due int
	err := s.reads.NewSelect().Model((*Agent)(nil)).ColumnExpr("count(*)").Where("until <= ?", s.Now().UTC()).Scan(ctx, &due)
	if err != nil || due == 0 {
		return err
	}
	return s.Tx(ctx, func(tx *Tx) error {
		list, err := tx.Returned(ctx)
		if err != nil {
			return err
		}
		for _, a := range list {
			tx.Audit(AuditEntry{Actor: a.ID, Action: "status.return", Target: a.ID, Detail: a.Status})
			if err := tx.Tell(ctx, a.ID, bot.Text("status.returned", a)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Purge removes what is past its time, a bounded number of rows at a time.
func (s *Store) Purge(ctx context.Context) error {
	for _, purge := range []func(context.Context) (int64, error){s.purgeInbox, s.purgeOutbox, s.purgeTokens, s.purgeLogins, s.purgePrompts, s.purgeSignIns} {
		for range 20 {
			n, err := purge(ctx)
			if err != nil {
				return fmt.Errorf("purge: %w", err)
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}
