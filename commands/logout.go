package commands

import (
	"context"
	"strconv"

	"deskbell/bot"
	"deskbell/store"
)

// logout ends the sign-ins that began in the chat, "/logout all" every one.
var logout = Command{
	Name:  "logout",
	Alias: []string{"退出"},
	Usage: "[all:all]",
	Level: bot.Anyone,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		all := r.Has("all")
		n, err := tx.RevokeTokens(ctx, r.User.ID, all)
		if err != nil {
			return bot.Reply{}, err
		}
		which := "chat"
		if all {
			which = "all"
		}
		tx.Audit(store.AuditEntry{
			Actor: r.User.ID, Action: "tokens.revoke", Target: r.User.ID,
			Detail: which + " " + strconv.Itoa(n),
		})
		return bot.Text("logout", farewell{All: all, Count: n}), nil
	},
}

// farewell is the data of logout.
type farewell struct {
	All   bool
	Count int
}
