package commands

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// one deals with one message: the gate, the command, its reply and where the
// reply goes. An error means that the transaction is of no use any more.
func (r *Runner) one(ctx context.Context, tx *store.Tx, it store.Item, p bot.Person, settled *bot.Error) (landing, error) {
	began := time.Now()
	l := landing{key: it.Key, user: it.Person, cmd: r.label(it), outcome: "ok"}
	user := tx.User(p, it)
	mark := tx.Mark()
	reply, err := bot.Reply{}, error(settled)
	if settled == nil {
		reply, err = r.guarded(ctx, tx, it, &user, p.State)
		if err != nil && (!tx.Reset(mark) || !foreseen(err)) {
			if store.Transient(err) {
				return l, err
			}
			return l, &culprit{it.Key, bot.Explain(err)}
		}
	}
	if err != nil {
		l.err = bot.Explain(err)
		l.outcome = outcomes[l.err.Kind]
		if l.err.Kind == bot.Denied && p.State == bot.Active {
			tx.Audit(store.AuditEntry{Actor: user.ID, Action: "command.refuse", Result: "refused", Detail: l.cmd})
		}
		reply = bot.Text(l.err.Key, l.err.Data)
	}
	l.text, err = r.answer(ctx, tx, it, p, user, reply)
	if err != nil {
		if store.Transient(err) || settled != nil {
			return l, err
		}
		return l, &culprit{it.Key, bot.Explain(fmt.Errorf("answer: %w", err))}
	}
	l.took = time.Since(began)
	return l, nil
}

// foreseen reports whether a command said what went wrong. Anything else may
// have left the transaction in pieces.
func foreseen(err error) bool {
	_, ok := errors.AsType[*bot.Error](err)
	return ok
}

var outcomes = map[bot.Kind]string{
	bot.Internal: "failed", bot.Invalid: "invalid", bot.Denied: "denied", bot.NotFound: "not_found",
	bot.Conflict: "conflict", bot.Limited: "limited", bot.Unavailable: "unavailable",
}

// guarded keeps a panic to the command that panicked.
func (r *Runner) guarded(ctx context.Context, tx *store.Tx, it store.Item, user *bot.User, state bot.State) (reply bot.Reply, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	if it.Broken != nil {
		return bot.Reply{}, bot.Explain(it.Broken)
	}
	if it.Attempts >= poisonous {
		return bot.Reply{}, bot.Explain(fmt.Errorf("given up: the process ended during each of %d tries", it.Attempts))
	}
	bot.Failpoint("before-effect")
	reply, err = r.gate(ctx, tx, it, user, state)
	bot.Failpoint("after-effect")
	return reply, err
}

// gate asks, in this order: who is this, is it a command, may they run it, not
// too often, and do the words fit. Only then does the command run.
func (r *Runner) gate(ctx context.Context, tx *store.Tx, it store.Item, user *bot.User, state bot.State) (bot.Reply, error) {
	if it.Event == bot.Unsubscribed {
		return bot.Reply{}, r.leaver(ctx, tx, it)
	}
	if state != bot.Active {
		return refusal(it, state)
	}
	if err := tx.EnsureAgent(ctx, *user); err != nil {
		return bot.Reply{}, err
	}
	switch it.Event {
	case bot.Entered, bot.Subscribed:
		return r.welcome(ctx, tx, *user)
	case bot.Pressed:
		if !r.Store.OurCard(it.Card.TaskID) {
			return bot.Reply{}, nil
		}
	}
	line, err := words(it.Text)
	if err != nil && it.Event == bot.Said {
		return talk(ctx, tx, *user, it.Message)
	}
	if err != nil || len(line) == 0 {
		return bot.Text("hint.noslash", nil), nil
	}
	c, args := r.table.command(line)
	if err := r.pay(ctx, it, perPerson); err != nil {
		return bot.Reply{}, err
	}
	if c == nil || c.Press && it.Event != bot.Pressed {
		return bot.Reply{}, unknown(line[0], r.table.visible(user.Level))
	}
	if user.Level < c.Level {
		return bot.Reply{}, bot.Fail(bot.Denied, "error.denied", nil, nil)
	}
	if c.Alone != "" && len(args) > 0 {
		return bot.Reply{}, bot.Fail(bot.Invalid, c.Alone, nil, nil)
	}
	parsed, err := c.grammar.parse(args, r.Word)
	if err != nil {
		return bot.Reply{}, err
	}
	req := Request{Message: it.Message, User: *user, args: parsed, table: r.table}
	if c.Check != nil {
		if err := c.Check(&req); err != nil {
			return bot.Reply{}, err
		}
	}
	if c.Links {
		if err := r.pay(ctx, it, linksPerPerson); err != nil {
			return bot.Reply{}, err
		}
	}
	reply, err := c.Run(ctx, tx, &req)
	if err == nil {
		user.Lang = req.User.Lang // /lang speaks the new language at once
	}
	return reply, err
}

// label names what a message asks for, in few words that are all ours: logs and
// counters must not fill up with what people make up.
func (r *Runner) label(it store.Item) string {
	if it.Text == "" && it.Event != bot.Said {
		return string(it.Event)
	}
	line, err := words(it.Text)
	if err != nil || len(line) == 0 {
		return "talk"
	}
	if c, _ := r.table.command(line); c != nil {
		return c.grammar.command
	}
	return "unknown"
}

// refusal answers a person who is not an active member. Events they cause by
// looking around are not worth an answer, and a press could only be answered with
// a message of its own, which WeCom does not deliver to them.
func refusal(it store.Item, state bot.State) (bot.Reply, error) {
	if it.Event == bot.Entered || it.Event == bot.Subscribed || it.Event == bot.Pressed && state != bot.Unreachable {
		return bot.Reply{}, nil
	}
	kind := bot.Denied
	if state == bot.Unreachable {
		kind = bot.Unavailable
	}
	return bot.Reply{}, bot.Fail(kind, refused[state], nil, nil)
}

var refused = map[bot.State]string{
	bot.Disabled: "refused.disabled", bot.Left: "refused.left", bot.Inactive: "refused.inactive",
	bot.Unknown: "refused.unknown", bot.Hidden: "refused.hidden", bot.Unreachable: "refused.unreachable",
}

// The limits, as the configuration names them.
const (
	perPerson      = "commands_per_person"
	linksPerPerson = "links_per_person"
)

// payment is a message that was counted against a limit.
type payment struct{ key, limit string }

// pay counts a message against a limit, once however often its transaction has to
// be tried.
func (r *Runner) pay(ctx context.Context, it store.Item, limit string) error {
	p := payment{it.Key, limit}
	r.mu.Lock()
	_, paid := r.paid[p]
	r.mu.Unlock()
	if paid {
		return nil
	}
	if wait := r.Limits.Allow(ctx, limit, it.Person, r.Store.Now()); wait > 0 {
		return bot.Fail(bot.Limited, "error.limited", tooFast{wait}, nil)
	}
	r.mu.Lock()
	r.paid[p] = struct{}{}
	r.mu.Unlock()
	return nil
}

// tooFast is the data of error.limited.
type tooFast struct{ Wait time.Duration }

// answer words the reply and decides where it goes: back with the callback that
// waits for it, if it is a text and one does, or else through the outbox. The
// text is what every delivery of this message will be answered with.
func (r *Runner) answer(ctx context.Context, tx *store.Tx, it store.Item, p bot.Person, user bot.User, reply bot.Reply) (string, error) {
	if reply.Key == "" {
		tx.Finish(it, "", false)
		return "", nil
	}
	taskID := it.Card.TaskID
	if it.Event != bot.Pressed || !reply.IsCard {
		taskID = tx.NewTaskID()
	}
	out, err := r.Store.Render(user.ID, user.Lang, taskID, reply)
	if err != nil {
		return "", err
	}
	parts := out.Parts()
	if !reply.IsCard && it.Event != bot.Pressed && (p.State != bot.Active || r.promise(it.Key)) {
		tx.Finish(it, parts[0].Text, false)
		return parts[0].Text, pushAll(ctx, tx, parts[1:])
	}
	tx.Finish(it, "", true)
	if reply.IsCard && it.Event == bot.Pressed {
		parts[0].ResponseCode = it.Card.ResponseCode
	}
	return "", pushAll(ctx, tx, parts)
}

func pushAll(ctx context.Context, tx *store.Tx, parts []bot.Outgoing) error {
	for _, o := range parts {
		if err := tx.Push(ctx, o); err != nil {
			return err
		}
	}
	return nil
}
