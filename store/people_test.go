package store

import (
	"errors"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// meet makes the directory's word on people known.
func (f fixture) meet(people ...bot.Person) {
	f.t.Helper()
	for _, p := range people {
		if p.State == "" {
			p.State = bot.Active
		}
		if err := f.savePerson(f.t.Context(), bot.Canonical(p.ID), p, f.now()); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f fixture) welcome(userID string) bool {
	f.t.Helper()
	due := false
	f.tx(func(tx *Tx) (err error) {
		due, err = tx.Welcome(f.t.Context(), userID)
		return err
	})
	return due
}

// beijing makes the process's time zone one in which a day does not begin with
// UTC's.
func beijing(t *testing.T) {
	was := time.Local
	time.Local = time.FixedZone("CST", 8*60*60)
	t.Cleanup(func() { time.Local = was })
}

func TestWelcomeOnceADay(t *testing.T) {
	beijing(t)
	each(t, func(t *testing.T, f fixture) { // it is noon in Beijing
		f.meet(bot.Person{ID: "LiLei"})
		for i, c := range []struct {
			after time.Duration
			want  bool
		}{
			{0, true}, {0, false}, {11 * time.Hour, false}, // 23:00
			{time.Hour - time.Nanosecond, false},
			{time.Nanosecond, true}, {0, false}, // midnight
			{8 * time.Hour, false}, // midnight in UTC
			{30 * time.Hour, true},
		} {
			f.pass(c.after)
			if got := f.welcome("lilei"); got != c.want {
				t.Errorf("%d, %v: %v", i, f.now().In(time.Local), got)
			}
		}
		if f.welcome("nobody") {
			t.Error("welcomed a stranger")
		}
	})
}

func TestManyWelcomesAreOne(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.meet(bot.Person{ID: "LiLei"})
		var wg sync.WaitGroup
		welcomes := make(chan bool, 16)
		for range cap(welcomes) {
			wg.Go(func() {
				if err := f.Tx(t.Context(), func(tx *Tx) error {
					due, err := tx.Welcome(t.Context(), "LILEI")
					if due {
						welcomes <- true
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(welcomes) != 1 {
			t.Errorf("%d welcomes", len(welcomes))
		}
	})
}

func TestProfile(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.meet(bot.Person{ID: "LiLei", Name: "李雷", Departments: []int{2}})
		began := f.now()
		first, err := f.Profile(t.Context(), "LILEI")
		if err != nil {
			t.Fatal(err)
		}
		f.pass(time.Hour)
		f.meet(bot.Person{ID: "lilei", Name: "李 雷", State: bot.Disabled})
		f.tx(func(tx *Tx) error { return tx.SetLang(t.Context(), "LiLei", "en") })
		got, err := f.Profile(t.Context(), "lilei")
		if err != nil {
			t.Fatal(err)
		}
		want := Profile{
			User: bot.User{ID: "lilei", Name: "李 雷", Lang: "en", Roles: []string{"user"}, Departments: []int{}},
			UID:  first.UID, State: bot.Disabled, CreatedAt: began,
		}
		if d := cmp.Diff(want, got); d != "" || first.UID == "" || first.Level != bot.Agent || first.Lang != "zh" {
			t.Errorf("%s, at first %+v", d, first)
		}
		if err := f.Tx(t.Context(), func(tx *Tx) error { return tx.SetLang(t.Context(), "nobody", "en") }); !errors.Is(err, ErrNotFound) {
			t.Errorf("a stranger's language: %v", err)
		}
	})
}

func TestTellInTheLanguageChosen(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.meet(bot.Person{ID: "LiLei"})
		f.tx(func(tx *Tx) error {
			if err := tx.Tell(t.Context(), "lilei", bot.Text("before", nil)); err != nil {
				return err
			}
			if err := tx.SetLang(t.Context(), "lilei", "en"); err != nil {
				return err
			}
			if err := tx.Tell(t.Context(), "LILEI", bot.Text("after", nil)); err != nil {
				return err
			}
			return tx.Tell(t.Context(), "Stranger", bot.Text("hello", nil))
		})
		if d := cmp.Diff([]string{"LiLei: zh before", "LiLei: en after", "Stranger: zh hello"}, f.texts()); d != "" {
			t.Error(d)
		}
	})
}

func TestRoles(t *testing.T) {
	f := open(t, "sqlite::memory:", func(o *Options) {
		o.Roles = Rules{
			Admin: Rule{Users: []string{"boss"}, Departments: []int{1}, Tags: []int{9}},
			Agent: Rule{Users: []string{"boss", "mei"}, Departments: []int{2}, Tags: []int{7, 9}},
		}
	})
	for _, c := range []struct {
		person bot.Person
		level  bot.Level
		roles  []string
	}{
		{bot.Person{ID: "BOSS"}, bot.Admin, []string{"admin", "agent"}},
		{bot.Person{ID: "Mei"}, bot.Agent, []string{"agent"}},
		{bot.Person{ID: "x", Departments: []int{1}}, bot.Admin, []string{"admin"}},
		{bot.Person{ID: "x", Departments: []int{5, 2}}, bot.Agent, []string{"agent"}},
		{bot.Person{ID: "x", Tags: []int{9}}, bot.Admin, []string{"admin", "agent"}},
		{bot.Person{ID: "x", Tags: []int{7}}, bot.Agent, []string{"agent"}},
		{bot.Person{ID: "x", Name: "boss", Departments: []int{12}, Tags: []int{1, 2}}, bot.Anyone, []string{"user"}},
	} {
		u := f.user(c.person, "", nil)
		if d := cmp.Diff(c.roles, u.Roles); d != "" || u.Level != c.level || u.Lang != "zh" {
			t.Errorf("%+v is %+v", c.person, u)
		}
	}
	if d := cmp.Diff([]int{7, 9}, f.Options.Roles.Tags()); d != "" {
		t.Error(d)
	}
}

func TestAdmins(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, func(o *Options) { o.Roles.Admin = Rule{Users: []string{"boss", "gone"}, Tags: []int{3}} })
		f.meet(bot.Person{ID: "Boss"}, bot.Person{ID: "gone", State: bot.Left}, bot.Person{ID: "LiLei"}, bot.Person{ID: "Amy", Tags: []int{3}})
		f.tx(func(tx *Tx) error {
			admins, err := tx.Admins(t.Context())
			var ids []string
			for _, u := range admins {
				ids = append(ids, u.ID)
			}
			if d := cmp.Diff([]string{"Amy", "Boss"}, ids); d != "" {
				t.Error(d)
			}
			return err
		})
	})
}
