package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"
)

// corporation is a directory that can change and fail.
type corporation struct {
	mu     sync.Mutex
	people map[string]bot.Person
	down   bool
	asked  []string
}

func (c *corporation) lookup(_ context.Context, userID string, _ []int) (bot.Person, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, userID)
	if c.down {
		return bot.Person{}, errors.New("no answer")
	}
	p, ok := c.people[bot.Canonical(userID)]
	if !ok {
		return bot.Person{ID: userID, State: bot.Unknown}, nil
	}
	return p, nil
}

func (c *corporation) set(userID string, s bot.State, departments ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.people == nil {
		c.people = map[string]bot.Person{}
	}
	c.people[bot.Canonical(userID)] = bot.Person{ID: userID, Name: "Name of " + userID, State: s, Departments: departments}
}

func (c *corporation) remove(userID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.people, bot.Canonical(userID))
}

func (c *corporation) questions() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

// staff is a store whose people are in a corporation.
type staff struct {
	fixture
	*corporation
	dir   *Directory
	watch *Leavers
	told  *[]string
}

func newStaff(t *testing.T, url string) staff {
	t.Helper()
	s := staff{corporation: &corporation{}, told: new([]string)}
	var mu sync.Mutex
	s.fixture = open(t, url, func(o *Options) {
		o.PassCost = 4 // the cheapest there is
		o.Render = func(to, _, _ string, r bot.Reply) (bot.Outgoing, error) {
			mu.Lock()
			defer mu.Unlock()
			*s.told = append(*s.told, fmt.Sprint(to, " ", r.Key, " ", r.Data))
			return bot.Outgoing{To: to, Text: r.Key}, nil
		}
	})
	s.dir = &Directory{Store: s.Store, Lookup: s.lookup}
	s.watch = &Leavers{Directory: s.dir}
	return s
}

// sees gets to know a person, as when they say something.
func (s staff) sees(userID string) bot.Person {
	s.t.Helper()
	p, err := s.dir.Person(s.t.Context(), userID)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// steps lets time pass, second by second, with somebody watching.
func (s staff) steps(d time.Duration) {
	s.t.Helper()
	for range d / time.Second {
		s.pass(time.Second)
		if err := s.watch.Step(s.t.Context()); err != nil && !s.down {
			s.t.Fatal(err)
		}
	}
}

// equip gives a person everything there is to lose, and returns their token.
func (s staff) equip(userID string) string {
	s.t.Helper()
	ctx := s.t.Context()
	s.sees(userID)
	if err := s.SetPassword(ctx, PasswordChange{UserID: userID, New: "correct horse battery"}); err != nil {
		s.t.Fatal(err)
	}
	s.tx(func(tx *Tx) error {
		if _, err := tx.GrantRole(ctx, "boss", userID, bot.Agent); err != nil {
			return err
		}
		_, err := tx.SetStatus(ctx, userID, Online, "at the desk", time.Hour)
		return errors.Join(err, tx.SetLang(ctx, userID, "en"))
	})
	if r, _ := s.confirm(userID, code(s.t, s.bind(userID).Secret, s.now()), ""); !r.OK {
		s.t.Fatal(r)
	}
	token, _, err := s.Exchange(ctx, s.linkFor(userID), "", Client{})
	if err != nil {
		s.t.Fatal(err)
	}
	*s.told = nil
	return token
}

// gone checks that nothing of a person is left that could open a door.
func (s staff) gone(userID, token string) {
	s.t.Helper()
	ctx := s.t.Context()
	if _, err := s.Session(ctx, token); !errors.Is(err, ErrNotFound) {
		s.t.Errorf("%s: the token is good: %v", userID, err)
	}
	if on, err := s.OTPEnabled(ctx, userID); on || err != nil {
		s.t.Errorf("%s: one-time password %v %v", userID, on, err)
	}
	if ok, err := s.CheckPassword(ctx, userID, "correct horse battery"); ok || err != nil {
		s.t.Errorf("%s: password %v %v", userID, ok, err)
	}
	p, err := s.Profile(ctx, userID)
	if err != nil || p.State == bot.Active {
		s.t.Errorf("%s: %+v %v", userID, p, err)
	}
	s.tx(func(tx *Tx) error {
		a, err := tx.Agent(ctx, userID)
		if err != nil || a.Status != Offline || a.Note != "" || a.Until != nil {
			s.t.Errorf("%s: %+v %v", userID, a, err)
		}
		return nil
	})
}

// Whatever the directory comes to say of a person, they are out of everything
// within five minutes without an event, and the administrators know what was cut.
func TestLeaverIsSwept(t *testing.T) {
	for _, why := range []bot.State{bot.Disabled, bot.Left, bot.Unknown, bot.Hidden, bot.Inactive} {
		t.Run(string(why), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, url string) {
				s, id := newStaff(t, url), "LiLei"
				s.set("boss", bot.Active)
				s.sees("boss")
				s.set(id, bot.Active, 1)
				token := s.equip(id)
				s.steps(3 * time.Minute)
				if why == bot.Unknown {
					s.remove(id)
				} else {
					s.set(id, why, 1)
				}
				s.steps(5 * time.Minute)
				s.gone(id, token)
				var cards []string
				for _, said := range *s.told {
					if strings.HasPrefix(said, "boss person.left") {
						cards = append(cards, said)
					}
				}
				want := fmt.Sprintf("boss person.left %s, tokens 1, otp, password, roles agent, agent", why)
				if len(cards) != 1 || cards[0] != want {
					t.Errorf("the administrator was told %q, want %q", cards, want)
				}
				s.tx(func(tx *Tx) error {
					trail, err := tx.AuditTrail(t.Context(), id, 100)
					if n := len(slices.DeleteFunc(trail, func(e AuditEntry) bool { return e.Action != "person.leave" })); n != 1 {
						t.Errorf("%d entries", n)
					}
					return err
				})
			})
		})
	}
}

// An event is as good as a sweep, on the instances that did not get it too: they
// hear of it from the store, and take no older word of the directory for it.
func TestLeaverByEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s := newStaff(t, url)
		s.set("boss", bot.Active)
		s.set("LiLei", bot.Active, 2)
		s.sees("boss")
		token := s.equip("LiLei")
		other := &Directory{Store: s.Store, Lookup: s.lookup} // what another instance remembers
		if _, err := other.Person(t.Context(), "lilei"); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Second)
		s.set("LiLei", bot.Hidden)
		for range 2 { // and events arrive twice
			s.tx(func(tx *Tx) error { return tx.CutOff(t.Context(), "lilei", bot.Hidden) })
		}
		s.gone("LiLei", token)
		if n := len(*s.told); n != 1 {
			t.Errorf("told %d times: %q", n, *s.told)
		}
		if _, known := other.Peek("lilei"); !known {
			t.Error("the other instance knows already")
		}
		if err := (&Leavers{Directory: other}).Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p, err := other.Person(t.Context(), "lilei"); err != nil || p.State != bot.Hidden {
			t.Errorf("the other instance says %+v, %v", p, err)
		}
		asked := s.now().Add(-time.Second)
		err := s.savePerson(t.Context(), "lilei", bot.Person{ID: "LiLei", State: bot.Active}, asked.Add(-time.Minute))
		if !errors.Is(err, errRaced) {
			t.Errorf("an older answer was believed: %v", err)
		}
		s.gone("LiLei", token)
	})
}

// Who gets the userid of a leaver gets nothing else of theirs.
func TestReusedUseridInheritsNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s := newStaff(t, url)
		s.set("LiLei", bot.Active, 1)
		token := s.equip("LiLei")
		before, err := s.Profile(t.Context(), "lilei")
		if err != nil {
			t.Fatal(err)
		}
		s.remove("LiLei")
		s.steps(5 * time.Minute)
		s.gone("LiLei", token)
		s.set("LiLei", bot.Active, 1)
		s.steps(11 * time.Second)
		if p := s.sees("LiLei"); p.State != bot.Active {
			t.Fatalf("%+v", p)
		}
		after, err := s.Profile(t.Context(), "lilei")
		if err != nil || after.State != bot.Active || after.UID == before.UID || after.Lang != "zh" || after.Level != bot.Anyone || !after.CreatedAt.After(before.CreatedAt) {
			t.Errorf("was %+v, is %+v, %v", before, after, err)
		}
		if _, err := s.Session(t.Context(), token); !errors.Is(err, ErrNotFound) {
			t.Errorf("the old token is good again: %v", err)
		}
		s.tx(func(tx *Tx) error {
			list, err := tx.Agents(t.Context(), "")
			if len(list) > 0 {
				t.Errorf("is an agent: %+v", list)
			}
			return err
		})
	})
}

// Nobody is cut off because the directory is silent; nor is it asked faster than
// it may be, by more than one instance, or about those it was just asked about.
func TestSweepIsGentle(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s := newStaff(t, url)
		const people = 45
		for i := range people {
			id := fmt.Sprintf("p%02d", i)
			s.set(id, bot.Active)
			s.sees(id)
		}
		s.set("boss", bot.Active)
		s.questions()
		s.steps(time.Second)
		if asked := s.questions(); !slices.Equal(asked, []string{"boss"}) { // whom a rule names
			t.Errorf("at first: %q", asked)
		}
		s.steps(sweepEvery - time.Minute)
		if asked := s.questions(); len(asked) > 0 {
			t.Errorf("too early: %q", asked)
		}
		second := &Leavers{Directory: s.dir}
		all := map[string]int{}
		for range 90 {
			s.steps(time.Second)
			if err := second.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			asked := s.questions()
			if len(asked) > sweepSlowest {
				t.Errorf("%d questions in a second", len(asked))
			}
			for _, id := range asked {
				all[id]++
			}
		}
		if len(all) != people+1 || all["p00"] != 1 || all["p44"] != 1 {
			t.Errorf("asked about %v", all)
		}
		s.down = true
		s.remove("p07")
		s.steps(10 * time.Minute)
		if p, err := s.Profile(t.Context(), "p07"); err != nil || p.State != bot.Active {
			t.Errorf("cut off by silence: %+v %v", p, err)
		}
		if n := len(s.questions()); n > 10*60*sweepSlowest {
			t.Errorf("%d questions to a directory that does not answer", n)
		}
		s.down = false
		s.steps(30 * time.Second)
		if p, err := s.Profile(t.Context(), "p07"); err != nil || p.State != bot.Unknown {
			t.Errorf("still in: %+v %v", p, err)
		}
		s.pass(time.Minute) // the first instance is no more
		if err := second.Step(t.Context()); err != nil || second.until.IsZero() {
			t.Errorf("nobody sweeps: %v", err)
		}
	})
}
