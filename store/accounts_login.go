package store

import (
	"context"
	"errors"
	"fmt"
)

// AccountKey is what attempts to sign in under a name are counted by: the
// account it names, however it is spelt, or else the name.
func (s *Store) AccountKey(ctx context.Context, name string) (string, error) {
	row, err := s.accountNamed(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return "name:" + canonicalName(name), nil
	}
	return row.UID, err
}

// LogIn signs an account in by its username, email or mobile. ErrNotFound covers
// every reason to refuse alike, after the same work: no such account, a wrong
// password, an account without one, a disabled account. The token is named
// after what it is for.
func (s *Store) LogIn(ctx context.Context, name, password, what string, from Client) (token string, sess Session, a Account, err error) {
	row, err := s.accountNamed(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", Session{}, Account{}, err
	}
	ok, rehash, err := s.verifyPassword(ctx, row.Password, password)
	if err != nil {
		return "", Session{}, Account{}, fmt.Errorf("log in: %w", err)
	}
	hash := row.Password
	if ok && row.Enabled && rehash {
		if hash, err = s.hashPassword(ctx, password); err != nil {
			return "", Session{}, Account{}, fmt.Errorf("log in: %w", err)
		}
	}
	refused := true
	err = s.Tx(ctx, func(tx *Tx) error {
		refused = true
		entry := AuditEntry{Actor: row.Audited(), Action: "account.login", Target: row.Audited(), Detail: from.String()}
		if ok {
			// Only the password that was verified counts, if it is still the one.
			res, err := tx.db.NewUpdate().Model((*accountRow)(nil)).Set("last_login_at = ?", tx.Now).Set("password = ?", hash).
				Where("uid = ?", row.UID).Where("password = ?", row.Password).Where("enabled").Exec(ctx)
			err = changedOne(res, err, "log in")
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			refused = err != nil
		}
		if refused {
			entry.Result = "refused"
			tx.Audit(entry)
			return nil
		}
		token, sess, err = tx.NewToken(ctx, TokenSpec{Account: row.UID, Name: what, Source: "password"})
		tx.Audit(entry)
		return err
	})
	if err == nil && refused {
		err = ErrNotFound
	}
	if err != nil {
		return "", Session{}, Account{}, err
	}
	return token, sess, row.Account, nil
}
