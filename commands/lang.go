package commands

import (
	"context"

	"deskbell/bot"
	"deskbell/store"
)

// lang sets the language of replies, this one included: "/lang en".
var lang = Command{
	Name:  "lang",
	Alias: []string{"语言"},
	Usage: "<lang:zh|en>",
	Level: bot.Anyone,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		if err := tx.SetLang(ctx, r.User.ID, r.Arg("lang")); err != nil {
			return bot.Reply{}, err
		}
		r.User.Lang = r.Arg("lang") // the runner words the reply after this
		return bot.Text("lang", nil), nil
	},
}
