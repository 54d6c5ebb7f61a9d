package commands

import (
	"context"
	"errors"

	"deskbell/bot"
	"deskbell/store"
)

// tokensShown is how many tokens fit into one message.
const tokensShown = 20

// token shows the access tokens that are good, or ends one: "/token list",
// "/token revoke 1a2b3c4d". Everybody has their own; an administrator has all,
// or those of one person: "/token list lilei".
var token = Command{
	Name:  "token",
	Alias: []string{"令牌"},
	Usage: "[do:list|revoke] [which]",
	Level: bot.Anyone,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		if r.Arg("do") == "revoke" {
			return endToken(ctx, tx, r)
		}
		return listTokens(ctx, tx, r)
	},
}

func listTokens(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	whose := r.Arg("which")
	if r.User.Level < bot.Admin {
		if whose != "" && bot.Canonical(whose) != r.User.Key() {
			return bot.Reply{}, bot.Fail(bot.Denied, "token.denied", nil, nil)
		}
		whose = r.User.ID
	}
	list, err := tx.Tokens(ctx, store.TokenQuery{Person: whose, Limit: tokensShown + 1})
	shown := tokens{Tokens: list, All: whose == "", UserID: whose, Own: bot.Canonical(whose) == r.User.Key()}
	if len(list) > tokensShown {
		shown.Tokens, shown.More = list[:tokensShown], true
	}
	return bot.Text("token", shown), err
}

// tokens is the data of token.
type tokens struct {
	Tokens []store.Token
	All    bool   // everybody's
	UserID string // or whose
	Own    bool   // the person's own
	More   bool   // than are shown
}

func endToken(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	if !r.Has("which") {
		return bot.Reply{}, bot.Fail(bot.Invalid, "error.usage", misuse{Usage: "/token revoke <id>"}, nil)
	}
	owner := r.User.ID
	if r.User.Level == bot.Admin {
		owner = "" // anybody's
	}
	err := tx.EndToken(ctx, r.Arg("which"), owner, r.User.Key())
	if errors.Is(err, store.ErrNotFound) {
		return bot.Reply{}, bot.Fail(bot.NotFound, "token.unknown", nil, err)
	}
	return bot.Text("token.revoked", nil), err
}
