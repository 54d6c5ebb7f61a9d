package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// The statuses of a conversation.
const (
	Assigned = "open"   // with an agent
	Queued   = "queued" // nobody is free yet
	Closed   = "closed"
)

// Conversation is a helpdesk session: somebody asks, an agent answers. In this
// package a Session is that of a token.
type Conversation struct {
	bun.BaseModel `bun:"table:conversations,alias:c"`

	ID        string `bun:"id,pk"`
	Title     string `bun:"title"` // what it is about, "" until something is said
	Status    string `bun:"status"`
	Asker     string `bun:"asker"`      // canonical userid, or account:UID of an end user
	AskerID   string `bun:"asker_id"`   // the directory's spelling, or the username
	AskerName string `bun:"asker_name"` // as it was when the conversation began
	Share     string `bun:"share"`      // id of the share an end user came through
	Agent     string `bun:"agent"`      // canonical userid, "" while it is queued; of a closed one the last
	AgentID   string `bun:"agent_id"`
	AgentName string `bun:"agent_name"`

	Last      int64      `bun:"last"`       // number of the latest message, from 1
	AskerSeen int64      `bun:"asker_seen"` // up to where they read it on a page, or wrote themselves
	AgentSeen int64      `bun:"agent_seen"`
	AskerHere *time.Time `bun:"asker_here"` // until when they are believed to look at the page
	AgentHere *time.Time `bun:"agent_here"`

	CreatedAt    time.Time  `bun:"created_at"`
	QueuedAt     time.Time  `bun:"queued_at"`     // its place in the queue: who waits longest comes first
	AssignedAt   *time.Time `bun:"assigned_at"`   // to this agent
	AnsweredAt   *time.Time `bun:"answered_at"`   // for the first time, by anybody
	WaitingSince *time.Time `bun:"waiting_since"` // the asker waits for an answer; nil: it is their turn
	SaidAt       time.Time  `bun:"said_at"`       // somebody's last word
	UpdatedAt    time.Time  `bun:"updated_at"`
	ClosedAt     *time.Time `bun:"closed_at"`
	ClosedBy     string     `bun:"closed_by"` // canonical userid, account:UID, or "desk"

	Position int `bun:"-"` // in the queue, from 1; 0 when not asked for or not queued
}

// Party is who takes part in a conversation, or wants to see it. The zero Party
// sees nothing.
type Party struct {
	Key   string // canonical userid, or account:UID; "" is nobody's, as the master key
	ID    string // as it is shown
	Name  string
	Admin bool // sees every conversation
}

// PartyOf is a person as a party.
func PartyOf(u bot.User) Party {
	return Party{Key: u.Key(), ID: u.ID, Name: u.Name, Admin: u.Level >= bot.Admin}
}

// PartyOf is an account as a party. The nickname of an end user is one that nobody
// chose.
func (a Account) PartyOf() Party {
	p := Party{Key: a.Audited(), ID: a.Username, Name: a.Nickname}
	if a.IsEndUser {
		p.Name = a.Username
	}
	return p
}

// name is what others know the party by.
func (p Party) name() string {
	if p.Name != "" {
		return p.Name
	}
	return p.ID
}

// Short is enough of the id to tell conversations apart.
func (c Conversation) Short() string { return c.ID[:min(shortID, len(c.ID))] }

// Unread is how many messages a party has not seen.
func (c Conversation) Unread(p Party) int64 {
	switch p.Key {
	case c.Asker:
		return c.Last - c.AskerSeen
	case c.Agent:
		return c.Last - c.AgentSeen
	}
	return 0
}

// has reports whether the party takes part.
func (c Conversation) has(p Party) bool { return p.Key != "" && (p.Key == c.Asker || p.Key == c.Agent) }

// Conversation returns one that the party may see; of others there is none.
func (s *Store) Conversation(ctx context.Context, id string, by Party) (Conversation, error) {
	return findConversation(ctx, s.reads, id, by)
}

// Conversation returns one that the party may see; of others there is none.
func (tx *Tx) Conversation(ctx context.Context, id string, by Party) (Conversation, error) {
	c, err := findConversation(ctx, tx.db, id, by)
	tx.overhear(&c)
	return c, err
}

func findConversation(ctx context.Context, db bun.IDB, id string, by Party) (c Conversation, err error) {
	if err := scanConversation(ctx, db.NewSelect().Model(&c).Where("id = ?", id), &c, by); err != nil {
		return Conversation{}, err
	}
	return c, place(ctx, db, &c)
}

// holdConversation is Conversation, and nobody else changes it until this transaction ends.
func (tx *Tx) holdConversation(ctx context.Context, id string, by Party) (c Conversation, err error) {
	if err := tx.line(ctx); err != nil {
		return c, err
	}
	q := tx.db.NewSelect().Model(&c).Where("id = ?", id)
	if tx.s.pg {
		q = q.For("NO KEY UPDATE")
	}
	if err := scanConversation(ctx, q, &c, by); err != nil {
		return Conversation{}, err
	}
	return c, nil
}

func scanConversation(ctx context.Context, q *bun.SelectQuery, c *Conversation, by Party) error {
	err := q.Scan(ctx)
	if err == nil && !by.Admin && !c.has(by) {
		err = ErrNotFound
	}
	return conversationErr(err)
}

// line has a transaction of Work get hold of what the commands of its people may
// change at the desk, before the first of them changes any of it: their agents,
// then their conversations, each in the order of their ids. Two of them that got
// hold of one thing after the other would come to wait in a circle. Whatever else
// changes the desk either holds one conversation at a time, after the agent it is
// for, or passes over what somebody else holds.
func (tx *Tx) line(ctx context.Context) error {
	if !tx.s.pg || tx.inLine || len(tx.people) == 0 {
		return nil
	}
	tx.inLine = true
	people := bun.List(tx.people)
	var ids []string
	if err := tx.db.NewSelect().Model((*Agent)(nil)).Column("id").Where("id IN (?)", people).Order("id").For("UPDATE").Scan(ctx, &ids); err != nil {
		return fmt.Errorf("hold agents: %w", err)
	}
	ids = ids[:0]
	q := tx.db.NewSelect().Model((*Conversation)(nil)).Column("id").Where(liveOf, people).Order("id").For("NO KEY UPDATE")
	return wrap(q.Scan(ctx, &ids), "hold conversations")
}

// liveOf is the condition under which parties have a conversation that is not
// closed. An OR of the two would not find an index.
const liveOf = "id IN (SELECT id FROM conversations WHERE asker IN (?0) AND status <> 'closed' UNION ALL SELECT id FROM conversations WHERE agent IN (?0) AND status = 'open')"

// place works out where in the queue a conversation is.
func place(ctx context.Context, db bun.IDB, c *Conversation) error {
	if c.Status != Queued {
		return nil
	}
	err := db.NewSelect().Model((*Conversation)(nil)).ColumnExpr("count(*) + 1").Where("status = ?", Queued).
		Where("(queued_at, id) < (?, ?)", c.QueuedAt, c.ID).Scan(ctx, &c.Position)
	return wrap(err, "place in the queue")
}

func conversationErr(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return wrap(err, "conversation")
}

// OpenConversation returns the one that an asker has open, or ErrNotFound. share
// is "" for people.
func (tx *Tx) OpenConversation(ctx context.Context, asker, share string) (c Conversation, err error) {
	err = tx.db.NewSelect().Model(&c).Where("asker = ?", asker).Where("share = ?", share).Where("status <> ?", Closed).Scan(ctx)
	if err := conversationErr(err); err != nil {
		return Conversation{}, err
	}
	tx.overhear(&c)
	return c, place(ctx, tx.db, &c)
}

// Conversations asks for a list.
type Conversations struct {
	Party  Party     // takes part in all of them
	All    bool      // or all there are, for an administrator
	As     string    // "asker" or "agent": takes part as that; "" either
	Status string    // one of the statuses, "live" for those not closed; "" any
	Before time.Time // created before; zero: from the newest
	N      int       // at most; default 50
}

// Conversations lists them, newest first.
func (s *Store) Conversations(ctx context.Context, ask Conversations) ([]Conversation, error) {
	if ask.N <= 0 {
		ask.N = 50
	}
	var list []Conversation
	q := ask.some(s.reads.NewSelect().Model(&list))
	switch {
	case ask.All && ask.Party.Admin:
	case ask.Party.Key == "":
		return nil, nil
	case ask.As == "asker", ask.As == "agent":
		q.Where("? = ?", bun.Ident(ask.As), ask.Party.Key)
	default: // an OR of the two would not find an index
		newest := func(as string) *bun.SelectQuery {
			return ask.some(s.reads.NewSelect().Model((*Conversation)(nil)).Column("id")).Where("? = ?", bun.Ident(as), ask.Party.Key)
		}
		q.Where("id IN (SELECT id FROM (?) AS asked UNION ALL SELECT id FROM (?) AS answered)", newest("asker"), newest("agent"))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	return list, nil
}

// some are the newest of those that are asked for, whoever's they are.
func (ask Conversations) some(q *bun.SelectQuery) *bun.SelectQuery {
	switch ask.Status {
	case "":
	case "live":
		q.Where("status <> ?", Closed)
	default:
		q.Where("status = ?", ask.Status)
	}
	if !ask.Before.IsZero() {
		q.Where("created_at < ?", ask.Before.UTC())
	}
	return q.Order("created_at DESC", "id").Limit(ask.N)
}

// Queue lists who waits for an agent, in their order.
func (s *Store) Queue(ctx context.Context, n int) ([]Conversation, error) {
	var list []Conversation
	if err := s.reads.NewSelect().Model(&list).Where("status = ?", Queued).Order("queued_at", "id").Limit(n).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list the queue: %w", err)
	}
	for i := range list {
		list[i].Position = i + 1
	}
	return list, nil
}

// loads counts the conversations each of these agents has.
func (tx *Tx) loads(ctx context.Context, agents ...string) (map[string]int, error) {
	var rows []struct {
		Agent string
		N     int
	}
	err := tx.db.NewSelect().Model((*Conversation)(nil)).ColumnExpr("agent, count(*) AS n").Where("status = ?", Assigned).
		Where("agent IN (?)", bun.List(agents)).Group("agent").Scan(ctx, &rows)
	load := make(map[string]int, len(rows))
	for _, r := range rows {
		load[r.Agent] = r.N
	}
	return load, wrap(err, "count conversations")
}
