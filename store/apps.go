package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// App is an app that holds a token of a device. What it may do came from the
// configuration whose password it had, and from nothing it said itself.
type App struct {
	bun.BaseModel `bun:"table:app_tokens"`

	ID          string    `bun:"id,pk"`
	Hash        string    `bun:"hash"`
	Device      string    `bun:"device"`
	Config      string    `bun:"config"`
	AppID       string    `bun:"app_id"` // as the app calls itself
	Type        string    `bun:"device_type"`
	ReadOnly    bool      `bun:"read_only"`
	Note        string    `bun:"note"` // the name a pupil chose
	InstalledAt time.Time `bun:"installed_at"`
	UpdatedAt   time.Time `bun:"updated_at"`
	LastUsedAt  time.Time `bun:"last_used_at"` // to the hour
	ExpiresAt   time.Time `bun:"expires_at"`
}

const (
	appLife  = 90 * 24 * time.Hour // of an app's token
	appIdle  = 30 * 24 * time.Hour // after which an unused one ends
	appTouch = time.Hour
	maxApps  = 1000 // tokens of one configuration
)

// ShortID is enough of the id to tell a device's apps apart.
func (a App) ShortID() string { return a.ID[:min(shortID, len(a.ID))] }

// App tells which app's token this is. ErrNotFound covers every reason for
// which it is not a good one.
func (s *Store) App(ctx context.Context, token string) (App, error) {
	if tokenKind(token) != kindApp {
		return App{}, ErrNotFound
	}
	var app App
	now := s.Now().UTC()
	err := s.reads.NewSelect().Model(&app).Where("hash IN (?)", bun.List(s.keys.digests(kindApp, token))).
		Where("expires_at > ?", now).Where("last_used_at > ?", now.Add(-appIdle)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return App{}, ErrNotFound
	}
	if err != nil {
		return App{}, fmt.Errorf("look up an app's token: %w", err)
	}
	if now.Sub(app.LastUsedAt) >= appTouch {
		s.touchApp(ctx, app, now)
	}
	return app, nil
}

// touchApp notes a use, which keeps the token from ending unused. The request
// does not wait long for it: the next one will note it as well.
func (s *Store) touchApp(ctx context.Context, app App, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := s.db.NewUpdate().Model((*App)(nil)).Set("last_used_at = ?", now).Where("id = ?", app.ID).Where("last_used_at < ?", now).Exec(ctx)
	if err != nil {
		s.Log.Debug("use of an app's token not noted", "app", app.ID, "err", err)
	}
}

// DeviceOf gives the device an app has a token of.
func (s *Store) DeviceOf(ctx context.Context, app App) (Device, error) {
	return findDevice(ctx, s.reads, "id = ?", app.Device)
}

// Apps lists the apps that hold tokens of a device, the latest first.
func (s *Store) Apps(ctx context.Context, device string) ([]App, error) {
	return listApps(ctx, s.reads, device, s.Now())
}

// Apps lists the apps that hold tokens of a device, the latest first.
func (tx *Tx) Apps(ctx context.Context, device string) ([]App, error) {
	return listApps(ctx, tx.db, device, tx.Now)
}

func listApps(ctx context.Context, db bun.IDB, device string, now time.Time) ([]App, error) {
	list := []App{}
	err := db.NewSelect().Model(&list).Where("device = ?", device).Where("expires_at > ?", now.UTC()).Where("last_used_at > ?", now.UTC().Add(-appIdle)).
		Order("installed_at DESC", "id").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list apps: %w", err)
	}
	return list, nil
}

// EndApp revokes the token of an app on a device of the owner's, by its id or,
// where that means one token only, by what ShortID gives.
func (tx *Tx) EndApp(ctx context.Context, o Owner, device, id string) error {
	d, err := ownDevice(ctx, tx.db, o, "id = ?", device)
	if err != nil {
		return err
	}
	ended, err := tx.removeShort(ctx, "app_tokens", d.ID, id)
	if err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: o.Audited(), Action: "app.revoke", Target: d.ID, Detail: ended})
	return nil
}

// removeShort deletes the one row of a device whose id begins like this.
func (tx *Tx) removeShort(ctx context.Context, table, device, id string) (string, error) {
	id = strings.ToLower(id)
	if len(id) < shortID || strings.Trim(id, "0123456789abcdef-") != "" {
		return "", ErrNotFound
	}
	var found []string
	err := tx.db.NewSelect().TableExpr(table).Column("id").Where("device = ?", device).Where("id LIKE ?", id+"%").Limit(2).Scan(ctx, &found)
	if err != nil {
		return "", fmt.Errorf("remove from %s: %w", table, err)
	}
	if len(found) != 1 {
		return "", ErrNotFound
	}
	res, err := tx.db.NewRaw("DELETE FROM ? WHERE id = ?", bun.Ident(table), found[0]).Exec(ctx)
	return found[0], changedOne(res, err, "remove from "+table)
}

// fewApps ends the tokens of a configuration that were unused longest when there
// are too many: there is no way for an app to give one back. Whoever knows one
// password crowds out nobody who came in with another.
func (tx *Tx) fewApps(ctx context.Context, config string) error {
	_, err := tx.db.NewRaw("DELETE FROM app_tokens WHERE id IN (SELECT id FROM app_tokens WHERE config = ? ORDER BY last_used_at DESC LIMIT 100 OFFSET ?)", config, maxApps).Exec(ctx)
	return wrap(err, "end old apps")
}

func (s *Store) purgeAppTokens(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM app_tokens WHERE id IN (SELECT id FROM app_tokens WHERE expires_at < ? ORDER BY expires_at LIMIT 500)", tokensKept)
}

// pupils is the key under which a device has the names a pupil may choose.
const pupils = "classworks-list-main"

// NameApp lets a pupil say who they are: one of the names on the device's list.
func (tx *Tx) NameApp(ctx context.Context, app App, name string) (App, error) {
	if app.Type != "student" {
		return App{}, bot.Fail(bot.Denied, "device.student", nil, nil)
	}
	v, err := findValue(ctx, tx.db, app.Device, pupils)
	if err != nil {
		return App{}, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(v.Value), &list); err != nil || list == nil {
		return App{}, bot.Fail(bot.Invalid, "device.list", nil, nil)
	}
	if name == "" || utf8.RuneCountInString(name) > nameMax || !slices.ContainsFunc(list, func(entry json.RawMessage) bool { return isPupil(entry, name) }) {
		return App{}, bot.Fail(bot.Invalid, "device.pupil", nil, nil)
	}
	app.Note, app.UpdatedAt = name, tx.moment()
	res, err := tx.db.NewUpdate().Model(&app).Column("note", "updated_at").WherePK().Exec(ctx)
	if err := changedOne(res, err, "name an app"); err != nil {
		return App{}, err
	}
	tx.Audit(AuditEntry{Actor: "app", Action: "app.name", Target: app.Device, Detail: app.ID})
	return app, nil
}

// isPupil reports whether an entry of the list is this pupil. Whatever else
// stands in the list is nobody, and no reason to refuse the others.
func isPupil(entry json.RawMessage, name string) bool {
	var pupil map[string]json.RawMessage // a struct would take "NAME" for the name, too
	if json.Unmarshal(entry, &pupil) != nil {
		return false
	}
	var called string
	return json.Unmarshal(pupil["name"], &called) == nil && called == name
}
