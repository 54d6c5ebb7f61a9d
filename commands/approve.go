package commands

import (
	"context"

	"deskbell/bot"
	"deskbell/store"
)

// approve is a press on the card that asks a person whether it is them who is
// signing in somewhere: one of the numbers on it, or no. The card then shows
// what was decided.
var approve = Command{
	Name:  "approve",
	Usage: "<login> <answer>",
	Level: bot.Anyone,
	Press: true,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		number := r.Arg("answer")
		if number == "no" {
			number = ""
		}
		asked, err := tx.DecideLogin(ctx, r.User, r.Card.TaskID, r.Arg("login"), number)
		return bot.Card("login.answered", asked), err
	},
}
