package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// counter is a command that leaves one audit entry each time it takes effect.
func counter(name string, run func(ctx context.Context, r *Request) error) Command {
	return Command{Name: name, Usage: "[rest...]", Run: func(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
		if err := tx.SetLang(ctx, r.User.ID, "en"); err != nil { // a write of its own, so that failing means rolling back
			return bot.Reply{}, err
		}
		tx.Audit(store.AuditEntry{Actor: r.User.ID, Action: name, Detail: r.Arg("rest")})
		r.User.Lang = "en"
		if run != nil {
			if err := run(ctx, r); err != nil {
				return bot.Reply{}, err
			}
		}
		return bot.Text("lang", nil), nil
	}}
}

func (d *desk) effects(action string) []string {
	d.t.Helper()
	var details []string
	err := d.store.Tx(context.Background(), func(tx *store.Tx) error {
		trail, err := tx.AuditTrail(context.Background(), "", 10_000)
		for i := len(trail) - 1; i >= 0; i-- {
			if trail[i].Action == action {
				details = append(details, trail[i].Actor+" "+trail[i].Detail)
			}
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return details
}

func eachDesk(t *testing.T, o deskOptions, fn func(t *testing.T, d *desk)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, url string) {
		o.url = url
		fn(t, newDesk(t, o))
	})
}

func TestSixteenDeliveriesOfOneMessage(t *testing.T) {
	eachDesk(t, deskOptions{commands: []Command{counter("count", nil)}}, func(t *testing.T, d *desk) {
		d.hire("mei", "Mei", bot.Agent)
		m := d.message("mei", "/count once")
		replies := make([]string, 16)
		var wg sync.WaitGroup
		for i := range replies {
			wg.Go(func() {
				text, err := d.Take(soon(), m)
				if err != nil {
					t.Error(err)
				}
				replies[i] = text
			})
		}
		wg.Wait()
		for _, r := range replies {
			if r == "" || r != replies[0] {
				t.Errorf("replies differ: %q", replies)
			}
		}
		if got := d.effects("count"); len(got) != 1 {
			t.Errorf("effects: %q", got)
		}
	})
}

func TestOrderOfOnePerson(t *testing.T) {
	eachDesk(t, deskOptions{commands: []Command{counter("count", nil)}}, func(t *testing.T, d *desk) {
		var wg sync.WaitGroup
		want := map[string]int{}
		for p := range 5 {
			id := fmt.Sprint("p", p)
			d.hire(id, id, bot.Anyone)
			want[id] = 30
			wg.Go(func() {
				for i := range 30 {
					if _, err := d.Take(soon(), d.message(id, fmt.Sprintf("/count %d", i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		next := map[string]int{}
		for _, e := range d.effects("count") {
			id, n, _ := strings.Cut(e, " ")
			if n != fmt.Sprint(next[id]) {
				t.Errorf("%s after %d", e, next[id]-1)
			}
			next[id]++
		}
		if d := cmp.Diff(want, next); d != "" {
			t.Error(d)
		}
	})
}

// TestBadNeighbours runs commands that fail in every way beside one that works:
// each harms only itself, and the person is told, with a reference that is in
// the log.
func TestBadNeighbours(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	list := []Command{
		counter("count", nil),
		counter("panic", func(context.Context, *Request) error { panic("ouch") }),
		counter("hang", func(context.Context, *Request) error { <-hang; return nil }),
		counter("fail", func(context.Context, *Request) error { return errors.New("the disk is round") }),
		counter("refuse", func(context.Context, *Request) error {
			return bot.Fail(bot.Denied, "error.denied", nil, nil)
		}),
	}
	eachDesk(t, deskOptions{commands: list, set: func(o *Options) { o.Limit = 200 * time.Millisecond }}, func(t *testing.T, d *desk) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[string]string{}
		for _, c := range list {
			for i := range 3 {
				id := fmt.Sprint(c.Name, i)
				d.hire(id, id, bot.Anyone)
				if _, err := d.Directory.Person(t.Context(), id); err != nil { // a stranger's callback would not wait as long
					t.Fatal(err)
				}
				m := d.message(id, "/"+c.Name)
				wg.Go(func() {
					text, err := d.Take(soon(), m)
					if err != nil {
						t.Errorf("%s: %v", id, err)
					}
					again, err := d.Take(soon(), m)
					if err != nil || again != text {
						t.Errorf("%s: %q, delivered again %q, %v", id, text, again, err)
					}
					mu.Lock()
					got[id] = text
					mu.Unlock()
				})
			}
		}
		wg.Wait()
		for id, text := range got {
			switch strings.TrimRight(id, "012") {
			case "count":
				if !strings.Contains(text, "English") {
					t.Errorf("%s: %q", id, text)
				}
			case "refuse":
				if !strings.Contains(text, "权限") {
					t.Errorf("%s: %q", id, text)
				}
			default:
				ref := strings.FieldsFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') })
				if len(ref) != 1 || len(ref[0]) != 8 || !strings.Contains(d.logged(), "ref="+ref[0]) {
					t.Errorf("%s: no reference in %q that is in the log too", id, text)
				}
			}
		}
		if n := len(d.effects("count")); n != 3 {
			t.Errorf("%d effects of the commands that worked", n)
		}
		for _, bad := range []string{"panic", "hang", "fail", "refuse"} {
			if left := d.effects(bad); len(left) != 0 {
				t.Errorf("/%s left %q", bad, left)
			}
		}
	})
}

func (d *desk) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func TestSlowReplyIsPushed(t *testing.T) {
	slow := make(chan struct{})
	c := counter("slow", func(ctx context.Context, _ *Request) error {
		select {
		case <-slow:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	d := newDesk(t, deskOptions{commands: []Command{c}, set: func(o *Options) { o.Wait, o.Limit = time.Millisecond, 20*time.Second }})
	d.hire("mei", "Mei", bot.Anyone)
	m := d.message("mei", "/slow")
	for range 2 {
		if text, err := d.Take(soon(), m); err != nil || text != "" {
			t.Fatalf("while it runs: %q, %v", text, err)
		}
	}
	close(slow)
	for len(d.effects("slow")) == 0 { // a delivery that still waited would be given the answer
	}
	d.Options.Wait = 20 * time.Second
	if text, err := d.Take(soon(), m); err != nil || text != "" {
		t.Fatalf("afterwards: %q, %v", text, err)
	}
	if got := d.pushed("mei"); len(got) != 1 || !strings.Contains(got[0], "English") {
		t.Errorf("pushed %q", got)
	}
	if got := d.effects("slow"); len(got) != 1 {
		t.Errorf("effects %q", got)
	}
}

func TestDirectoryOutage(t *testing.T) {
	var mu sync.Mutex
	up := false
	set := func(v bool) { mu.Lock(); defer mu.Unlock(); up = v }
	d := newDesk(t, deskOptions{commands: []Command{counter("count", nil)}, lookup: func(_ context.Context, id string) (bot.Person, error) {
		mu.Lock()
		defer mu.Unlock()
		if !up {
			return bot.Person{}, errors.New("no route to WeCom")
		}
		return bot.Person{ID: id, Name: id, State: bot.Active}, nil
	}})
	m := d.message("mei", "/count")
	began := time.Now()
	if text, err := d.Take(soon(), m); err != nil || text != "" || time.Since(began) > 3*time.Second {
		t.Fatalf("%q, %v after %s", text, err, time.Since(began))
	}
	if got := d.effects("count"); len(got) != 0 {
		t.Fatalf("ran without knowing who it is: %q", got)
	}
	set(true)
	d.Options.Wait = 20 * time.Second
	for len(d.effects("count")) == 0 {
		if _, err := d.Directory.Person(t.Context(), "mei"); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.pushed("mei"); len(got) != 1 {
		t.Errorf("pushed %q", got)
	}
	// Known once, the person is served through the next outage.
	set(false)
	d.pass(time.Hour)
	if text, err := d.Take(soon(), d.message("mei", "/count")); err != nil || text == "" {
		t.Errorf("in the second outage: %q, %v", text, err)
	}
	d.pass(24 * time.Hour)
	d.Options.Wait = time.Millisecond
	if text, err := d.Take(soon(), d.message("mei", "/count")); err != nil || text != "" {
		t.Errorf("a day later: %q, %v", text, err)
	}
	if got := d.effects("count"); len(got) != 2 {
		t.Errorf("effects %q", got)
	}
}

func TestNobodyButActiveMembers(t *testing.T) {
	d := newDesk(t, deskOptions{commands: []Command{counter("count", nil)}})
	for state, want := range map[bot.State]string{bot.Disabled: "停用", bot.Left: "退出", bot.Inactive: "激活", bot.Hidden: "可见范围"} {
		d.people[string(state)] = bot.Person{ID: string(state), State: state}
		if got := d.say(string(state), "/count"); !strings.Contains(got, want) {
			t.Errorf("%s: %q", state, got)
		}
		// A press cannot be answered with the callback, and nothing else reaches them.
		m := d.message(string(state), "/count")
		m.Event, m.Card.TaskID = bot.Pressed, "x"
		if text, err := d.Take(soon(), m); text != "" || err != nil {
			t.Errorf("%s presses: %q, %v", state, text, err)
		}
	}
	if all := d.outgoing(); len(all) > 0 {
		t.Errorf("pushed %+v", all)
	}
	if got := d.say("stranger", "/count"); !strings.Contains(got, "通讯录里没有") {
		t.Errorf("stranger: %q", got)
	}
	if got := d.effects("count"); len(got) != 0 {
		t.Errorf("effects %q", got)
	}
}

func TestLimits(t *testing.T) {
	d := newDesk(t, deskOptions{set: func(o *Options) {
		o.Limits = &store.Limits{Rates: map[string]store.Rate{"commands_per_person": {N: 5, Per: time.Minute}, "links_per_person": {N: 2, Per: time.Minute}}}
	}})
	d.hire("mei", "Mei", bot.Agent)
	for i, line := range []string{"/login //x", "/login", "/login", "/login", "/whoami", "/whoami", "/whoami"} { // a refused link is none
		limited := strings.Contains(d.say("mei", line), "太快")
		if want := i == 3 || i >= 5; limited != want {
			t.Errorf("line %d %s: limited %v", i, line, limited)
		}
	}
	d.pass(time.Minute)
	if got := d.say("Mei", "/whoami"); strings.Contains(got, "太快") {
		t.Errorf("a minute later: %q", got)
	}
}

// A process that stood still for a while has no hanging commands for it.
func TestStandstillIsNotTheCommands(t *testing.T) {
	w := &watch{}
	w.begin(&store.Tx{}, "one")
	w.since = time.Now().Add(-2 * time.Second)
	if w.hung(time.Second) != "one" {
		t.Error("a command of two seconds does not hang")
	}
	w.forgive(1500 * time.Millisecond)
	if key := w.hung(time.Second); key != "" {
		t.Error(key, "hangs, though all but half a second was a standstill")
	}
}

func TestEvents(t *testing.T) {
	d := newDesk(t, deskOptions{})
	d.hire("mei", "Mei", bot.Agent)
	event := func(e bot.Event, text string, card bot.Press) string {
		m := d.message("mei", text)
		m.Event, m.Card = e, card
		return d.deliver(m)
	}
	if got := event(bot.Entered, "", bot.Press{}); !strings.Contains(got, "/status") {
		t.Errorf("welcome: %q", got)
	}
	if got := event(bot.Subscribed, "", bot.Press{}); got != "" {
		t.Errorf("second welcome in a day: %q", got)
	}
	d.pass(24 * time.Hour)
	if got := event(bot.Entered, "", bot.Press{}); got == "" {
		t.Error("no welcome on the next day")
	}
	if got := event(bot.Clicked, "/status busy", bot.Press{}); !strings.Contains(got, "忙碌") {
		t.Errorf("menu click: %q", got)
	}
	if got := event(bot.Pressed, "/status online", bot.Press{TaskID: "made-up", ResponseCode: "c"}); got != "" {
		t.Errorf("button of a card that is not ours: %q", got)
	}
	var task string
	if err := d.store.Tx(t.Context(), func(tx *store.Tx) error { task = tx.NewTaskID(); return nil }); err != nil {
		t.Fatal(err)
	}
	if got := event(bot.Pressed, "/status online", bot.Press{TaskID: task, ResponseCode: "c"}); !strings.Contains(got, "在线") {
		t.Errorf("button: %q", got)
	}
	link := d.say("mei", "/login")
	token := secrets.FindString(link)
	if _, err := d.store.PeekLink(t.Context(), token); err != nil {
		t.Errorf("link before leaving: %v", err)
	}
	event(bot.Unsubscribed, "", bot.Press{})
	if _, err := d.store.PeekLink(t.Context(), token); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("link after leaving: %v", err)
	}
	if err := d.store.Tx(t.Context(), func(tx *store.Tx) error {
		a, err := tx.Agent(t.Context(), "mei")
		if a.Status != store.Offline {
			t.Errorf("status after leaving: %s", a.Status)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
