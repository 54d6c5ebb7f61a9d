package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// corp is a corporate directory that counts what it is asked.
type corp struct {
	mu     sync.Mutex
	states map[string]bot.State
	err    error
	asked  []string
}

func (c *corp) lookup(_ context.Context, userID string, tags []int) (bot.Person, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, userID)
	if c.err != nil {
		return bot.Person{}, c.err
	}
	state, ok := c.states[bot.Canonical(userID)]
	if !ok {
		return bot.Person{ID: userID, State: bot.Unknown}, nil
	}
	return bot.Person{ID: "LiLei", Name: "李雷", State: state, Departments: []int{2, 9}, Tags: tags}, nil
}

func (c *corp) questions() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

func (f fixture) directory(state bot.State) (*Directory, *corp) {
	c := &corp{states: map[string]bot.State{"lilei": state}}
	return &Directory{Store: f.Store, Lookup: c.lookup}, c
}

// is checks what a directory says of a person.
func (f fixture) is(d *Directory, userID string, want bot.State) bot.Person {
	f.t.Helper()
	p, err := d.Person(f.t.Context(), userID)
	if p.State != want || (err != nil) != (want == bot.Unreachable) {
		f.t.Errorf("%s is %q, %v, want %q", userID, p.State, err, want)
	}
	return p
}

func TestDirectoryIsAskedWhenItsWordRunsOut(t *testing.T) {
	for state, ttl := range map[bot.State]time.Duration{bot.Active: 10 * time.Minute, bot.Disabled: refusedTTL, bot.Left: refusedTTL, bot.Hidden: refusedTTL, bot.Inactive: refusedTTL} {
		each(t, func(t *testing.T, f fixture) {
			d, c := f.directory(state)
			want := bot.Person{ID: "LiLei", Name: "李雷", State: state, Departments: []int{2, 9}, Tags: []int{7}}
			for range 3 {
				if diff := cmp.Diff(want, f.is(d, "lilei", state)); diff != "" {
					t.Error(diff)
				}
			}
			f.pass(ttl - time.Nanosecond)
			f.is(d, "lilei", state)
			restarted := &Directory{Store: f.Store, Lookup: c.lookup}
			if diff := cmp.Diff(want, f.is(restarted, "lilei", state)); diff != "" {
				t.Errorf("after a restart: %s", diff)
			}
			if n := c.questions(); n != 1 {
				t.Errorf("%s: asked %d times within %v", state, n, ttl)
			}
			f.pass(time.Nanosecond)
			if _, ok := d.Peek("lilei"); ok {
				t.Error("known for too long")
			}
			f.is(d, "lilei", state)
			if n := c.questions(); n != 2 {
				t.Errorf("%s: asked %d times after %v", state, n, ttl)
			}
		})
	}
}

func TestShortTTLHoldsForRefusalsToo(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	d, c := f.directory(bot.Disabled)
	d.TTL = time.Second
	f.is(d, "lilei", bot.Disabled)
	f.pass(time.Second)
	f.is(d, "lilei", bot.Disabled)
	if n := c.questions(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestManyAskersOneQuestion(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		d, c := f.directory(bot.Active)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { f.is(d, []string{"lilei", "LiLei", "LILEI", "lILEI"}[i%4], bot.Active) })
		}
		wg.Wait()
		if n := c.questions(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if n, err := f.db.NewSelect().Model((*personRow)(nil)).Count(t.Context()); err != nil || n != 1 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
}

func TestWhatIsNoUseridIsNotAskedAbout(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	d, c := f.directory(bot.Active)
	for _, id := range []string{"", " lilei", "lilei ", "ww1234/lilei", "ＬiLei", "li lei", "李雷", "lilei\x00", ".lilei", "@all", "a|b", "../lilei", strings.Repeat("x", 65)} {
		f.is(d, id, bot.Unknown)
	}
	if n := c.questions(); n != 0 {
		t.Errorf("asked about %q", c.asked)
	}
}

func TestStrangersLeaveNoRow(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		d, c := f.directory(bot.Active)
		f.is(d, "nobody", bot.Unknown)
		f.is(d, "Nobody", bot.Unknown)
		if n := c.questions(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if _, err := f.Profile(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
			t.Errorf("stored: %v", err)
		}
		f.pass(refusedTTL)
		c.states["nobody"] = bot.Active // somebody who was just added
		f.is(d, "nobody", bot.Active)
	})
}

func TestLastWordStandsForADay(t *testing.T) {
	for _, state := range []bot.State{bot.Active, bot.Disabled, bot.Left, bot.Hidden} {
		each(t, func(t *testing.T, f fixture) {
			d, c := f.directory(state)
			f.is(d, "lilei", state)
			c.err = busyWeCom
			for range 23 {
				f.pass(time.Hour)
				f.is(d, "lilei", state)
				before := c.questions()
				f.is(d, "lilei", state) // not asked for each message
				if c.questions() != before {
					t.Fatalf("%s: asked again at once", state)
				}
			}
			f.is(&Directory{Store: f.Store, Lookup: c.lookup}, "lilei", state)
			f.pass(time.Hour)
			f.is(d, "lilei", bot.Unreachable)
			if p, ok := d.Peek("lilei"); ok {
				t.Errorf("knows %v", p)
			}
			c.err = nil
			f.is(d, "lilei", state)
		})
	}
}

// Somebody who was deleted must not come back when the directory goes away.
func TestDeletedPersonStaysDeleted(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		d, c := f.directory(bot.Active)
		f.is(d, "lilei", bot.Active)
		f.pass(10 * time.Minute)
		delete(c.states, "lilei")
		f.is(d, "lilei", bot.Unknown)
		c.err = busyWeCom
		for range 3 {
			f.pass(refusedTTL)
			f.is(d, "lilei", bot.Unknown)
		}
		f.is(&Directory{Store: f.Store, Lookup: c.lookup}, "lilei", bot.Unknown)
	})
}

// A refusal that cannot be written down is still a refusal.
func TestRefusalHoldsWithoutTheStore(t *testing.T) {
	f := open(t, storetest.SQLite(t), nil)
	d, c := f.directory(bot.Active)
	f.is(d, "lilei", bot.Active)
	f.pass(10 * time.Minute)
	c.states["lilei"] = bot.Disabled
	if _, err := f.db.ExecContext(t.Context(), "PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	f.is(d, "lilei", bot.Disabled)
}

func TestOlderAnswerDoesNotReplaceALaterOne(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		later := f.now().Add(time.Minute)
		for _, c := range []struct {
			state bot.State
			at    time.Time
		}{{bot.Disabled, later}, {bot.Active, f.now()}, {bot.Unknown, f.now()}} {
			if err := f.savePerson(t.Context(), "lilei", bot.Person{ID: "LiLei", State: c.state}, c.at); err != nil && (c.state != bot.Active || !Transient(err)) {
				t.Fatal(err) // an old "active" has to be asked again
			}
			if p, err := f.Profile(t.Context(), "lilei"); err != nil || p.State != bot.Disabled {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
}

func TestForgottenPersonIsAskedAbout(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		d, c := f.directory(bot.Active)
		f.is(d, "lilei", bot.Active)
		c.states["lilei"] = bot.Left
		f.is(d, "lilei", bot.Active) // as far as anybody knows
		d.Forget("LiLei")
		if p, ok := d.Peek("lilei"); ok {
			t.Errorf("knows %v", p)
		}
		f.is(d, "lilei", bot.Left)
		f.pass(refusedTTL)
		c.err = busyWeCom
		d.Forget("lilei")
		f.is(d, "lilei", bot.Unreachable)
		c.err = nil
		f.is(d, "lilei", bot.Left)
	})
}

func TestPanicWhileAsking(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	d := &Directory{Store: f.Store, Lookup: func(context.Context, string, []int) (bot.Person, error) { panic("boom") }}
	f.is(d, "lilei", bot.Unreachable)
	f.is(d, "lilei", bot.Unreachable)
}

// slowly opens a store in a bubble, with somebody known from a while ago and a
// directory that answers Disabled after a time.
func slowly(t *testing.T, takes, ago time.Duration) (fixture, *Directory) {
	f := open(t, "sqlite::memory:", func(o *Options) { o.Now = time.Now })
	if err := f.savePerson(t.Context(), "lilei", bot.Person{ID: "LiLei", State: bot.Active}, time.Now().Add(-ago).UTC()); err != nil {
		t.Fatal(err)
	}
	return f, &Directory{Store: f.Store, Lookup: func(ctx context.Context, userID string, _ []int) (bot.Person, error) {
		select {
		case <-time.After(takes):
			return bot.Person{ID: userID, State: bot.Disabled}, nil
		case <-ctx.Done():
			return bot.Person{}, ctx.Err()
		}
	}}
}

func TestSlowDirectory(t *testing.T) {
	for _, c := range []struct {
		takes, ago time.Duration
		want       bot.State
		after      time.Duration
	}{
		{takes: patience - time.Millisecond, ago: time.Hour, want: bot.Disabled, after: patience - time.Millisecond},
		{takes: 5 * time.Second, ago: time.Hour, want: bot.Active, after: patience},
		{takes: 5 * time.Second, ago: grace, want: bot.Disabled, after: 5 * time.Second},
		{takes: time.Hour, ago: grace, want: bot.Unreachable, after: 15 * time.Second},
	} {
		t.Run(fmt.Sprint(c.takes, c.ago), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, d := slowly(t, c.takes, c.ago)
				began := time.Now()
				f.is(d, "lilei", c.want)
				if took := time.Since(began); took != c.after {
					t.Errorf("took %v, want %v", took, c.after)
				}
				time.Sleep(c.takes - c.after) // nobody waits any more, and the answer is kept all the same
				synctest.Wait()
				if c.want == bot.Active {
					f.is(d, "lilei", bot.Disabled)
				}
			})
		})
	}
}

func TestAskerMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d := slowly(t, 5*time.Second, 2*grace)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if p, err := d.Person(ctx, "lilei"); p.State != bot.Unreachable || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", p, err)
		}
		time.Sleep(10 * time.Second)
	})
}

// What was asked before a person was forgotten says nothing about afterwards.
func TestAnswerFromBeforeForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, d := slowly(t, 5*time.Second, 2*grace)
		answers := make(chan bot.State, 2)
		d.Lookup = func(_ context.Context, userID string, _ []int) (bot.Person, error) {
			state := <-answers
			return bot.Person{ID: userID, State: state}, nil
		}
		first := make(chan struct{})
		go func() {
			defer close(first)
			f.is(d, "lilei", bot.Active)
		}()
		synctest.Wait()
		d.Forget("lilei")
		answers <- bot.Active
		<-first
		if p, ok := d.Peek("lilei"); ok {
			t.Errorf("knows %v", p)
		}
		answers <- bot.Left
		f.is(d, "lilei", bot.Left)
		if p, ok := d.Peek("lilei"); !ok || p.State != bot.Left {
			t.Errorf("knows %v, %v", p, ok)
		}
	})
}
