package store

import (
	"context"
	"fmt"
	"slices"
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
		if err := s.RemindShares(ctx); err != nil && ctx.Err() == nil {
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

// Purge removes what is past its time, in bites of at most 500 rows that others
// get in between.
func (s *Store) Purge(ctx context.Context) error {
	for _, purge := range []func(context.Context) (int64, error){s.wipeReplies, s.purgeInbox, s.purgeOutbox, s.purgeTokens, s.purgeAppTokens, s.purgeLogins, s.purgePrompts, s.purgeSignIns, s.purgeConversations, s.purgeMedia, s.purgeHeld, s.purgeBroadcasts} {
		for range 200 { // as many in a minute as come in at 1,600 a second
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

// replyKept is how long the answer to a message waits for another delivery of
// it. WeCom's retries end within a minute.
const replyKept = time.Hour

// wipeReplies forgets what messages were answered with. It goes through them
// once, in their order, so that no index has to be kept for it.
func (s *Store) wipeReplies(ctx context.Context) (int64, error) {
	before, from := s.Now().UTC().Add(-replyKept), s.wiped.Load()
	var rows []inboxRow
	if err := s.reads.NewSelect().Model(&rows).Column("seq", "received_at").Where("seq > ?", from).Order("seq").Limit(500).Scan(ctx); err != nil {
		return 0, err
	}
	if young := slices.IndexFunc(rows, func(r inboxRow) bool { return r.ReceivedAt.After(before) }); young >= 0 {
		rows = rows[:young]
	}
	if len(rows) == 0 {
		return 0, nil
	}
	to := rows[len(rows)-1].Seq
	if _, err := s.db.NewUpdate().Model((*inboxRow)(nil)).Set("reply = ''").Where("seq > ?", from).Where("seq <= ?", to).
		Where("reply <> ''").Where("done_at <= ?", before).Exec(ctx); err != nil {
		return 0, err
	}
	s.wiped.Store(to)
	return int64(len(rows)), nil
}
