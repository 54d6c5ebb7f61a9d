package commands

import (
	"context"
	"errors"
	"strings"
	"unicode"

	"deskbell/bot"
	"deskbell/store"
)

// broadcast says something to everybody: "/broadcast the VPN is down tonight".
// A card asks first, with how many that are; it comes as soon as they are
// counted, which takes a question to the directory.
var broadcast = Command{
	Name:  "broadcast",
	Alias: []string{"广播"},
	Usage: "<text> [more...]",
	Level: bot.Admin,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		err := tx.AskBroadcast(ctx, r.User, behind(r.Text))
		if errors.Is(err, store.ErrTooLong) {
			return bot.Reply{}, bot.Fail(bot.Invalid, "broadcast.toolong", nil, err)
		}
		return bot.Reply{}, err
	},
}

// behind is what follows a command's name, as it was typed: its lines stay.
func behind(line string) string {
	line = strings.TrimSpace(line)
	if end := strings.IndexFunc(line, unicode.IsSpace); end >= 0 {
		return strings.TrimSpace(line[end:])
	}
	return ""
}

// sendall is a press on the card that asks whether a broadcast is to go out.
var sendall = Command{
	Name:  "sendall",
	Usage: "<id>",
	Level: bot.Admin,
	Press: true,
	Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		b, err := tx.ConfirmBroadcast(ctx, r.Arg("id"), r.User)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return bot.Reply{}, bot.Fail(bot.NotFound, "broadcast.unknown", nil, err)
		case errors.Is(err, store.ErrEnded), err == nil:
			return bot.Card("broadcast", b), nil
		}
		return bot.Reply{}, err
	},
}
