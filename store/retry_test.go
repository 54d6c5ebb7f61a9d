package store

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// paced gives each engine a store with limits.pushes_per_person.
func paced(t *testing.T, n int, fn func(t *testing.T, f fixture)) {
	storetest.Each(t, func(t *testing.T, url string) {
		fn(t, open(t, url, func(o *Options) { o.Pace = Rate{n, time.Minute} }))
	})
}

// More people over their pace than are looked at in one go.
func TestPacedPeopleDoNotHoldUpOthers(t *testing.T) {
	paced(t, 1, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(nil)
		for i := range claimAtOnce + 5 {
			f.push(fmt.Sprintf("p%d", i), "first", "second")
		}
		f.push("last", "hello")
		for len(f.pushed) > 0 { // each signal is a look at what is due
			<-f.pushed
			parcels, err := f.claim(t.Context(), claimAtOnce)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range parcels {
				o.send(t.Context(), p)
				o.settle(t.Context(), p)
			}
			if len(parcels) == claimAtOnce { // Run looks again by itself
				f.wakeOutbox()
			}
		}
		if !slices.Contains(wecom.texts(), "last: hello") {
			t.Errorf("the last person waits behind %d others", len(wecom.shown))
		}
	})
}

func TestPace(t *testing.T) {
	paced(t, 25, func(t *testing.T, f fixture) {
		flaky := 0
		o, wecom := f.outbox(func(bot.Outgoing, int) error {
			if flaky++; flaky%3 == 0 {
				return busyWeCom // and a try that failed may have arrived
			}
			return nil
		})
		f.push("lilei", numbered(80)...)
		f.push("hanmeimei", "hello")
		f.rounds(o, 30*time.Minute)
		f.depth(0, 0)
		if len(wecom.shown) != 81 || wecom.lost > 0 {
			t.Errorf("%d shown, %d lost", len(wecom.shown), wecom.lost)
		}
		most(t, wecom.calls, "lilei", 25, time.Minute)
	})
}

func TestHourlyPace(t *testing.T) {
	paced(t, 25, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(nil)
		began := f.now()
		for i := range hourly - 10 { // three seconds apart, the last one a minute ago
			at := began.Add(-time.Minute - 3*time.Duration(i)*time.Second)
			wecom.calls = append([]posted{{bot.Outgoing{To: "lilei"}, at}}, wecom.calls...)
		}
		var rows []outboxRow
		for _, c := range wecom.calls {
			rows = append(rows, outboxRow{Person: "lilei", State: Sent, Counts: true, Tries: 1, CreatedAt: c.at, DueAt: c.at, TriedAt: &c.at})
		}
		if _, err := f.db.NewInsert().Model(&rows).ExcludeColumn("id").Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.push("lilei", numbered(30)...)
		f.goRound(o)
		if len(wecom.shown) != 10 {
			t.Errorf("%d sent at once, want 10", len(wecom.shown))
		}
		f.rounds(o, 20*time.Minute)
		if len(wecom.shown) != 30 || wecom.lost > 0 {
			t.Errorf("%d sent, %d lost", len(wecom.shown), wecom.lost)
		}
		most(t, wecom.calls, "lilei", 25, time.Minute)
		most(t, wecom.calls, "lilei", hourly, time.Hour)
	})
}

// most checks that no stretch of a time holds more than n calls.
func most(t *testing.T, calls []posted, to string, n int, per time.Duration) {
	t.Helper()
	var at []time.Time
	for _, c := range calls {
		if c.To == to {
			at = append(at, c.at)
		}
	}
	for i := n; i < len(at); i++ {
		if gap := at[i].Sub(at[i-n]); gap < per {
			t.Fatalf("calls %d to %d within %v", i-n, i, gap)
		}
	}
}

// A card that was pressed is updated at once: WeCom does not count that.
func TestUpdatesOfCardsAreNotPaced(t *testing.T) {
	paced(t, 1, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(nil)
		f.push("lilei", "hello")
		f.tx(func(tx *Tx) error {
			return tx.Push(t.Context(), bot.Outgoing{To: "lilei", Card: []byte(`{}`), ResponseCode: "code"})
		})
		f.goRound(o)
		if len(wecom.calls) != 2 {
			t.Errorf("%d calls", len(wecom.calls))
		}
	})
}

func TestRetriesAreIdenticalAndSlowDown(t *testing.T) {
	for _, failure := range []*bot.Error{busyWeCom, limited} {
		each(t, func(t *testing.T, f fixture) {
			o, wecom := f.outbox(func(bot.Outgoing, int) error { return failure })
			want := bot.Outgoing{To: "LiLei", Text: "你好\n世界"}
			began := f.now()
			f.tx(func(tx *Tx) error { return tx.Push(t.Context(), want) })
			f.rounds(o, 5*time.Hour)
			var waits []time.Duration
			for i, c := range wecom.calls {
				if d := cmp.Diff(want, c.Outgoing); d != "" {
					t.Fatalf("try %d: %s", i+1, d)
				}
				if i > 0 {
					waits = append(waits, c.at.Sub(wecom.calls[i-1].at))
				}
			}
			first := map[*bot.Error]time.Duration{busyWeCom: time.Second, limited: time.Minute}[failure]
			for i, wait := range waits {
				least := max(first, min(time.Second<<min(i, 9), 5*time.Minute))
				if wait < least || wait > least*5/4+time.Second {
					t.Errorf("wait %d is %v, want about %v", i+1, wait, least)
				}
			}
			last := wecom.calls[len(wecom.calls)-1].at.Sub(began)
			if last > duplicateCheck || last < duplicateCheck-15*time.Minute {
				t.Errorf("last try after %v", last)
			}
			f.depth(0, 1)
			dead, err := f.Deliveries(t.Context(), Dead, 10)
			if err != nil || len(dead) != 1 || dead[0].To != "lilei" || dead[0].Tries != len(wecom.calls) || dead[0].LastError == "" {
				t.Errorf("%+v, %v", dead, err)
			}
		})
	}
}

func TestFinalFailureIsNotRepeated(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		var outcomes []string
		o, wecom := f.outbox(func(_ bot.Outgoing, n int) error { return final })
		o.Result = func(outcome string) { outcomes = append(outcomes, outcome) }
		f.push("lilei", "hello")
		f.rounds(o, time.Hour)
		f.depth(0, 1)
		if d := cmp.Diff([]string{"dead"}, outcomes); d != "" || len(wecom.calls) != 1 {
			t.Errorf("%d calls, %s", len(wecom.calls), d)
		}
	})
}

// reachesNobody takes messages for people who may not get any.
type reachesNobody struct{}

func (reachesNobody) Send(_ context.Context, o bot.Outgoing) (bot.Receipt, error) {
	return bot.Receipt{MsgID: "1", Invalid: []string{o.To}}, nil
}

func TestMessageForNobodyIsNotSent(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	f.push("LiLei", "hello")
	f.goRound(&Outbox{Store: f.Store, Sender: reachesNobody{}})
	f.depth(0, 1)
}

// A try that was cut off may have arrived. Once WeCom would not recognise
// another one, nothing may be sent that a person could see twice.
func TestOldTryIsNotRepeated(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(nil)
		f.push("lilei", "cut off", "not tried yet")
		if parcels, err := f.claim(t.Context(), 1); err != nil || len(parcels) != 1 {
			t.Fatal(parcels, err)
		}
		f.pass(duplicateCheck)
		f.goRound(o)
		if d := cmp.Diff([]string{"lilei: not tried yet"}, wecom.texts()); d != "" {
			t.Error(d)
		}
		f.depth(0, 1)
	})
}

// What an outbox had claimed and not begun when it was stopped is not a try.
func TestUnsentIsPutBack(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(nil)
		f.push("lilei", "hello")
		parcels, err := f.claim(t.Context(), 1)
		if err != nil || len(parcels) != 1 {
			t.Fatal(parcels, err)
		}
		parcels[0].err = errUnsent
		o.settle(t.Context(), parcels[0])
		f.pass(2 * duplicateCheck)
		f.goRound(o)
		if list, err := f.Deliveries(t.Context(), Sent, 10); err != nil || len(list) != 1 || list[0].Tries != 1 || len(wecom.shown) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestEqualTextsAreDifferentMessages(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(nil)
		f.push("lilei", "hello", "hello")
		f.push("hanmeimei", "hello")
		f.goRound(o)
		for range 4 { // two hours apart: some are forgotten by WeCom, some are not
			f.pass(2 * time.Hour)
			f.push("lilei", "hello")
			f.goRound(o)
		}
		if len(wecom.shown) != 7 {
			t.Errorf("%d of 7 shown", len(wecom.shown))
		}
		for _, c := range wecom.calls {
			if c.Variant > 3 {
				t.Errorf("variant %d", c.Variant)
			}
		}
	})
}

// WeCom's memory of a message begins when it is sent, not when it is written.
func TestEqualTextAfterALateOne(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		down := true
		o, wecom := f.outbox(func(bot.Outgoing, int) error {
			if down {
				return busyWeCom
			}
			return nil
		})
		f.push("lilei", "hello")
		f.rounds(o, 3*time.Hour)
		down = false
		f.rounds(o, 2*time.Hour)
		f.push("lilei", "hello")
		f.goRound(o)
		if len(wecom.shown) != 2 {
			t.Errorf("%d of 2 shown", len(wecom.shown))
		}
	})
}

func TestAdministratorsHearOfDeadPushes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, func(o *Options) { o.Roles.Admin.Users = []string{"boss", "deputy"} })
		for _, id := range []string{"Boss", "Deputy", "LiLei"} {
			if err := f.savePerson(t.Context(), bot.Canonical(id), bot.Person{ID: id, State: bot.Active}, f.now()); err != nil {
				t.Fatal(err)
			}
		}
		o, wecom := f.outbox(func(o bot.Outgoing, _ int) error {
			if o.Text == "lost" {
				return final
			}
			return nil
		})
		told := func(want ...string) {
			t.Helper()
			f.goRound(o)
			if d := cmp.Diff(want, wecom.texts()); d != "" {
				t.Error(d)
			}
			wecom.shown = nil
		}
		f.push("deputy", "lost")
		told("Boss: zh outbox.dead")
		f.push("lilei", "lost", "lost", "lost")
		told([]string{}...)
		f.pass(tellEvery)
		f.push("lilei", "lost", "lost")
		f.push("boss", "lost")
		told("Boss: zh outbox.dead", "Deputy: zh outbox.dead")
	})
}

// The only administrator's own trouble does not keep them from hearing of the
// next.
func TestOwnDeadPushIsNotAnAlert(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		if err := f.savePerson(t.Context(), "boss", bot.Person{ID: "boss", State: bot.Active}, f.now()); err != nil {
			t.Fatal(err)
		}
		o, wecom := f.outbox(func(o bot.Outgoing, _ int) error {
			if o.Text == "lost" {
				return final
			}
			return nil
		})
		f.push("boss", "lost")
		f.push("lilei", "lost")
		f.goRound(o)
		if d := cmp.Diff([]string{"boss: zh outbox.dead"}, wecom.texts()); d != "" {
			t.Error(d)
		}
	})
}
