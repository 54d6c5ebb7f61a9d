package commands

import (
	"context"

	"deskbell/bot"
	"deskbell/store"
)

// password sends a link to the page that sets the sender's local password. A
// password has no place in a chat: one that is typed is refused, and kept nowhere.
var password = Command{
	Name:  "password",
	Alias: []string{"密码"},
	Alone: "password.typed",
	Level: bot.Agent,
	Links: true,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		link, err := tx.NewPasswordLink(ctx, r.User)
		return bot.Card("password", ticket{
			ID: r.User.ID, Name: r.User.Name, URL: link.URL, For: link.Expires.Sub(tx.Now),
		}), err
	},
}
