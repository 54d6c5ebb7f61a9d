package commands

import (
	"context"

	"deskbell/bot"
	"deskbell/store"
)

// auditShown is how many entries fit into one message.
const auditShown = 20

// audit shows the latest entries of the trail, or those about one person:
// "/audit lilei".
var audit = Command{
	Name:  "audit",
	Alias: []string{"审计"},
	Usage: "[userid]",
	Level: bot.Admin,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		list, err := tx.AuditTrail(ctx, r.Arg("userid"), auditShown)
		return bot.Text("audit", trail{Entries: list, UserID: r.Arg("userid")}), err
	},
}

// trail is the data of audit.
type trail struct {
	Entries []store.AuditEntry
	UserID  string // the only person asked for, or ""
}
