package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
