package store

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// DeviceConfig is one way for apps to get tokens of a device: the password they
// need, and what the token can do.
type DeviceConfig struct {
	bun.BaseModel `bun:"table:device_configs"`

	ID        string     `bun:"id,pk"`
	Device    string     `bun:"device"`
	Password  string     `bun:"password"` // its hash, sealed; "" needs none
	Type      string     `bun:"device_type"`
	ReadOnly  bool       `bun:"read_only"`
	Revision  int        `bun:"revision"`
	UsedAt    *time.Time `bun:"used_at"`
	CreatedAt time.Time  `bun:"created_at"`
	UpdatedAt time.Time  `bun:"updated_at"`
}

// ShortID is enough of the id to tell a device's configurations apart.
func (c DeviceConfig) ShortID() string { return c.ID[:min(shortID, len(c.ID))] }

// DeviceTypes are what holders of a token can be.
var DeviceTypes = []string{"teacher", "student", "classroom", "parent"}

const (
	maxConfigs   = 20
	nsPassMax    = 128 // characters of a namespace's password
	noPassword   = ""
	untypedToken = ""
)

// ConfigChange says what a configuration is to be; nil leaves it as it is, or as
// a new one begins: no password, no type, may write.
type ConfigChange struct {
	Password *string // "" needs none
	Type     *string // "" for none
	ReadOnly *bool
}

func (c ConfigChange) check() error {
	if c.Password != nil && utf8.RuneCountInString(*c.Password) > nsPassMax {
		return bot.Fail(bot.Invalid, "device.password", nil, nil)
	}
	if c.Type != nil && *c.Type != untypedToken && !slices.Contains(DeviceTypes, *c.Type) {
		return bot.Fail(bot.Invalid, "device.type", nil, nil)
	}
	return nil
}

// Configs lists a device's configurations, the oldest first.
func (s *Store) Configs(ctx context.Context, device string) ([]DeviceConfig, error) {
	return listConfigs(ctx, s.reads, device)
}

// Configs lists a device's configurations, the oldest first.
func (tx *Tx) Configs(ctx context.Context, device string) ([]DeviceConfig, error) {
	return listConfigs(ctx, tx.db, device)
}

func listConfigs(ctx context.Context, db bun.IDB, device string) ([]DeviceConfig, error) {
	list := []DeviceConfig{}
	if err := db.NewSelect().Model(&list).Where("device = ?", device).Order("created_at", "id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list configurations: %w", err)
	}
	return list, nil
}

// AddConfig makes a configuration for a device of the owner's.
func (s *Store) AddConfig(ctx context.Context, o Owner, device string, c ConfigChange) (made DeviceConfig, err error) {
	hash, err := s.hashChange(ctx, o, device, c)
	if err != nil {
		return DeviceConfig{}, err
	}
	err = s.Tx(ctx, func(tx *Tx) error {
		made, err = tx.addConfig(ctx, o, device, c, hash)
		return err
	})
	return made, err
}

// ChangeConfig changes a configuration. Tokens it gave end with what it was.
func (s *Store) ChangeConfig(ctx context.Context, o Owner, device, id string, c ConfigChange) (made DeviceConfig, err error) {
	hash, err := s.hashChange(ctx, o, device, c)
	if err != nil {
		return DeviceConfig{}, err
	}
	err = s.Tx(ctx, func(tx *Tx) error {
		made, err = tx.changeConfig(ctx, o, device, id, c, hash)
		return err
	})
	return made, err
}

// hashChange hashes the password of a change, if there is one: slow, so it comes
// before the transaction, and after what would refuse it anyway.
func (s *Store) hashChange(ctx context.Context, o Owner, device string, c ConfigChange) ([]byte, error) {
	d, err := s.Device(ctx, o, device)
	if err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Password == nil || *c.Password == noPassword {
		return nil, nil
	}
	return s.hasher.argon(ctx, d.Salt, *c.Password)
}

// lockDevice is the first statement of whoever changes a device's
// configurations, so that they do it one after the other.
func (tx *Tx) lockDevice(ctx context.Context, o Owner, id string) (Device, error) {
	d, err := ownDevice(ctx, tx.db, o, "id = ?", id)
	if err != nil {
		return Device{}, err
	}
	d.UpdatedAt = tx.moment()
	res, err := tx.db.NewUpdate().Model(&d).Column("updated_at").WherePK().Exec(ctx)
	return d, changedOne(res, err, "lock a device")
}

func (tx *Tx) addConfig(ctx context.Context, o Owner, device string, c ConfigChange, hash []byte) (DeviceConfig, error) {
	d, err := tx.lockDevice(ctx, o, device)
	if err != nil {
		return DeviceConfig{}, err
	}
	list, err := tx.Configs(ctx, d.ID)
	if err != nil {
		return DeviceConfig{}, err
	}
	if len(list) >= maxConfigs {
		return DeviceConfig{}, bot.Fail(bot.Invalid, "device.configs", nil, nil)
	}
	made := DeviceConfig{ID: uuid.NewString(), Device: d.ID, Revision: 1, CreatedAt: tx.moment()}
	if err := tx.take(&made, list, c, hash); err != nil {
		return DeviceConfig{}, err
	}
	if _, err := tx.db.NewInsert().Model(&made).ExcludeColumn("used_at").Returning("NULL").Exec(ctx); err != nil {
		return DeviceConfig{}, fmt.Errorf("add a configuration: %w", err)
	}
	tx.Audit(AuditEntry{Actor: o.Audited(), Action: "device.open", Target: d.ID, Detail: made.ID})
	return made, nil
}

func (tx *Tx) changeConfig(ctx context.Context, o Owner, device, id string, c ConfigChange, hash []byte) (DeviceConfig, error) {
	d, err := tx.lockDevice(ctx, o, device)
	if err != nil {
		return DeviceConfig{}, err
	}
	list, err := tx.Configs(ctx, d.ID)
	if err != nil {
		return DeviceConfig{}, err
	}
	at := slices.IndexFunc(list, func(c DeviceConfig) bool { return c.ID == id })
	if at < 0 {
		return DeviceConfig{}, fmt.Errorf("configuration: %w", ErrNotFound)
	}
	changed := list[at]
	changed.Revision++
	if err := tx.take(&changed, slices.Delete(list, at, at+1), c, hash); err != nil {
		return DeviceConfig{}, err
	}
	res, err := tx.db.NewUpdate().Model(&changed).Column("password", "device_type", "read_only", "revision", "updated_at").WherePK().Exec(ctx)
	if err := changedOne(res, err, "change a configuration"); err != nil {
		return DeviceConfig{}, err
	}
	if _, err := tx.db.NewDelete().Model((*App)(nil)).Where("config = ?", id).Exec(ctx); err != nil {
		return DeviceConfig{}, fmt.Errorf("end the tokens of a configuration: %w", err)
	}
	tx.Audit(AuditEntry{Actor: o.Audited(), Action: "device.reopen", Target: d.ID, Detail: id})
	return changed, nil
}

// take applies a change, unless another configuration has the password already:
// then nobody could say which of the two a try means.
func (tx *Tx) take(config *DeviceConfig, others []DeviceConfig, c ConfigChange, hash []byte) error {
	config.UpdatedAt = tx.moment()
	if c.Type != nil {
		config.Type = *c.Type
	}
	if c.ReadOnly != nil {
		config.ReadOnly = *c.ReadOnly
	}
	if c.Password != nil {
		config.Password = tx.s.keys.seal(configPlace(config.ID), hash)
	}
	password, mine := noPassword, hash
	if config.Password != "" && c.Password == nil {
		return nil // it keeps the one it has
	}
	if c.Password != nil {
		password = *c.Password
	}
	same, err := tx.s.keys.match(others, password, mine)
	if err != nil {
		return err
	}
	if same != nil {
		return bot.Fail(bot.Invalid, "device.password.taken", nil, nil)
	}
	return nil
}

// RemoveConfig removes a configuration, by its id or what ShortID gives, and
// with it the tokens it gave.
func (tx *Tx) RemoveConfig(ctx context.Context, o Owner, device, id string) error {
	d, err := tx.lockDevice(ctx, o, device)
	if err != nil {
		return err
	}
	gone, err := tx.removeShort(ctx, "device_configs", d.ID, id)
	if err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: o.Audited(), Action: "device.close", Target: d.ID, Detail: gone})
	return nil
}

// AddOpenConfig makes a configuration that needs no password.
func (tx *Tx) AddOpenConfig(ctx context.Context, o Owner, device, kind string, readOnly bool) (DeviceConfig, error) {
	c := ConfigChange{Type: &kind, ReadOnly: &readOnly}
	if err := c.check(); err != nil {
		return DeviceConfig{}, err
	}
	return tx.addConfig(ctx, o, device, c, nil)
}
