package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"golang.org/x/crypto/bcrypt"
)

// An old hash of "correct horse battery staple", as other programs spell it.
func legacyHash(t testing.TB, version, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(string(hash), "$2a$", version, 1)
}

func (f fixture) putHash(userID, hash string) {
	f.t.Helper()
	row := passwordRow{Person: bot.Canonical(userID), Hash: hash, ChangedAt: f.now()}
	if _, err := f.db.NewInsert().Model(&row).On("CONFLICT (person) DO UPDATE").Set("hash = EXCLUDED.hash").Returning("NULL").Exec(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func (f fixture) hash(userID string) string {
	f.t.Helper()
	hash, err := f.passwordHash(f.t.Context(), userID)
	if err != nil {
		f.t.Fatal(err)
	}
	return hash
}

func (f fixture) check(userID, password string) bool {
	f.t.Helper()
	ok, err := f.CheckPassword(f.t.Context(), userID, password)
	if err != nil {
		f.t.Fatal(err)
	}
	return ok
}

func (f fixture) setPassword(userID, old, password string) error {
	return f.SetPassword(f.t.Context(), PasswordChange{UserID: userID, Old: old, New: password})
}

// errKey is the sentence of a failure, "" for none.
func errKey(err error) string {
	if err == nil {
		return ""
	}
	return bot.Explain(err).Key
}

// A password is taken exactly as it was sent, to its last character.
func TestPasswordsAreWhole(t *testing.T) {
	f := open(t, storetest.SQLite(t), func(o *Options) { o.PassCost = bcrypt.MinCost })
	long := strings.Repeat("0123456789", 10)
	for i, c := range []struct{ set, other string }{
		{long, long[:99] + "x"},
		{long[:72] + "aaaa", long[:72] + "bbbb"},
		{strings.Repeat("密", 64), strings.Repeat("密", 63) + "码"},
		{strings.Repeat("密码", 64), strings.Repeat("密码", 63) + "密"},
		{"with\x00nul-one", "with\x00nul-two"},
		{" spaces around ", "spaces around"},
		{"Straße-Ämter", "strasse-ämter"},
		{"e\u0301tude-cafe\u0301", "étude-café"},
	} {
		user := fmt.Sprint("u", i)
		if err := f.setPassword(user, "", c.set); err != nil {
			t.Errorf("%q: %v", c.set, err)
		}
		if !f.check(user, c.set) || !f.check(strings.ToUpper(user), c.set) {
			t.Errorf("%q is refused", c.set)
		}
		for _, wrong := range []string{c.other, c.set + " ", c.set[:len(c.set)-1], strings.ToUpper(c.set) + "x", ""} {
			if f.check(user, wrong) {
				t.Errorf("%q passes for %q", wrong, c.set)
			}
		}
	}
}

func TestPasswordsNobodyShouldChoose(t *testing.T) {
	f := open(t, storetest.SQLite(t), func(o *Options) { o.PassCost = bcrypt.MinCost })
	for password, want := range map[string]string{
		"1234567": "password.length", "密码密码密码密": "password.length", "": "password.length",
		strings.Repeat("x1", 64) + "y": "password.length", "bad\xffutf8!": "password.length",
		"password": "password.common", "Password123": "password.common", "12345678": "password.common", "87654321": "password.common",
		"qwertyuiop": "password.common", "1qaz2wsx": "password.common", "88888888": "password.common", "12341234": "password.common",
		"19900101": "password.common", "1990-01-01": "password.common", "01021988": "password.common", "woaini1314": "password.common",
		"P@ssw0rd2025": "password.common", "zhangwei.work": "password.common", "ZhangWei.Work": "password.common",
		"一二三四五六七八": "", "tr0ub4dor&3": "", "correct horse": "", strings.Repeat("长", 128): "", "20261399": "", "password-of-mine": "",
	} {
		if got := errKey(f.setPassword("zhangwei.work", "", password)); got != want {
			t.Errorf("%q: %q, want %q", password, got, want)
		}
		if want == "" {
			f.tx(func(tx *Tx) error { _, err := tx.erase(t.Context(), "passwords", "zhangwei.work"); return err })
		}
	}
}

// A hash that was brought along verifies, and is replaced at the first login.
func TestHashesBroughtAlong(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.hasher.cost = bcrypt.MinCost + 1
		const password = "correct horse battery staple"
		for _, version := range []string{"$2a$", "$2b$", "$2y$"} {
			f.putHash("lilei", legacyHash(t, version, password, bcrypt.MinCost))
			if f.check("lilei", "correct horse battery stable") || f.hash("lilei")[:4] != version {
				t.Errorf("%s: a wrong password passes or upgrades", version)
			}
			if !f.check("lilei", password) {
				t.Errorf("%s: refused", version)
			}
			if now := f.hash("lilei"); !strings.HasPrefix(now, ourHash+".") || !f.check("lilei", password) {
				t.Errorf("%s became %s", version, now)
			}
		}
		// Its maker never saw more than 72 bytes, so a longer password is another.
		long := strings.Repeat("x", 72)
		f.putHash("lilei", legacyHash(t, "$2b$", long, bcrypt.MinCost))
		if f.check("lilei", long+"y") || !f.check("lilei", long) {
			t.Error("72 bytes pass for 73")
		}
	})
}

// A password outlives the key it was peppered with, for as long as that is kept.
func TestPasswordsAfterAKeyChange(t *testing.T) {
	url := storetest.SQLite(t)
	cheap := func(keys ...[]byte) func(*Options) {
		return func(o *Options) { o.Keys, o.PassCost = keys, bcrypt.MinCost }
	}
	f := open(t, url, cheap(testKey))
	if err := f.setPassword("lilei", "", "correct horse"); err != nil {
		t.Fatal(err)
	}
	old := f.hash("lilei")
	f.Store.keys, _ = newKeyring([][]byte{otherKey, testKey})
	f.hasher.keys = f.Store.keys
	if !f.check("lilei", "correct horse") || f.hash("lilei") == old {
		t.Error("not verified and hashed anew with the new key")
	}
	f.Store.keys, _ = newKeyring([][]byte{otherKey})
	f.hasher.keys = f.Store.keys
	if !f.check("lilei", "correct horse") {
		t.Error("the old key is still needed")
	}
	f.putHash("lilei", old)
	if _, err := f.CheckPassword(t.Context(), "lilei", "correct horse"); err == nil || !strings.Contains(err.Error(), "old_encryption_keys") {
		t.Errorf("without its key: %v", err)
	}
}

// What takes time takes as much of it for anybody.
func TestHashingTellsNothing(t *testing.T) {
	f := open(t, storetest.SQLite(t), func(o *Options) { o.PassCost = bcrypt.MinCost + 3 })
	if err := f.setPassword("ours", "", "correct horse"); err != nil {
		t.Fatal(err)
	}
	f.putHash("same", legacyHash(t, "$2b$", "correct horse", bcrypt.MinCost+3))
	f.putHash("cheap", legacyHash(t, "$2b$", "correct horse", bcrypt.MinCost))
	for _, user := range []string{"nobody", "no such name!", "ours", "same", "cheap"} {
		for _, password := range []string{"wrong", "", strings.Repeat("x", 5000)} {
			before := f.hasher.worked.Load()
			if f.check(user, password) {
				t.Errorf("%s: %.10q passes", user, password)
			}
			if work := f.hasher.worked.Load() - before; work != 1<<3 {
				t.Errorf("%s, %.10q: %d units of work", user, password, work)
			}
		}
	}
}

// Passwords are hashed few at a time, and none waits long for its turn.
func TestHashingIsBounded(t *testing.T) {
	h := newHasher(nil, 0)
	if h.cost != passwordCost || cap(h.turns) < 1 {
		t.Fatalf("cost %d, %d at a time", h.cost, cap(h.turns))
	}
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(nil, 0)
		var leave []func()
		for range cap(h.turns) {
			l, err := h.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, l)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		turned := map[string]int{}
		began := time.Now()
		for range 200 {
			all.Go(func() {
				l, err := h.enter(t.Context())
				mu.Lock()
				turned[errKey(err)]++
				mu.Unlock()
				if err == nil {
					time.Sleep(400 * time.Millisecond)
					l()
				}
			})
		}
		time.Sleep(500 * time.Millisecond)
		for _, l := range leave {
			l()
		}
		all.Wait()
		if turned["password.busy"] < 200-3*cap(h.turns) || turned["password.busy"]+turned[""] != 200 || turned[""] == 0 {
			t.Errorf("%v", turned)
		}
		if waited := time.Since(began); waited > 1500*time.Millisecond {
			t.Errorf("the last one was told after %s", waited)
		}
	})
}

// A flood of logins does not hold up messages: WeCom hangs up after 5 s.
func TestFloodOfLogins(t *testing.T) {
	f := open(t, storetest.SQLite(t), func(o *Options) { o.PassCost = 8 })
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for i := range 200 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := f.CheckPassword(t.Context(), fmt.Sprint("user", i), "wrong")
				if err != nil && errKey(err) != "password.busy" {
					t.Error(err)
				}
			}
		})
	}
	var worst time.Duration
	for i := range 30 {
		began := time.Now()
		f.receive(said("lilei", i))
		worst = max(worst, time.Since(began))
	}
	close(stop)
	flood.Wait()
	t.Logf("30 messages during the flood, the slowest in %s", worst)
	if worst > 3*time.Second {
		t.Errorf("a message took %s", worst)
	}
}

func TestSetPassword(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.hasher.cost = bcrypt.MinCost
		f.hire("LiLei")
		_, kept := f.minted(TokenSpec{UserID: "lilei"})
		other, _ := f.minted(TokenSpec{UserID: "lilei"})
		change := func(old, new string) string {
			return errKey(f.SetPassword(t.Context(), PasswordChange{UserID: "LiLei", Old: old, New: new, Keep: kept.TokenID}))
		}
		for _, c := range []struct{ old, new, want string }{
			{"", "short", "password.length"},
			{"", "correct horse", ""},
			{"", "battery staple", "password.old.missing"},
			{"wrong horse", "battery staple", "password.old.wrong"},
			{"correct horse", "12345678", "password.common"},
			{"correct horse", "battery staple", ""},
		} {
			if got := change(c.old, c.new); got != c.want {
				t.Errorf("%q to %q: %q, want %q", c.old, c.new, got, c.want)
			}
		}
		if !f.check("lilei", "battery staple") || f.check("lilei", "correct horse") {
			t.Error("the wrong password is set")
		}
		if _, err := f.Session(t.Context(), other); !errors.Is(err, ErrNotFound) {
			t.Errorf("the other token: %v", err)
		}
		f.tx(func(tx *Tx) error {
			trail, err := tx.AuditTrail(t.Context(), "lilei", 50)
			n := 0
			for _, e := range trail {
				if e.Action == "password.set" {
					n++
				}
			}
			if n != 2 {
				t.Errorf("%d entries: %v", n, trail)
			}
			return err
		})
		if row := f.tokenRow(kept.TokenID); row.RevokedAt != nil {
			t.Error("the token it was done with is revoked")
		}
	})
}

// Of changes at the same time that know the same old password, one wins.
func TestParallelPasswordChanges(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.hasher.cost, f.hasher.turns = bcrypt.MinCost, make(chan struct{}, 8)
		f.hire("lilei")
		for _, old := range []string{"", "password of 0"} {
			var all sync.WaitGroup
			var mu sync.Mutex
			won := 0
			for i := range 8 {
				all.Go(func() {
					err := f.setPassword("lilei", old, fmt.Sprint("password of ", i+1)) // never the old one again
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						won++
					} else if key := errKey(err); !Transient(err) && key != "password.old.wrong" && key != "password.old.missing" {
						t.Errorf("%v", err)
					}
				})
			}
			all.Wait()
			if won != 1 {
				t.Errorf("%d changes from %q went through", won, old)
			}
			f.putHash("lilei", mustHash(t, f, "password of 0"))
		}
	})
}

func mustHash(t testing.TB, f fixture, password string) string {
	t.Helper()
	hash, err := f.hashPassword(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func TestPasswordLink(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.hasher.cost = bcrypt.MinCost
		f.hire("LiLei")
		link := func() string {
			var l Link
			f.tx(func(tx *Tx) (err error) {
				l, err = tx.NewPasswordLink(t.Context(), bot.User{ID: "LiLei"})
				return err
			})
			at, token, _ := strings.Cut(l.URL, "?accessToken=")
			if at != "https://desk.example.com/password" {
				t.Fatal(l.URL)
			}
			return token
		}
		reset := func(token, password string) error {
			return f.ResetPassword(t.Context(), token, PasswordChange{New: password})
		}
		token := link()
		for _, use := range []func() error{
			func() error { _, _, err := f.Exchange(t.Context(), token, "", Client{}); return err },
			func() error { _, err := f.Session(t.Context(), token); return err },
			func() error { _, err := f.PeekLink(t.Context(), token); return err },
		} {
			if err := use(); !errors.Is(err, ErrNotFound) {
				t.Errorf("it passes for another kind of token: %v", err)
			}
		}
		if got := errKey(reset(token, "short")); got != "password.length" {
			t.Errorf("%q", got)
		}
		session, _ := f.minted(TokenSpec{UserID: "lilei"})
		var all sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range 8 {
			all.Go(func() {
				err := reset(token, fmt.Sprint("password of ", i))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won != 1 {
			t.Errorf("used %d times", won)
		}
		if _, err := f.Session(t.Context(), session); !errors.Is(err, ErrNotFound) {
			t.Errorf("a session of before: %v", err)
		}
		if err := reset(link(), "battery staple"); err != nil || !f.check("lilei", "battery staple") {
			t.Errorf("a forgotten password: %v", err)
		}
		late := link()
		f.pass(11 * time.Minute)
		if err := reset(late, "correct horse"); !errors.Is(err, ErrNotFound) {
			t.Errorf("late: %v", err)
		}
		gone := link()
		f.tx(func(tx *Tx) error { _, err := tx.RevokeTokens(t.Context(), "lilei", false); return err })
		if err := reset(gone, "correct horse"); !errors.Is(err, ErrNotFound) {
			t.Errorf("after /logout: %v", err)
		}
	})
}
