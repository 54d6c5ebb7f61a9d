package commands

import (
	"context"
	"strings"

	"deskbell/bot"
	"deskbell/store"
)

// status shows or sets the sender's availability: "/status busy 30m lunch".
// With a duration it ends by itself. The card's buttons send these same words.
var status = Command{
	Name:  "status",
	Alias: []string{"状态"},
	Usage: "[status:online|busy|offline] [for:duration] [note...]",
	Level: bot.Agent,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		if !r.Has("status") {
			agent, err := tx.Agent(ctx, r.User.ID)
			return bot.Card("status", agent), err
		}
		agent, err := tx.SetStatus(ctx, r.User.ID, r.Arg("status"), r.Arg("note"), r.Duration("for"))
		if err != nil {
			return bot.Reply{}, err
		}
		tx.Audit(store.AuditEntry{
			Actor: r.User.ID, Action: "status.set", Target: r.User.ID,
			Detail: strings.TrimSpace(agent.Status + " " + r.Arg("for")), // the note is nobody else's business
		})
		return bot.Card("status", agent), nil
	},
}
