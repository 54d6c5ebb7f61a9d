package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// passwordRow is a person's local password, hashed; see hasher. Rows whose hash
// begins with "$2" were brought along from another service desk.
type passwordRow struct {
	bun.BaseModel `bun:"table:passwords"`

	Person    string    `bun:"person,pk"` // canonical userid
	Hash      string    `bun:"hash"`
	ChangedAt time.Time `bun:"changed_at"`
}

// PasswordChange is a new local password and who asked for it.
type PasswordChange struct {
	UserID string
	Old    string // the present one, needed when there is one
	New    string
	Keep   string // id of the token it was asked with, the only one that stays good
	Client Client
}

// CheckPassword reports whether this is a person's local password. It takes as
// long for people who have none, or do not exist.
func (s *Store) CheckPassword(ctx context.Context, userID, password string) (bool, error) {
	hash, err := s.passwordHash(ctx, userID)
	if err != nil {
		return false, err
	}
	ok, rehash, err := s.verifyPassword(ctx, hash, password)
	if ok && rehash {
		s.rehash(ctx, userID, hash, password)
	}
	return ok, err
}

// passwordHash is the hash of a person's password, "" when there is none.
func (s *Store) passwordHash(ctx context.Context, userID string) (string, error) {
	var row passwordRow
	err := s.reads.NewSelect().Model(&row).Where("person = ?", bot.Canonical(userID)).Scan(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("look up a password: %w", err)
	}
	return row.Hash, nil
}

// rehash keeps a password that was just given as it would be kept today. The
// login does not depend on it.
func (s *Store) rehash(ctx context.Context, userID, old, password string) {
	hash, err := s.hashPassword(ctx, password)
	if err == nil {
		_, err = s.db.NewUpdate().Model((*passwordRow)(nil)).Set("hash = ?", hash).
			Where("person = ?", bot.Canonical(userID)).Where("hash = ?", old).Exec(ctx)
	}
	if err != nil {
		s.Log.Warn("password not hashed anew", "user", bot.Canonical(userID), "err", err)
	}
}

// SetPassword gives a person a local password. Somebody who has one must know
// it. Every other token of theirs ends with it, and they are told.
func (s *Store) SetPassword(ctx context.Context, c PasswordChange) error {
	old, err := s.passwordHash(ctx, c.UserID)
	if err != nil {
		return err
	}
	if old != "" && c.Old == "" {
		return bot.Fail(bot.Invalid, "password.old.missing", nil, nil)
	}
	if err := checkNewPassword(c.New, c.UserID); err != nil {
		return err
	}
	if old != "" {
		ok, _, err := s.verifyPassword(ctx, old, c.Old)
		if err != nil {
			return err
		}
		if !ok {
			err := s.Tx(ctx, func(tx *Tx) error {
				tx.Audit(AuditEntry{Actor: c.UserID, Action: "password.refuse", Target: c.UserID, Result: "refused", Detail: c.Client.String()})
				return nil
			})
			return cmp.Or[error](err, bot.Fail(bot.Denied, "password.old.wrong", nil, nil))
		}
	}
	hash, err := s.hashPassword(ctx, c.New)
	if err != nil {
		return err
	}
	return s.Tx(ctx, func(tx *Tx) error {
		// Only if the password is still the one that was checked against.
		insert := tx.db.NewInsert().Model(&passwordRow{Person: bot.Canonical(c.UserID), Hash: hash, ChangedAt: tx.Now}).On("CONFLICT (person) DO NOTHING").Returning("NULL")
		update := tx.db.NewUpdate().Model((*passwordRow)(nil)).Set("hash = ?", hash).Set("changed_at = ?", tx.Now).
			Where("person = ?", bot.Canonical(c.UserID)).Where("hash = ?", old)
		put := insert.Exec
		if old != "" {
			put = update.Exec
		}
		res, err := put(ctx)
		if err := changedOne(res, err, "set a password"); errors.Is(err, ErrNotFound) {
			return fmt.Errorf("set a password: %w", errRaced)
		} else if err != nil {
			return err
		}
		return tx.passwordSet(ctx, c)
	})
}

// passwordSet is what follows from a new password.
func (tx *Tx) passwordSet(ctx context.Context, c PasswordChange) error {
	if _, err := tx.RevokeOthers(ctx, c.UserID, c.Keep, "password changed"); err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: c.UserID, Action: "password.set", Target: c.UserID})
	return tx.Notice(ctx, c.UserID, Notice{What: NoticePassword, Device: c.Client.Device, Address: c.Client.Address})
}

// passwordPath is the page that sets a password.
const passwordPath = "/password"

// NewPasswordLink makes a link to the page that sets u's local password. It
// signs nobody in, and sets one password, once.
func (tx *Tx) NewPasswordLink(ctx context.Context, u bot.User) (Link, error) {
	link, err := tx.passwordPageLink(ctx, tokenRow{Kind: kindPassword, Person: u.Key()})
	if err == nil {
		tx.Audit(AuditEntry{Actor: u.Key(), Action: "password.link", Target: u.Key()})
	}
	return link, err
}

// passwordPageLink makes a link to the page for passwords. Whose and what for is
// in the row.
func (tx *Tx) passwordPageLink(ctx context.Context, row tokenRow) (Link, error) {
	row.Source, row.ExpiresAt = sourceChat, tx.Now.Add(tx.s.LinkTTL)
	token, err := tx.mint(ctx, &row)
	if err != nil {
		return Link{}, err
	}
	return Link{URL: strings.TrimSuffix(tx.s.PublicURL, "/") + passwordPath + "?" + tokenParam + "=" + token, Expires: row.ExpiresAt}, nil
}

// PeekPasswordLink tells whose password a link can set, without using it.
func (s *Store) PeekPasswordLink(ctx context.Context, token string) (Session, error) {
	row, err := s.lookUp(ctx, kindPassword, token)
	return row.session(), err
}

// ResetPassword sets the password of whoever a link was made for; the link was
// sent to them, so the old password is not needed. A password that is refused
// leaves the link as it was. ErrNotFound covers used, expired and unknown links.
func (s *Store) ResetPassword(ctx context.Context, token string, c PasswordChange) error {
	link, err := s.PeekPasswordLink(ctx, token)
	if err != nil {
		return err
	}
	c.UserID, c.Keep = link.UserID, ""
	if err := checkNewPassword(c.New, c.UserID); err != nil {
		return err
	}
	hash, err := s.hashPassword(ctx, c.New)
	if err != nil {
		return err
	}
	return s.Tx(ctx, func(tx *Tx) error {
		if err := tx.usePasswordLink(ctx, link.TokenID); err != nil {
			return err
		}
		row := passwordRow{Person: c.UserID, Hash: hash, ChangedAt: tx.Now}
		if _, err := tx.db.NewInsert().Model(&row).On("CONFLICT (person) DO UPDATE").
			Set("hash = EXCLUDED.hash").Set("changed_at = EXCLUDED.changed_at").Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("set a password: %w", err)
		}
		return tx.passwordSet(ctx, c)
	})
}

// usePasswordLink uses a link to the page for passwords, once.
func (tx *Tx) usePasswordLink(ctx context.Context, id string) error {
	res, err := tx.db.NewUpdate().Model((*tokenRow)(nil)).Set("used_at = ?", tx.Now).Where("id = ?", id).
		Where("used_at IS NULL").Where("revoked_at IS NULL").Where("expires_at > ?", tx.Now).Exec(ctx)
	return changedOne(res, err, "use a password link")
}
