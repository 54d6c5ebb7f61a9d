package store

import (
	"cmp"
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
	Account   string     `bun:"account"` // uid of the account it belongs to, person is "" then
	Name      string     `bun:"name"`    // what it is for
	Degraded  bool       `bun:"degraded"`
	LastUsed  *time.Time `bun:"last_used_at"`
	Shared    string     `bun:"shared"`    // sealed, for the service desk's Redis; see servicedesk.go
	ShareDue  bool       `bun:"share_due"` // and Redis does not know yet
	WarnedAt  *time.Time `bun:"warned_at"` // its owner was told that somebody else opened this link
}

// Session is what a good token says about its bearer.
type Session struct {
	TokenID   string
	UserID    string // canonical; "" for an account
	Account   string // uid of an account; "" for a person
	OTP       bool   // a one-time password was given for it
	Plain     bool   // carries no rights of an administrator
	Degraded  bool   // made while the directory could not be asked
	Foreign   bool   // the service desk's token, not ours: it has no TokenID
	Unused    bool   // a direct link's token before its first use: see LinkUsed
	ExpiresAt time.Time
}

func (t tokenRow) session() Session {
	return Session{TokenID: t.ID, UserID: t.Person, Account: t.Account, OTP: t.OTP, Plain: t.Plain, Degraded: t.Degraded, ExpiresAt: t.ExpiresAt}
}

// TokenSpec asks for an access token, of a person (UserID) or else of an
// account (its uid).
type TokenSpec struct {
	UserID, Account string
	Name            string        // what it is for
	Source          string        // which way its bearer came in
	OTP             bool          // a one-time password was given
	Plain           bool          // without the rights of an administrator
	Degraded        bool          // the directory could not be asked
	TTL             time.Duration // default Options.TokenTTL
}

// NewToken makes an access token. It is the only time the token exists in the
// clear.
func (tx *Tx) NewToken(ctx context.Context, t TokenSpec) (token string, sess Session, err error) {
	if (t.UserID == "") == (t.Account == "") {
		return "", Session{}, errors.New("make a token: want a person or an account")
	}
	row := tokenRow{
		Kind: kindAccess, Person: bot.Canonical(t.UserID), Account: t.Account, Name: t.Name, Source: t.Source,
		OTP: t.OTP, Plain: t.Plain, Degraded: t.Degraded, ExpiresAt: tx.Now.Add(cmp.Or(t.TTL, tx.s.TokenTTL)),
	}
	if token, err = tx.mint(ctx, &row); err != nil {
		return "", Session{}, err
	}
	return token, row.session(), nil
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
	tx.share(row, token)
	if _, err := tx.db.NewInsert().Model(row).ExcludeColumn("used_at", "revoked_at", "last_used_at", "warned_at").Returning("NULL").Exec(ctx); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return token, nil
}

// Session tells whose access token this is. ErrNotFound covers every reason for
// which it is not a good one.
func (s *Store) Session(ctx context.Context, token string) (Session, error) {
	row, err := s.lookUp(ctx, kindAccess, token)
	if errors.Is(err, ErrNotFound) {
		return s.foreignSession(ctx, token)
	}
	if err != nil {
		return Session{}, err
	}
	sess := row.session()
	if sess.Unused = row.Plain && row.Source == sourceChat && row.LastUsed == nil; !sess.Unused {
		s.touch(ctx, row)
	}
	return sess, nil
}

// LinkUsed is for the first use of the token that a direct link carries
// (tokens.link_mode = "direct"). Its owner is told, as of a link that is
// exchanged, once.
func (s *Store) LinkUsed(ctx context.Context, sess Session, from Client) error {
	return s.Tx(ctx, func(tx *Tx) error {
		res, err := tx.db.NewUpdate().Model((*tokenRow)(nil)).Set("last_used_at = ?", tx.Now).Where("id = ?", sess.TokenID).
			Where("revoked_at IS NULL").Where("last_used_at IS NULL").Exec(ctx)
		if err := changedOne(res, err, "use link"); errors.Is(err, ErrNotFound) {
			return nil // somebody was faster
		} else if err != nil {
			return err
		}
		tx.Audit(AuditEntry{Actor: sess.UserID, Action: "link.use", Target: sess.UserID, Detail: from.String()})
		return tx.Notice(ctx, sess.UserID, Notice{What: NoticeLink, Device: from.Device, Address: from.Address})
	})
}

// touchEvery is how exact the time of a token's last use is.
const touchEvery = 5 * time.Minute

// touch notes that a token was used. It is a courtesy to whoever reads the list
// of tokens: no request fails or waits long for it, and a revoked row is left
// as it was.
func (s *Store) touch(ctx context.Context, row tokenRow) {
	now := s.Now().UTC()
	if row.LastUsed != nil && now.Sub(*row.LastUsed) < touchEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := s.db.NewUpdate().Model((*tokenRow)(nil)).Set("last_used_at = ?", now).Where("id = ?", row.ID).
		Where("revoked_at IS NULL").Where("last_used_at IS NULL OR last_used_at <= ?", now.Add(-touchEvery)).Exec(ctx)
	if err != nil {
		s.Log.Debug("use of a token not noted", "token", row.ID, "err", err)
	}
}

// PeekLink tells whose link token this is, without using it.
func (s *Store) PeekLink(ctx context.Context, token string) (Session, error) {
	kind := kindLink
	if tokenKind(token) == kindAccess { // tokens.link_mode = "direct"
		kind = kindAccess
	}
	row, err := s.lookUp(ctx, kind, token)
	return row.session(), err
}

func (s *Store) lookUp(ctx context.Context, kind, token string) (tokenRow, error) {
	if tokenKind(token) != kind {
		return tokenRow{}, ErrNotFound
	}
	var row tokenRow
	err := s.reads.NewSelect().Model(&row).Where("hash IN (?)", bun.List(s.keys.digests(kind, token))).Where("kind = ?", kind).
		Where("revoked_at IS NULL").Where("used_at IS NULL").Where("expires_at > ?", s.Now().UTC()).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return tokenRow{}, ErrNotFound
	}
	if err != nil {
		return tokenRow{}, fmt.Errorf("look up token: %w", err)
	}
	return row, nil
}

// Exchange turns a link token into an access token, once. The second attempt is
// refused, ends what the first one got, and tells the owner: one of the two was
// not them. The owner is told of the first as well, and where it came from.
// ErrNotFound covers used, expired, revoked and unknown alike. otpCode is "" or
// makes the token one that a one-time password was given for; a wrong one is
// OTPRefused and leaves the link as it was.
func (s *Store) Exchange(ctx context.Context, link, otpCode string, from Client) (token string, sess Session, err error) {
	if tokenKind(link) != kindLink {
		return "", Session{}, ErrNotFound
	}
	refused, code := false, OTPResult{OK: true}
	err = s.Tx(ctx, func(tx *Tx) error {
		hashes := bun.List(s.keys.digests(kindLink, link))
		if otpCode != "" {
			if code, err = tx.linkOTP(ctx, hashes, otpCode); err != nil || !code.OK {
				return err
			}
		}
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
		row := tokenRow{Kind: kindAccess, Person: used.Person, Family: used.Family, Source: used.Source, OTP: used.OTP || otpCode != "", ExpiresAt: tx.Now.Add(s.TokenTTL)}
		if token, err = tx.mint(ctx, &row); err != nil {
			return err
		}
		sess = row.session()
		tx.Audit(AuditEntry{Actor: used.Person, Action: "link.use", Target: used.Person, Detail: from.String()})
		return tx.Notice(ctx, used.Person, Notice{What: NoticeLink, Device: from.Device, Address: from.Address})
	})
	if err == nil {
		err = code.refused()
	}
	if err == nil && refused {
		err = ErrNotFound
	}
	if err != nil {
		return "", Session{}, err
	}
	return token, sess, nil
}

// linkOTP spends a code of a link's owner. A link that is no longer good passes:
// what follows refuses it, and nobody gets to try codes with it.
func (tx *Tx) linkOTP(ctx context.Context, hashes bun.ListValues, code string) (OTPResult, error) {
	var row tokenRow
	err := tx.db.NewSelect().Model(&row).Where("hash IN (?)", hashes).Where("kind = ?", kindLink).
		Where("used_at IS NULL").Where("revoked_at IS NULL").Where("expires_at > ?", tx.Now).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return OTPResult{OK: true}, nil
	}
	if err != nil {
		return OTPResult{}, fmt.Errorf("use link: %w", err)
	}
	return tx.UseOTP(ctx, row.Person, code)
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
		live, _, err = tx.revoke(ctx, "logout all", "account = '' AND person = ?", bot.Canonical(userID))
	} else {
		live, _, err = tx.revoke(ctx, "logout", "account = '' AND person = ? AND source = ?", bot.Canonical(userID), sourceChat)
	}
	return live, err
}

// RevokeOthers ends all of a person's tokens but one, which may be "", and counts
// those that were still good.
func (tx *Tx) RevokeOthers(ctx context.Context, userID, keepTokenID, why string) (live int, err error) {
	if userID == "" {
		return 0, errors.New("revoke tokens: whose?")
	}
	live, _, err = tx.revoke(ctx, why, "person = ? AND id <> ?", bot.Canonical(userID), keepTokenID)
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
	err = tx.db.NewUpdate().Model((*tokenRow)(nil)).Set("revoked_at = ?", tx.Now).Set("revoked_by = ?", why).Set("share_due = (shared <> '')").
		Where("revoked_at IS NULL").Where(where, args...).Returning("id, used_at, expires_at, share_due").Scan(ctx, &rows)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, 0, fmt.Errorf("revoke tokens: %w", err)
	}
	var shared []string
	for _, row := range rows {
		if row.UsedAt == nil && row.ExpiresAt.After(tx.Now) {
			live++
		}
		if row.ShareDue {
			shared = append(shared, row.ID)
		}
	}
	tx.shareNow(shared...)
	return live, len(rows), nil
}

// tokensKept is how long a dead token is remembered, so that a second use of an
// old link can still be told from an unknown one.
const tokensKept = 7 * 24 * time.Hour

func (s *Store) purgeTokens(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at < ? ORDER BY expires_at LIMIT 500)", tokensKept)
}
