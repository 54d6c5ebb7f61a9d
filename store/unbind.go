package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"deskbell/bot"
)

// UnbindOTP turns a person's one-time password off. It takes a code of it, or
// one of the recovery codes, and ends their tokens except tokenID.
func (tx *Tx) UnbindOTP(ctx context.Context, userID, code, tokenID string, from Client) (r OTPResult, err error) {
	row, err := tx.lockOTP(ctx, userID)
	if err != nil || row.State != OTPActive {
		return OTPResult{NotEnabled: true}, err
	}
	// A recovery code is no code of six digits, and no lock is on it.
	if isCode(code) {
		r, err = tx.spend(ctx, row, code)
	} else {
		r.OK, err = tx.UseRecoveryCode(ctx, userID, code)
	}
	if err != nil || !r.OK {
		return r, err
	}
	if _, err := tx.dropOTP(ctx, row.Person); err != nil {
		return r, err
	}
	if _, err := tx.RevokeOthers(ctx, row.Person, tokenID, "one-time password disabled"); err != nil {
		return r, err
	}
	tx.Audit(AuditEntry{Actor: row.Person, Action: "otp.disable", Target: row.Person, Detail: from.String()})
	return r, tx.Notice(ctx, row.Person, Notice{What: NoticeOTPOff, Device: from.Device, Address: from.Address})
}

// isCode reports whether this is meant for a code of an authenticator.
func isCode(code string) bool {
	return len(code) == 6 && strings.Trim(code, "0123456789") == ""
}

// ResetOTP lets an administrator turn off somebody's one-time password, with a
// fresh code of the administrator's own. It also ends that person's tokens and
// tells them. ErrNotFound when they have none.
func (tx *Tx) ResetOTP(ctx context.Context, adminID, code, userID string) (OTPResult, error) {
	status, err := tx.OTPStatus(ctx, userID)
	if err != nil {
		return OTPResult{}, err
	}
	if status.State == OTPNone && status.LockedFor == 0 {
		return OTPResult{}, bot.Fail(bot.NotFound, "otp.nobody", status, ErrNotFound)
	}
	r, err := tx.UseOTP(ctx, adminID, code)
	if err != nil || !r.OK {
		return r, err
	}
	return r, tx.resetOTP(ctx, adminID, userID)
}

// ResetOTPOnHost does the same for whoever has the host: for the last
// administrator, who has nobody to ask.
func (s *Store) ResetOTPOnHost(ctx context.Context, userID string) error {
	return s.Tx(ctx, func(tx *Tx) error { return tx.resetOTP(ctx, "host", userID) })
}

func (tx *Tx) resetOTP(ctx context.Context, actor, userID string) error {
	had, err := tx.DropOTP(ctx, userID)
	if err != nil {
		return err
	}
	if !had {
		return fmt.Errorf("reset one-time password of %s: %w", userID, ErrNotFound)
	}
	if _, err := tx.RevokeTokens(ctx, userID, true); err != nil {
		return err
	}
	tx.Audit(AuditEntry{Actor: actor, Action: "otp.reset", Target: userID})
	return tx.Tell(ctx, userID, bot.Text("otp.taken", resetBy{By: actor}))
}

// resetBy is the data of otp.taken.
type resetBy struct{ By string }

// DropOTP takes a person's one-time password away, secret, recovery codes, lock
// and all, and reports whether there was anything. Who may have that done, and
// who is told, is for the caller to say.
func (tx *Tx) DropOTP(ctx context.Context, userID string) (bool, error) {
	row, err := tx.lockOTP(ctx, userID)
	if err != nil || row.State == OTPNone && row.Failures == 0 {
		return false, err
	}
	return tx.dropOTP(ctx, row.Person)
}

func (tx *Tx) dropOTP(ctx context.Context, person string) (bool, error) {
	row, err := tx.lockOTP(ctx, person)
	if err != nil {
		return false, err
	}
	res, err := tx.db.NewUpdate().Model((*otpRow)(nil)).Set("state = ?", OTPNone).Set("secret = ''").Set("last_step = 0").Set("failures = 0").
		Set("locked_to = NULL").Set("expires_at = NULL").Set("qr = ''").Set("changed_at = ?", tx.Now).Where("person = ?", person).Exec(ctx)
	if err := changedOne(res, err, "turn off one-time password"); err != nil {
		return false, err
	}
	if _, err := tx.Recall(ctx, row.QR); err != nil {
		return false, err
	}
	return true, tx.dropRecoveryCodes(ctx, person)
}

// OTPStatus is what a person may know of their one-time password.
type OTPStatus struct {
	UserID    string
	State     string
	Recovery  int           // recovery codes that are left
	LockedFor time.Duration // codes are not looked at for so long
	Reset     bool          // until an administrator resets it
	For       time.Duration // a pending secret is good for so long
}

// OTPStatus returns a person's.
func (tx *Tx) OTPStatus(ctx context.Context, userID string) (OTPStatus, error) {
	row := otpRow{State: OTPNone}
	err := tx.db.NewSelect().Model(&row).Where("person = ?", bot.Canonical(userID)).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return OTPStatus{UserID: userID, State: OTPNone}, nil
	}
	if err != nil {
		return OTPStatus{}, fmt.Errorf("one-time password: %w", err)
	}
	row = row.at(tx.Now)
	lock := row.locked(tx.Now)
	status := OTPStatus{UserID: userID, State: row.State, LockedFor: lock.LockedFor, Reset: lock.Reset}
	if row.State == OTPPending {
		status.For = row.ExpiresAt.Sub(tx.Now)
	}
	status.Recovery, err = tx.db.NewSelect().Model((*recoveryRow)(nil)).Where("person = ?", row.Person).Count(ctx)
	if err != nil {
		return OTPStatus{}, fmt.Errorf("one-time password: %w", err)
	}
	return status, nil
}
