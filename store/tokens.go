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

// Where a token came from.
const (
	sourceChat = "chat" // from a link in the chat
)

// tokenRow is a token at rest: a keyed hash, which can neither be used nor made
// by whoever holds the database.
type tokenRow struct {
	bun.BaseModel `bun:"table:tokens"`

	ID        string     `bun:"id,pk"`
	Hash      string     `bun:"hash"`
	Kind      string     `bun:"kind"`
	Person    string     `bun:"person"` // canonical userid
	Family    string     `bun:"family"` // the token everything here was made from
	Source    string     `bun:"source"`
	OTP       bool       `bun:"otp"`   // a one-time password was given
	Plain     bool       `bun:"plain"` // without the rights of an administrator
	CreatedAt time.Time  `bun:"created_at"`
	ExpiresAt time.Time  `bun:"expires_at"`
	UsedAt    *time.Time `bun:"used_at"` // a link token that was exchanged
	RevokedAt *time.Time `bun:"revoked_at"`
	RevokedBy string     `bun:"revoked_by"`
}

// Session is what a good token says about its bearer.
type Session struct {
	TokenID   string
	UserID    string // canonical
	OTP       bool   // a one-time password was given for it
	Plain     bool   // carries no rights of an administrator
	ExpiresAt time.Time
}

func (t tokenRow) session() Session {
	return Session{TokenID: t.ID, UserID: t.Person, OTP: t.OTP, Plain: t.Plain, ExpiresAt: t.ExpiresAt}
}

// mint completes and stores row, and returns the token: the only time it exists
// in the clear.
func (tx *Tx) mint(ctx context.Context, row *tokenRow) (string, error) {
	token := newToken(row.Kind)
	row.ID, row.CreatedAt = uuid.NewString(), tx.Now
	row.Hash = tx.s.keys.digest(row.Kind, token)
	if row.Family == "" {
		row.Family = row.ID
	}
	if _, err := tx.db.NewInsert().Model(row).ExcludeColumn("used_at", "revoked_at").Returning("NULL").Exec(ctx); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return token, nil
}

// Session tells whose access token this is. ErrNotFound covers every reason for
// which it is not a good one.
func (s *Store) Session(ctx context.Context, token string) (Session, error) {
	return s.lookUp(ctx, kindAccess, token)
}

// PeekLink tells whose link token this is, without using it.
func (s *Store) PeekLink(ctx context.Context, token string) (Session, error) {
	if tokenKind(token) == kindAccess { // tokens.link_mode = "direct"
		return s.lookUp(ctx, kindAccess, token)
	}
	return s.lookUp(ctx, kindLink, token)
}

func (s *Store) lookUp(ctx context.Context, kind, token string) (Session, error) {
	if tokenKind(token) != kind {
		return Session{}, ErrNotFound
	}
	var row tokenRow
	err := s.reads.NewSelect().Model(&row).Where("hash IN (?)", bun.List(s.keys.digests(kind, token))).Where("kind = ?", kind).
		Where("revoked_at IS NULL").Where("used_at IS NULL").Where("expires_at > ?", s.Now().UTC()).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, ErrNotFound
	}
	if err != nil {
		return Session{}, fmt.Errorf("look up token: %w", err)
	}
	return row.session(), nil
}

// Exchange turns a link token into an access token, once. The second attempt is
// refused, ends what the first one got, and tells the owner: one of the two was
// not them. ErrNotFound covers used, expired, revoked and unknown alike.
func (s *Store) Exchange(ctx context.Context, link string) (token string, sess Session, err error) {
	if tokenKind(link) != kindLink {
		return "", Session{}, ErrNotFound
	}
	refused := false
	err = s.Tx(ctx, func(tx *Tx) error {
		hashes := bun.List(s.keys.digests(kindLink, link))
		var used tokenRow
		err := tx.db.NewUpdate().Model(&used).Set("used_at = ?", tx.Now).Where("hash IN (?)", hashes).Where("kind = ?", kindLink).
			Where("used_at IS NULL").Where("revoked_at IS NULL").Where("expires_at > ?", tx.Now).Returning("*").Scan(ctx)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			refused = true // but what follows from it is committed
			return tx.linkAgain(ctx, hashes)
		case err != nil:
			return fmt.Errorf("use link: %w", err)
		}
		row := tokenRow{Kind: kindAccess, Person: used.Person, Family: used.Family, Source: used.Source, OTP: used.OTP, ExpiresAt: tx.Now.Add(s.TokenTTL)}
		if token, err = tx.mint(ctx, &row); err != nil {
			return err
		}
		sess = row.session()
		tx.Audit(AuditEntry{Actor: used.Person, Action: "link.use", Target: used.Person})
		return nil
	})
	if err == nil && refused {
		err = ErrNotFound
	}
	if err != nil {
		return "", Session{}, err
	}
	return token, sess, nil
}

// linkAgain deals with a link token that cannot be used: if it had been used
// before, whatever was made from it ends here.
func (tx *Tx) linkAgain(ctx context.Context, hashes bun.ListValues) error {
	var row tokenRow
	err := tx.db.NewSelect().Model(&row).Where("hash IN (?)", hashes).Where("used_at IS NOT NULL").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("use link: %w", err)
	}
	_, touched, err := tx.revoke(ctx, "link used twice", "family = ?", row.Family)
	if err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: row.Person, Action: "link.reuse", Target: row.Person, Result: "refused"})
	if touched == 0 { // told already
		return nil
	}
	return tx.Tell(ctx, row.Person, bot.Text("token.reused", nil))
}

// RevokeTokens ends a person's access and link tokens, the ones from the chat or
// all of them, and counts those that were still good.
func (tx *Tx) RevokeTokens(ctx context.Context, userID string, all bool) (live int, err error) {
	if all {
		live, _, err = tx.revoke(ctx, "logout all", "person = ?", bot.Canonical(userID))
	} else {
		live, _, err = tx.revoke(ctx, "logout", "person = ? AND source = ?", bot.Canonical(userID), sourceChat)
	}
	return live, err
}

// RevokeToken ends one token.
func (tx *Tx) RevokeToken(ctx context.Context, tokenID string) error {
	_, touched, err := tx.revoke(ctx, "logout", "id = ?", tokenID)
	if err == nil && touched == 0 {
		return ErrNotFound
	}
	return err
}

// revoke ends tokens, and counts the ones that were still good and the ones it
// touched. A row is never un-revoked, so it is for ever, whatever a cache or an
// old copy of Redis may say.
func (tx *Tx) revoke(ctx context.Context, why, where string, args ...any) (live, touched int, err error) {
	var rows []tokenRow
	err = tx.db.NewUpdate().Model((*tokenRow)(nil)).Set("revoked_at = ?", tx.Now).Set("revoked_by = ?", why).
		Where("revoked_at IS NULL").Where(where, args...).Returning("used_at, expires_at").Scan(ctx, &rows)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, 0, fmt.Errorf("revoke tokens: %w", err)
	}
	for _, row := range rows {
		if row.UsedAt == nil && row.ExpiresAt.After(tx.Now) {
			live++
		}
	}
	return live, len(rows), nil
}

// tokensKept is how long a dead token is remembered, so that a second use of an
// old link can still be told from an unknown one.
const tokensKept = 7 * 24 * time.Hour

func (s *Store) purgeTokens(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at < ? ORDER BY expires_at LIMIT 500)", tokensKept)
}
