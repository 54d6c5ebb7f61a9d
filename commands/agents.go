package commands

import (
	"context"

	"deskbell/bot"
	"deskbell/store"
)

// agents lists who is at the desk: "/agents online".
var agents = Command{
	Name:  "agents",
	Alias: []string{"坐席"},
	Usage: "[status:online|busy|offline]",
	Level: bot.Agent,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		list, err := tx.Agents(ctx, r.Arg("status"))
		return bot.Text("agents", roster{Agents: list, Status: r.Arg("status")}), err
	},
}

// roster is the data of agents.
type roster struct {
	Agents []store.Agent
	Status string // the only one asked for, or ""
}
