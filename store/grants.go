package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// Grant is a role an administrator gave to a person, on top of what the rules
// say. It ends when it is revoked or the person leaves.
type Grant struct {
	bun.BaseModel `bun:"table:role_grants"`

	Person string    `bun:"person,pk"` // canonical userid
	Role   string    `bun:"role,pk"`
	By     string    `bun:"granted_by"`
	At     time.Time `bun:"granted_at"`
}

// GrantRole gives a person a role, and reports whether they did not have it that
// way before.
func (tx *Tx) GrantRole(ctx context.Context, by, userID string, role bot.Level) (granted bool, err error) {
	id := bot.Canonical(userID)
	p, err := tx.person(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	if err == nil && p.State != bot.Active {
		return false, bot.Fail(bot.Conflict, "role.inactive", nil, nil)
	}
	res, err := tx.db.NewInsert().Model(&Grant{Person: id, Role: role.String(), By: bot.Canonical(by), At: tx.Now}).
		On("CONFLICT (person, role) DO NOTHING").Returning("NULL").Exec(ctx)
	if err := changedOne(res, err, "grant a role"); errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	tx.Audit(AuditEntry{Actor: by, Action: "role.grant", Target: id, Detail: role.String()})
	return true, tx.rolesChanged(ctx, id)
}

// RevokeRole takes a granted role back. The role a rule gives stays: the rule has
// to be changed for that.
func (tx *Tx) RevokeRole(ctx context.Context, by, userID string, role bot.Level) error {
	id := bot.Canonical(userID)
	p, err := tx.person(ctx, id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	res, err := tx.db.NewDelete().Model((*Grant)(nil)).Where("person = ?", id).Where("role = ?", role.String()).Exec(ctx)
	err = changedOne(res, err, "revoke a role")
	rule := tx.s.Roles.of(role).why(p.person())
	switch {
	case errors.Is(err, ErrNotFound) && rule != "":
		return bot.Fail(bot.Conflict, "role.rule", Reason{Role: role.String(), Rule: rule}, nil)
	case errors.Is(err, ErrNotFound):
		return bot.Fail(bot.NotFound, "role.absent", nil, nil)
	case err != nil:
		return err
	}
	tx.Audit(AuditEntry{Actor: by, Action: "role.revoke", Target: id, Detail: role.String()})
	return tx.rolesChanged(ctx, id)
}

// rolesChanged brings up to date what was derived from a person's roles.
func (tx *Tx) rolesChanged(ctx context.Context, id string) error {
	grants, err := grantsOf(ctx, tx.db, id)
	if err != nil {
		return err
	}
	if tx.granted != nil {
		tx.granted[id] = grants
	}
	p, err := tx.person(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil // first sight will do it
	}
	if err != nil {
		return err
	}
	u := tx.s.user(p.person(), p.Lang, grants)
	if u.Level >= bot.Agent {
		return tx.writeAgent(ctx, u)
	}
	return tx.dismissAgent(ctx, u)
}

// grantsOf lists the roles granted to a person.
func grantsOf(ctx context.Context, db bun.IDB, id string) ([]string, error) {
	var roles []string
	if err := db.NewSelect().Model((*Grant)(nil)).Column("role").Where("person = ?", id).Order("role").Scan(ctx, &roles); err != nil {
		return nil, fmt.Errorf("roles of %s: %w", id, err)
	}
	return roles, nil
}

// allGrants lists every grant, by person.
func (tx *Tx) allGrants(ctx context.Context) (map[string][]Grant, error) {
	var list []Grant
	if err := tx.db.NewSelect().Model(&list).Order("person", "role").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	all := map[string][]Grant{}
	for _, g := range list {
		all[g.Person] = append(all[g.Person], g)
	}
	return all, nil
}

func rolesIn(grants []Grant) []string {
	var roles []string
	for _, g := range grants {
		roles = append(roles, g.Role)
	}
	return roles
}

// Reason is why a person has a role: a rule, or a grant.
type Reason struct {
	Role string
	Rule string    // as in the configuration, "" for a grant
	By   string    // who granted it
	At   time.Time // and when
}

// Holder is a person and why they have their roles.
type Holder struct {
	ID, Name string
	Known    bool // seen here, or asked about in the directory, at least once
	State    bot.State
	Level    bot.Level
	Reasons  []Reason
}

// Holder tells which roles a person has, and why.
func (tx *Tx) Holder(ctx context.Context, userID string) (Holder, error) {
	id := bot.Canonical(userID)
	var grants []Grant
	if err := tx.db.NewSelect().Model(&grants).Where("person = ?", id).Order("role").Scan(ctx); err != nil {
		return Holder{}, fmt.Errorf("roles of %s: %w", id, err)
	}
	p, err := tx.person(ctx, id)
	if errors.Is(err, ErrNotFound) {
		p, err = personRow{UserID: userID}, nil
	}
	if err != nil {
		return Holder{}, err
	}
	return tx.s.holder(p, grants), nil
}

// Holders lists everybody who has a role: the people known here and active, and
// those who were granted one before they were seen.
func (tx *Tx) Holders(ctx context.Context) ([]Holder, error) {
	var rows []personRow
	if err := tx.db.NewSelect().Model(&rows).Where("state = ?", bot.Active).Order("id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list roles: %w", err)
	}
	grants, err := tx.allGrants(ctx)
	if err != nil {
		return nil, err
	}
	var list []Holder
	for _, row := range rows {
		if h := tx.s.holder(row, grants[row.ID]); h.Level > bot.Anyone {
			list = append(list, h)
		}
		delete(grants, row.ID)
	}
	for id, left := range grants {
		list = append(list, tx.s.holder(personRow{UserID: id}, left))
	}
	slices.SortStableFunc(list, func(a, b Holder) int { return int(b.Level) - int(a.Level) })
	return list, nil
}

func (s *Store) holder(row personRow, grants []Grant) Holder {
	p := row.person()
	h := Holder{ID: p.ID, Name: p.Name, Known: row.ID != "", State: p.State, Level: s.user(p, "", rolesIn(grants)).Level}
	for _, role := range []bot.Level{bot.Admin, bot.Agent} {
		if rule := s.Roles.of(role).why(p); rule != "" {
			h.Reasons = append(h.Reasons, Reason{Role: role.String(), Rule: rule})
		}
		for _, g := range grants {
			if g.Role == role.String() {
				h.Reasons = append(h.Reasons, Reason{Role: g.Role, By: g.By, At: g.At})
			}
		}
	}
	return h
}
