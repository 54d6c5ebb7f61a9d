// Package commands owns what people can say to the bot: the Command type, the
// table of all commands, one file for each, and the road a message takes through
// them. Runner.Take is the road's entrance.
//
// A command is a function over one transaction: it touches nothing but tx, so
// its effect, its audit entry, its reply and its pushes commit together or not
// at all, and it can be run again after a crash. It returns what to say as a key
// of templates. Carrying messages in and out is left to callbacks and bot/wecom,
// remembering to store.
package commands

import (
	"context"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// Command is one thing that can be said to the bot.
type Command struct {
	Name  string                 // canonical, ASCII
	Alias []string               // 中文 words
	Usage string                 // what follows the name; see usage.go
	Level bot.Level              // who may say it
	Links bool                   // makes links, which have a limit of their own
	Check func(r *Request) error // nil, or refuses arguments before such a limit is touched
	Alone string                 // key of the text that refuses words behind it; "": the usage does
	Press bool                   // a button of a card of ours; typed, there is no such command
	Run   func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error)
	Sub   []Command // when it has any, Run may be nil

	grammar usage // of Usage, read once by newTable
}

// Request is a message that passed the gate, on its way into a command.
type Request struct {
	bot.Message
	User bot.User

	args  arguments
	table *table
}

// Has reports whether the argument was given.
func (r *Request) Has(name string) bool { return r.args.Has(name) }

// Arg is the argument's value, "" when it was not given.
func (r *Request) Arg(name string) string { return r.args.Arg(name) }

// Duration is the value of an argument of type duration, 0 when not given.
func (r *Request) Duration(name string) time.Duration { return r.args.Duration(name) }

// Visible lists the commands this person may run, in the order of All.
func (r *Request) Visible() []*Command { return r.table.visible(r.User.Level) }
