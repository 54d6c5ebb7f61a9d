package commands

import (
	"context"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// login sends a link that signs the sender in on the web: "/login /chat".
var login = Command{
	Name:  "login",
	Alias: []string{"登录"},
	Usage: "[path]",
	Level: bot.Anyone,
	Links: true,
	Check: func(r *Request) error {
		_, err := store.LinkPath(r.Arg("path"), r.User.Level)
		return err
	},
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		path, err := store.LinkPath(r.Arg("path"), r.User.Level)
		if err != nil {
			return bot.Reply{}, err
		}
		link, err := tx.NewLink(ctx, r.User, path)
		return bot.Card("login", ticket{
			ID: r.User.ID, Name: r.User.Name, Path: path,
			URL: link.URL, For: link.Expires.Sub(tx.Now),
		}), err
	},
}

// ticket is the data of the login card.
type ticket struct {
	ID, Name string // whom it is for
	Path     string // which page it opens
	URL      string
	For      time.Duration
}
