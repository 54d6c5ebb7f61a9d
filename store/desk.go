package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
)

// DeskTimes are the times of helpdesk sessions.
type DeskTimes struct {
	AnswerWithin time.Duration // until another agent gets a conversation; default 5 min
	IdleClose    time.Duration // until one nobody speaks in is closed; default 24 h
	Keep         time.Duration // closed ones are kept; default 365 d
}

func (d DeskTimes) orDefault() DeskTimes {
	d.AnswerWithin = cmp.Or(d.AnswerWithin, 5*time.Minute)
	d.IdleClose = cmp.Or(d.IdleClose, 24*time.Hour)
	d.Keep = cmp.Or(d.Keep, 365*24*time.Hour)
	return d
}

// reopenWithin is for how long a closed conversation may go on.
const reopenWithin = 24 * time.Hour

// byTheDesk closed a conversation when nobody did.
const byTheDesk = "desk"

// DeskError says why something cannot be done with a conversation. Its Reason is
// a key of templates.
type DeskError struct{ Reason string }

func (e *DeskError) Error() string { return e.Reason }

// The reasons of a DeskError.
const (
	NoSuchAgent = "session.noagent" // nobody at the desk has this userid
	AgentAway   = "session.away"    // the agent is not online
	AgentFull   = "session.full"    // the agent has no room
	SameAgent   = "session.same"    // it is with this agent already
	OwnSession  = "session.own"     // nobody answers themselves
	TooOld      = "session.old"     // closed for longer than a day
	OtherOpen   = "session.other"   // the asker has another one open
	Unreachable = "session.noasker" // the asker has left, or their share is over
	NotYours    = "session.notyours"
)

func cannot(reason string) error { return &DeskError{reason} }

// Begin opens a conversation for by, or returns the one they have open. It goes
// to an agent at once if one has room and nobody waits already.
func (tx *Tx) Begin(ctx context.Context, by Party, share, title string) (c Conversation, fresh bool, err error) {
	c, err = tx.OpenConversation(ctx, by.Key, share)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return c, false, err
	}
	if err := tx.line(ctx); err != nil {
		return Conversation{}, false, err
	}
	c = Conversation{
		ID: uuid.NewString(), Title: titled(title), Status: Queued, Asker: by.Key, AskerID: by.ID, AskerName: by.name(), Share: share,
		CreatedAt: tx.Now, QueuedAt: tx.Now, SaidAt: tx.Now, UpdatedAt: tx.Now,
	}
	res, err := tx.db.NewInsert().Model(&c).On("CONFLICT DO NOTHING").Returning("NULL").Exec(ctx)
	if err := changedOne(res, err, "begin a conversation"); errors.Is(err, ErrNotFound) {
		c, err = tx.OpenConversation(ctx, by.Key, share) // begun by another request
		return c, false, raced(err)
	} else if err != nil {
		return Conversation{}, false, err
	}
	tx.Audit(AuditEntry{Actor: by.Key, Action: "session.open", Target: c.ID})
	tx.changes(c)
	if err := place(ctx, tx.db, &c); err != nil {
		return Conversation{}, false, err
	}
	if c.Position == 1 {
		if err := tx.offer(ctx, &c, false); err != nil {
			return Conversation{}, false, err
		}
	}
	if c.Status == Queued {
		tx.note(c.ID, saidQueued, "", "")
		tx.overhear(&c)
	}
	tx.after(tx.s.wakeDesk)
	return c, true, nil
}

// offer gives a queued conversation to the least loaded agent who is online and
// has room, if there is one. told has the asker hear of it.
func (tx *Tx) offer(ctx context.Context, c *Conversation, told bool) error {
	free, err := tx.free(ctx)
	if err != nil {
		return err
	}
	a, _, err := tx.first(ctx, free, c.Asker)
	if err != nil || a.Key == "" {
		return err
	}
	return tx.assign(ctx, c, a, told)
}

// first hires the first of these agents who is none of not and whom it can, or
// nobody. Those it cannot are not in the list that it returns, and the one it
// hired is where they belong with one more.
func (tx *Tx) first(ctx context.Context, free []Agent, not ...string) (a Agent, left []Agent, err error) {
	for i := 0; i < len(free); {
		a := free[i]
		if slices.Contains(not, a.Key) {
			i++
			continue
		}
		free = slices.Delete(free, i, i+1)
		if ok, err := tx.hire(ctx, a.Key); err != nil {
			return Agent{}, nil, err
		} else if !ok {
			continue
		}
		if more := a; more.Load+1 < more.MaxLoad {
			more.Load, more.AssignedAt = more.Load+1, &tx.Now
			free = append(free, more)
			slices.SortStableFunc(free, byTurn)
		}
		return a, free, nil
	}
	return Agent{}, free, nil
}

// online is the condition under which an agent is, at a moment.
const online = "role <> 'user' AND (status = 'online' AND (until IS NULL OR until > ?0) OR until <= ?0 AND back = 'online')"

// free lists the agents who are online and have room: the least loaded first, and
// of those whoever has gone longest without a conversation. It is a wish list:
// hire decides.
func (tx *Tx) free(ctx context.Context) ([]Agent, error) {
	if err := tx.offDuty(ctx); err != nil {
		return nil, err
	}
	var list []Agent
	if err := tx.db.NewSelect().Model(&list).ColumnExpr(withLoad).Where(online, tx.Now).Scan(ctx); err != nil {
		return nil, fmt.Errorf("look for an agent: %w", err)
	}
	list = slices.DeleteFunc(list, func(a Agent) bool { return a.Load >= a.MaxLoad })
	slices.SortFunc(list, byTurn)
	return list, nil
}

// byTurn compares whose turn it is to get a conversation.
func byTurn(a, b Agent) int {
	return cmp.Or(cmp.Compare(a.Load, b.Load), sinceAssigned(a).Compare(sinceAssigned(b)), cmp.Compare(a.Key, b.Key))
}

func sinceAssigned(a Agent) time.Time {
	if a.AssignedAt == nil {
		return time.Time{}
	}
	return *a.AssignedAt
}

// hire holds an agent until this transaction ends, and reports whether they are
// still online and have room then. Everything that gives an agent a conversation
// holds them first, so that none gets more than they have room for, and whoever
// goes busy or offline gets none after that. One whom somebody else holds is
// passed over: two transactions that each hold an agent must not wait for the
// other's.
func (tx *Tx) hire(ctx context.Context, agent string) (bool, error) {
	return tx.hireAs(ctx, agent, "UPDATE SKIP LOCKED")
}

func (tx *Tx) hireAs(ctx context.Context, agent, lock string) (bool, error) {
	if err := tx.line(ctx); err != nil {
		return false, err
	}
	if err := tx.offDuty(ctx); err != nil { // their status may have been set right here
		return false, err
	}
	var a Agent
	q := tx.db.NewSelect().Model(&a).Column("id", "max_load").Where("id = ?", agent).Where(online, tx.Now)
	if tx.s.pg {
		q = q.For(lock)
	}
	if err := agentErr(q.Scan(ctx), "hire"); errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	load, err := tx.loads(ctx, agent) // a statement later, so that it sees what others committed
	return load[agent] < a.MaxLoad, err
}

// assign gives a queued conversation to an agent who was hired.
func (tx *Tx) assign(ctx context.Context, c *Conversation, a Agent, told bool, note ...string) error {
	tx.note(c.ID, saidAssigned, "", a.shown())
	if err := tx.speak(ctx, c.ID); err != nil {
		return err
	}
	q := tx.db.NewUpdate().Model(c).Set("status = ?", Assigned).Set("agent = ?", a.Key).Set("agent_id = ?", a.ID).Set("agent_name = ?", a.shown()).
		Set("assigned_at = ?", tx.Now).Set("waiting_since = coalesce(waiting_since, ?)", tx.Now).Set("agent_seen = 0").Set("agent_here = NULL").Set("updated_at = ?", tx.Now).
		Where("id = ?", c.ID).Where("status = ?", Queued).Returning("*")
	if err := conversationErr(q.Scan(ctx)); errors.Is(err, ErrNotFound) {
		return fmt.Errorf("assign: %w", errRaced)
	} else if err != nil {
		return err
	}
	c.Position = 0
	if _, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("assigned_at = ?", tx.Now).Where("id = ?", a.Key).Exec(ctx); err != nil {
		return fmt.Errorf("assign: %w", err)
	}
	tx.Audit(AuditEntry{Actor: byTheDesk, Action: "session.assign", Target: c.ID, Detail: a.Key})
	tx.changes(*c)
	if err := tx.offered(ctx, *c, a, strings.Join(note, " ")); err != nil {
		return err
	}
	if told && bot.ValidUserID(c.Asker) {
		if err := tx.unsend(ctx, requeuedRef(c.ID)); err != nil { // they need not hear of a queue they never stood in
			return err
		}
		return tx.Tell(ctx, c.Asker, bot.Text("session.assigned", *c))
	}
	return nil
}

// Offer is the data of the card session.offer, which an agent gets with a
// conversation, and which follows what becomes of it.
type Offer struct {
	Conversation
	To   string // the agent whose card it is, canonical
	URL  string // of the conversation at the desk; "" when it is not theirs any more
	Note string // of who transferred it
}

func offerRef(id, agent string) string { return "offer/" + id + "/" + agent }

// requeuedRef names what tells the asker that they are back in the queue.
func requeuedRef(id string) string { return "requeued/" + id }

// offered sends an agent the card of a conversation that is theirs now. note is
// of who gave it on.
func (tx *Tx) offered(ctx context.Context, c Conversation, a Agent, note string) error {
	link, err := tx.NewLink(ctx, a.user(), "/agent/chat?session="+c.ID)
	if err != nil {
		return err
	}
	return tx.tellAt(ctx, a.ID, bot.Card("session.offer", Offer{Conversation: c, To: a.Key, URL: link.URL, Note: note}), tx.Now, offerRef(c.ID, a.Key))
}

// retract tells an agent that a conversation is theirs no more: on the card they
// have of it, if WeCom allows. One who was not sent the card yet hears nothing.
func (tx *Tx) retract(ctx context.Context, c Conversation, from string) error {
	if !bot.ValidUserID(from) {
		return nil
	}
	if err := tx.unsentTo(ctx, from, c.ID); err != nil {
		return err
	}
	if n, err := tx.unsent(ctx, offerRef(c.ID, from)); err != nil || n > 0 {
		return err
	}
	return tx.Retell(ctx, from, bot.Card("session.offer", Offer{Conversation: c, To: from}), offerRef(c.ID, from))
}

// release puts a conversation back into the queue, at its old place: of one that
// went on after it was closed, that is where it came in again.
func (tx *Tx) release(ctx context.Context, c *Conversation) error {
	from := c.Agent
	q := tx.db.NewUpdate().Model(c).Set("status = ?", Queued).Set("agent = ''").Set("agent_id = ''").Set("agent_name = ''").Set("agent_here = NULL").
		Set("updated_at = ?", tx.Now).Where("id = ?", c.ID).Where("status = ?", Assigned).Where("agent = ?", from).Returning("*")
	if err := conversationErr(q.Scan(ctx)); err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: byTheDesk, Action: "session.release", Target: c.ID, Detail: from})
	tx.moved = append(tx.moved, Change{c.ID, c.Asker, from, c.Last, tx.Now})
	return tx.offDuty(ctx) // what is known of their load
}

// Transfer gives a conversation to another agent, who has to be online and have
// room. Its agent and administrators may.
func (tx *Tx) Transfer(ctx context.Context, id, to, note string, by Party) (Conversation, error) {
	if len(note) > MaxSaid {
		return Conversation{}, fmt.Errorf("transfer: %w", ErrTooLong)
	}
	to = bot.Canonical(to)
	c, err := tx.Conversation(ctx, id, by)
	if err == nil {
		err = c.transferable(to, by)
	}
	if err != nil {
		return c, err
	}
	a, err := tx.Agent(ctx, to)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && a.Role == bot.Anyone.String():
		return c, cannot(NoSuchAgent)
	case err != nil:
		return c, err
	case a.Status != Online:
		return c, cannot(AgentAway)
	}
	if err := tx.hireFor(ctx, a.Key); err != nil {
		return c, err
	}
	if c, err = tx.holdConversation(ctx, id, by); err == nil { // it may have changed
		err = c.transferable(to, by)
	}
	if err != nil {
		return c, err
	}
	from := c.Agent
	tx.note(c.ID, saidTransferred, by.name(), note)
	if c.Status == Assigned {
		if err := tx.speak(ctx, c.ID); err != nil {
			return c, err
		}
		if err := tx.release(ctx, &c); err != nil {
			return c, raced(err)
		}
	}
	tx.Audit(AuditEntry{Actor: cmp.Or(by.Key, "master key"), Action: "session.transfer", Target: c.ID, Detail: a.Key})
	if err := tx.assign(ctx, &c, a, true, note); err != nil {
		return c, err
	}
	if from != "" {
		if err := tx.retract(ctx, c, from); err != nil {
			return c, err
		}
	}
	tx.after(tx.s.wakeDesk)
	return c, nil
}

// transferable tells why a conversation cannot be given to an agent by a party.
func (c Conversation) transferable(to string, by Party) error {
	switch {
	case c.Status == Closed:
		return fmt.Errorf("transfer: %w", ErrEnded)
	case !by.Admin && by.Key != c.Agent:
		return cannot(NotYours)
	case to == c.Asker:
		return cannot(OwnSession)
	case to == c.Agent:
		return cannot(SameAgent)
	}
	return nil
}

// hireFor hires the one agent that is meant, or says why not. It waits for whoever
// holds them, unless somebody could be waiting for this transaction.
func (tx *Tx) hireFor(ctx context.Context, agent string) error {
	lock := "UPDATE"
	if len(tx.people) > 0 {
		lock = "UPDATE SKIP LOCKED"
	}
	if ok, err := tx.hireAs(ctx, agent, lock); ok || err != nil {
		return err
	}
	a, err := tx.Agent(ctx, agent)
	switch {
	case err != nil:
		return err
	case a.Status != Online:
		return cannot(AgentAway)
	case a.Load >= a.MaxLoad:
		return cannot(AgentFull)
	}
	return fmt.Errorf("hire: held by somebody else: %w", errRaced)
}

// raced turns a row that another transaction changed meanwhile into a reason to
// try again.
func raced(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("changed meanwhile: %w", errRaced)
	}
	return err
}

// CloseConversation ends one, for whoever takes part in it and administrators.
// One that is closed stays as it is.
func (tx *Tx) CloseConversation(ctx context.Context, id string, by Party) (Conversation, error) {
	c, err := tx.holdConversation(ctx, id, by)
	if err != nil || c.Status == Closed {
		return c, err
	}
	err = tx.end(ctx, &c, by)
	return c, err
}

// end closes a conversation; the zero Party is the desk.
func (tx *Tx) end(ctx context.Context, c *Conversation, by Party) error {
	who := cmp.Or(by.Key, byTheDesk)
	if err := tx.line(ctx); err != nil {
		return err
	}
	tx.note(c.ID, saidClosed, by.name(), "")
	if err := tx.speak(ctx, c.ID); err != nil {
		return err
	}
	q := tx.db.NewUpdate().Model(c).Set("status = ?", Closed).Set("closed_at = ?", tx.Now).Set("closed_by = ?", who).Set("waiting_since = NULL").
		Set("asker_here = NULL").Set("agent_here = NULL").Set("updated_at = ?", tx.Now).Where("id = ?", c.ID).Where("status <> ?", Closed).Returning("*")
	if err := conversationErr(q.Scan(ctx)); err != nil {
		return raced(err)
	}
	c.Position = 0
	actor := who
	if by.Key == "" && by.Admin {
		actor = "master key"
	}
	tx.Audit(AuditEntry{Actor: actor, Action: "session.close", Target: c.ID})
	tx.changes(*c)
	if err := tx.offDuty(ctx); err != nil { // what is known of their agent's load
		return err
	}
	if c.Agent != "" {
		if err := tx.retract(ctx, *c, c.Agent); err != nil {
			return err
		}
	}
	tx.after(tx.s.wakeDesk)
	if by.Key == c.Asker || !bot.ValidUserID(c.Asker) {
		return nil
	}
	if p, err := tx.person(ctx, c.Asker); err == nil && p.State != bot.Active { // WeCom would take nothing for them
		return nil
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return tx.Tell(ctx, c.Asker, bot.Text("session.closed", *c))
}

// reachable reports whether whoever asked can still read an answer.
func (tx *Tx) reachable(ctx context.Context, c Conversation) (bool, error) {
	if c.Share == "" {
		p, err := tx.person(ctx, c.Asker)
		if errors.Is(err, ErrNotFound) { // nobody said that they left
			return true, nil
		}
		return p.State == bot.Active, err
	}
	_, err := findAccount(ctx, tx.db, "uid = ?", strings.TrimPrefix(c.Asker, "account:"))
	var sh Share
	if err == nil {
		sh, err = tx.Share(ctx, c.Share)
	}
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return sh.Live(tx.Now), err
}

// Reopen goes on with a conversation that was closed within a day: with the same
// agent if they are online and have room, else with whoever is.
func (tx *Tx) Reopen(ctx context.Context, id string, by Party) (Conversation, error) {
	c, err := tx.holdConversation(ctx, id, by)
	switch {
	case err != nil || c.Status != Closed:
		return c, err
	case tx.Now.Sub(*c.ClosedAt) > reopenWithin:
		return c, cannot(TooOld)
	}
	if there, err := tx.reachable(ctx, c); err != nil {
		return c, err
	} else if !there {
		return c, cannot(Unreachable)
	}
	if _, err := tx.OpenConversation(ctx, c.Asker, c.Share); err == nil {
		return c, cannot(OtherOpen)
	} else if !errors.Is(err, ErrNotFound) {
		return c, err
	}
	before, told := c.Agent, by.Key != c.Asker // who was told that it is over has to hear that it is not
	q := tx.db.NewUpdate().Model(&c).Set("status = ?", Queued).Set("agent = ''").Set("agent_id = ''").Set("agent_name = ''").Set("queued_at = ?", tx.Now).Set("said_at = ?", tx.Now).
		Set("closed_at = NULL").Set("closed_by = ''").Set("updated_at = ?", tx.Now).Where("id = ?", c.ID).Where("status = ?", Closed).Returning("*")
	if err := conversationErr(q.Scan(ctx)); taken(err, "conversations_one", "conversations.share") {
		return c, cannot(OtherOpen) // begun this very moment
	} else if err != nil {
		return c, raced(err)
	}
	tx.Audit(AuditEntry{Actor: cmp.Or(by.Key, "master key"), Action: "session.reopen", Target: c.ID})
	tx.note(c.ID, saidReopened, by.name(), "")
	tx.changes(c)
	tx.after(tx.s.wakeDesk)
	if a, err := tx.Agent(ctx, before); err == nil && before != "" && a.Status == Online {
		if ok, err := tx.hire(ctx, before); err != nil {
			return c, err
		} else if ok {
			err = tx.assign(ctx, &c, a, told)
			return c, err
		}
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return c, err
	}
	if err := place(ctx, tx.db, &c); err != nil {
		return c, err
	}
	if c.Position == 1 {
		err = tx.offer(ctx, &c, told)
	}
	if c.Status == Queued {
		tx.overhear(&c)
	}
	return c, err
}
