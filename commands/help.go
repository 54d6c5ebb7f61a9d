package commands

import (
	"context"
	"strings"

	"deskbell/bot"
	"deskbell/store"
)

// help lists what the person may run, or explains one command: "/help status".
var help = Command{
	Name:  "help",
	Alias: []string{"帮助"},
	Usage: "[command]",
	Level: bot.Anyone,
	Run: func(_ context.Context, _ *store.Tx, r *Request) (bot.Reply, error) {
		if !r.Has("command") {
			return bot.Text("help", menu{Commands: r.Visible()}), nil
		}
		may := r.Visible()
		name := strings.TrimLeft(r.Arg("command"), "/／") // as people type it
		c := find(name, may)
		if c == nil {
			return bot.Reply{}, unknown(name, may)
		}
		return bot.Text("help.one", manual{Name: c.Name, Usage: c.grammar.line(), Alias: c.Alias}), nil
	},
}

// menu is the data of texts that list what a person can say.
type menu struct {
	Name     string // the person's, where the text greets them
	Commands []*Command
}

// manual is the data of help.one.
type manual struct {
	Name, Usage string
	Alias       []string
}
