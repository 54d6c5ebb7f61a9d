package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"golang.org/x/crypto/bcrypt"
)

// door is a way in, with WeCom in the hands of the test.
type door struct {
	fixture
	logins *Logins
	mu     sync.Mutex
	people map[string]bot.Person // what the directory knows, by canonical userid
	err    error                 // what it answers instead
	asked  int
	codes  map[string]string // codes of WeCom's sign-in
}

func newDoor(f fixture) *door {
	f.hasher.cost = bcrypt.MinCost
	d := &door{fixture: f, people: map[string]bot.Person{}, codes: map[string]string{}}
	d.logins = &Logins{
		Store: f.Store,
		Directory: &Directory{Store: f.Store, Lookup: func(_ context.Context, id string, _ []int) (bot.Person, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.asked++
			if d.err != nil {
				return bot.Person{ID: id, State: bot.Unreachable}, d.err
			}
			if p, ok := d.people[bot.Canonical(id)]; ok {
				return p, nil
			}
			return bot.Person{ID: id, State: bot.Unknown}, nil
		}},
		WhoIs: func(_ context.Context, code string) (string, error) {
			if who, ok := d.codes[code]; ok {
				return who, nil
			}
			return "", bot.Fail(bot.Denied, "error.denied", nil, nil)
		},
	}
	f.t.Cleanup(d.logins.Wait)
	return d
}

// member puts an agent into the directory.
func (d *door) member(userID string, state bot.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people[bot.Canonical(userID)] = bot.Person{ID: userID, Name: "Name of " + userID, State: state, Departments: []int{2}}
}

func (d *door) answers(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *door) login(q LoginRequest) (Login, error) {
	d.t.Helper()
	got, err := d.logins.Login(d.t.Context(), q)
	d.logins.Wait()
	return got, err
}

// pushes counts what was sent to somebody.
func (f fixture) pushes(to string) int {
	f.t.Helper()
	n, err := f.db.NewSelect().Model((*outboxRow)(nil)).Where("person = ?", bot.Canonical(to)).Count(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f fixture) online(userID string) bool {
	f.t.Helper()
	online := false
	f.tx(func(tx *Tx) error {
		a, err := tx.Agent(f.t.Context(), userID)
		online = a.Status == Online
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		return err
	})
	return online
}

// outages are the ways in which a directory can answer about an agent.
var outages = []struct {
	name  string
	state bot.State // its answer
	err   error     // or why there is none
}{
	{name: "answers: active", state: bot.Active},
	{name: "answers: disabled", state: bot.Disabled},
	{name: "answers: left", state: bot.Left},
	{name: "answers: unknown"},
	{name: "unreachable", err: bot.Fail(bot.Unavailable, "error.wecom", nil, errors.New("connection refused"))},
	{name: "refuses us", err: bot.Fail(bot.Internal, "error.wecom", nil, errors.New("60020: not allowed from this address"))},
	{name: "broken", err: errors.New("unknown status 9")},
}

// cached is what was known of the person before.
var cached = []struct {
	name  string
	state bot.State // "": nothing
	age   time.Duration
}{
	{"nothing lately", "", 0}, {"active an hour ago", bot.Active, time.Hour}, {"active a day ago", bot.Active, 25 * time.Hour}, {"disabled an hour ago", bot.Disabled, time.Hour},
}

// brought is what the caller brings.
var brought = []struct {
	name   string
	proven bool
	otp    bool // and a good one-time password
	bring  func(q *LoginRequest, code, wrong string)
}{
	{"a bare userid", false, false, func(*LoginRequest, string, string) {}},
	{"a userid and a code", false, false, func(q *LoginRequest, code, _ string) { q.OTP = code }},
	{"a wrong password", false, false, func(q *LoginRequest, _, _ string) { q.Password = "wrong horse" }},
	{"a wrong password, a code", false, false, func(q *LoginRequest, code, _ string) { q.Password, q.OTP = "wrong horse", code }},
	{"somebody else's WeCom", false, false, func(q *LoginRequest, _, _ string) { q.WeCom = "code of eve" }},
	{"a used WeCom code", false, false, func(q *LoginRequest, _, _ string) { q.WeCom = "used" }},
	{"the password", true, false, func(q *LoginRequest, _, _ string) { q.Password = "correct horse" }},
	{"the password, a wrong code", true, false, func(q *LoginRequest, _, wrong string) { q.Password, q.OTP = "correct horse", wrong }},
	{"the password, a code", true, true, func(q *LoginRequest, code, _ string) { q.Password, q.OTP = "correct horse", code }},
	{"WeCom", true, false, func(q *LoginRequest, _, _ string) { q.WeCom = "code of " + q.UserID }},
	{"WeCom, a code", true, true, func(q *LoginRequest, code, _ string) { q.WeCom, q.OTP = "code of "+q.UserID, code }},
}

// The login matrix, by really logging in: how the directory answers × what is
// enrolled × what was known before × what the caller brings.
func TestLoginMatrix(t *testing.T) {
	cells, tokens, brief := 0, 0, 0
	for _, otp := range []bool{false, true} {
		for _, known := range cached {
			d := newDoor(open(t, "sqlite::memory:", nil))
			for _, out := range outages {
				for _, b := range brought {
					cells++
					user := fmt.Sprint("Agent", cells)
					cell := fmt.Sprintf("directory %s, otp %v, known %s, with %s", out.name, otp, known.name, b.name)
					q := LoginRequest{UserID: strings.ToUpper(user)}
					secret := d.prepare(user, otp, known.state, known.age)
					d.codes["code of "+q.UserID], d.codes["code of eve"] = user, "Eve"
					good, bad := "123456", "654321"
					if otp {
						good, bad = code(t, secret, d.now()), wrong(t, secret, d.now())
					}
					b.bring(&q, good, bad)
					d.answers(out.err)
					if out.state != "" {
						d.member(user, out.state)
					}
					got, err := d.login(q)
					if got.Token != "" {
						tokens++
					}
					if got.Session.Degraded {
						brief++
					}
					// What the contract says, in other words than rule.
					lastWord := out.err != nil && bot.Explain(out.err).Kind == bot.Unavailable && known.state == bot.Active && known.age < grace && q.Password != ""
					may := b.proven && (out.state == bot.Active || lastWord) && (b.otp || !otp)
					switch {
					case may != (got.Token != ""):
						t.Errorf("%s: token %v (%v)", cell, got.Token != "", err)
					case may && (out.err != nil) != (got.Session.Degraded && got.Session.ExpiresAt.Sub(d.now()) <= time.Hour):
						t.Errorf("%s: %+v", cell, got.Session)
					case got.Session.OTP && !b.otp:
						t.Errorf("%s: the token says that a code was given", cell)
					case d.online(user) != may:
						t.Errorf("%s: online %v", cell, !may)
					case !b.proven && err != nil && errKey(err) != "login.unproven":
						t.Errorf("%s: told %v", cell, err)
					case !b.proven && got.NeedOTP:
						t.Errorf("%s: told that there is a one-time password", cell)
					}
				}
			}
		}
	}
	t.Logf("%d cells, %d with a token, %d of those in an outage", cells, tokens, brief)
	if tokens == 0 || brief == 0 {
		t.Error("nobody ever gets in")
	}
}

// prepare makes an agent with a password, as they were last seen: in a state, so
// long ago. secret is that of the one-time password, "" for none.
func (d *door) prepare(user string, otp bool, last bot.State, age time.Duration) (secret string) {
	d.t.Helper()
	ctx, id := d.t.Context(), bot.Canonical(user)
	d.hire(user)
	d.tx(func(tx *Tx) error {
		return tx.EnsureAgent(ctx, bot.User{ID: user, Name: user, Level: bot.Agent, Roles: []string{"agent"}})
	})
	if otp {
		secret = d.bind(user).Secret
		if r, _ := d.confirm(user, code(d.t, secret, d.now().Add(-30*time.Second)), ""); !r.OK {
			d.t.Fatalf("%+v", r)
		}
	}
	d.putHash(user, mustHash(d.t, d.fixture, "correct horse"))
	q := d.db.NewUpdate().Model((*personRow)(nil)).Set("state = ?", last).Set("checked_at = ?", d.now().Add(-age)).Where("id = ?", id)
	if last == "" {
		q = d.db.NewUpdate().Model((*personRow)(nil)).Set("checked_at = ?", time.Unix(0, 0).UTC()).Where("id = ?", id)
	}
	if _, err := q.Exec(ctx); err != nil {
		d.t.Fatal(err)
	}
	return secret
}

// ask starts a login without proof and returns it with its row.
func (d *door) ask(q LoginRequest) (Approval, loginRow) {
	d.t.Helper()
	got, err := d.login(q)
	if err != nil || got.Token != "" || got.NeedOTP || got.Approval.LoginID == "" || len(got.Approval.Number) != 2 {
		d.t.Fatalf("%+v, %v", got, err)
	}
	var row loginRow
	if err := d.db.NewSelect().Model(&row).Where("hash = ?", d.keys.digest(kindLogin, got.Approval.LoginID)).Scan(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	return got.Approval, row
}

// press answers a question in somebody's chat.
func (d *door) press(userID, taskID, id, number string) (q Question) {
	d.t.Helper()
	d.tx(func(tx *Tx) (err error) {
		q, err = tx.DecideLogin(d.t.Context(), bot.User{ID: userID, Name: userID}, taskID, id, number)
		return err
	})
	return q
}

func (d *door) poll(a Approval, code string) (string, Login, error) {
	return d.logins.Poll(d.t.Context(), a.LoginID, code, Client{})
}

func TestApproval(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		d := newDoor(f)
		d.member("LiLei", bot.Active)
		d.member("Eve", bot.Active)
		a, row := d.ask(LoginRequest{UserID: "lilei"})
		if state, got, err := d.poll(a, ""); state != LoginPending || got.Token != "" || err != nil {
			t.Fatalf("%s, %v", state, err)
		}
		other := row.Number[1:] + row.Number[:1]
		for _, c := range []struct{ who, task, id, number string }{
			{"Eve", row.TaskID, row.ID, row.Number}, {"LiLei", "", row.ID, row.Number}, {"LiLei", "forged", row.ID, row.Number}, {"LiLei", row.TaskID, "x", row.Number},
		} {
			if q := d.press(c.who, c.task, c.id, c.number); q.State != LoginOver {
				t.Errorf("%+v: %s", c, q.State)
			}
		}
		if q := d.press("LiLei", row.TaskID, row.ID, row.Number); q.State != LoginApproved {
			t.Fatalf("%+v", q)
		}
		if q := d.press("LiLei", row.TaskID, row.ID, other); q.State != LoginApproved {
			t.Errorf("decided again: %+v", q)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		tokens := []Login{}
		for range 8 {
			all.Go(func() {
				state, got, err := d.poll(a, "")
				mu.Lock()
				defer mu.Unlock()
				if state != LoginApproved || err != nil {
					t.Errorf("%s, %v", state, err)
				}
				if got.Token != "" {
					tokens = append(tokens, got)
				}
			})
		}
		all.Wait()
		if len(tokens) != 1 || tokens[0].Agent.Status != Online || !d.online("lilei") {
			t.Fatalf("%d tokens", len(tokens))
		}
		if s, err := d.Session(t.Context(), tokens[0].Token); err != nil || s.UserID != "lilei" || s.OTP || s.Degraded {
			t.Errorf("%+v, %v", s, err)
		}
		d.pass(time.Hour)
		if state, got, err := d.poll(a, ""); state != LoginApproved || got.Token != "" || err != nil {
			t.Errorf("later: %s, %v", state, err)
		}
	})
}

// A login is over when it is refused, when the wrong number is pressed, and when
// nobody says anything; who was asked and does not exist never says anything.
func TestNotApproved(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		d := newDoor(f)
		d.member("LiLei", bot.Active)
		d.member("Boss", bot.Active)
		d.hire("Boss")
		for _, c := range []struct {
			press, state string
			alerts       int
		}{{"", LoginDenied, 1}, {"00", LoginMissed, 0}} {
			a, row := d.ask(LoginRequest{UserID: "LiLei"})
			alerts := d.pushes("boss")
			if q := d.press("LiLei", row.TaskID, row.ID, c.press); q.State != c.state {
				t.Errorf("%+v", q)
			}
			if q := d.press("LiLei", row.TaskID, row.ID, row.Number); q.State != c.state {
				t.Errorf("and yet: %+v", q)
			}
			if _, got, err := d.poll(a, ""); errKey(err) != "login.notapproved" || got.Token != "" {
				t.Errorf("%s: %v", c.state, err)
			}
			if n := d.pushes("boss") - alerts; n != c.alerts {
				t.Errorf("%s: %d alerts", c.state, n)
			}
		}
		late, row := d.ask(LoginRequest{UserID: "LiLei"})
		nobody, _ := d.ask(LoginRequest{UserID: "nobody"})
		nonsense, _ := d.ask(LoginRequest{UserID: "no such name!"})
		for _, a := range []Approval{late, nobody, nonsense} {
			if state, _, err := d.poll(a, ""); state != LoginPending || err != nil {
				t.Errorf("%s, %v", state, err)
			}
		}
		d.pass(approveWithin)
		if q := d.press("LiLei", row.TaskID, row.ID, row.Number); q.State != LoginOver {
			t.Errorf("%+v", q)
		}
		for _, a := range []Approval{late, nobody, nonsense} {
			if _, _, err := d.poll(a, ""); errKey(err) != "login.notapproved" {
				t.Errorf("late: %v", err)
			}
		}
		for _, id := range []string{"", "x", newToken(kindLogin), newToken(kindAccess)} {
			if _, _, err := d.poll(Approval{LoginID: id}, ""); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	})
}

// An approval is a first factor: who uses one-time passwords gives one as well.
func TestApprovalWithOTP(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		d := newDoor(f)
		d.member("LiLei", bot.Active)
		secret := d.prepare("LiLei", true, bot.Active, 0)
		approved := func(otp string) Approval {
			d.pass(time.Hour)
			if otp == "good" {
				otp = code(t, secret, d.now())
			}
			a, row := d.ask(LoginRequest{UserID: "LiLei", OTP: otp})
			if otp != "" && (row.Code == "" || strings.Contains(row.Code, otp)) {
				t.Errorf("kept as %q", row.Code)
			}
			d.press("LiLei", row.TaskID, row.ID, row.Number)
			return a
		}
		// The code came along, and eight ask at once: it is spent for one of them,
		// and none of the others counts as a wrong one.
		a := approved("good")
		var all sync.WaitGroup
		var mu sync.Mutex
		tokens := 0
		for range 8 {
			all.Go(func() {
				_, got, err := d.poll(a, "")
				mu.Lock()
				defer mu.Unlock()
				if err != nil || got.NeedOTP || got.Token != "" && !got.Session.OTP {
					t.Errorf("%+v, %v", got, err)
				}
				if got.Token != "" {
					tokens++
				}
			})
		}
		all.Wait()
		if tokens != 1 {
			t.Errorf("%d tokens", tokens)
		}
		// No code came along: it is asked for, and may be given then.
		a = approved("")
		if state, got, err := d.poll(a, ""); state != LoginApproved || !got.NeedOTP || got.Token != "" || got.Who.ID != "LiLei" || err != nil {
			t.Errorf("%s %+v, %v", state, got, err)
		}
		var refused *OTPRefused
		if _, got, err := d.poll(a, wrong(t, secret, d.now())); !errors.As(err, &refused) || got.Token != "" {
			t.Errorf("a wrong code: %v", err)
		}
		if _, got, err := d.poll(a, code(t, secret, d.now())); got.Token == "" || err != nil {
			t.Errorf("a good code: %v", err)
		}
		// A wrong code came along: it is looked at once.
		a = approved(wrong(t, secret, d.now().Add(time.Hour)))
		if _, _, err := d.poll(a, ""); !errors.As(err, &refused) {
			t.Errorf("a wrong code: %v", err)
		}
		if _, got, err := d.poll(a, ""); !got.NeedOTP || err != nil {
			t.Errorf("then: %+v, %v", got, err)
		}
	})
}

// The desk is closed to whoever left or lost the role after approving.
func TestApprovedButGone(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		d := newDoor(f)
		for _, c := range []struct {
			then bot.Person
			err  error
			want string
		}{
			{bot.Person{State: bot.Disabled}, nil, "login.inactive"},
			{bot.Person{State: bot.Active, Departments: []int{1}}, nil, "login.norole"},
			{bot.Person{}, bot.Fail(bot.Unavailable, "error.wecom", nil, nil), "login.unverified"},
		} {
			user := "u" + strings.ReplaceAll(c.want, ".", "")
			d.answers(nil)
			d.member(user, bot.Active)
			a, row := d.ask(LoginRequest{UserID: user})
			d.press(user, row.TaskID, row.ID, row.Number)
			c.then.ID = user
			d.people[user] = c.then
			d.answers(c.err)
			if _, got, err := d.poll(a, ""); errKey(err) != c.want || got.Token != "" {
				t.Errorf("%v, want %s", err, c.want)
			}
		}
	})
}

// A person is asked three times in ten minutes, however many try, on however
// many instances; the fourth caller is answered alike.
func TestPrompts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		doors := []*door{newDoor(open(t, url, nil))}
		f := doors[0].fixture
		for range 3 {
			if f.Postgres() {
				doors = append(doors, newDoor(open(t, url, func(o *Options) { o.Now = f.now })))
			}
		}
		for _, d := range doors {
			d.member("LiLei", bot.Active)
			d.member("Gone", bot.Disabled)
		}
		many := func(n int, user string) {
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() {
					d := doors[i%len(doors)]
					got, err := d.logins.Login(t.Context(), LoginRequest{UserID: user})
					if err != nil || got.Approval.Number == "" {
						t.Errorf("%+v, %v", got, err)
					}
				})
			}
			all.Wait()
			for _, d := range doors {
				d.logins.Wait()
			}
		}
		many(12, "LiLei")
		if n := f.pushes("lilei"); n != 3 {
			t.Errorf("asked %d times", n)
		}
		f.pass(promptEvery - time.Second)
		many(1, "LILEI")
		if n := f.pushes("lilei"); n != 3 {
			t.Errorf("asked %d times before the time is up", n)
		}
		f.pass(2 * time.Second)
		many(5, "lilei")
		if n := f.pushes("lilei"); n != 6 {
			t.Errorf("asked %d times after it is up", n)
		}
		many(1, "Gone")
		many(1, "nobody")
		if n := f.pushes("gone") + f.pushes("nobody"); n != 0 {
			t.Errorf("%d people who are none were asked", n)
		}
	})
}

// Strangers cannot make the gateway ask WeCom without end.
func TestQuestionsAboutStrangers(t *testing.T) {
	d := newDoor(open(t, storetest.SQLite(t), nil))
	for i := range 2 * strangers.N {
		d.ask(LoginRequest{UserID: fmt.Sprint("stranger", i)})
	}
	if d.asked > strangers.N {
		t.Errorf("asked %d times", d.asked)
	}
	d.hire("LiLei")
	d.member("LiLei", bot.Active)
	d.ask(LoginRequest{UserID: "LiLei"})
	if d.pushes("lilei") != 1 {
		t.Error("somebody who is known pays for it")
	}
}

// Nothing that a caller sees or could time differs between a person with a
// wrong password and one who does not exist.
func TestUnknownPeopleLookLikeOthers(t *testing.T) {
	d := newDoor(open(t, storetest.SQLite(t), nil))
	d.member("LiLei", bot.Active)
	d.prepare("LiLei", true, bot.Active, 0)
	type seen struct {
		key          string
		work         int64
		asked, audit int
	}
	try := func(user string) seen {
		work, asked := d.hasher.worked.Load(), d.asked
		got, err := d.login(LoginRequest{UserID: user, Password: "wrong", OTP: "123456"})
		if got.Token != "" || got.NeedOTP || got.Approval.LoginID != "" {
			t.Errorf("%s: %+v", user, got)
		}
		var n int
		d.tx(func(tx *Tx) error {
			trail, err := tx.AuditTrail(t.Context(), "", 1000)
			n = len(trail)
			return err
		})
		return seen{errKey(err), d.hasher.worked.Load() - work, d.asked - asked, n}
	}
	known, unknown, odd := try("LiLei"), try("nobody"), try("no such name!")
	if known.audit+1 != unknown.audit || unknown.audit+1 != odd.audit {
		t.Errorf("audited %d, %d, %d", known.audit, unknown.audit, odd.audit)
	}
	known.audit, unknown.audit, odd.audit = 0, 0, 0
	if known != unknown || known != odd || known.work != 1 || known.asked != 0 {
		t.Errorf("%+v, %+v, %+v", known, unknown, odd)
	}
	if s := d.status("lilei"); s.State != OTPActive {
		t.Fatal(s)
	}
	var row otpRow
	if err := d.db.NewSelect().Model(&row).Where("person = 'lilei'").Scan(t.Context()); err != nil || row.Failures != 0 {
		t.Errorf("a caller without a proof counted %d wrong codes, %v", row.Failures, err)
	}
}
