package commands

import (
	"context"
	"errors"

	"deskbell/bot"
	"deskbell/store"
)

// welcome greets a person who opened the app, at most once a day.
func (r *Runner) welcome(ctx context.Context, tx *store.Tx, user bot.User) (bot.Reply, error) {
	due, err := tx.Welcome(ctx, user.ID)
	if err != nil || !due {
		return bot.Reply{}, err
	}
	return bot.Text("welcome", menu{Name: user.Name, Commands: r.table.visible(user.Level)}), nil
}

// leaver cuts off a person who can no longer see the app: they left, were
// disabled, or were taken out of its visible range (document 90240).
func (r *Runner) leaver(ctx context.Context, tx *store.Tx, it store.Item) error {
	if _, err := tx.RevokeTokens(ctx, it.From, true); err != nil {
		return err
	}
	if _, err := tx.SetStatus(ctx, it.From, store.Offline, "", 0); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	tx.Audit(store.AuditEntry{Actor: it.From, Action: "person.leave", Target: it.From})
	r.Directory.Forget(it.From)
	return nil
}
