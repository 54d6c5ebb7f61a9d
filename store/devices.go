package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Owner is whose a device is: a person of the directory, by canonical userid, or
// an account, by its uid. It is one of the two, never both.
type Owner struct{ Person, Account string }

// Audited is how the audit trail calls the owner.
func (o Owner) Audited() string {
	if o.Account != "" {
		return Account{UID: o.Account}.Audited()
	}
	return o.Person
}

func (o Owner) valid() bool { return (o.Person == "") != (o.Account == "") }

// Device is a namespace of values, which apps open with a password; see
// deviceauth.go for the passwords and kv.go for the values.
type Device struct {
	bun.BaseModel `bun:"table:devices"`

	ID        string    `bun:"id,pk"`
	Name      string    `bun:"name"`
	Namespace string    `bun:"namespace"` // as its owner writes it
	Key       string    `bun:"ns_key"`    // as namespaces are compared
	Salt      string    `bun:"salt"`      // of its passwords
	Person    string    `bun:"person"`
	Account   string    `bun:"account"`
	Entries   int       `bun:"entries"`
	Bytes     int       `bun:"bytes"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// Owner is whose it is; the zero Owner when whoever had it left.
func (d Device) Owner() Owner { return Owner{d.Person, d.Account} }

// What one owner, one device and one name may come to.
const (
	maxDevices   = 500
	namespaceMax = 64 // characters
	nameMax      = 128
)

// canonicalNamespace is the form under which namespaces are compared and tries
// at them counted: whatever spelling means a namespace is counted with it.
func canonicalNamespace(s string) string { return fold(s) }

// fold is a name without case, and with the full-width letters of a Chinese input
// method as their ASCII selves.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '！' && r <= '～' {
			r -= '！' - '!'
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, s)
}

// namespaceFits refuses what people could not tell apart or not type again.
func namespaceFits(s string) bool {
	n := utf8.RuneCountInString(s)
	return n > 0 && n <= namespaceMax && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, invisible)
}

// invisible is a character that a name of one kind and a name without it could
// not be told apart by: white space, what does not show, and the accents that
// stand by themselves where most keyboards give a letter that has them.
func invisible(r rune) bool {
	return r == ' ' || !unicode.IsPrint(r) || r == utf8.RuneError || r == '\u2800' || r >= '\u0300' && r <= '\u036f' ||
		unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// NewDevice makes a device. Without a namespace its id is that, too.
func (tx *Tx) NewDevice(ctx context.Context, o Owner, name, namespace string) (Device, error) {
	if !o.valid() {
		return Device{}, errors.New("make a device: want a person or an account")
	}
	o.Person = bot.Canonical(o.Person)
	d := Device{
		ID: uuid.NewString(), Name: name, Namespace: namespace, Salt: tx.s.hasher.newSalt(),
		Person: o.Person, Account: o.Account, CreatedAt: tx.moment(), UpdatedAt: tx.moment(),
	}
	if namespace == "" {
		d.Namespace = d.ID
	}
	d.Key = canonicalNamespace(d.Namespace)
	switch n := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "" || n > nameMax || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable):
		return Device{}, bot.Fail(bot.Invalid, "device.name", nil, nil)
	case !namespaceFits(d.Namespace):
		return Device{}, bot.Fail(bot.Invalid, "device.namespace", nil, nil)
	}
	n, err := owned(tx.db.NewSelect().Model((*Device)(nil)), o).Count(ctx)
	if err != nil {
		return Device{}, fmt.Errorf("make a device: %w", err)
	}
	if n >= maxDevices {
		return Device{}, bot.Fail(bot.Conflict, "device.many", nil, nil)
	}
	res, err := tx.db.NewInsert().Model(&d).On("CONFLICT (ns_key) DO NOTHING").Returning("NULL").Exec(ctx)
	if err := changedOne(res, err, "make a device"); errors.Is(err, ErrNotFound) {
		return Device{}, bot.Fail(bot.Conflict, "device.taken", nil, nil)
	} else if err != nil {
		return Device{}, err
	}
	tx.Audit(AuditEntry{Actor: o.Audited(), Action: "device.add", Target: d.ID})
	return d, nil
}

// moment is tx.Now as both engines keep it, for what is answered and stored.
func (tx *Tx) moment() time.Time { return tx.Now.Truncate(time.Microsecond) }

func owned(q *bun.SelectQuery, o Owner) *bun.SelectQuery {
	if o.Account != "" {
		return q.Where("account = ?", o.Account)
	}
	return q.Where("person = ?", bot.Canonical(o.Person)).Where("person <> ''")
}

// Devices lists an owner's devices, the oldest first.
func (s *Store) Devices(ctx context.Context, o Owner) ([]Device, error) {
	return listDevices(ctx, s.reads, o)
}

// Devices lists an owner's devices, the oldest first.
func (tx *Tx) Devices(ctx context.Context, o Owner) ([]Device, error) {
	return listDevices(ctx, tx.db, o)
}

func listDevices(ctx context.Context, db bun.IDB, o Owner) ([]Device, error) {
	list := []Device{}
	if err := owned(db.NewSelect().Model(&list), o).Order("created_at", "id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return list, nil
}

// Device finds a device that must be the owner's.
func (s *Store) Device(ctx context.Context, o Owner, id string) (Device, error) {
	return ownDevice(ctx, s.reads, o, "id = ?", id)
}

// DeviceNamed finds a device of the owner's by its namespace.
func (tx *Tx) DeviceNamed(ctx context.Context, o Owner, namespace string) (Device, error) {
	return ownDevice(ctx, tx.db, o, "ns_key = ?", canonicalNamespace(namespace))
}

// ownDevice is ErrNotFound for none, and Denied for somebody else's.
func ownDevice(ctx context.Context, db bun.IDB, o Owner, where string, arg any) (Device, error) {
	d, err := findDevice(ctx, db, where, arg)
	if err == nil && (d.Person != bot.Canonical(o.Person) || d.Account != o.Account || !o.valid()) {
		return Device{}, bot.Fail(bot.Denied, "device.foreign", nil, nil)
	}
	return d, err
}

func findDevice(ctx context.Context, db bun.IDB, where string, arg any) (d Device, err error) {
	err = db.NewSelect().Model(&d).Where(where, arg).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Device{}, fmt.Errorf("device: %w", ErrNotFound)
	}
	if err != nil {
		return Device{}, fmt.Errorf("device: %w", err)
	}
	return d, nil
}

// RemoveDevice removes a device of the owner's, and with it its configurations,
// its tokens and its values.
func (tx *Tx) RemoveDevice(ctx context.Context, o Owner, id string) error {
	d, err := ownDevice(ctx, tx.db, o, "id = ?", id)
	if err != nil {
		return err
	}
	res, err := tx.db.NewDelete().Model(&d).WherePK().Exec(ctx)
	if err := changedOne(res, err, "remove a device"); err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: o.Audited(), Action: "device.remove", Target: d.ID})
	return nil
}

// disown ends every way into the devices of a person who left. The values stay,
// out of reach: a userid that comes back may be somebody else, who inherits
// nothing.
func (tx *Tx) disown(ctx context.Context, person string) (int, error) {
	var ids []string
	err := tx.db.NewUpdate().Model((*Device)(nil)).Set("person = ''").Set("updated_at = ?", tx.moment()).
		Where("person = ?", person).Where("person <> ''").Returning("id").Scan(ctx, &ids)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("disown devices: %w", err)
	}
	if len(ids) == 0 {
		return 0, nil
	}
	if _, err := tx.db.NewDelete().Model((*DeviceConfig)(nil)).Where("device IN (?)", bun.List(ids)).Exec(ctx); err != nil {
		return 0, fmt.Errorf("disown devices: %w", err)
	}
	return len(ids), nil
}

// hold locks a device's row until the transaction ends. Whoever changes what is
// on a device begins with it: in that order nobody waits for each other in a
// circle, and a device that is gone is seen to be.
func (tx *Tx) hold(ctx context.Context, id string) error {
	res, err := tx.db.NewUpdate().Model((*Device)(nil)).Set("entries = entries").Where("id = ?", id).Exec(ctx)
	return changedOne(res, err, "hold a device")
}
