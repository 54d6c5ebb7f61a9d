package store

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
)

// OTPKey is a new secret on its way to its owner's authenticator. It leaves the
// store once, in the answer to the call that made it.
type OTPKey struct {
	Secret  string // base32
	URL     string // otpauth://…
	Ref     string // for Outgoing.Ref, so that the picture can be taken back
	Expires time.Time
}

// PNG is the picture an authenticator scans.
func (k OTPKey) PNG() ([]byte, error) { return drawQR(k.URL) }

// drawQR draws any address as a QR code.
func drawQR(address string) ([]byte, error) {
	key, err := otp.NewKeyFromURL(address)
	if err != nil {
		return nil, fmt.Errorf("draw the QR code: %w", err)
	}
	picture, err := key.Image(400, 400)
	if err != nil {
		return nil, fmt.Errorf("draw the QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return nil, fmt.Errorf("draw the QR code: %w", err)
	}
	return b.Bytes(), nil
}

// otpURL puts a secret into the form authenticators read. Whatever the names
// hold stays inside their fields.
func otpURL(issuer, account, secret string) string {
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + secret + "&issuer=" + escape(issuer) + "&algorithm=SHA1&digits=6&period=30"
}

// BindOTP gives a person a new secret, which ConfirmOTP has to enable within
// ten minutes; one that was pending before is replaced. ErrExists when one is
// enabled: it is never given out again.
func (tx *Tx) BindOTP(ctx context.Context, userID string) (OTPKey, error) {
	p, err := tx.person(ctx, bot.Canonical(userID))
	if err != nil {
		return OTPKey{}, err
	}
	row, err := tx.lockOTP(ctx, userID)
	if err == nil && row.ChangedAt.IsZero() { // the first time ever
		if _, err := tx.db.NewInsert().Model(&otpRow{Person: p.ID, State: OTPNone, ChangedAt: tx.Now}).ExcludeColumn("locked_to", "expires_at").
			On("CONFLICT (person) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
			return OTPKey{}, fmt.Errorf("bind one-time password: %w", err)
		}
		row, err = tx.lockOTP(ctx, userID)
	}
	if err != nil {
		return OTPKey{}, err
	}
	if row.State == OTPActive {
		return OTPKey{}, bot.Fail(bot.Conflict, "otp.enabled", nil, ErrExists)
	}
	if _, err := tx.Recall(ctx, row.QR); err != nil {
		return OTPKey{}, err
	}
	secret := newOTPSecret()
	key := OTPKey{Secret: base32Secret.EncodeToString(secret), Ref: "otp/" + uuid.NewString(), Expires: tx.Now.Add(otpPending)}
	key.URL = otpURL(tx.s.OTPIssuer, p.UserID, key.Secret)
	// Misses so far go on counting: binding anew must not be a way round the lock.
	res, err := tx.db.NewUpdate().Model((*otpRow)(nil)).Set("state = ?", OTPPending).Set("secret = ?", tx.s.keys.seal(row.bound(), secret)).
		Set("last_step = 0").Set("expires_at = ?", key.Expires).Set("qr = ?", key.Ref).Set("changed_at = ?", tx.Now).
		Where("person = ?", row.Person).Where("state <> ?", OTPActive).Exec(ctx)
	if err := changedOne(res, err, "bind one-time password"); err != nil {
		return OTPKey{}, err
	}
	tx.Audit(AuditEntry{Actor: row.Person, Action: "otp.bind", Target: row.Person})
	return key, nil
}

// ConfirmOTP takes a code. The first one of a pending secret enables it: it
// returns the recovery codes, this once, and ends the person's tokens except
// tokenID, the one in use. That token counts as made with a one-time password
// from then on, also when the code is one of a secret enabled before.
func (tx *Tx) ConfirmOTP(ctx context.Context, userID, code, tokenID string, from Client) (r OTPResult, recovery []string, err error) {
	row, err := tx.lockOTP(ctx, userID)
	if err != nil || row.State == OTPNone {
		return OTPResult{NotEnabled: true}, nil, err
	}
	if r, err = tx.spend(ctx, row, code); err != nil || !r.OK {
		return r, nil, err
	}
	if err := tx.strengthen(ctx, row.Person, tokenID); err != nil || row.State == OTPActive {
		return r, nil, err
	}
	res, err := tx.db.NewUpdate().Model((*otpRow)(nil)).Set("state = ?", OTPActive).Set("expires_at = NULL").Set("qr = ''").Set("changed_at = ?", tx.Now).
		Where("person = ?", row.Person).Where("state = ?", OTPPending).Exec(ctx)
	if err := changedOne(res, err, "enable one-time password"); err != nil {
		return r, nil, err
	}
	if _, err := tx.Recall(ctx, row.QR); err != nil {
		return r, nil, err
	}
	if recovery, err = tx.newRecoveryCodes(ctx, row.Person); err != nil {
		return r, nil, err
	}
	if _, err := tx.RevokeOthers(ctx, row.Person, tokenID, "one-time password enabled"); err != nil {
		return r, nil, err
	}
	tx.Audit(AuditEntry{Actor: row.Person, Action: "otp.enable", Target: row.Person, Detail: from.String()})
	return r, recovery, tx.Notice(ctx, row.Person, Notice{What: NoticeOTPOn, Device: from.Device, Address: from.Address})
}

// strengthen notes that a one-time password was given for a token.
func (tx *Tx) strengthen(ctx context.Context, person, tokenID string) error {
	if tokenID == "" {
		return nil
	}
	_, err := tx.db.NewUpdate().Model((*tokenRow)(nil)).Set("otp = ?", true).Where("id = ?", tokenID).Where("person = ?", person).Exec(ctx)
	if err != nil {
		return fmt.Errorf("note the one-time password: %w", err)
	}
	return nil
}

// CancelOTP withdraws a pending secret. ErrNotFound when there is none.
func (tx *Tx) CancelOTP(ctx context.Context, userID string) error {
	row, err := tx.lockOTP(ctx, userID)
	if err != nil {
		return err
	}
	if row.State != OTPPending {
		return bot.Fail(bot.NotFound, "otp.nothing", nil, ErrNotFound)
	}
	tx.Audit(AuditEntry{Actor: row.Person, Action: "otp.cancel", Target: row.Person})
	_, err = tx.withdraw(ctx, row)
	return err
}

// withdraw ends a pending secret and reports whether it was shown in the chat.
// Misses go on counting.
func (tx *Tx) withdraw(ctx context.Context, row otpRow) (shown bool, err error) {
	res, err := tx.db.NewUpdate().Model((*otpRow)(nil)).Set("state = ?", OTPNone).Set("secret = ''").Set("expires_at = NULL").Set("qr = ''").Set("changed_at = ?", tx.Now).
		Where("person = ?", row.Person).Where("state = ?", OTPPending).Exec(ctx)
	if err := changedOne(res, err, "withdraw one-time password"); err != nil {
		return false, err
	}
	return tx.Recall(ctx, row.QR)
}

// ExpireOTP withdraws the pending secrets whose time is up, and tells those who
// were shown one in the chat.
func (s *Store) ExpireOTP(ctx context.Context) error {
	var due []string
	err := s.reads.NewSelect().Model((*otpRow)(nil)).Column("person").Where("state = ?", OTPPending).Where("expires_at <= ?", s.Now().UTC()).Limit(100).Scan(ctx, &due)
	if err != nil {
		return fmt.Errorf("expire one-time passwords: %w", err)
	}
	for _, person := range due {
		err := s.Tx(ctx, func(tx *Tx) error { return tx.expireOTP(ctx, person) })
		if err != nil {
			return fmt.Errorf("expire one-time passwords: %w", err)
		}
	}
	return nil
}

func (tx *Tx) expireOTP(ctx context.Context, person string) error {
	row, err := tx.lockOTP(ctx, person)
	if err != nil || row.ExpiresAt == nil || row.ExpiresAt.After(tx.Now) {
		return err // the person was faster
	}
	shown, err := tx.withdraw(ctx, row)
	if err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: row.Person, Action: "otp.expire", Target: row.Person})
	if !shown {
		return nil
	}
	return tx.Tell(ctx, row.Person, bot.Text("otp.expired", nil))
}
