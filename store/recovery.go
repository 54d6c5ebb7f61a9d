package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strconv"
	"strings"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

const (
	recoveryCodes  = 10
	recoveryLength = 24 // characters of 32: 120 bits
	recoveryGroup  = 4  // between dashes
)

// recoveryRow is a recovery code at rest: a hash, sealed so that whoever writes
// to the database cannot make one, and can be sealed anew with another key.
type recoveryRow struct {
	bun.BaseModel `bun:"table:recovery_codes"`

	Person string `bun:"person,pk"` // canonical userid
	N      int    `bun:"n,pk"`
	Hash   string `bun:"hash"`
}

func (r recoveryRow) bound() string { return recoveryBound(r.Person, strconv.Itoa(r.N)) }

// recoveryBound names the place the hash of a person's n-th code is sealed for.
func recoveryBound(person, n string) string { return "recovery/" + person + "/" + n }

// newRecoveryCodes replaces a person's recovery codes and returns the new ones:
// the only time they exist in the clear.
func (tx *Tx) newRecoveryCodes(ctx context.Context, person string) ([]string, error) {
	if err := tx.dropRecoveryCodes(ctx, person); err != nil {
		return nil, err
	}
	codes, rows := make([]string, recoveryCodes), make([]recoveryRow, recoveryCodes)
	for i := range codes {
		plain := rand.Text()[:recoveryLength]
		var groups []string
		for at := 0; at < len(plain); at += recoveryGroup {
			groups = append(groups, plain[at:at+recoveryGroup])
		}
		codes[i] = strings.Join(groups, "-")
		rows[i] = recoveryRow{Person: person, N: i + 1}
		rows[i].Hash = tx.s.keys.seal(rows[i].bound(), recoveryHash(codes[i]))
	}
	if _, err := tx.db.NewInsert().Model(&rows).Returning("NULL").Exec(ctx); err != nil {
		return nil, fmt.Errorf("make recovery codes: %w", err)
	}
	return codes, nil
}

func (tx *Tx) dropRecoveryCodes(ctx context.Context, person string) error {
	if _, err := tx.db.NewDelete().Model((*recoveryRow)(nil)).Where("person = ?", person).Exec(ctx); err != nil {
		return fmt.Errorf("drop recovery codes: %w", err)
	}
	return nil
}

// UseRecoveryCode spends one of a person's recovery codes and reports whether it
// was one. No lock covers them: nobody guesses 120 bits, and they are the way
// back in for who is locked out.
func (tx *Tx) UseRecoveryCode(ctx context.Context, userID, code string) (bool, error) {
	person, typed := bot.Canonical(userID), recoveryHash(code)
	var rows []recoveryRow
	if err := tx.db.NewSelect().Model(&rows).Where("person = ?", person).Scan(ctx); err != nil {
		return false, fmt.Errorf("recovery code: %w", err)
	}
	n := 0
	for _, row := range rows {
		hash, err := tx.s.keys.open(row.bound(), row.Hash)
		if err != nil {
			return false, fmt.Errorf("recovery code: %w", err)
		}
		n = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash, typed), row.N, n)
	}
	if n == 0 {
		return false, nil
	}
	res, err := tx.db.NewDelete().Model((*recoveryRow)(nil)).Where("person = ?", person).Where("n = ?", n).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("use recovery code: %w", err)
	}
	spent, err := res.RowsAffected() // 0: somebody else was faster with the same code
	if err != nil || spent == 0 {
		return false, err
	}
	tx.Audit(AuditEntry{Actor: person, Action: "otp.recover", Target: person})
	return true, nil
}

// recoveryHash is of the code without what people add or leave out when they
// copy it. 120 random bits need no slow hash.
func recoveryHash(code string) []byte {
	code = strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
	sum := sha256.Sum256([]byte("recovery\x00" + code))
	return sum[:]
}
