package commands

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// session brings somebody together with an agent: "/session the printer is on
// fire". What they say after that without a slash goes into it, see talk.go.
var session = Command{
	Name:  "session",
	Alias: []string{"会话"},
	Usage: "[topic...]",
	Level: bot.Anyone,
	Links: true,
	Run:   openSession,
	Sub: []Command{
		{Name: "list", Alias: []string{"列表"}, Level: bot.Anyone, Run: listSessions},
		{Name: "use", Alias: []string{"切换"}, Level: bot.Anyone, Usage: "<id>", Run: useSession},
		{Name: "close", Alias: []string{"结束"}, Level: bot.Anyone, Usage: "[id]", Run: closeSession},
		{Name: "transfer", Alias: []string{"转接"}, Level: bot.Anyone, Usage: "<id> [userid] [note...]", Run: transferSession},
	},
}

// visit is the data of the card session: somebody's own session.
type visit struct {
	store.Conversation
	URL string // "" when it is closed
	For time.Duration
}

func openSession(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	by, topic := store.PartyOf(r.User), r.Arg("topic")
	c, fresh, err := tx.Begin(ctx, by, "", topic)
	if err != nil {
		return bot.Reply{}, err
	}
	if topic != "" && (!fresh || c.Title != topic) { // a title may be shorter than what they said
		if _, _, err := tx.Say(ctx, c, by, store.Words{Content: topic, Nonce: r.Key}); err != nil {
			return bot.Reply{}, noSession(err)
		}
	}
	link, err := tx.NewLink(ctx, r.User, "/chat/"+c.ID)
	return bot.Card("session", visit{c, link.URL, link.Expires.Sub(tx.Now)}), err
}

// sessionLine is a session in a list.
type sessionLine struct {
	store.Conversation
	Own     bool // theirs, not one they answer
	New     int64
	Current bool // what they write goes there
}

// sessionList is the data of session.list, and of the card session.choose.
type sessionList struct {
	Sessions []sessionLine
	Others   []store.Conversation // of other people, for an administrator
	Held     int                  // messages that wait for a choice
	For      time.Duration        // how long they do
}

// choices is how many sessions fit onto a card.
const choices = 6

func listSessions(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	list, err := mine(ctx, tx, store.PartyOf(r.User))
	if err != nil {
		return bot.Reply{}, err
	}
	if r.Event == bot.Pressed && len(list.Sessions) > 0 && len(list.Sessions) <= choices {
		return bot.Card("session.choose", list), nil
	}
	if r.User.Level == bot.Admin {
		if list.Others, err = tx.LiveOfOthers(ctx, r.User.Key(), 20); err != nil {
			return bot.Reply{}, err
		}
	}
	return bot.Text("session.list", list), nil
}

// mine lists the sessions somebody takes part in.
func mine(ctx context.Context, tx *store.Tx, by store.Party) (list sessionList, err error) {
	current, live, err := tx.Current(ctx, by)
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrChoose) {
		return list, err
	}
	for _, c := range live {
		list.Sessions = append(list.Sessions, sessionLine{c, c.Asker == by.Key, c.Unread(by), c.ID == current.ID && len(live) > 1})
	}
	return list, nil
}

// using is the data of session.use and the card session.using: where what
// somebody writes goes from now on.
type using struct {
	sessionLine
	Sent int    // messages that waited for this
	URL  string // of the session on the web
}

func useSession(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	by := store.PartyOf(r.User)
	id, err := tx.ConversationID(ctx, strings.ToLower(r.Arg("id")), by)
	if err != nil {
		return bot.Reply{}, noSession(err)
	}
	c, err := tx.Use(ctx, id, by)
	if err != nil {
		return bot.Reply{}, noSession(err)
	}
	held, err := tx.Held(ctx, by)
	if err != nil {
		return bot.Reply{}, err
	}
	for _, w := range held {
		if _, _, err := tx.Say(ctx, c, by, w); err != nil {
			return bot.Reply{}, noSession(err)
		}
	}
	u := using{sessionLine{c, c.Asker == by.Key, c.Unread(by), true}, len(held), ""}
	if r.Event != bot.Pressed {
		return bot.Text("session.use", u), nil
	}
	path := "/agent/chat?session=" + c.ID
	if u.Own {
		path = "/chat/" + c.ID
	}
	link, err := tx.NewLink(ctx, r.User, path)
	u.URL = link.URL
	return bot.Card("session.using", u), err
}

func closeSession(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	by := store.PartyOf(r.User)
	id, err := meant(ctx, tx, by, r.Arg("id"))
	if err != nil {
		return bot.Reply{}, err
	}
	c, err := tx.CloseConversation(ctx, id, by)
	if err != nil {
		return bot.Reply{}, noSession(err)
	}
	switch {
	case r.Event != bot.Pressed:
		return bot.Text("session.ended.now", sessionLine{Conversation: c, Own: c.Asker == by.Key}), nil
	case c.Asker == by.Key:
		return bot.Card("session", visit{Conversation: c}), nil
	}
	return bot.Card("session.offer", store.Offer{Conversation: c, To: by.Key}), nil
}

// meant is the session with this id, or the current one.
func meant(ctx context.Context, tx *store.Tx, by store.Party, id string) (string, error) {
	if id != "" {
		id, err := tx.ConversationID(ctx, strings.ToLower(id), by)
		return id, noSession(err)
	}
	c, _, err := tx.Current(ctx, by)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", bot.Fail(bot.NotFound, "session.none", nil, err)
	case errors.Is(err, store.ErrChoose):
		return "", bot.Fail(bot.Invalid, "session.which", nil, err)
	}
	return c.ID, err
}

// conversationID is what the beginning of an id looks like.
var conversationID = regexp.MustCompile(`^[0-9a-fA-F-]{4,36}$`)

func transferSession(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	by, id, to, note := store.PartyOf(r.User), r.Arg("id"), r.Arg("userid"), r.Arg("note")
	if to == "" || !conversationID.MatchString(id) { // the current one: "/session transfer lucy needs toner"
		id, to, note = "", id, strings.TrimSpace(to+" "+note)
	}
	id, err := meant(ctx, tx, by, id)
	if err != nil {
		return bot.Reply{}, err
	}
	c, err := tx.Transfer(ctx, id, to, note, by)
	if err != nil {
		return bot.Reply{}, noSession(err)
	}
	return bot.Text("session.transferred", c), nil
}

// noSession words why something cannot be done with a session; of other people's
// there are none.
func noSession(err error) error {
	if err == nil {
		return nil
	}
	if why, ok := errors.AsType[*store.DeskError](err); ok {
		return bot.Fail(bot.Conflict, why.Reason, nil, err)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return bot.Fail(bot.NotFound, "session.unknown", nil, err)
	case errors.Is(err, store.ErrEnded):
		return bot.Fail(bot.Conflict, "session.ended", nil, err)
	case errors.Is(err, store.ErrTooLong):
		return bot.Fail(bot.Invalid, "session.toolong", nil, err)
	}
	return err
}
