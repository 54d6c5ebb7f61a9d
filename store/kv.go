package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// Value is one entry of a device's key-value store. A list has no Value.Value.
type Value struct {
	bun.BaseModel `bun:"table:kv,alias:kv"`

	Device    string    `bun:"device,pk"`
	Key       string    `bun:"key,pk"`
	Size      int       `bun:"size"`     // of the value, in bytes
	Previous  int       `bun:"previous"` // the size before the last write, -1 for none
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
	Value     string    `bun:"value"` // JSON
}

// Created reports whether the write that gave this made the entry.
func (v Value) Created() bool { return v.Previous < 0 }

// What a device can hold.
const (
	KeyMax     = 191     // characters
	ValueMax   = 1 << 20 // bytes
	maxEntries = 100_000
	maxBytes   = 64 << 20
)

// paths are the calls beside the keys, whose names no key can have.
var paths = []string{"_info", "_token", "_keys", "_batchimport"}

// KeyFits reports whether this can be a key: what can stand as one part of a
// path, and be told apart.
func KeyFits(key string) bool {
	return key != "" && utf8.RuneCountInString(key) <= KeyMax && utf8.ValidString(key) && key != "." && key != ".." && !slices.Contains(paths, key) &&
		!strings.ContainsFunc(key, func(r rune) bool { return r == '/' || r == '\\' || r == utf8.RuneError || unicode.IsControl(r) })
}

func badKey() error { return bot.Fail(bot.Invalid, "device.key", nil, nil) }

// Value reads an entry.
func (s *Store) Value(ctx context.Context, app App, key string) (Value, error) {
	if !KeyFits(key) {
		return Value{}, badKey()
	}
	return findValue(ctx, s.reads, app.Device, key)
}

func findValue(ctx context.Context, db bun.IDB, device, key string) (v Value, err error) {
	err = db.NewSelect().Model(&v).Where("device = ?", device).Where("key = ?", key).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Value{}, fmt.Errorf("value: %w", ErrNotFound)
	}
	if err != nil {
		return Value{}, fmt.Errorf("value: %w", err)
	}
	return v, nil
}

// mayWrite lets an app write to its device, if its token is still there and not
// read-only: the row is asked, not what the caller remembers of it. ErrEnded: the
// token was good a moment ago. It holds the device until the transaction ends.
func (tx *Tx) mayWrite(ctx context.Context, app App) error {
	if app.ReadOnly {
		return bot.Fail(bot.Denied, "device.readonly", nil, nil)
	}
	res, err := tx.db.NewUpdate().Model((*Device)(nil)).Set("entries = entries").Where("id = ?", app.Device).
		Where("EXISTS (SELECT 1 FROM app_tokens WHERE id = ? AND device = ? AND NOT read_only)", app.ID, app.Device).Exec(ctx)
	err = changedOne(res, err, "write to a device")
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	there, err := tx.db.NewSelect().Model((*App)(nil)).Where("id = ?", app.ID).Exists(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("write to a device: %w", err)
	case there:
		return bot.Fail(bot.Denied, "device.readonly", nil, nil)
	}
	return fmt.Errorf("write to a device: the token: %w", ErrEnded)
}

// PutValue writes an entry.
func (tx *Tx) PutValue(ctx context.Context, app App, key, value string) (Value, error) {
	put, err := tx.PutValues(ctx, app, map[string]string{key: value})
	if err != nil {
		return Value{}, err
	}
	return put[0], nil
}

// putBite is how many entries are written with one statement.
const putBite = 500

// PutValues writes entries, all of them or none, and returns them by key.
func (tx *Tx) PutValues(ctx context.Context, app App, values map[string]string) ([]Value, error) {
	if err := tx.mayWrite(ctx, app); err != nil {
		return nil, err
	}
	rows := make([]Value, 0, len(values))
	for key, value := range values {
		if !KeyFits(key) {
			return nil, badKey()
		}
		if len(value) > ValueMax {
			return nil, bot.Fail(bot.Invalid, "device.value", nil, nil)
		}
		rows = append(rows, Value{Device: app.Device, Key: key, Size: len(value), Previous: -1, CreatedAt: tx.moment(), UpdatedAt: tx.moment(), Value: value})
	}
	slices.SortFunc(rows, func(a, b Value) int { return strings.Compare(a.Key, b.Key) })
	entries, size := 0, 0
	for bite := range slices.Chunk(rows, putBite) {
		var put []Value
		err := tx.db.NewInsert().Model(&bite).On("CONFLICT (device, key) DO UPDATE").Set("previous = kv.size").Set("size = EXCLUDED.size").
			Set("value = EXCLUDED.value").Set("updated_at = EXCLUDED.updated_at").Returning("key, previous").Scan(ctx, &put)
		if err != nil {
			return nil, fmt.Errorf("write values: %w", err)
		}
		before := make(map[string]int, len(put))
		for _, v := range put {
			before[v.Key] = v.Previous
		}
		for i := range bite {
			bite[i].Previous = before[bite[i].Key]
			if size += bite[i].Size; bite[i].Created() {
				entries++
			} else {
				size -= bite[i].Previous
			}
		}
	}
	return rows, tx.grow(ctx, app.Device, entries, size)
}

// grow counts what was written, and refuses what a device cannot hold.
func (tx *Tx) grow(ctx context.Context, device string, entries, size int) error {
	if entries == 0 && size == 0 {
		return nil
	}
	q := tx.db.NewUpdate().Model((*Device)(nil)).Set("entries = entries + ?", entries).Set("bytes = bytes + ?", size).Where("id = ?", device)
	if entries > 0 {
		q = q.Where("entries + ? <= ?", entries, maxEntries)
	}
	if size > 0 {
		q = q.Where("bytes + ? <= ?", size, maxBytes)
	}
	res, err := q.Exec(ctx)
	if err := changedOne(res, err, "count values"); errors.Is(err, ErrNotFound) { // it is held, so it is there
		return bot.Fail(bot.Conflict, "device.full", nil, nil)
	} else if err != nil {
		return err
	}
	return nil
}

// RemoveValue removes an entry.
func (tx *Tx) RemoveValue(ctx context.Context, app App, key string) error {
	if !KeyFits(key) {
		return badKey()
	}
	if err := tx.mayWrite(ctx, app); err != nil {
		return err
	}
	var size int
	err := tx.db.NewDelete().Model((*Value)(nil)).Where("device = ?", app.Device).Where("key = ?", key).Returning("size").Scan(ctx, &size)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("value: %w", ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("remove a value: %w", err)
	}
	return tx.grow(ctx, app.Device, -1, -size)
}

// Page asks for a part of a device's entries. The zero Page is the beginning, by
// key.
type Page struct {
	By    string // "key", "createdAt" or "updatedAt"
	Down  bool   // the last first
	Skip  int
	Limit int
	After string    // instead of Skip: only what comes behind this key,
	At    time.Time // whose time this was, when they are ordered by one
}

// Orders are what entries can be listed by, and its column.
var orders = map[string]string{"": "key", "key": "key", "createdAt": "created_at", "updatedAt": "updated_at"}

// Ordered reports whether entries can be listed by this.
func Ordered(by string) bool { return orders[by] != "" }

// Values lists entries without their values, and tells how many there are in
// all. It costs the same on a large device as on a small one, but for what is
// skipped: After skips nothing.
func (s *Store) Values(ctx context.Context, app App, p Page) (list []Value, total int, err error) {
	column, way, than := orders[p.By], "ASC", ">"
	if p.Down {
		way, than = "DESC", "<"
	}
	list = []Value{}
	q := s.reads.NewSelect().Model(&list).Column("key", "size", "created_at", "updated_at").Where("device = ?", app.Device).Limit(p.Limit)
	switch {
	case p.After == "":
		q = q.Offset(p.Skip)
	case column == "key":
		q = q.Where("key ? ?", bun.Safe(than), p.After)
	default:
		q = q.Where("(?, key) ? (?, ?)", bun.Ident(column), bun.Safe(than), p.At.UTC(), p.After)
	}
	if column != "key" {
		q = q.OrderExpr("? ?", bun.Ident(column), bun.Safe(way))
	}
	if err := q.OrderExpr("key ?", bun.Safe(way)).Scan(ctx); err != nil {
		return nil, 0, fmt.Errorf("list values: %w", err)
	}
	d, err := s.DeviceOf(ctx, app)
	return list, d.Entries, err
}
