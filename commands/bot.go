package commands

import (
	"context"
	"errors"

	"deskbell/bot"
	"deskbell/store"
)

// bots shows or makes the bots that can be shared: "/bot new After-sales helper".
var bots = Command{
	Name:  "bot",
	Alias: []string{"机器人"},
	Usage: "[do:new|list] [name...]",
	Level: bot.Admin,
	Run:   listBots,
	Sub: []Command{
		{Name: "new", Alias: []string{"新建"}, Level: bot.Admin, Usage: "<name...>", Run: newBot},
		{Name: "list", Alias: []string{"列表"}, Level: bot.Admin, Run: listBots},
	},
}

// botsShown is how many bots fit into one message.
const botsShown = 20

func listBots(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	list, err := tx.Bots(ctx)
	if err != nil {
		return bot.Reply{}, err
	}
	shown := botList{More: max(0, len(list)-botsShown)}
	for _, b := range list[:len(list)-shown.More] {
		shown.Bots = append(shown.Bots, listedBot{b, b.Owner == r.User.Key()})
	}
	return bot.Text("bot", shown), nil
}

// botList is the data of bot.
type botList struct {
	Bots []listedBot
	More int // that are not shown
}

type listedBot struct {
	store.Bot
	Own bool // the person's own
}

func newBot(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	b, err := tx.NewBot(ctx, r.Arg("name"), nil, store.Asker{UserID: r.User.ID})
	if _, refused := errors.AsType[*store.BotError](err); refused {
		return bot.Reply{}, bot.Fail(bot.Invalid, "bot.name", nil, err)
	}
	return bot.Text("bot.made", b), err
}
