package commands

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"deskbell/bot"
	"deskbell/store"
)

// heard is what people said in the session somebody asked for.
func (d *desk) heard(asker string) (list []string) {
	d.t.Helper()
	all, err := d.store.Conversations(d.t.Context(), store.Conversations{Party: store.Party{Key: asker}, As: "asker"})
	if err != nil || len(all) == 0 {
		d.t.Fatalf("%s has %d sessions, %v", asker, len(all), err)
	}
	said, err := d.store.Messages(d.t.Context(), all[0].ID, 0, 1000)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, m := range said {
		if m.Role != store.ByDesk {
			list = append(list, m.Author+": "+m.Content)
		}
	}
	return list
}

// What is said is said once, however often it is delivered.
func TestSaidOnce(t *testing.T) {
	eachDesk(t, deskOptions{}, func(t *testing.T, d *desk) {
		d.hire("mei", "韩梅梅", bot.Agent)
		d.hire("eve", "Eve", bot.Anyone)
		d.say("mei", "/status online")
		d.say("eve", "/session")
		m := d.message("eve", " two\nlines ")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := d.Take(soon(), m); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := d.heard("eve"); !slices.Equal(got, []string{"eve: two\nlines"}) {
			t.Errorf("%q", got)
		}
		if got := d.pushed("mei"); strings.Count(strings.Join(got, "\n"), "two\nlines") != 1 {
			t.Errorf("the agent reads %q", got)
		}
		if got := d.say("eve", strings.Repeat("长", store.MaxSaid/len("长")+1)); !strings.Contains(got, "太长") {
			t.Errorf("too long: %q", got)
		}
		for _, nothing := range []string{"   ", "/"} {
			if got := d.say("eve", nothing); !strings.Contains(got, "/help") {
				t.Errorf("%q is answered with %q", nothing, got)
			}
		}
		if got := d.heard("eve"); len(got) != 1 {
			t.Errorf("%q", got)
		}
	})
}

// A menu entry that is no command, and somebody who may not be here, say nothing.
func TestWhoSaysNothing(t *testing.T) {
	d := newDesk(t, deskOptions{})
	d.hire("eve", "Eve", bot.Anyone)
	d.say("eve", "/session")
	m := d.message("eve", "printers")
	m.Event = bot.Clicked
	if got := d.deliver(m); !strings.Contains(got, "/help") {
		t.Errorf("a menu entry: %q", got)
	}
	d.say("eve", "hello")
	d.mu.Lock()
	d.people["eve"] = bot.Person{ID: "eve", Name: "Eve", State: bot.Disabled}
	d.mu.Unlock()
	d.Directory.Forget("eve")
	if got := d.say("eve", "let me in"); !strings.Contains(got, "停用") {
		t.Errorf("somebody who is disabled: %q", got)
	}
	if got := d.heard("eve"); !slices.Equal(got, []string{"eve: hello"}) {
		t.Errorf("%q", got)
	}
}

// What fails leaves nothing of what was said beside it in one transaction, and
// takes nothing of it away.
func TestFailureBesideTalk(t *testing.T) {
	list := append(All(), counter("panic", func(context.Context, *Request) error { panic("ouch") }))
	eachDesk(t, deskOptions{commands: list}, func(t *testing.T, d *desk) {
		d.hire("eve", "Eve", bot.Anyone)
		d.say("eve", "/session")
		var wg sync.WaitGroup
		for _, text := range []string{"one", "/panic", "two", "/panic"} {
			m := d.message("eve", text)
			wg.Go(func() {
				if _, err := d.Take(soon(), m); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := d.heard("eve")
		slices.Sort(got)
		if !slices.Equal(got, []string{"eve: one", "eve: two"}) {
			t.Errorf("%q", got)
		}
		if left := d.effects("panic"); len(left) > 0 {
			t.Errorf("%q", left)
		}
	})
}

// An agent with more sessions than fit onto a card chooses by id, and what waits
// goes out in its order.
func TestChooseAmongMany(t *testing.T) {
	d := newDesk(t, deskOptions{})
	d.hire("mei", "韩梅梅", bot.Agent)
	d.say("mei", "/status online")
	for _, id := range []string{"a", "b"} {
		d.hire(id, strings.ToUpper(id), bot.Anyone)
		d.say(id, "/session "+id)
	}
	d.pushed("mei")
	d.say("mei", "first")
	if got := d.say("mei", "second"); !strings.Contains(got, "2 条") {
		t.Errorf("%q", got)
	}
	d.press("mei", "/session use")
	got := append(d.heard("a"), d.heard("b")...)
	if !slices.Equal(got, []string{"mei: first", "mei: second"}) {
		t.Errorf("%q", got)
	}
	if got := d.say("mei", "third"); !strings.HasPrefix(got, "→ ") {
		t.Errorf("%q", got)
	}
}

// A second press on the button of a broadcast sends it no second time.
func TestBroadcastPressedTwice(t *testing.T) {
	d := newDesk(t, deskOptions{})
	d.hire("boss", "王总", bot.Admin)
	d.hire("eve", "Eve", bot.Anyone)
	d.say("boss", "/broadcast one\ntwo")
	card := d.cards["boss"]
	d.press("boss", "/sendall")
	d.cards["boss"] = card // a finger was faster than the card
	if got := d.press("boss", "/sendall"); !strings.Contains(got, "早已发送") {
		t.Errorf("%q", got)
	}
	d.cry()
	if got := d.pushed("eve"); !slices.Equal(got, []string{"📢 通知（王总）\none\ntwo"}) {
		t.Errorf("%q", got)
	}
	if got := d.effects("broadcast.send"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
