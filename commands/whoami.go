package commands

import (
	"context"
	"errors"

	"deskbell/bot"
	"deskbell/store"
)

// whoami shows how the desk knows the sender.
var whoami = Command{
	Name:  "whoami",
	Alias: []string{"我是谁"},
	Level: bot.Anyone,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		self := identity{User: r.User}
		if r.User.Level >= bot.Agent {
			agent, err := tx.Agent(ctx, r.User.ID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return bot.Reply{}, err
			}
			if err == nil {
				self.Agent = &agent
			}
		}
		return bot.Text("whoami", self), nil
	},
}

// identity is the data of whoami; Agent is nil for a person with no status.
type identity struct {
	bot.User
	Agent *store.Agent
}
