package store

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// code is what an authenticator shows for a secret at a moment.
func code(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	c, err := totp.GenerateCode(secret, at)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wrong is a code that is not good now.
func wrong(t testing.TB, secret string, at time.Time) string {
	t.Helper()
	for n := range 10 {
		c := fmt.Sprintf("%06d", n)
		if c != code(t, secret, at) && c != code(t, secret, at.Add(30*time.Second)) && c != code(t, secret, at.Add(-30*time.Second)) {
			return c
		}
	}
	return ""
}

func (f fixture) hire(userID string) {
	f.t.Helper()
	if err := f.savePerson(f.t.Context(), bot.Canonical(userID), bot.Person{ID: userID, Name: userID, State: bot.Active, Departments: []int{2}}, f.now()); err != nil {
		f.t.Fatal(err)
	}
}

func (f fixture) bind(userID string) (key OTPKey) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		key, err = tx.BindOTP(f.t.Context(), userID)
		return err
	})
	return key
}

func (f fixture) confirm(userID, code, tokenID string) (r OTPResult, recovery []string) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		r, recovery, err = tx.ConfirmOTP(f.t.Context(), userID, code, tokenID, Client{})
		return err
	})
	return r, recovery
}

// enrol gives somebody an enabled one-time password, a step in the past.
func (f fixture) enrol(userID string) (secret string, recovery []string) {
	f.t.Helper()
	f.hire(userID)
	secret = f.bind(userID).Secret
	r, recovery := f.confirm(userID, code(f.t, secret, f.now()), "")
	if !r.OK || len(recovery) != recoveryCodes {
		f.t.Fatalf("enrol: %+v, %d recovery codes", r, len(recovery))
	}
	f.pass(time.Minute)
	return secret, recovery
}

func (f fixture) use(userID, code string) OTPResult {
	f.t.Helper()
	r, err := f.UseOTP(f.t.Context(), userID, code)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f fixture) status(userID string) (s OTPStatus) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		s, err = tx.OTPStatus(f.t.Context(), userID)
		return err
	})
	return s
}

// One code, eight times at once, on as many instances as the engine has: it is
// taken once. Two hundred codes, two hundred times.
func TestOneCodeIsTakenOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		stores := []*Store{f.Store}
		for range 3 {
			if f.Postgres() {
				stores = append(stores, open(t, url, func(o *Options) { o.Now = f.now }).Store)
			}
		}
		secret, _ := f.enrol("LiLei")
		var taken atomic.Int32
		for range 200 {
			f.pass(time.Hour) // beyond the lock that the seven refused ones bring about
			c := code(t, secret, f.now())
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					r, err := stores[i%len(stores)].UseOTP(t.Context(), []string{"LiLei", "lilei", "LILEI"}[i%3], c)
					if err != nil {
						t.Error(err)
					}
					if r.OK {
						taken.Add(1)
					}
				})
			}
			all.Wait()
		}
		if n := taken.Load(); n != 200 {
			t.Errorf("200 codes were taken %d times", n)
		}
	})
}

// Fifty ways to spell a code that was used, and one that was not.
func TestSpellingsOfACode(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	secret, _ := f.enrol("lilei")
	spell := func(c string) []string {
		wide := strings.Map(func(r rune) rune { return r - '0' + '０' }, c)
		arabic := strings.Map(func(r rune) rune { return r - '0' + '٠' }, c)
		list := []string{"", wide, arabic, c[:3] + " " + c[3:], c[:3] + "-" + c[3:], c[:3] + "\u200b" + c[3:], c[:3] + "," + c[3:], c[:3] + "_" + c[3:],
			"0" + c, "00" + c, c + "0", c[:5], c[:5] + "٣", c[:5] + "\x00", c + "\x00", "'" + c + "'", `"` + c + `"`, c + c, "0x" + c, "1e5", c + ".0", c + "e0", "0b" + c, "0o" + c}
		for _, around := range []string{" ", "\t", "\n", "\r\n", "\v", "\f", "\u00a0", "\u3000", "\u2009", "\ufeff", "\u200e", "+", "-"} {
			list = append(list, around+c, c+around)
		}
		return list
	}
	for _, c := range []string{code(t, secret, f.now())} {
		list := spell(c)
		if len(list) < 50 {
			t.Fatalf("only %d spellings", len(list))
		}
		for _, s := range list {
			if r := f.use("lilei", s); r.OK || r.LockedFor > 0 {
				t.Errorf("%q: %+v", s, r)
			}
		}
		if r := f.use("lilei", c); !r.OK {
			t.Errorf("the code itself: %+v", r)
		}
		for _, s := range append(spell(c), c) {
			if r := f.use("lilei", s); r.OK {
				t.Errorf("once more as %q: taken", s)
			}
		}
	}
}

// Codes of the neighbouring steps are good, for clocks that differ, but never
// one at or before the latest that was taken.
func TestSteps(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	secret, _ := f.enrol("lilei")
	at := func(steps int) string { return code(t, secret, f.now().Add(time.Duration(steps)*30*time.Second)) }
	for _, c := range []struct {
		steps int
		ok    bool
	}{{-2, false}, {-1, true}, {-1, false}, {2, false}, {1, true}, {0, false}, {1, false}} {
		if r := f.use("lilei", at(c.steps)); r.OK != c.ok {
			t.Errorf("%+d steps: %+v", c.steps, r)
		}
	}
	f.pass(time.Minute)
	if r := f.use("lilei", at(0)); !r.OK {
		t.Errorf("a minute later: %+v", r)
	}
}

// An attacker guesses whenever it is allowed, for ninety days.
func TestGuessingIsBounded(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	secret, recovery := f.enrol("lilei")
	guesses, locks := 0, []time.Duration{}
	for end := f.now().Add(90 * 24 * time.Hour); f.now().Before(end); {
		r := f.use("lilei", wrong(t, secret, f.now()))
		switch {
		case r.OK || r.NotEnabled:
			t.Fatalf("%+v", r)
		case r.Reset:
			f.pass(24 * time.Hour)
		case r.LockedFor > 0:
			locks = append(locks, r.LockedFor)
			f.pass(r.LockedFor)
		default:
			guesses++
		}
	}
	if guesses != otpHopeless {
		t.Errorf("%d guesses in 90 days, want %d", guesses, otpHopeless)
	}
	want := []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 16 * time.Hour, 24 * time.Hour}
	for i, lock := range locks {
		if lock != want[min(i, len(want)-1)] {
			t.Errorf("lock %d: %s", i+1, lock)
		}
	}
	if r := f.use("lilei", code(t, secret, f.now())); !r.Reset {
		t.Errorf("the right code, after all those: %+v", r)
	}
	f.tx(func(tx *Tx) error { // the lock does not cover these
		r, err := tx.UnbindOTP(t.Context(), "lilei", recovery[3], "", Client{})
		if !r.OK {
			t.Errorf("recovery code: %+v", r)
		}
		return err
	})
}

func TestMissesAreKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		secret, _ := f.enrol("lilei")
		for range otpTries {
			f.use("lilei", wrong(t, secret, f.now()))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		again := fixture{reopen(t, url, testKey), f.clock, t}
		again.Now = f.now
		if r := again.use("LiLei", code(t, secret, f.now())); r.OK || r.LockedFor != 15*time.Minute {
			t.Errorf("after a restart: %+v", r)
		}
		f.pass(15 * time.Minute)
		if r := again.use("LiLei", code(t, secret, f.now())); !r.OK {
			t.Errorf("after the lock: %+v", r)
		}
		for range otpTries - 1 { // a success begins the count anew
			again.use("lilei", wrong(t, secret, f.now()))
		}
		f.pass(time.Minute)
		if r := again.use("lilei", code(t, secret, f.now())); !r.OK {
			t.Errorf("after four misses: %+v", r)
		}
	})
}

// Turning it off and on, or binding anew, is no way round the lock.
func TestBindingAnewKeepsTheLock(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	f.hire("lilei")
	key := f.bind("lilei")
	for range otpTries {
		f.confirm("lilei", wrong(t, key.Secret, f.now()), "")
	}
	again := f.bind("lilei")
	if again.Secret == key.Secret {
		t.Error("the same secret twice")
	}
	if r, _ := f.confirm("lilei", code(t, again.Secret, f.now()), ""); r.OK || r.LockedFor == 0 {
		t.Errorf("%+v", r)
	}
}

func TestOTPLifeCycle(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		if r := f.use("lilei", "123456"); !r.NotEnabled {
			t.Errorf("nobody's code: %+v", r)
		}
		f.hire("LiLei")
		if r, _ := f.confirm("lilei", "123456", ""); !r.NotEnabled {
			t.Errorf("confirm nothing: %+v", r)
		}
		first := f.bind("LiLei")
		key := f.bind("lilei")
		if r, _ := f.confirm("lilei", code(t, first.Secret, f.now()), ""); r.OK {
			t.Error("a secret that was replaced still counts")
		}
		if r := f.use("lilei", code(t, key.Secret, f.now())); !r.NotEnabled {
			t.Errorf("a pending secret lets somebody in: %+v", r)
		}
		f.pass(otpPending)
		if r, _ := f.confirm("lilei", code(t, key.Secret, f.now()), ""); !r.NotEnabled {
			t.Errorf("after ten minutes: %+v", r)
		}
		key = f.bind("lilei")
		var mine, other Session
		f.tx(func(tx *Tx) (err error) {
			if _, mine, err = tx.NewToken(ctx, TokenSpec{UserID: "lilei"}); err == nil {
				_, other, err = tx.NewToken(ctx, TokenSpec{UserID: "lilei"})
			}
			return err
		})
		c := code(t, key.Secret, f.now())
		r, recovery := f.confirm("LiLei", c, mine.TokenID)
		if !r.OK || len(recovery) != recoveryCodes {
			t.Fatalf("%+v, %q", r, recovery)
		}
		if got := f.tokenRow(mine.TokenID); !got.OTP || got.RevokedAt != nil {
			t.Errorf("the token in use: %+v", got)
		}
		if got := f.tokenRow(other.TokenID); got.OTP || got.RevokedAt == nil {
			t.Errorf("another token: %+v", got)
		}
		if r := f.use("lilei", c); r.OK {
			t.Error("the code that enabled it was taken again")
		}
		f.tx(func(tx *Tx) error {
			if _, err := tx.BindOTP(ctx, "lilei"); !errors.Is(err, ErrExists) {
				t.Errorf("bind once more: %v", err)
			}
			return nil
		})
		f.pass(time.Minute)
		f.tx(func(tx *Tx) error {
			r, err := tx.UnbindOTP(ctx, "lilei", wrong(t, key.Secret, f.now()), "", Client{})
			if r.OK {
				t.Error("unbound with a wrong code")
			}
			return err
		})
		f.tx(func(tx *Tx) error {
			r, err := tx.UnbindOTP(ctx, "lilei", code(t, key.Secret, f.now()), mine.TokenID, Client{})
			if !r.OK {
				t.Errorf("unbind: %+v", r)
			}
			return err
		})
		if on, err := f.OTPEnabled(ctx, "LiLei"); on || err != nil {
			t.Errorf("still enabled: %v, %v", on, err)
		}
		if s := f.status("lilei"); s.State != OTPNone || s.Recovery != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func (f fixture) tokenRow(id string) (row tokenRow) {
	f.t.Helper()
	if err := f.reads.NewSelect().Model(&row).Where("id = ?", id).Scan(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	return row
}

func TestRecoveryCodeWorksOnce(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		_, recovery := f.enrol("lilei")
		var used atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				err := f.Tx(t.Context(), func(tx *Tx) error {
					ok, err := tx.UseRecoveryCode(t.Context(), "LiLei", strings.ToLower(recovery[0]))
					if ok {
						used.Add(1)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := used.Load(); n != 1 {
			t.Errorf("one code was taken %d times", n)
		}
		if s := f.status("lilei"); s.Recovery != recoveryCodes-1 {
			t.Errorf("%d are left", s.Recovery)
		}
		f.enrol("mei")
		f.tx(func(tx *Tx) error {
			for _, c := range []string{recovery[1], "", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"} {
				if ok, err := tx.UseRecoveryCode(t.Context(), "mei", c); ok || err != nil {
					t.Errorf("somebody else's %q: %v, %v", c, ok, err)
				}
			}
			return nil
		})
	})
}

func TestAdministratorResets(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		boss, _ := f.enrol("boss")
		f.enrol("lilei")
		var sess Session
		f.tx(func(tx *Tx) (err error) {
			_, sess, err = tx.NewToken(ctx, TokenSpec{UserID: "lilei"})
			return err
		})
		reset := func(c, target string) (r OTPResult, err error) {
			err = f.Tx(ctx, func(tx *Tx) error {
				r, err = tx.ResetOTP(ctx, "boss", c, target)
				return err
			})
			return r, err
		}
		if r, err := reset(wrong(t, boss, f.now()), "lilei"); r.OK || err != nil {
			t.Errorf("a wrong code: %+v, %v", r, err)
		}
		if _, err := reset(code(t, boss, f.now()), "nobody"); !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody's: %v", err)
		}
		if r, err := reset(code(t, boss, f.now()), "LiLei"); !r.OK || err != nil {
			t.Fatalf("%+v, %v", r, err)
		}
		if f.tokenRow(sess.TokenID).RevokedAt == nil {
			t.Error("the person's token still lives")
		}
		if s := f.status("lilei"); s.State != OTPNone || s.Recovery != 0 {
			t.Errorf("%+v", s)
		}
		if err := f.ResetOTPOnHost(ctx, "BOSS"); err != nil {
			t.Error(err)
		}
		if err := f.ResetOTPOnHost(ctx, "boss"); !errors.Is(err, ErrNotFound) {
			t.Errorf("once more: %v", err)
		}
	})
}

// A link and a code make a token that counts as strong; a wrong code leaves the
// link as it was.
func TestLinkWithACode(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		secret, _ := f.enrol("lilei")
		f.hire("mei")
		link := f.linkFor("lilei")
		_, _, err := f.Exchange(ctx, link, wrong(t, secret, f.now()), Client{})
		if e, ok := errors.AsType[*OTPRefused](err); !ok || e.OTPResult != (OTPResult{}) {
			t.Errorf("a wrong code: %v", err)
		}
		_, _, err = f.Exchange(ctx, f.linkFor("mei"), "123456", Client{})
		if e, ok := errors.AsType[*OTPRefused](err); !ok || !e.NotEnabled {
			t.Errorf("nothing to check: %v", err)
		}
		if _, sess, err := f.Exchange(ctx, link, code(t, secret, f.now()), Client{}); err != nil || !sess.OTP {
			t.Errorf("%+v, %v", sess, err)
		}
		if _, sess, err := f.Exchange(ctx, f.linkFor("lilei"), "", Client{}); err != nil || sess.OTP {
			t.Errorf("without a code: %+v, %v", sess, err)
		}
		f.pass(time.Minute)
		if _, _, err := f.Exchange(ctx, link, code(t, secret, f.now()), Client{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("the link again: %v", err)
		}
		if r := f.use("lilei", code(t, secret, f.now())); !r.OK {
			t.Error("a link that is no good spent a code")
		}
	})
}

// A secret that was moved to another person's row is of no use there.
func TestSecretIsBoundToItsRow(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	mine, _ := f.enrol("mallory")
	f.enrol("lilei")
	if _, err := f.db.NewRaw("UPDATE otp SET secret = (SELECT secret FROM otp WHERE person = 'mallory') WHERE person = 'lilei'").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := f.UseOTP(t.Context(), "lilei", code(t, mine, f.now())); r.OK || err == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := f.db.NewRaw("UPDATE recovery_codes SET hash = (SELECT hash FROM recovery_codes WHERE person = 'mallory' AND n = 1) WHERE person = 'lilei'").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Tx(t.Context(), func(tx *Tx) error {
		if ok, err := tx.UseRecoveryCode(t.Context(), "lilei", "x"); ok || err == nil {
			t.Errorf("recovery code: %v, %v", ok, err)
		}
		return nil
	})
}

// Whatever the names hold, an authenticator reads back what was put in.
func FuzzOTPURL(f *testing.F) {
	for _, issuer := range []string{"IT支持服务", "a&secret=AAAA", "x?issuer=y", "100% #1 a/b", "é 日本"} {
		f.Add(issuer, "Li.Lei@corp-1")
	}
	f.Fuzz(func(t *testing.T, issuer, account string) {
		if issuer == "" || strings.ContainsFunc(issuer, func(r rune) bool { return r < ' ' || r == 0x7f || r == ':' }) || !bot.ValidUserID(account) {
			return // the configuration or the directory refuses it
		}
		secret := base32Secret.EncodeToString(newOTPSecret())
		link := otpURL(issuer, account, secret)
		key, err := otp.NewKeyFromURL(link)
		if err != nil {
			t.Fatalf("%s: %v", link, err)
		}
		if key.Issuer() != issuer || key.AccountName() != account || key.Secret() != secret || key.Type() != "totp" || key.Period() != 30 || key.Digits() != otp.DigitsSix {
			t.Errorf("%s reads back as %q %q %q", link, key.Issuer(), key.AccountName(), key.Secret())
		}
		u, err := url.Parse(link)
		if err != nil || len(u.Query()) != 5 || u.Fragment != "" || u.Host != "totp" {
			t.Errorf("%s: %+v, %v", link, u, err)
		}
	})
}

// A replayed or wrong code is counted whatever else the transaction does, and a
// transaction that is rolled back has neither spent nor counted anything.
func TestRolledBackCodeIsNotSpent(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	secret, _ := f.enrol("lilei")
	c := code(t, secret, f.now())
	broken := errors.New("broken")
	err := f.Tx(t.Context(), func(tx *Tx) error {
		if r, err := tx.UseOTP(t.Context(), "lilei", c); err != nil || !r.OK {
			t.Errorf("%+v, %v", r, err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if r := f.use("lilei", c); !r.OK {
		t.Errorf("%+v", r)
	}
}
