package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// Departure is what ended when a person left.
type Departure struct {
	ID, Name string
	Why      string // what the directory says of them now, a bot.State
	Tokens   int    // that were still good
	OTP      bool
	Password bool
	Roles    []string // that were granted, not those of rules
	Agent    bool
	Shares   int // of their bots, that were still good
	Devices  int // that are nobody's now
	Sessions int // helpdesk sessions that go to other agents
}

// String lists it for the audit trail.
func (d Departure) String() string {
	parts := []string{d.Why, "tokens " + strconv.Itoa(d.Tokens)}
	if d.OTP {
		parts = append(parts, "otp")
	}
	if d.Password {
		parts = append(parts, "password")
	}
	if len(d.Roles) > 0 {
		parts = append(parts, "roles "+strings.Join(d.Roles, "+"))
	}
	if d.Agent {
		parts = append(parts, "agent")
	}
	if d.Shares > 0 {
		parts = append(parts, "shares "+strconv.Itoa(d.Shares))
	}
	if d.Devices > 0 {
		parts = append(parts, "devices "+strconv.Itoa(d.Devices))
	}
	if d.Sessions > 0 {
		parts = append(parts, "sessions "+strconv.Itoa(d.Sessions))
	}
	return strings.Join(parts, ", ")
}

// CutOff ends everything a person could do here, because they left the
// directory, were disabled in it, or can no longer see the app, and tells the
// administrators once. Nothing of it comes back: when the directory calls the
// userid active again, whoever that is starts as a stranger would.
func (tx *Tx) CutOff(ctx context.Context, userID string, why bot.State) error {
	id := bot.Canonical(userID)
	d := Departure{ID: userID, Why: string(why)}
	p, err := tx.person(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil {
		d.ID, d.Name = p.UserID, p.Name
	}
	// The row count decides which of the event and the sweep, on whichever
	// instance, is the first to know.
	res, err := tx.db.NewUpdate().Model((*personRow)(nil)).Set("state = ?", why).Set("departed_at = ?", tx.Now).Set("checked_at = ?", tx.Now).
		Where("id = ?", id).Where("state = ?", bot.Active).Exec(ctx)
	first := changedOne(res, err, "mark as departed")
	if first != nil && !errors.Is(first, ErrNotFound) {
		return first
	}
	if err := tx.endEverything(ctx, id, &d); err != nil {
		return err
	}
	if first != nil {
		return nil // told already, or never here
	}
	tx.Audit(AuditEntry{Actor: "directory", Action: "person.leave", Target: id, Detail: d.String()})
	admins, err := tx.Admins(ctx)
	if err != nil {
		return err
	}
	for _, admin := range admins {
		if err := tx.Tell(ctx, admin.ID, bot.Card("person.left", d)); err != nil {
			return err
		}
	}
	return nil
}

// endEverything is where whatever a person may own here has to be named.
func (tx *Tx) endEverything(ctx context.Context, id string, d *Departure) (err error) {
	if d.Tokens, _, err = tx.revoke(ctx, "left", "account = '' AND person = ?", id); err != nil {
		return err
	}
	if d.Shares, err = tx.orphan(ctx, id); err != nil {
		return err
	}
	status, err := tx.OTPStatus(ctx, id)
	if err != nil {
		return err
	}
	d.OTP = status.State == OTPActive
	if _, err := tx.DropOTP(ctx, id); err != nil {
		return err
	}
	if d.Password, err = tx.erase(ctx, "passwords", id); err != nil {
		return err
	}
	// Logins that wait for an approval stay: they end within minutes, nobody who
	// left can approve one, and if those for people who do not exist ended sooner
	// than others, that would tell who exists.
	if d.Roles, err = grantsOf(ctx, tx.db, id); err != nil {
		return err
	}
	if _, err := tx.erase(ctx, "role_grants", id); err != nil {
		return err
	}
	delete(tx.granted, id)
	if d.Devices, err = tx.disown(ctx, id); err != nil {
		return err
	}
	if _, err := tx.erase(ctx, "held_words", id); err != nil {
		return err
	}
	if err := tx.line(ctx); err != nil {
		return err
	}
	if err := tx.offDuty(ctx); err != nil {
		return err
	}
	res, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("status = ?", Offline).Set("note = ''").Set("back = ''").Set("until = NULL").
		Set("updated_at = ?", tx.Now).Where("id = ?", id).Where("role <> ?", bot.Anyone.String()).Exec(ctx)
	if err := changedOne(res, err, "set offline"); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	} else if err == nil {
		d.Agent = true
	}
	tx.after(func() { tx.s.agents.Delete(id) })
	d.Sessions, err = tx.leaveDesk(ctx, id) // after that nobody gives them another one
	return err
}

// erase removes what a table has of a person, and reports whether it had anything.
func (tx *Tx) erase(ctx context.Context, table, id string) (bool, error) {
	res, err := tx.db.NewRaw("DELETE FROM ? WHERE person = ?", bun.Ident(table), id).Exec(ctx)
	if err := changedOne(res, err, "erase "+table); errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// returns lets a userid that had departed begin anew. Who has it now may be
// somebody else, so they get an id of their own and inherit no choice of the one
// before.
func (tx *Tx) returns(ctx context.Context, row personRow) error {
	res, err := tx.db.NewUpdate().Model((*personRow)(nil)).Set("uid = ?", row.UID).Set("lang = ''").Set("welcomed_at = NULL").
		Set("created_at = ?", tx.Now).Set("departed_at = NULL").Where("id = ?", row.ID).Where("departed_at IS NOT NULL").Exec(ctx)
	if err := changedOne(res, err, "begin anew"); errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if err := tx.offDuty(ctx); err != nil {
		return err
	}
	_, err = tx.db.NewUpdate().Model((*Agent)(nil)).Set("created_at = ?", tx.Now).Set("max_load = ?", tx.s.MaxLoad).Set("own_load = FALSE").
		Set("role = ?", bot.Anyone.String()).Where("id = ?", row.ID).Exec(ctx)
	if err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	tx.Audit(AuditEntry{Actor: "directory", Action: "person.return", Target: row.ID})
	return nil
}

// departed lists who left since, and when.
func (s *Store) departed(ctx context.Context, since time.Time) (map[string]time.Time, error) {
	var rows []personRow
	if err := s.reads.NewSelect().Model(&rows).Column("id", "departed_at").Where("departed_at > ?", since.UTC()).Scan(ctx); err != nil {
		return nil, fmt.Errorf("look for departures: %w", err)
	}
	left := make(map[string]time.Time, len(rows))
	for _, row := range rows {
		left[row.ID] = *row.DepartedAt
	}
	return left, nil
}
