package commands

import (
	"cmp"
	"context"
	"errors"

	"deskbell/bot"
	"deskbell/store"
)

// talk puts what somebody says without a slash, or sends, into their session.
// Whoever answers several is asked which one is meant, and what they said is
// kept until they choose. It is said once, however often the message comes.
func talk(ctx context.Context, tx *store.Tx, user bot.User, m bot.Message) (bot.Reply, error) {
	by, w := store.PartyOf(user), store.Words{Content: m.Text, Nonce: m.Key}
	c, live, err := tx.Current(ctx, by)
	if errors.Is(err, store.ErrNotFound) {
		return bot.Text("hint.noslash", nil), nil
	}
	if m.Media.Kind != bot.NoMedia && (err == nil || errors.Is(err, store.ErrChoose)) {
		var unwanted error
		if w.Media, unwanted = tx.WantMedia(ctx, m); unwanted != nil {
			return bot.Reply{}, unwanted
		}
		w.Content = cmp.Or(bot.FileName(m.Media.Name), string(m.Media.Kind)) // only files have names
	}
	switch {
	case errors.Is(err, store.ErrChoose):
		return askWhich(ctx, tx, by, w)
	case err != nil:
		return bot.Reply{}, err
	}
	first := c.SaidAt.Equal(c.CreatedAt)
	if _, _, err := tx.Say(ctx, c, by, w); errors.Is(err, store.ErrEmpty) {
		return bot.Text("hint.noslash", nil), nil
	} else if err != nil {
		return bot.Reply{}, noSession(err)
	}
	own := c.Asker == by.Key
	if !own {
		if err := tx.Stay(ctx, c, by); err != nil {
			return bot.Reply{}, err
		}
	}
	switch {
	case !own || len(live) > 1:
		return bot.Text("session.sent", sessionLine{Conversation: c, Own: own}), nil
	case c.Status == store.Queued && first:
		if c, err = tx.Conversation(ctx, c.ID, by); err != nil { // for its place
			return bot.Reply{}, err
		}
		return bot.Text("session.waiting", c), nil
	}
	return bot.Reply{}, nil // it is with an agent, who reads it
}

// askWhich keeps what somebody said and asks where it goes.
func askWhich(ctx context.Context, tx *store.Tx, by store.Party, w store.Words) (bot.Reply, error) {
	held, err := tx.Hold(ctx, by, w)
	if err != nil {
		return bot.Reply{}, noSession(err)
	}
	list, err := mine(ctx, tx, by)
	if err != nil {
		return bot.Reply{}, err
	}
	list.Held, list.For = held, store.HeldFor
	if len(list.Sessions) > choices {
		return bot.Text("session.list", list), nil
	}
	return bot.Card("session.choose", list), nil
}
