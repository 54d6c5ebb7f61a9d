package commands

import (
	"context"

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
	if err := tx.CutOff(ctx, it.From, bot.Hidden); err != nil {
		return err
	}
	r.Directory.Forget(it.From)
	return nil
}
