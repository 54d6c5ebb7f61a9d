package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// An end user is an account of somebody outside, for whom bots are shared. The
// functions here touch no other kind of account: to them it is ErrNotFound.

// EndUsers lists the latest n end users, newest first; all of them for 0.
func (s *Store) EndUsers(ctx context.Context, n int) ([]Account, error) {
	return listEndUsers(ctx, s.reads, n)
}

// EndUsers lists the latest n end users, newest first; all of them for 0.
func (tx *Tx) EndUsers(ctx context.Context, n int) ([]Account, error) {
	return listEndUsers(ctx, tx.db, n)
}

func listEndUsers(ctx context.Context, db bun.IDB, n int) ([]Account, error) {
	var rows []accountRow
	if err := db.NewSelect().Model(&rows).Where("is_end_user").Order("created_at DESC", "uid DESC").Limit(n).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list end users: %w", err)
	}
	list := make([]Account, len(rows))
	for i, row := range rows {
		list[i] = row.Account
	}
	return list, nil
}

// EndUser returns an end user by username, email or uid.
func (tx *Tx) EndUser(ctx context.Context, name string) (Account, error) {
	row, err := findAccount(ctx, tx.db, "is_end_user AND (uid = ? OR uid = (SELECT account FROM account_names WHERE name = ?))", name, canonicalName(name))
	return row.Account, err
}

// CreateEndUser makes an account that nobody can sign in to yet: its password
// is made when it is handed over, see NewHandOver. Where a password is given,
// CreateAccount makes end users too.
func (tx *Tx) CreateEndUser(ctx context.Context, username, by string) (Account, error) {
	n, err := NewAccount{Username: username, EndUser: true}.settle()
	if err != nil {
		return Account{}, err
	}
	if err := tx.lockNames(ctx); err != nil {
		return Account{}, err
	}
	row := n.row(tx.Now, "", by)
	return row.Account, tx.createAccount(ctx, row)
}

// ResetEndUser gives an end user another password, and ends every token of
// theirs.
func (s *Store) ResetEndUser(ctx context.Context, uid, password, by string) error {
	if !passwordFits(password) {
		return &AccountError{Reason: fmt.Sprintf("password: is not %d to %d characters", passwordMin, passwordMax)}
	}
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return err
	}
	return s.Tx(ctx, func(tx *Tx) error {
		return tx.resetEndUser(ctx, uid, hash, AuditEntry{Actor: by, Action: "enduser.reset"})
	})
}

// ResetEndUser ends an end user's password and every token of theirs. The next
// password is made when it is handed over.
func (tx *Tx) ResetEndUser(ctx context.Context, uid, by string) error {
	return tx.resetEndUser(ctx, uid, "", AuditEntry{Actor: by, Action: "enduser.reset"})
}

func (tx *Tx) resetEndUser(ctx context.Context, uid, hash string, entry AuditEntry) error {
	res, err := tx.db.NewUpdate().Model((*accountRow)(nil)).Set("password = ?", hash).Set("password_modified_at = ?", tx.Now).
		Where("uid = ?", uid).Where("is_end_user").Exec(ctx)
	if err := changedOne(res, err, "reset an end user"); err != nil {
		return err
	}
	// A sign-in changes the account's row too, so it is before this, and its token
	// is seen here, or after, and the old password not right any more.
	if _, _, err := tx.revoke(ctx, "password changed", "account = ?", uid); err != nil {
		return err
	}
	entry.Target = Account{UID: uid}.Audited()
	tx.Audit(entry)
	return nil
}

// DeleteEndUser removes an end user's account and ends every token of theirs.
func (tx *Tx) DeleteEndUser(ctx context.Context, uid, by string) error {
	res, err := tx.db.NewDelete().Model((*accountRow)(nil)).Where("uid = ?", uid).Where("is_end_user").Exec(ctx)
	if err := changedOne(res, err, "delete an end user"); err != nil {
		return err
	}
	if _, err := tx.db.NewDelete().Model((*accountName)(nil)).Where("account = ?", uid).Exec(ctx); err != nil {
		return fmt.Errorf("delete an end user: %w", err)
	}
	if _, _, err := tx.revoke(ctx, "deleted", "account = ?", uid); err != nil {
		return err
	}
	if err := tx.endOf(ctx, "asker = ?", Account{UID: uid}.Audited()); err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: by, Action: "enduser.delete", Target: Account{UID: uid}.Audited()})
	return nil
}

// handOverPath is the page that shows an end user's new password.
const handOverPath = "/newpassword"

// NewHandOver makes a link to the page that makes an end user's password and
// shows it, once. Until then the password does not exist, so there is nothing
// that could be kept or seen on its way.
func (tx *Tx) NewHandOver(ctx context.Context, uid string) (Link, error) {
	row := tokenRow{Kind: kindHandOver, Account: uid, Source: sourceChat, ExpiresAt: tx.Now.Add(tx.s.LinkTTL)}
	token, err := tx.mint(ctx, &row)
	if err != nil {
		return Link{}, err
	}
	return Link{URL: strings.TrimSuffix(tx.s.PublicURL, "/") + handOverPath + "?" + tokenParam + "=" + token, Expires: row.ExpiresAt}, nil
}

// PeekHandOver tells whose password a link would show, and until when, without
// using it.
func (s *Store) PeekHandOver(ctx context.Context, token string) (Account, time.Time, error) {
	row, err := s.lookUp(ctx, kindHandOver, token)
	if err != nil {
		return Account{}, time.Time{}, err
	}
	a, err := s.Account(ctx, row.Account)
	if err == nil && !a.IsEndUser {
		err = ErrNotFound
	}
	return a, row.ExpiresAt, err
}

// HandOver makes the password of the end user a link was made for, and returns
// it: the only time it exists in the clear. ErrNotFound covers used, expired,
// revoked and unknown links.
func (s *Store) HandOver(ctx context.Context, token string, from Client) (a Account, password string, err error) {
	row, err := s.lookUp(ctx, kindHandOver, token)
	if err != nil {
		return Account{}, "", err
	}
	password = newPassword()
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return Account{}, "", err
	}
	err = s.Tx(ctx, func(tx *Tx) error {
		res, err := tx.db.NewUpdate().Model((*tokenRow)(nil)).Set("used_at = ?", tx.Now).Where("id = ?", row.ID).
			Where("used_at IS NULL").Where("revoked_at IS NULL").Where("expires_at > ?", tx.Now).Exec(ctx)
		if err := changedOne(res, err, "hand over a password"); err != nil {
			return err
		}
		entry := AuditEntry{Actor: Account{UID: row.Account}.Audited(), Action: "enduser.password", Detail: from.String()}
		if err := tx.resetEndUser(ctx, row.Account, hash, entry); err != nil {
			return err
		}
		a, err = tx.EndUser(ctx, row.Account)
		return err
	})
	if err != nil {
		return Account{}, "", err
	}
	return a, password, nil
}

// passwordLetters are those that nobody takes for another when they read a
// password out: no 0, 1, i, l or o.
const passwordLetters = "abcdefghjkmnpqrstuvwxyz23456789"

// newPassword makes four groups of four letters, 79 bits.
func newPassword() string {
	var b strings.Builder
	buf := make([]byte, 32)
	for n := 0; n < 16; {
		_, _ = rand.Read(buf)
		for _, c := range buf {
			if c >= 248 || n == 16 { // 248 = 8 × 31: no letter is likelier than another
				continue
			}
			if n > 0 && n%4 == 0 {
				b.WriteByte('-')
			}
			b.WriteByte(passwordLetters[c%31])
			n++
		}
	}
	return b.String()
}
