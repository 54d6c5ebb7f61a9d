package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// The statuses of an agent.
const (
	Online  = "online"
	Busy    = "busy"
	Offline = "offline"
)

// Agent is a person who works at the desk.
type Agent struct {
	bun.BaseModel `bun:"table:agents"`

	Key       string     `bun:"id,pk"`   // canonical userid
	ID        string     `bun:"user_id"` // the directory's spelling
	Name      string     `bun:"name"`
	Role      string     `bun:"role"`
	Roles     []string   `bun:"roles,type:text"`
	Status    string     `bun:"status"`
	Note      string     `bun:"note"`
	Back      string     `bun:"back"`          // the status this one returns to
	Until     *time.Time `bun:"until"`         // when it does, or nil
	Load      int        `bun:"load,scanonly"` // conversations they have, counted when they are read
	MaxLoad   int        `bun:"max_load"`
	OwnLoad   bool       `bun:"own_load"` // an administrator said so, not the configuration
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`

	AssignedAt *time.Time `bun:"assigned_at"` // when they last got a conversation
	Current    string     `bun:"current"`     // the one that what they write in the chat goes to
	ChosenAt   *time.Time `bun:"chosen_at"`   // when they said so
}

// withLoad reads agents with their load, which is always counted and never kept.
const withLoad = "agent.*, (SELECT count(*) FROM conversations AS c WHERE c.agent = agent.id AND c.status = 'open') AS load"

// user is the agent as somebody a link can be made for.
func (a Agent) user() bot.User { return bot.User{ID: a.ID, Name: a.Name, Roles: a.Roles} }

// shown is what people know the agent by.
func (a Agent) shown() string { return cmp.Or(a.Name, a.ID) }

// sighting is what was last written of an agent, and when. It is not relied on
// for long: another instance may have written something else since.
type sighting struct {
	facts string
	at    time.Time
}

// EnsureAgent makes u an agent at first sight, offline, and keeps what the
// directory says of them. It does nothing for a person who is no agent, and
// writes only when something is new.
func (tx *Tx) EnsureAgent(ctx context.Context, u bot.User) error {
	if u.Level < bot.Agent {
		return nil
	}
	facts := fmt.Sprint(u.ID, "\x00", u.Name, "\x00", u.Roles)
	if seen, ok := tx.s.agents.Load(u.Key()); ok && seen.(sighting).facts == facts && tx.Now.Sub(seen.(sighting).at) < time.Minute {
		return nil
	}
	if err := tx.writeAgent(ctx, u); err != nil {
		return err
	}
	tx.after(func() { tx.s.agents.Store(u.Key(), sighting{facts, tx.Now}) })
	return nil
}

func (tx *Tx) writeAgent(ctx context.Context, u bot.User) error {
	if err := tx.offDuty(ctx); err != nil {
		return err
	}
	row := Agent{Key: u.Key(), ID: u.ID, Name: u.Name, Role: u.Level.String(), Roles: u.Roles, Status: Offline, MaxLoad: tx.s.MaxLoad, CreatedAt: tx.Now, UpdatedAt: tx.Now}
	_, err := tx.db.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").
		Set("user_id = EXCLUDED.user_id").Set("name = EXCLUDED.name").Set("role = EXCLUDED.role").Set("roles = EXCLUDED.roles").
		Returning("NULL").Exec(ctx)
	return wrap(err, "register agent")
}

// dismissAgent takes a person off the list of agents who is none any more. The
// row stays, for the day they are one again.
func (tx *Tx) dismissAgent(ctx context.Context, u bot.User) error {
	if err := tx.offDuty(ctx); err != nil {
		return err
	}
	_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("role = ?", u.Level.String()).Set("status = ?", Offline).
		Set("note = ''").Set("back = ''").Set("until = NULL").Set("updated_at = ?", tx.Now).Where("id = ?", u.Key()).Exec(ctx)
	tx.after(func() { tx.s.agents.Delete(u.Key()) })
	return wrap(err, "dismiss agent")
}

// SetStatus sets an agent's status, for d or, when d is 0, until it is set
// again. A status that ends by itself returns to the one before it.
func (tx *Tx) SetStatus(ctx context.Context, userID, status, note string, d time.Duration) (Agent, error) {
	a, err := tx.onDuty(ctx, bot.Canonical(userID))
	if err != nil {
		return Agent{}, fmt.Errorf("set status: %w", err)
	}
	tx.wrote.Store(true) // a Reset could not undo this
	*a = a.with(status, note, d, tx.Now)
	tx.changed = append(tx.changed, a)
	tx.after(tx.s.wakeDesk)
	return *a, nil
}

// with is the agent with another status. A timed status that follows a timed one
// returns to where the first would have; one that would return to itself has
// nowhere to go but back to work.
func (a Agent) with(status, note string, d time.Duration, now time.Time) Agent {
	a = a.at(now)
	back := ""
	if d > 0 {
		back = a.Status
		if a.Until != nil {
			back = a.Back
		}
		if back == status {
			back = Online
		}
	}
	a.Status, a.Note, a.Back, a.Until, a.UpdatedAt = status, note, back, nil, now
	if d > 0 {
		end := now.Add(d)
		a.Until = &end
	}
	return a
}

// onDuty has an agent to be changed by this transaction and by nobody else until
// it ends. A transaction of Work gets all of its people in one go: nearly every
// command that changes an agent changes its sender, and they are written
// together as well.
func (tx *Tx) onDuty(ctx context.Context, id string) (*Agent, error) {
	if a, ok := tx.agents[id]; ok {
		return found(a)
	}
	ids := []string{id}
	if tx.agents == nil && slices.Contains(tx.people, id) {
		ids = tx.people
	}
	var list []Agent
	q := tx.db.NewSelect().Model(&list).ColumnExpr(withLoad).Where("id IN (?)", bun.List(ids)).Order("id") // in one order, so that nobody waits in a circle
	if tx.s.pg {
		q = q.For("UPDATE")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	if tx.agents == nil {
		tx.agents = make(map[string]*Agent, len(ids))
	}
	for _, id := range ids {
		tx.agents[id] = nil
	}
	for i := range list {
		tx.agents[list[i].Key] = &list[i]
	}
	return found(tx.agents[id])
}

func found(a *Agent) (*Agent, error) {
	if a == nil {
		return nil, ErrNotFound
	}
	return a, nil
}

// offDuty writes what was changed of agents and forgets what was read, before a
// statement of another kind reads or writes their table.
func (tx *Tx) offDuty(ctx context.Context) error {
	text, err := tx.writeAgents(nil)
	if err == nil && len(text) > 0 {
		_, err = tx.db.ExecContext(ctx, string(text))
	}
	tx.agents, tx.changed = nil, nil
	return wrap(err, "write agents")
}

func (tx *Tx) writeAgents(text []byte) ([]byte, error) {
	if len(tx.changed) == 0 {
		return text, nil
	}
	slices.SortFunc(tx.changed, func(a, b *Agent) int { return strings.Compare(a.Key, b.Key) })
	rows := slices.Compact(tx.changed)
	text, err := tx.db.NewUpdate().Model(&rows).Column("status", "note", "back", "until", "updated_at").Bulk().AppendQuery(tx.s.db.QueryGen(), text)
	return append(text, ';'), err
}

// Agent returns an agent as they are at tx.Now.
func (tx *Tx) Agent(ctx context.Context, userID string) (Agent, error) {
	id := bot.Canonical(userID)
	if known := tx.agents[id]; known != nil {
		return known.at(tx.Now), nil
	}
	var a Agent
	err := tx.db.NewSelect().Model(&a).ColumnExpr(withLoad).Where("id = ?", id).Scan(ctx)
	return a.at(tx.Now), agentErr(err, "agent")
}

// Agents lists the agents of a status, or all of them, by name.
func (tx *Tx) Agents(ctx context.Context, status string) ([]Agent, error) {
	if err := tx.offDuty(ctx); err != nil {
		return nil, err
	}
	var list []Agent
	if err := tx.db.NewSelect().Model(&list).ColumnExpr(withLoad).Where("role <> ?", bot.Anyone.String()).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	slices.SortFunc(list, func(a, b Agent) int { // databases differ in how they order text
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Key, b.Key))
	})
	for i := range list {
		list[i] = list[i].at(tx.Now)
	}
	return slices.DeleteFunc(list, func(a Agent) bool { return status != "" && a.Status != status }), nil
}

// OTPUsers names, by canonical userid, who uses one-time passwords: of some
// people, or of all for none.
func (s *Store) OTPUsers(ctx context.Context, among ...string) (map[string]bool, error) {
	var list []string
	q := s.reads.NewSelect().Model((*otpRow)(nil)).Column("person").Where("state = ?", OTPActive)
	if len(among) > 0 {
		q = q.Where("person IN (?)", bun.List(among))
	}
	if err := q.Scan(ctx, &list); err != nil {
		return nil, fmt.Errorf("list one-time passwords: %w", err)
	}
	users := make(map[string]bool, len(list))
	for _, id := range list {
		users[id] = true
	}
	return users, nil
}

// at is the agent at a moment: a status whose time is up has already ended, also
// when nobody has tidied it away yet.
func (a Agent) at(now time.Time) Agent {
	if a.Until != nil && !a.Until.After(now) {
		a.Status, a.Note, a.Back, a.Until = a.Back, "", "", nil
	}
	return a
}

// Returned ends the statuses whose time is up and names their agents.
func (tx *Tx) Returned(ctx context.Context) ([]Agent, error) {
	if err := tx.offDuty(ctx); err != nil {
		return nil, err
	}
	var list []Agent
	err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("status = back").Set("note = ''").Set("back = ''").Set("until = NULL").Set("updated_at = ?", tx.Now).
		Where("until <= ?", tx.Now).Returning("*").Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("return statuses: %w", err)
	}
	return list, nil
}

func agentErr(err error, doing string) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
