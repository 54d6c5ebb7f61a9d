package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"deskbell/store/storetest"
)

// cheaply opens a store whose passwords cost as little as bcrypt allows.
func cheaply(t *testing.T, fn func(t *testing.T, f fixture)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, url string) {
		fn(t, open(t, url, func(o *Options) { o.PassCost = bcrypt.MinCost }))
	})
}

func (f fixture) account(n NewAccount) Account {
	f.t.Helper()
	a, err := f.CreateAccount(f.t.Context(), n, "master key")
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func TestAccountDefaults(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		a := f.account(NewAccount{Email: "Ada@Example.com", Password: "a fine password", Platform: "web"})
		if a.Username != "Ada@Example.com" || a.Nickname == "" || a.EmailVerified || !a.MobileVerified || a.Sex != "UNKNOWN" || !a.Enabled || a.IsEndUser || a.PasswordModifiedAt == nil {
			t.Errorf("%+v", a)
		}
		b := f.account(NewAccount{Mobile: "+86 138-0013-8000", EmailVerified: new(true), MobileVerified: new(false)})
		if b.Username != "+8613800138000" || b.Mobile != b.Username || !b.EmailVerified || b.MobileVerified || b.PasswordModifiedAt != nil || b.Nickname == a.Nickname {
			t.Errorf("%+v", b)
		}
		got, err := f.Account(t.Context(), a.UID)
		if err != nil || got.Email != a.Email || !got.CreatedAt.Equal(f.now()) {
			t.Errorf("%+v, %v", got, err)
		}
		for _, name := range []string{"ada@example.com", "ADA@EXAMPLE.COM"} {
			if got, err := f.AccountNamed(t.Context(), name); err != nil || got.UID != a.UID {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	})
}

func TestAccountsRefused(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		f.account(NewAccount{Username: "ada", Email: "ada@example.com", Mobile: "13800138000"})
		for want, n := range map[string]NewAccount{
			"email or mobile is required":                                           {Username: "x", Password: "a fine password"},
			"Email ADA@example.com already exists":                                  {Email: "ADA@example.com", Mobile: "13900139000"},
			"Mobile 13800138000 already exists":                                     {Email: "new@example.com", Mobile: "138 0013 8000"},
			"Username Ada already exists":                                           {Username: "Ada", Email: "other@example.com"},
			"Username ada@example.com already exists":                               {Username: "ada@example.com", Mobile: "13700137000"}, // somebody else's address is no username
			"email: is not an address":                                              {Email: "ada"},
			"mobile: is not a number of 5 to 20 digits":                             {Mobile: "call me"},
			"password: is not 8 to 128 characters":                                  {Email: "p@example.com", Password: "short"},
			"nickname: has control characters":                                      {Email: "n@example.com", Nickname: "a\nb"},
			"platform: is longer than 64 bytes":                                     {Email: "l@example.com", Platform: strings.Repeat("x", 65)},
			"username: is empty, or has white space or characters that do not show": {Email: "u@example.com", Username: "a b"},
		} {
			_, err := f.CreateAccount(t.Context(), n, "master key")
			refused, ok := errors.AsType[*AccountError](err)
			if !ok || refused.Reason != want || refused.Taken != strings.HasSuffix(want, "exists") || errors.Is(err, ErrExists) != refused.Taken {
				t.Errorf("%+v: %v, want %s", n, err, want)
			}
		}
		// Whoever was refused holds no name.
		for _, n := range []NewAccount{{Email: "new@example.com"}, {Email: "other@example.com"}, {Mobile: "13900139000"}, {Mobile: "13700137000"}} {
			f.account(n)
		}
	})
}

// Names that look alike are one name, or cannot be.
func TestAccountsThatLookAlike(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		f.account(NewAccount{Username: "kim", EndUser: true})
		for name, taken := range map[string]bool{"KIM": true, "ｋｉｍ": true, "k\u200bim": false, "kim\ufe0f": false, "k\u0069\u0301m": false, "ki\u00adm": false, "kim\u3164": false} {
			_, err := f.CreateAccount(t.Context(), NewAccount{Username: name, EndUser: true}, "boss")
			if refused, ok := errors.AsType[*AccountError](err); !ok || refused.Taken != taken {
				t.Errorf("%q: %v", name, err)
			}
		}
		for _, name := range []string{"Kim", "ＫＩＭ"} {
			if a, err := f.AccountNamed(t.Context(), name); err != nil || a.Username != "kim" {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
		}
	})
}

func TestParallelCreatesOfOneEmail(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		errs := make([]error, 16)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				_, errs[i] = f.CreateAccount(t.Context(), NewAccount{Username: fmt.Sprint("u", i), Email: "Ada@example.com", Mobile: fmt.Sprint("1380013800", i)}, "boss")
			})
		}
		all.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
			} else if err.Error() != "Email Ada@example.com already exists" {
				t.Error(err)
			}
		}
		if made != 1 {
			t.Errorf("%d were made", made)
		}
	})
}

// Two batches with the same names in opposite orders share them out.
func TestBatches(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		one := make([]NewAccount, MaxAccounts)
		for i := range one {
			one[i] = NewAccount{Email: fmt.Sprintf("user%d@example.com", i), Mobile: fmt.Sprint(13800000000 + i)}
		}
		two := slices.Clone(one)
		slices.Reverse(two)
		var made [2][]AccountMade
		var errs [2]error
		var all sync.WaitGroup
		for i, list := range [][]NewAccount{one, two} {
			all.Go(func() { made[i], errs[i] = f.CreateAccounts(t.Context(), list, "boss") })
		}
		all.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		for i := range one {
			a, b := made[0][i], made[1][len(two)-1-i]
			if (a.Err == nil) == (b.Err == nil) {
				t.Fatalf("%s: %v and %v", one[i].Email, a.Err, b.Err)
			}
			for _, m := range []AccountMade{a, b} {
				if m.Err != nil && m.Err.Error() != "Email "+one[i].Email+" already exists" || m.Err == nil && m.Email != one[i].Email {
					t.Errorf("%d: %+v", i, m)
				}
			}
		}
	})
}

func TestBatchTellsOfEach(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		made, err := f.CreateAccounts(t.Context(), []NewAccount{
			{Email: "a@example.com", Password: "a fine password"}, {}, {Email: "A@example.com"}, {Mobile: "13800138000"},
		}, "boss")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range made {
			if m.Err != nil {
				got = append(got, m.Err.Error())
			} else {
				got = append(got, m.Username)
			}
		}
		want := []string{"a@example.com", "email or mobile is required", "Email A@example.com already exists", "13800138000"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if _, _, _, err := f.LogIn(t.Context(), "a@example.com", "a fine password", "", Client{}); err != nil {
			t.Error(err)
		}
	})
}

func TestLogIn(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		a := f.account(NewAccount{Username: "Ada", Email: "ada@example.com", Mobile: "13800138000", Password: "a fine password"})
		for _, name := range []string{"ada", "ADA", "Ada@Example.com", "138 0013 8000"} {
			token, sess, got, err := f.LogIn(t.Context(), name, "a fine password", "web", Client{})
			if err != nil || got.UID != a.UID || sess.Account != a.UID || sess.UserID != "" {
				t.Fatalf("%s: %+v %+v %v", name, sess, got, err)
			}
			if again, err := f.Session(t.Context(), token); err != nil || again.Account != a.UID {
				t.Errorf("%s: %+v %v", name, again, err)
			}
			if key, err := f.AccountKey(t.Context(), name); err != nil || key != a.UID {
				t.Errorf("%s is counted as %s, %v", name, key, err)
			}
		}
		if key, err := f.AccountKey(t.Context(), "Eve"); err != nil || key != "name:eve" {
			t.Errorf("a stranger is counted as %s, %v", key, err)
		}
		f.account(NewAccount{Username: "nopass", Email: "nopass@example.com"})
		f.account(NewAccount{Username: "off", Email: "off@example.com", Password: "a fine password"})
		f.tx(func(tx *Tx) error {
			_, err := tx.db.ExecContext(t.Context(), "UPDATE accounts SET enabled = FALSE WHERE username = 'off'")
			return err
		})
		f.know("lilei") // people of the directory have no account: their userid is a name nobody has
		var work []int64
		for _, c := range [][2]string{{"ada", "a fine passwore"}, {"eve", "a fine password"}, {"lilei", "a fine password"}, {"nopass", ""}, {"nopass", "a fine password"}, {"off", "a fine password"}, {"", ""}} {
			before := f.hasher.worked.Load()
			_, _, _, err := f.LogIn(t.Context(), c[0], c[1], "", Client{})
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", c, err)
			}
			work = append(work, f.hasher.worked.Load()-before)
		}
		if slices.Min(work) != slices.Max(work) {
			t.Errorf("refusing took %v", work)
		}
		var trail int
		f.tx(func(tx *Tx) error {
			list, err := tx.AuditTrail(t.Context(), "", 100)
			for _, e := range list {
				if e.Action == "account.login" && e.Result == "refused" {
					trail++
				}
			}
			return err
		})
		if trail != len(work) {
			t.Errorf("%d of %d refusals are in the trail", trail, len(work))
		}
	})
}

// A hash of another program, or a cheap one, is made ours by the first sign-in.
func TestLogInUpgradesTheHash(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		a := f.account(NewAccount{Email: "ada@example.com", Password: "a fine password"})
		old, err := bcrypt.GenerateFromPassword([]byte("an old password"), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		f.tx(func(tx *Tx) error {
			_, err := tx.db.NewUpdate().Model((*accountRow)(nil)).Set("password = ?", "$2b"+string(old[3:])).Where("uid = ?", a.UID).Exec(t.Context())
			return err
		})
		for range 2 {
			if _, _, _, err := f.LogIn(t.Context(), "ada@example.com", "an old password", "", Client{}); err != nil {
				t.Fatal(err)
			}
		}
		row, err := f.accountNamed(t.Context(), "ada@example.com")
		if err != nil || !strings.HasPrefix(row.Password, ourHash) || !row.LastLoginAt.Equal(f.now()) {
			t.Errorf("%+v %v", row, err)
		}
	})
}

func TestCanonicalName(t *testing.T) {
	for name, want := range map[string]string{
		"Ada": "ada", "ADA@Example.COM": "ada@example.com", "+86 (138) 0013-8000": "+8613800138000", "13800138000": "13800138000",
		"1234": "1234", "12-34": "12-34", "1+2345": "1+2345", "": "", "Ünal": "ünal", "0123456789012345678901": "0123456789012345678901",
	} {
		if got := canonicalName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
