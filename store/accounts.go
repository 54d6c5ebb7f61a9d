package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Account is somebody who signs in with a password and is nobody in the
// corporation's directory.
type Account struct {
	UID                string     `bun:"uid,pk"`
	Username           string     `bun:"username"`
	Nickname           string     `bun:"nickname"`
	Email              string     `bun:"email"`
	Mobile             string     `bun:"mobile"`
	Country            string     `bun:"country"`
	Avatar             string     `bun:"avatar"`
	Description        string     `bun:"description"`
	Platform           string     `bun:"platform"`
	Sex                string     `bun:"sex"`
	Enabled            bool       `bun:"enabled"`
	EmailVerified      bool       `bun:"email_verified"`
	MobileVerified     bool       `bun:"mobile_verified"`
	PasswordModifiedAt *time.Time `bun:"password_modified_at"`
	IsEndUser          bool       `bun:"is_end_user"`
	CreatedAt          time.Time  `bun:"created_at"`
	LastLoginAt        *time.Time `bun:"last_login_at"`
}

// accountRow keeps what nobody is shown apart from the account.
type accountRow struct {
	bun.BaseModel `bun:"table:accounts"`
	Account
	Password  string `bun:"password"` // a hash; "" lets nobody in
	CreatedBy string `bun:"created_by"`
}

// accountName is one way to name an account: its username, email or mobile.
// They share one table, so that whatever is typed means one account, and that
// two requests can never both take a name.
type accountName struct {
	bun.BaseModel `bun:"table:account_names"`

	Name    string `bun:"name,pk"` // as canonicalName gives it
	Account string `bun:"account"`
}

// AccountError says why there cannot be such an account, in words for whoever
// asked for it.
type AccountError struct {
	Reason string
	Taken  bool // a name of it is somebody else's: also ErrExists
}

func (e *AccountError) Error() string { return e.Reason }

// Is makes a taken name an ErrExists.
func (e *AccountError) Is(target error) bool { return e.Taken && target == ErrExists }

// Audited is how an account is called where userids stand too: no userid has a
// colon.
func (a Account) Audited() string { return "account:" + cmp.Or(a.UID, "unknown") }

// Account returns an account by its uid.
func (s *Store) Account(ctx context.Context, uid string) (Account, error) {
	row, err := findAccount(ctx, s.reads, "uid = ?", uid)
	return row.Account, err
}

// AccountNamed returns the account with this username, email or mobile.
func (s *Store) AccountNamed(ctx context.Context, name string) (Account, error) {
	row, err := s.accountNamed(ctx, name)
	return row.Account, err
}

func (s *Store) accountNamed(ctx context.Context, name string) (accountRow, error) {
	return findAccount(ctx, s.reads, "uid = (SELECT account FROM account_names WHERE name = ?)", canonicalName(name))
}

func findAccount(ctx context.Context, db bun.IDB, where string, args ...any) (accountRow, error) {
	var row accountRow
	err := db.NewSelect().Model(&row).Where(where, args...).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return row, fmt.Errorf("account: %w", ErrNotFound)
	}
	if err != nil {
		return row, fmt.Errorf("account: %w", err)
	}
	return row, nil
}

// canonicalName is the form under which names are compared: folded, and a number
// as it is dialled, without what people put between the digits.
func canonicalName(name string) string {
	name = fold(name)
	if number := dialled(name); number != "" {
		return number
	}
	return name
}

// dialled is a telephone number without what people put between its digits, or
// "" for what is none.
func dialled(s string) string {
	var b strings.Builder
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
			b.WriteByte(c)
		case c == '+' && b.Len() == 0:
			b.WriteByte(c)
		case c == ' ' || c == '-' || c == '(' || c == ')':
		default:
			return ""
		}
	}
	if digits < 5 || digits > 20 {
		return ""
	}
	return b.String()
}

// NewAccount asks for an account.
type NewAccount struct {
	Username, Nickname, Password, Email, Mobile string
	Avatar, Description, Platform               string
	EmailVerified, MobileVerified               *bool // default false, true
	EndUser                                     bool
}

// settle checks the wish and fills in what was left out.
func (n NewAccount) settle() (NewAccount, error) {
	bad := func(format string, args ...any) (NewAccount, error) {
		return n, &AccountError{Reason: fmt.Sprintf(format, args...)}
	}
	if n.Email == "" && n.Mobile == "" && !n.EndUser {
		return bad("email or mobile is required")
	}
	if n.Email != "" && !isEmail(n.Email) {
		return bad("email: is not an address")
	}
	if n.Mobile != "" {
		number := dialled(n.Mobile)
		if number == "" {
			return bad("mobile: is not a number of 5 to 20 digits")
		}
		n.Mobile = number
	}
	n.Username = cmp.Or(n.Username, n.Email, n.Mobile)
	n.Nickname = cmp.Or(n.Nickname, "user-"+strings.ToLower(rand.Text()[:6]))
	if n.Username == "" || strings.ContainsFunc(n.Username, invisible) {
		return bad("username: is empty, or has white space or characters that do not show")
	}
	for _, field := range []struct {
		name, value string
		longest     int
	}{
		{"username", n.Username, 254}, {"nickname", n.Nickname, 128}, {"avatar", n.Avatar, 2048}, {"description", n.Description, 2048}, {"platform", n.Platform, 64},
	} {
		if len(field.value) > field.longest {
			return bad("%s: is longer than %d bytes", field.name, field.longest)
		}
		if strings.ContainsFunc(field.value, unprintable) {
			return bad("%s: has control characters", field.name)
		}
	}
	if n.Password != "" && !passwordFits(n.Password) {
		return bad("password: is not %d to %d characters", passwordMin, passwordMax)
	}
	return n, nil
}

// passwordFits is all that is asked of a password somebody sets for others:
// these come from other systems, and their owners did not choose them here.
func passwordFits(password string) bool {
	n := len([]rune(password))
	return n >= passwordMin && n <= passwordMax
}

// isEmail accepts what has the shape of an address; whether mail arrives there
// only a mail can tell.
func isEmail(s string) bool {
	user, host, ok := strings.Cut(s, "@")
	return ok && user != "" && host != "" && len(s) <= 254 && !strings.ContainsAny(host, "@") && !strings.HasPrefix(host, ".") && !strings.HasSuffix(host, ".") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || unprintable(r) || strings.ContainsRune(`<>()[]\,;:"`, r) })
}

func unprintable(r rune) bool {
	return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\ufffd'
}

// row is the account to be stored, its password hashed already.
func (n NewAccount) row(at time.Time, hash, by string) accountRow {
	row := accountRow{
		Account: Account{
			UID: uuid.NewString(), Username: n.Username, Nickname: n.Nickname, Email: n.Email, Mobile: n.Mobile,
			Avatar: n.Avatar, Description: n.Description, Platform: n.Platform, Sex: "UNKNOWN", Enabled: true,
			MobileVerified: true, IsEndUser: n.EndUser, CreatedAt: at,
		},
		Password: hash, CreatedBy: by,
	}
	if n.EmailVerified != nil {
		row.EmailVerified = *n.EmailVerified
	}
	if n.MobileVerified != nil {
		row.MobileVerified = *n.MobileVerified
	}
	if hash != "" {
		row.PasswordModifiedAt = &at
	}
	return row
}
