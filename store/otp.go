package store

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/uptrace/bun"
)

// The states of a person's one-time password: none → pending → active → none.
const (
	OTPNone    = "none"
	OTPPending = "pending" // the secret was given out, and no code of it has come back yet
	OTPActive  = "active"
)

const (
	otpStep    = 30 // seconds a code is good for (RFC 6238)
	otpPending = 10 * time.Minute
	// Guessing is bounded for ever: a lock after every so many misses in a row,
	// each twice as long as the one before, and after so many in all nothing but
	// an administrator's reset helps.
	otpTries    = 5
	otpHopeless = 100
	otpLock     = 15 * time.Minute
	otpMaxLock  = 24 * time.Hour
)

// otpRow is a person's one-time password. The row stays when it is turned off,
// so that turning it off and on does not forget the misses.
type otpRow struct {
	bun.BaseModel `bun:"table:otp"`

	Person    string     `bun:"person,pk"` // canonical userid
	State     string     `bun:"state"`
	Secret    string     `bun:"secret"`     // sealed for this row; "" in the state none
	LastStep  int64      `bun:"last_step"`  // of the latest code that was taken: no code up to it is
	Failures  int        `bun:"failures"`   // misses in a row
	LockedTo  *time.Time `bun:"locked_to"`  // no code is looked at until then
	ExpiresAt *time.Time `bun:"expires_at"` // of a pending secret
	QR        string     `bun:"qr"`         // the push that showed the secret, for taking it back
	ChangedAt time.Time  `bun:"changed_at"`
}

// OTPResult is what became of a code. A refused code is a result and not an
// error, because the count of the misses has to be committed.
type OTPResult struct {
	OK         bool          // the code was right and is used up
	NotEnabled bool          // there is nothing to check it against
	LockedFor  time.Duration // it was not looked at: too many misses
	Reset      bool          // and that ends only when an administrator resets it
}

// OTPRefused is the error of a rule that wanted a code and did not get a good
// one. The miss is committed by the time it is returned.
type OTPRefused struct{ OTPResult }

func (e *OTPRefused) Error() string {
	switch {
	case e.NotEnabled:
		return "one-time passwords are not enabled"
	case e.LockedFor > 0:
		return "one-time passwords are locked"
	}
	return "the one-time password is wrong or was used"
}

// refused is the error for a result, nil for a good one.
func (r OTPResult) refused() error {
	if r.OK {
		return nil
	}
	return &OTPRefused{r}
}

// UseOTP spends a code: every way into the product that takes one ends here. A
// code is taken once, on whichever instance, and so is none before it.
func (tx *Tx) UseOTP(ctx context.Context, userID, code string) (OTPResult, error) {
	row, err := tx.lockOTP(ctx, userID)
	if err != nil || row.State != OTPActive {
		return OTPResult{NotEnabled: true}, err
	}
	return tx.spend(ctx, row, code)
}

// UseOTP spends a code in a transaction of its own.
func (s *Store) UseOTP(ctx context.Context, userID, code string) (r OTPResult, err error) {
	err = s.Tx(ctx, func(tx *Tx) error {
		r, err = tx.UseOTP(ctx, userID, code)
		return err
	})
	return r, err
}

// OTPEnabled reports whether a person has a one-time password to give.
func (s *Store) OTPEnabled(ctx context.Context, userID string) (bool, error) {
	n, err := s.reads.NewSelect().Model((*otpRow)(nil)).Where("person = ?", bot.Canonical(userID)).Where("state = ?", OTPActive).Count(ctx)
	if err != nil {
		return false, fmt.Errorf("one-time password: %w", err)
	}
	return n > 0, nil
}

// spend checks a code against a row that is locked. What cannot be a code tells
// a guesser nothing and is no miss.
func (tx *Tx) spend(ctx context.Context, row otpRow, code string) (OTPResult, error) {
	if r := row.locked(tx.Now); r.LockedFor > 0 || !sixDigits(code) {
		return r, nil
	}
	secret, err := tx.s.keys.open(row.bound(), row.Secret)
	if err != nil {
		return OTPResult{}, fmt.Errorf("one-time password: %w", err)
	}
	step, ok, err := matchingStep(secret, code, row.LastStep, tx.Now)
	if err != nil {
		return OTPResult{}, fmt.Errorf("one-time password: %w", err)
	}
	if ok {
		res, err := tx.db.NewUpdate().Model((*otpRow)(nil)).Set("last_step = ?", step).Set("failures = 0").Set("locked_to = NULL").
			Where("person = ?", row.Person).Where("state = ?", row.State).Where("last_step < ?", step).Exec(ctx)
		if err = changedOne(res, err, "use one-time password"); err == nil {
			tx.Audit(AuditEntry{Actor: row.Person, Action: "otp.use", Target: row.Person})
			return OTPResult{OK: true}, nil
		} else if !errors.Is(err, ErrNotFound) {
			return OTPResult{}, err
		} // else it was used a moment ago
	}
	return OTPResult{}, tx.missed(ctx, row)
}

// missed counts a wrong or used code.
func (tx *Tx) missed(ctx context.Context, row otpRow) error {
	row.Failures++
	tx.Audit(AuditEntry{Actor: row.Person, Action: "otp.refuse", Target: row.Person, Result: "refused"})
	q := tx.db.NewUpdate().Model((*otpRow)(nil)).Set("failures = failures + 1").Where("person = ?", row.Person)
	if row.Failures%otpTries == 0 {
		lock := lockAfter(row.Failures)
		q = q.Set("locked_to = ?", tx.Now.Add(lock))
		tx.Audit(AuditEntry{Actor: row.Person, Action: "otp.lock", Target: row.Person, Detail: lock.String()})
		if err := tx.Tell(ctx, row.Person, bot.Text("otp.locked", OTPResult{LockedFor: lock, Reset: row.Failures >= otpHopeless})); err != nil {
			return err
		}
	}
	if _, err := q.Exec(ctx); err != nil {
		return fmt.Errorf("count a wrong one-time password: %w", err)
	}
	return nil
}

// lockAfter is how long codes are locked after so many misses in a row.
func lockAfter(failures int) time.Duration {
	if failures >= otpHopeless {
		return otpMaxLock
	}
	return min(otpLock<<min(failures/otpTries-1, 10), otpMaxLock)
}

// locked is the result of any code while the row takes none, else the zero one.
func (r otpRow) locked(now time.Time) OTPResult {
	switch {
	case r.Failures >= otpHopeless:
		return OTPResult{LockedFor: otpMaxLock, Reset: true}
	case r.LockedTo != nil && r.LockedTo.After(now):
		return OTPResult{LockedFor: r.LockedTo.Sub(now)}
	}
	return OTPResult{}
}

// bound names the place a secret is sealed for.
func (r otpRow) bound() string { return "otp/" + r.Person }

// lockOTP reads a person's row and keeps others from it until the transaction
// ends, so that tries made at the same time are counted one after the other.
// The state of a row that does not exist, or whose secret has expired, is none.
func (tx *Tx) lockOTP(ctx context.Context, userID string) (otpRow, error) {
	row := otpRow{Person: bot.Canonical(userID), State: OTPNone}
	q := tx.db.NewSelect().Model(&row).Where("person = ?", row.Person)
	if tx.s.pg {
		q = q.For("UPDATE")
	}
	if err := q.Scan(ctx); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return row, fmt.Errorf("one-time password: %w", err)
	}
	return row.at(tx.Now), nil
}

// at is the row at a moment: a pending secret whose time is up counts as gone,
// also when nobody has tidied it away yet.
func (r otpRow) at(now time.Time) otpRow {
	if r.State == OTPPending && !r.ExpiresAt.After(now) {
		r.State = OTPNone
	}
	return r
}

// sixDigits is all the forms a code has: no other spelling of a used code may
// pass for a new one.
func sixDigits(code string) bool {
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return false
		}
	}
	return len(code) == 6
}

var base32Secret = base32.StdEncoding.WithPadding(base32.NoPadding)

// matchingStep finds the step a code belongs to: this one, the one before or
// the one after, for clocks that differ a little. All are compared, in the same
// time whether one matches or not; steps up to last are no longer any good.
func matchingStep(secret []byte, code string, last int64, now time.Time) (step int64, ok bool, err error) {
	current, found := now.Unix()/otpStep, 0
	for s := current + 1; s >= current-1; s-- { // the earliest good one counts, so that the next stays good
		want, err := hotp.GenerateCodeCustom(base32Secret.EncodeToString(secret), uint64(s), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false, err
		}
		hit := subtle.ConstantTimeCompare([]byte(want), []byte(code)) & (1 - subtle.ConstantTimeLessOrEq(int(s), int(last)))
		step, found = int64(subtle.ConstantTimeSelect(hit, int(s), int(step))), found|hit
	}
	return step, found == 1, nil
}

// newOTPSecret makes 160 bits, as RFC 4226 recommends.
func newOTPSecret() []byte {
	secret := make([]byte, 20)
	_, _ = rand.Read(secret)
	return secret
}
