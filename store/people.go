package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// personRow is what the directory said of a person last, and what the person
// chose here.
type personRow struct {
	bun.BaseModel `bun:"table:people"`

	ID          string     `bun:"id,pk"`   // canonical userid
	UserID      string     `bun:"user_id"` // the directory's spelling
	UID         string     `bun:"uid"`     // ours, for the API; never given to anyone else
	Name        string     `bun:"name"`
	State       bot.State  `bun:"state"`
	Departments []int      `bun:"departments,type:text"`
	Tags        []int      `bun:"tags,type:text"`
	CheckedAt   time.Time  `bun:"checked_at"`
	Lang        string     `bun:"lang"`
	WelcomedAt  *time.Time `bun:"welcomed_at"`
	CreatedAt   time.Time  `bun:"created_at"`
	DepartedAt  *time.Time `bun:"departed_at"` // until the directory calls the userid active again
}

// Language is the one the person reads: Chinese unless they chose.
func (p personRow) Language() string {
	if p.Lang == "" {
		return "zh"
	}
	return p.Lang
}

func (p personRow) person() bot.Person {
	return bot.Person{ID: p.UserID, Name: p.Name, State: p.State, Departments: p.Departments, Tags: p.Tags}
}

// Profile is a person as the API shows them.
type Profile struct {
	bot.User
	UID       string
	State     bot.State
	CreatedAt time.Time
}

// Profile returns what is known of a person without asking the directory.
func (s *Store) Profile(ctx context.Context, userID string) (Profile, error) {
	p, err := findPerson(ctx, s.reads, bot.Canonical(userID))
	if err != nil {
		return Profile{}, err
	}
	grants, err := grantsOf(ctx, s.reads, p.ID)
	if err != nil {
		return Profile{}, err
	}
	return Profile{User: s.user(p.person(), p.Lang, grants), UID: p.UID, State: p.State, CreatedAt: p.CreatedAt}, nil
}

func (tx *Tx) person(ctx context.Context, id string) (personRow, error) {
	return findPerson(ctx, tx.db, id)
}

func findPerson(ctx context.Context, db bun.IDB, id string) (personRow, error) {
	var p personRow
	err := db.NewSelect().Model(&p).Where("id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("person %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return p, fmt.Errorf("person %s: %w", id, err)
	}
	return p, nil
}

// savePerson keeps the directory's verdict on id, which it was asked for at a
// moment, and does what follows from it: who is no longer active is cut off, and
// who had departed begins anew.
func (s *Store) savePerson(ctx context.Context, id string, p bot.Person, asked time.Time) error {
	row := personRow{ID: id, UserID: p.ID, UID: uuid.NewString(), Name: p.Name, State: p.State, Departments: notNil(p.Departments), Tags: notNil(p.Tags), CheckedAt: asked, CreatedAt: asked}
	return s.Tx(ctx, func(tx *Tx) error {
		known, err := tx.person(ctx, id)
		switch {
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		case err == nil && known.CheckedAt.After(asked): // answers may overtake each other
			if p.State == bot.Active && known.State != bot.Active {
				return fmt.Errorf("save person %s: a later answer was different (%w)", id, errRaced)
			}
			return nil
		case p.State != bot.Active:
			if err := tx.CutOff(ctx, id, p.State); err != nil {
				return err
			}
		}
		if p.State == bot.Unknown { // a name anybody may make up is not worth a row
			return nil
		}
		// An answer from before the person left says nothing of after.
		res, err := tx.db.NewInsert().Model(&row).ExcludeColumn("departed_at").On("CONFLICT (id) DO UPDATE").
			Set("user_id = EXCLUDED.user_id").Set("name = EXCLUDED.name").Set("state = EXCLUDED.state").
			Set("departments = EXCLUDED.departments").Set("tags = EXCLUDED.tags").Set("checked_at = EXCLUDED.checked_at").
			Where("person_row.departed_at IS NULL OR person_row.departed_at <= EXCLUDED.checked_at OR EXCLUDED.state <> ?", bot.Active).
			Returning("NULL").Exec(ctx)
		if err := changedOne(res, err, "save person "+id); errors.Is(err, ErrNotFound) {
			return fmt.Errorf("save person %s: left while the directory was asked (%w)", id, errRaced)
		} else if err != nil || p.State != bot.Active {
			return err
		}
		if err := tx.returns(ctx, row); err != nil {
			return err
		}
		return tx.demote(ctx, id, p)
	})
}

// demote takes a person off the list of agents when neither a rule nor a grant
// makes them one any more.
func (tx *Tx) demote(ctx context.Context, id string, p bot.Person) error {
	if u := tx.s.user(p, "", nil); u.Level >= bot.Agent {
		return nil
	}
	if err := tx.offDuty(ctx); err != nil {
		return err
	}
	_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("role = ?", bot.Anyone.String()).Set("status = ?", Offline).
		Set("note = ''").Set("back = ''").Set("until = NULL").Where("id = ?", id).Where("role <> ?", bot.Anyone.String()).
		Where("NOT EXISTS (SELECT 1 FROM role_grants WHERE person = ?)", id).Exec(ctx)
	return wrap(err, "demote agent")
}

func notNil(list []int) []int {
	if list == nil {
		return []int{}
	}
	return list
}

// SetLang chooses the language of everything said to a person.
func (tx *Tx) SetLang(ctx context.Context, userID, lang string) error {
	res, err := tx.db.NewUpdate().Model((*personRow)(nil)).Set("lang = ?", lang).Where("id = ?", bot.Canonical(userID)).Exec(ctx)
	return changedOne(res, err, "choose a language")
}

// Welcome reports whether it is time to welcome a person, at most once in a
// calendar day, and counts this as the welcome when it is.
func (tx *Tx) Welcome(ctx context.Context, userID string) (bool, error) {
	y, m, d := tx.Now.In(time.Local).Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, time.Local).UTC()
	res, err := tx.db.NewUpdate().Model((*personRow)(nil)).Set("welcomed_at = ?", tx.Now).Where("id = ?", bot.Canonical(userID)).
		Where("welcomed_at IS NULL OR welcomed_at < ?", today).Exec(ctx)
	if err := changedOne(res, err, "welcome"); errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// grants reads the roles these people were granted here into tx.granted.
func (tx *Tx) grants(ctx context.Context, ids []string) error {
	var rows []struct{ Person, Role string }
	if err := tx.db.NewRaw("SELECT person, role FROM role_grants WHERE person IN (?)", bun.List(ids)).Scan(ctx, &rows); err != nil {
		return fmt.Errorf("granted roles: %w", err)
	}
	tx.granted = map[string][]string{}
	for _, r := range rows {
		tx.granted[r.Person] = append(tx.granted[r.Person], r.Role)
	}
	return nil
}

// Admins lists the administrators that are known here and active.
func (tx *Tx) Admins(ctx context.Context) ([]bot.User, error) {
	var rows []personRow
	if err := tx.db.NewSelect().Model(&rows).Where("state = ?", bot.Active).Order("id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list administrators: %w", err)
	}
	grants, err := tx.allGrants(ctx)
	if err != nil {
		return nil, err
	}
	var admins []bot.User
	for _, row := range rows {
		if u := tx.s.user(row.person(), row.Lang, rolesIn(grants[row.ID])); u.Level == bot.Admin {
			admins = append(admins, u)
		}
	}
	return admins, nil
}

// changedOne turns "no row was changed" into ErrNotFound.
func changedOne(res sql.Result, err error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	} else if n == 0 {
		return fmt.Errorf("%s: %w", doing, ErrNotFound)
	}
	return nil
}
