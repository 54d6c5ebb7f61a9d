package commands

import (
	"context"
	"errors"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// users manages the accounts of people outside, for whom bots are shared:
// "/user new kim". A password has no place in a chat: it goes out as a link to a
// page that makes it and shows it, once.
var users = Command{
	Name:  "user",
	Alias: []string{"客户"},
	Usage: "[do:new|list|reset|remove] [username]",
	Level: bot.Admin,
	Run:   listUsers,
	Sub: []Command{
		{Name: "new", Alias: []string{"新建"}, Level: bot.Admin, Links: true, Usage: "<username>", Run: newUser},
		{Name: "list", Alias: []string{"列表"}, Level: bot.Admin, Run: listUsers},
		{Name: "reset", Alias: []string{"重置"}, Level: bot.Admin, Links: true, Usage: "<username>", Run: resetUser},
		{Name: "remove", Alias: []string{"删除"}, Level: bot.Admin, Usage: "<username>", Run: removeUser},
	},
}

// usersShown is how many end users fit into one message.
const usersShown = 20

func listUsers(ctx context.Context, tx *store.Tx, _ *Request) (bot.Reply, error) {
	list, err := tx.EndUsers(ctx, usersShown+1)
	shown := userList{Users: list}
	if len(list) > usersShown {
		shown = userList{list[:usersShown], true}
	}
	return bot.Text("user", shown), err
}

// userList is the data of user.
type userList struct {
	Users []store.Account
	More  bool // than are shown
}

func newUser(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	a, err := tx.CreateEndUser(ctx, r.Arg("username"), r.User.Key())
	if errors.Is(err, store.ErrExists) {
		return bot.Reply{}, bot.Fail(bot.Conflict, "user.taken", nil, err)
	}
	if _, refused := errors.AsType[*store.AccountError](err); refused {
		return bot.Reply{}, bot.Fail(bot.Invalid, "user.name", nil, err)
	}
	if err != nil {
		return bot.Reply{}, err
	}
	return handOver(ctx, tx, a)
}

func resetUser(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	a, err := endUser(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	if err := tx.ResetEndUser(ctx, a.UID, r.User.Key()); err != nil {
		return bot.Reply{}, err
	}
	return handOver(ctx, tx, a)
}

func removeUser(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	a, err := endUser(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	return bot.Text("user.removed", a), tx.DeleteEndUser(ctx, a.UID, r.User.Key())
}

// endUser is the end user a command is about; other accounts are unknown to it.
func endUser(ctx context.Context, tx *store.Tx, r *Request) (store.Account, error) {
	a, err := tx.EndUser(ctx, r.Arg("username"))
	if errors.Is(err, store.ErrNotFound) {
		return a, bot.Fail(bot.NotFound, "user.unknown", nil, err)
	}
	return a, err
}

// handOver answers with the link to a new password.
func handOver(ctx context.Context, tx *store.Tx, a store.Account) (bot.Reply, error) {
	link, err := tx.NewHandOver(ctx, a.UID)
	return bot.Card("user", account{Username: a.Username, URL: link.URL, For: link.Expires.Sub(tx.Now)}), err
}

// account is the data of the user card.
type account struct {
	Username, URL string
	For           time.Duration
}
