package commands

import (
	"cmp"
	"context"
	"errors"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// share shows a bot to people outside, by a link: "/share new helper fair 7d".
var share = Command{
	Name:  "share",
	Alias: []string{"分享"},
	Usage: "[do:new|list|extend|revoke|qr] [what...]",
	Level: bot.Admin,
	Run:   listShares,
	Sub: []Command{
		{Name: "new", Alias: []string{"新建"}, Level: bot.Admin, Links: true, Usage: "<bot> [name] [ttl:duration] [ttl=duration]", Run: newShare},
		{Name: "list", Alias: []string{"列表"}, Level: bot.Admin, Run: listShares},
		{Name: "extend", Alias: []string{"延长"}, Level: bot.Admin, Usage: "<id> [ttl:duration]", Run: extendShare},
		{Name: "revoke", Alias: []string{"撤销"}, Level: bot.Admin, Usage: "<id>", Run: revokeShare},
		{Name: "qr", Alias: []string{"二维码"}, Level: bot.Admin, Usage: "<id>", Run: shareQR},
	},
}

// me is the sender as the one who owns bots.
func (r *Request) asker() store.Asker { return store.Asker{UserID: r.User.ID} }

func newShare(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	b, err := tx.BotNamed(ctx, r.Arg("bot"), r.asker())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return bot.Reply{}, bot.Fail(bot.NotFound, "share.bot", nil, err)
	case errors.Is(err, store.ErrExists):
		return bot.Reply{}, bot.Fail(bot.Invalid, "share.bot.many", nil, err)
	case errors.Is(err, store.ErrNotOwner):
		return bot.Reply{}, bot.Fail(bot.Denied, "share.bot.denied", nil, err)
	case err != nil:
		return bot.Reply{}, err
	}
	wish := store.NewShare{Bot: b.ID, Name: r.Arg("name")}
	if ttl := r.Duration("ttl"); ttl > 0 {
		wish.ExpiresAt = new(tx.Now.Add(ttl))
	}
	token, made, err := tx.CreateShare(ctx, wish, r.asker())
	if _, refused := errors.AsType[*store.BotError](err); refused {
		return bot.Reply{}, bot.Fail(bot.Invalid, "share.name", nil, err)
	}
	return bot.Card("share.new", shared{made, tx.ShareURL(token)}), err
}

// shared is the data of share.new.
type shared struct {
	store.Share
	URL string
}

const (
	shareCards = 5  // in answer to one command: WeCom drops what is too much
	shareLines = 20 // that fit into one message
)

// listShares sends a card for each of the latest shares and names the others.
func listShares(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	list, err := tx.LiveShares(ctx, r.User.ID)
	if err != nil {
		return bot.Reply{}, err
	}
	for _, sh := range list[:min(len(list), shareCards)] {
		if err := tx.Tell(ctx, r.User.ID, bot.Card("share", sh)); err != nil {
			return bot.Reply{}, err
		}
	}
	shown := shareList{Count: len(list), Shares: list[min(len(list), shareCards):]}
	if shown.More = max(0, len(shown.Shares)-shareLines); shown.More > 0 {
		shown.Shares = shown.Shares[:shareLines]
	}
	return bot.Text("share", shown), nil
}

// shareList is the data of share.
type shareList struct {
	Count  int           // that are good
	Shares []store.Share // that got no card
	More   int           // that are not shown at all
}

// extension is for how long a share is good again, unless they say.
const extension = 7 * 24 * time.Hour

func extendShare(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	id, err := tx.ShareID(ctx, r.Arg("id"), r.User.ID)
	if err != nil {
		return bot.Reply{}, noShare(err)
	}
	sh, err := tx.ExtendShare(ctx, id, tx.Now.Add(cmp.Or(r.Duration("ttl"), extension)), r.asker())
	return bot.Card("share", sh), noShare(err)
}

func revokeShare(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	id, err := tx.ShareID(ctx, r.Arg("id"), r.User.ID)
	if err != nil {
		return bot.Reply{}, noShare(err)
	}
	sh, err := tx.RevokeShare(ctx, id, r.asker())
	return bot.Card("share", sh), noShare(err)
}

// shareQR pushes the link as a picture, which may be passed on.
func shareQR(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	id, err := tx.ShareID(ctx, r.Arg("id"), r.User.ID)
	if err != nil {
		return bot.Reply{}, noShare(err)
	}
	sh, picture, err := tx.ShareQR(ctx, id, r.asker())
	if err != nil {
		return bot.Reply{}, noShare(err)
	}
	return bot.Text("share.qr", sh), tx.Push(ctx, bot.Outgoing{To: r.User.ID, Image: picture})
}

// noShare words why there is no such share; of somebody else's there is none.
func noShare(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrNotOwner):
		return bot.Fail(bot.NotFound, "share.unknown", nil, err)
	case errors.Is(err, store.ErrEnded):
		return bot.Fail(bot.Conflict, "share.ended", nil, err)
	}
	return err
}
