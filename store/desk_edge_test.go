package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// close ends a conversation.
func (f fixture) closes(c Conversation, who string) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		_, err := tx.CloseConversation(f.t.Context(), c.ID, Party{Key: who, Name: who, Admin: who == "boss"})
		return err
	})
}

func (f fixture) reopens(c Conversation, who string) (after Conversation) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		after, err = tx.Reopen(f.t.Context(), c.ID, Party{Key: who, Name: who})
		return err
	})
	return after
}

func (f fixture) gives(c Conversation, to string) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		_, err := tx.Transfer(f.t.Context(), c.ID, to, "", Party{Key: "boss", Admin: true})
		return err
	})
}

// pushesTo lists what waits to be sent to a person.
func (f fixture) pushesTo(id string) (refs []string) {
	f.t.Helper()
	err := f.reads.NewSelect().Model((*outboxRow)(nil)).Column("ref").Where("person = ?", id).Where("state = ?", Pending).Order("id").Scan(f.t.Context(), &refs)
	if err != nil {
		f.t.Fatal(err)
	}
	return refs
}

// waiting returns when somebody waits for a lock of PostgreSQL's in this database.
func (f fixture) waiting() {
	f.t.Helper()
	for n := 0; n == 0; {
		err := f.db.NewRaw("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(f.t.Context(), &n)
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// deskReason is the Reason of a DeskError.
func deskReason(err error) string {
	if e, ok := errors.AsType[*DeskError](err); ok {
		return e.Reason
	}
	return fmt.Sprint(err)
}

func TestReopenedKeepsItsNewPlace(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(1, "lilei")
		old := f.asks("a")
		f.closes(old, "a")
		f.setStatus("lilei", Offline, "", 0)
		f.pass(time.Hour)
		first := f.asks("b")
		f.pass(time.Minute)
		old = f.reopens(old, "a")
		if old.Status != Queued || old.Position != 2 {
			t.Fatalf("%+v", old)
		}
		f.setStatus("lilei", Online, "", 0)
		f.staff(2)
		f.dispatch()
		f.setStatus("lilei", Offline, "", 0)
		f.dispatch()
		if first, old = f.again(first), f.again(old); first.Position != 1 || old.Position != 2 {
			t.Errorf("after their agent went: %d and %d", first.Position, old.Position)
		}
	})
}

// Who was told that their session is over hears that it goes on, unless that was
// their own doing.
func TestReopenedByTheOther(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(5, "lilei", "wang")
		for by, more := range map[string]int{"lilei": 1, "mei": 0} {
			for _, other := range []string{"lilei", "wang"} { // who has it then
				f.setStatus("lilei", Online, "", 0)
				f.setStatus("wang", Offline, "", 0)
				c := f.asks("mei")
				f.closes(c, "lilei")
				f.setStatus("lilei", Offline, "", 0)
				f.setStatus(other, Online, "", 0)
				before := len(f.pushesTo("mei"))
				if c = f.reopens(c, by); c.Agent != other {
					t.Fatalf("%+v", c)
				}
				if n := len(f.pushesTo("mei")) - before; n != more {
					t.Errorf("reopened by %s, with %s: mei is told %d things, want %d", by, other, n, more)
				}
				f.closes(c, "mei")
			}
		}
	})
}

// A session that was begun while another one was being reopened stays the only
// one.
func TestReopenAgainstANewOne(t *testing.T) {
	f := open(t, storetest.Postgres(t), nil)
	old := f.asks("mei")
	f.closes(old, "mei")
	done := make(chan error, 1)
	f.tx(func(tx *Tx) error {
		_, _, err := tx.Begin(t.Context(), Party{Key: "mei", ID: "mei"}, "", "")
		go func() {
			done <- f.Tx(t.Context(), func(tx *Tx) error {
				_, err := tx.Reopen(t.Context(), old.ID, Party{Key: "mei"})
				return err
			})
		}()
		f.waiting()
		return err
	})
	if got := deskReason(<-done); got != OtherOpen {
		t.Error(got)
	}
	each(t, func(t *testing.T, f fixture) { // and one that was there before
		old := f.asks("mei")
		f.closes(old, "mei")
		f.asks("mei")
		err := f.Tx(t.Context(), func(tx *Tx) error {
			_, err := tx.Reopen(t.Context(), old.ID, Party{Key: "mei"})
			return err
		})
		if got := deskReason(err); got != OtherOpen {
			t.Error(got)
		}
		err = f.Tx(t.Context(), func(tx *Tx) error { // the index says the same
			_, err := tx.db.NewUpdate().Model((*Conversation)(nil)).Set("status = ?", Queued).Where("id = ?", old.ID).Exec(t.Context())
			if !taken(err, "conversations_one", "conversations.share") {
				t.Errorf("not recognised: %v", err)
			}
			return err
		})
		if err == nil {
			t.Error("two open sessions")
		}
	})
}

func TestSeenTakesBackPushes(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(3, "lilei")
		c := f.asks("mei")
		mei, lilei := Party{Key: "mei"}, Party{Key: "lilei"}
		offer := offerRef(c.ID, "lilei")
		if err := f.Here(t.Context(), c, lilei); err != nil {
			t.Fatal(err)
		}
		f.says(f.again(c), "mei", "one")
		f.says(f.again(c), "mei", "two")
		if got := f.pushesTo("lilei"); len(got) != 3 {
			t.Fatalf("%q", got)
		}
		if err := f.Seen(t.Context(), c, Party{Key: "boss", Admin: true}, 3); err != nil {
			t.Fatal(err)
		}
		if err := f.Seen(t.Context(), c, mei, 3); err != nil { // their own words
			t.Fatal(err)
		}
		if err := f.Seen(t.Context(), c, lilei, 2); err != nil { // c is as it was before anything was said
			t.Fatal(err)
		}
		if got := f.pushesTo("lilei"); len(got) != 2 || got[0] != offer {
			t.Errorf("one was seen, and there are %q", got)
		}
		if err := f.Seen(t.Context(), c, lilei, 99); err != nil {
			t.Fatal(err)
		}
		if c = f.again(c); c.AgentSeen != c.Last || !slices.Equal(f.pushesTo("lilei"), []string{offer}) {
			t.Errorf("%+v, %q", c, f.pushesTo("lilei"))
		}

		f.staff(3, "wang")
		former := c
		f.gives(c, "wang")
		f.says(f.again(c), "mei", "three")
		c = f.again(c)
		if err := f.Seen(t.Context(), former, lilei, c.Last); err != nil { // a page that was left open
			t.Fatal(err)
		}
		if err := f.Here(t.Context(), former, lilei); err != nil {
			t.Fatal(err)
		}
		if now := f.again(c); now.AgentSeen != 0 || now.AgentHere != nil || len(f.pushesTo("wang")) != 2 {
			t.Errorf("seen by whoever has it no more: %+v, %q", now, f.pushesTo("wang"))
		}
	})
}

// What is on its way is neither lost nor sent twice.
func TestSeenWhileItIsSent(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(3, "lilei")
		c := f.asks("mei")
		o, wecom := f.outbox(nil)
		f.goRound(o)
		f.says(f.again(c), "mei", "one")
		parcels, err := f.claim(t.Context(), 10)
		if err != nil || len(parcels) != 1 {
			t.Fatal(parcels, err)
		}
		if err := f.Seen(t.Context(), f.again(c), Party{Key: "lilei"}, 2); err != nil {
			t.Fatal(err)
		}
		o.send(t.Context(), parcels[0])
		o.settle(t.Context(), parcels[0])
		f.rounds(o, time.Minute)
		if n := len(slices.DeleteFunc(wecom.texts(), func(s string) bool { return s != "lilei: zh session.said" })); n != 1 {
			t.Errorf("sent %d times: %q", n, wecom.texts())
		}
	})
}

// A push that a page holds back holds back what follows it, for lookAway and no
// longer: pushes reach a person in their order.
func TestHeldBackForAMoment(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(3, "lilei")
		c := f.asks("mei")
		o, wecom := f.outbox(nil)
		f.goRound(o)
		wecom.shown = nil
		if err := f.Here(t.Context(), c, Party{Key: "lilei"}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			f.says(f.again(c), "mei", "hello")
		}
		f.push("lilei", "something else")
		f.goRound(o)
		if texts := wecom.texts(); len(texts) > 0 {
			t.Errorf("not held back: %q", texts)
		}
		f.pass(lookAway)
		for range 4 { // one of a person's at a time
			f.goRound(o)
		}
		if texts := wecom.texts(); len(texts) != 4 || texts[3] != "lilei: something else" {
			t.Errorf("%q", texts)
		}
	})
}

func TestWhoLosesASessionHearsNoMoreOfIt(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(3, "lilei")
		c := f.asks("mei")
		f.says(c, "mei", "help")
		f.staff(3, "wang")
		f.gives(c, "wang")
		if got := f.pushesTo("lilei"); len(got) > 0 {
			t.Errorf("never sent a card, and yet %q", got)
		}
		o, _ := f.outbox(nil)
		f.goRound(o)
		f.says(f.again(c), "mei", "are you there?")
		f.setStatus("wang", Offline, "", 0)
		f.setStatus("lilei", Offline, "", 0)
		f.dispatch()
		if d := cmp.Diff([]string{offerRef(c.ID, "wang")}, f.pushesTo("wang")); d != "" {
			t.Errorf("who was sent a card hears that it is over, and nothing else: %s", d)
		}
	})
}

// What is said to an agent who loses the session this very moment goes to whoever
// has it then, and what is said into one that is closed is not said.
func TestSaidIntoOtherHands(t *testing.T) {
	f := open(t, storetest.Postgres(t), nil)
	f.staff(3, "lilei")
	c := f.asks("mei")
	f.staff(3, "wang")
	say := func(what string, meanwhile func()) error {
		return f.Tx(t.Context(), func(tx *Tx) error {
			now, err := tx.Conversation(t.Context(), c.ID, Party{Key: "mei"})
			if err != nil {
				return err
			}
			meanwhile()
			_, _, err = tx.Say(t.Context(), now, Party{Key: "mei"}, Words{Content: what})
			return err
		})
	}
	if err := say("hello", func() { f.gives(c, "wang") }); err != nil {
		t.Fatal(err)
	}
	if to, former := f.pushesTo("wang"), f.pushesTo("lilei"); len(to) != 2 || len(former) > 0 {
		t.Errorf("pushed %q to wang and %q to lilei", to, former)
	}
	if err := say("bye", func() { f.closes(c, "mei") }); !Raced(err) || !Transient(err) {
		t.Errorf("said into a closed one: %v", err)
	}
	if got := f.heard(c); !slices.Contains(got, "user : hello") || slices.Contains(got, "user : bye") {
		t.Errorf("%q", got)
	}
}

// Two requests with the same words, at once: one of them says so, and finds them
// when it tries again.
func TestSaidOnceByTwo(t *testing.T) {
	f := open(t, storetest.Postgres(t), nil)
	c := f.asks("mei")
	say := func(meanwhile func()) (again bool, err error) {
		err = f.Tx(t.Context(), func(tx *Tx) (err error) {
			_, again, err = tx.Say(t.Context(), c, Party{Key: "mei"}, Words{Content: "once", Nonce: "n"})
			meanwhile()
			return err
		})
		return again, err
	}
	_, err := say(func() {
		if _, err := say(func() {}); err != nil {
			t.Error(err)
		}
	})
	if !Raced(err) {
		t.Errorf("said twice: %v", err)
	}
	if again, err := say(func() {}); !again || err != nil {
		t.Error(again, err)
	}
	f.closes(c, "mei")
	c = f.again(c)
	if again, err := say(func() {}); !again || err != nil {
		t.Errorf("said before it was closed: %v %v", again, err)
	}
}

// A command that fails after another one of its transaction said something takes
// only its own words back.
func TestResetKeepsWhatOthersSaid(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c := f.asks("mei")
		f.tx(func(tx *Tx) error {
			if _, _, err := tx.Say(t.Context(), c, Party{Key: "mei"}, Words{Content: "stays"}); err != nil {
				return err
			}
			mark := tx.Mark()
			if _, _, err := tx.Say(t.Context(), c, Party{Key: "mei"}, Words{Content: "goes"}); err != nil {
				return err
			}
			now, err := tx.OpenConversation(t.Context(), "mei", "")
			if now.Last != c.Last+2 || now.Title != "stays" {
				t.Errorf("before it is written: %+v", now)
			}
			if !tx.Reset(mark) {
				t.Error("too late to take anything back")
			}
			return err
		})
		if d := cmp.Diff([]string{"systemqueued : ", "user : stays"}, f.heard(c)); d != "" {
			t.Error(d)
		}
		f.tx(func(tx *Tx) error { // and what is said before it is closed comes before that
			now, err := tx.Conversation(t.Context(), c.ID, Party{Key: "mei"})
			if err != nil {
				return err
			}
			if _, _, err := tx.Say(t.Context(), now, Party{Key: "mei"}, Words{Content: "bye"}); err != nil {
				return err
			}
			mark := tx.Mark()
			if _, err = tx.CloseConversation(t.Context(), c.ID, Party{Key: "mei"}); tx.Reset(mark) {
				t.Error("a close was taken back")
			}
			return err
		})
		if d := cmp.Diff([]string{"systemqueued : ", "user : stays", "user : bye", "systemclosed : "}, f.heard(c)); d != "" {
			t.Error(d)
		}
	})
}

// A status set and a session given in one transaction go by each other.
func TestStatusAndTransferOfOneTransaction(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(1, "lilei")
		c := f.asks("mei")
		f.staff(1, "wang")
		f.setStatus("wang", Offline, "", 0)
		give := func(status string) (c2 Conversation, a Agent, err error) {
			err = f.Tx(t.Context(), func(tx *Tx) error {
				if _, err := tx.SetStatus(t.Context(), "wang", status, "", 0); err != nil {
					return err
				}
				c2, err = tx.Transfer(t.Context(), c.ID, "wang", "", Party{Key: "boss", Admin: true})
				if err == nil {
					a, err = tx.Agent(t.Context(), "wang")
				}
				return err
			})
			return c2, a, err
		}
		if _, _, err := give(Busy); deskReason(err) != AgentAway {
			t.Error(err)
		}
		c2, a, err := give(Online)
		if err != nil || c2.Agent != "wang" || a.Load != 1 || a.Status != Online {
			t.Errorf("%+v, %+v, %v", c2, a, err)
		}
		f.staff(1, "zhao")
		f.staff(0)
		err = f.Tx(t.Context(), func(tx *Tx) error {
			_, err := tx.Transfer(t.Context(), c.ID, "zhao", "", Party{Key: "wang"})
			return err
		})
		if deskReason(err) != AgentFull {
			t.Error(err)
		}
	})
}

// A choice counts until the session is taken away, also when it is given back.
func TestCurrentIsChosenAnew(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(5, "lilei")
		one, two := f.asks("a"), f.asks("b")
		current := func() (id string) {
			t.Helper()
			f.tx(func(tx *Tx) error {
				c, live, err := tx.Current(t.Context(), Party{Key: "lilei"})
				if len(live) != 2 {
					t.Errorf("%d live", len(live))
				}
				if errors.Is(err, ErrChoose) {
					return nil
				}
				id = c.ID
				return err
			})
			return id
		}
		use := func(c Conversation) {
			t.Helper()
			f.tx(func(tx *Tx) error {
				_, err := tx.Use(t.Context(), c.ID, Party{Key: "lilei"})
				return err
			})
		}
		if got := current(); got != "" {
			t.Errorf("nothing was chosen, and it is %s", got)
		}
		use(two)
		if got := current(); got != two.ID {
			t.Errorf("chose %s, and it is %s", two.ID, got)
		}
		use(one)
		f.pass(time.Second)
		f.closes(one, "a")
		f.pass(time.Second)
		f.reopens(one, "a")
		if got := current(); got != "" {
			t.Errorf("chosen before it was closed: %s", got)
		}
	})
}

func TestWhoLeavesLeavesNothingOpen(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(5, "lilei")
		f.staff(5, "wang")
		f.setStatus("wang", Offline, "", 0)
		asked := f.asks("mei")
		f.know("mei")
		f.setStatus("lilei", Offline, "", 0)
		f.setStatus("wang", Online, "", 0)
		own := f.asks("lilei")
		f.setStatus("lilei", Online, "", 0) // and mei's is still theirs: nobody dispatched
		f.tx(func(tx *Tx) error { return tx.CutOff(t.Context(), "lilei", bot.Left) })
		f.dispatch()
		if asked, own = f.again(asked), f.again(own); asked.Agent != "wang" || own.Status != Closed {
			t.Errorf("%+v and %+v", asked, own)
		}
		before := len(f.pushesTo("mei"))
		f.tx(func(tx *Tx) error { return tx.CutOff(t.Context(), "mei", bot.Left) })
		if asked = f.again(asked); asked.Status != Closed || len(f.pushesTo("mei")) > before {
			t.Errorf("%+v, told %q", asked, f.pushesTo("mei"))
		}
		if err := f.Tx(t.Context(), func(tx *Tx) error {
			_, err := tx.Reopen(t.Context(), asked.ID, Party{Key: "wang"})
			return err
		}); deskReason(err) != Unreachable {
			t.Errorf("reopened: %v", err)
		}
	})
}

func TestEndUsersWhoCannotReadAnAnswer(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(9, "lilei")
		f.administrators("boss")
		boss := Asker{UserID: "boss"}
		b := f.bot(boss)
		_, sh := f.shared(b, boss, 0)
		_, other := f.shared(b, boss, 0)
		var tom, ann Account
		f.tx(func(tx *Tx) (err error) {
			if tom, err = tx.CreateEndUser(t.Context(), "tom", "boss"); err == nil {
				ann, err = tx.CreateEndUser(t.Context(), "ann", "boss")
			}
			return err
		})
		begin := func(a Account, share string) (c Conversation) {
			f.tx(func(tx *Tx) (err error) {
				c, _, err = tx.Begin(t.Context(), a.PartyOf(), share, "")
				return err
			})
			return c
		}
		toms, anns, there := begin(tom, sh.ID), begin(ann, sh.ID), begin(tom, other.ID)
		f.tx(func(tx *Tx) error { return tx.DeleteEndUser(t.Context(), ann.UID, "boss") })
		if f.again(anns).Status != Closed || f.again(toms).Status == Closed {
			t.Error("ann's account went")
		}
		f.tx(func(tx *Tx) error {
			_, err := tx.RevokeShare(t.Context(), sh.ID, boss)
			return err
		})
		if f.again(toms).Status != Closed || f.again(there).Status == Closed {
			t.Error("the share tom came through was revoked")
		}
		for _, c := range []Conversation{anns, toms} { // nor can an agent bring them back
			if err := f.Tx(t.Context(), func(tx *Tx) error {
				_, err := tx.Reopen(t.Context(), c.ID, Party{Key: "lilei"})
				return err
			}); deskReason(err) != Unreachable {
				t.Errorf("reopened: %v", err)
			}
		}
		f.closes(there, "lilei")
		if there = f.reopens(there, "lilei"); there.Status != Assigned {
			t.Errorf("%+v", there)
		}
		_, brief := f.shared(b, boss, time.Hour)
		tail := begin(tom, brief.ID)
		for _, c := range []struct {
			pass time.Duration
			want string
		}{{time.Hour - time.Second, Assigned}, {2 * time.Second, Closed}} {
			f.pass(c.pass)
			if err := f.CloseIdle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := f.again(tail).Status; got != c.want {
				t.Errorf("%s after the share was made: %s, want %s", c.pass, got, c.want)
			}
		}
		if f.again(there).Status == Closed {
			t.Error("another share never ends")
		}
	})
}

// Whoever waits longest is served first, also when their session is held for a
// moment: they may be writing.
func TestNobodyIsServedBeforeTheHead(t *testing.T) {
	f := open(t, storetest.Postgres(t), nil)
	first := f.asks("a")
	f.pass(time.Second)
	second := f.asks("b")
	f.staff(1, "lilei")
	f.tx(func(tx *Tx) error {
		_, err := tx.holdConversation(t.Context(), first.ID, Party{Key: "a"})
		f.dispatch()
		return err
	})
	if c := f.again(second); c.Status != Queued {
		t.Errorf("the second was served: %+v", c)
	}
	<-f.desk // it is tried again in a moment
	f.dispatch()
	if c := f.again(first); c.Agent != "lilei" {
		t.Errorf("the first was not served: %+v", c)
	}
}

func TestNobodysSessions(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c := f.asks("mei")
		f.tx(func(tx *Tx) error {
			list, err := tx.Live(t.Context(), Party{})
			if len(list) > 0 {
				t.Errorf("nobody has %v", list)
			}
			if id, err := tx.ConversationID(t.Context(), c.Short(), Party{}); !errors.Is(err, ErrNotFound) {
				t.Errorf("nobody finds %s, %v", id, err)
			}
			if id, err := tx.ConversationID(t.Context(), c.Short(), Party{Key: "mei"}); id != c.ID {
				t.Errorf("mei finds %s, %v", id, err)
			}
			return err
		})
	})
}

func TestConversationsOfBothSides(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(9, "lilei", "wang")
		f.setStatus("lilei", Offline, "", 0)
		var want []string
		for i, who := range []string{"a", "lilei", "b", "c"} {
			c := f.asks(who)
			if who != "b" {
				want = append([]string{c.ID}, want...)
			}
			if i == 1 {
				f.setStatus("lilei", Online, "", 0)
			}
			f.pass(time.Second)
			if who == "a" {
				f.setStatus("lilei", Online, "", 0)
				f.gives(c, "lilei")
				f.setStatus("lilei", Busy, "", 0)
			}
			if who == "c" {
				if c = f.again(c); c.Agent != "lilei" {
					f.gives(c, "lilei")
				}
			}
			if who == "b" && c.Agent == "lilei" {
				f.gives(c, "wang")
			}
		}
		ids := func(ask Conversations) (ids []string) {
			t.Helper()
			ask.Party = Party{Key: "lilei"}
			list, err := f.Conversations(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range list {
				ids = append(ids, c.ID)
			}
			return ids
		}
		for what, got := range map[string][2][]string{
			"all":      {want, ids(Conversations{})},
			"asked":    {want[1:2], ids(Conversations{As: "asker"})},
			"answered": {{want[0], want[2]}, ids(Conversations{As: "agent", Status: Assigned})},
			"newest":   {want[:2], ids(Conversations{N: 2, Status: "live"})},
		} {
			if d := cmp.Diff(got[0], got[1]); d != "" {
				t.Errorf("%s: %s", what, d)
			}
		}
	})
}

func TestTitleIsOfWords(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		c := f.asks("mei")
		f.tx(func(tx *Tx) error {
			_, _, err := tx.Say(t.Context(), c, Party{Key: "mei"}, Words{Content: "IMG_4711.jpg", Media: "m1"})
			return err
		})
		f.says(c, "mei", "look at this\nplease")
		if c = f.again(c); c.Title != "look at this" {
			t.Errorf("%q", c.Title)
		}
	})
}

// An administrator who says something does not read for the agent.
func TestAdministratorLooksIn(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(1, "lilei")
		c := f.asks("mei")
		f.says(c, "mei", "hello?")
		f.says(f.again(c), "boss", "they are on it")
		if c = f.again(c); c.AgentSeen != 0 || c.WaitingSince != nil {
			t.Errorf("%+v", c)
		}
	})
}

// What is remembered of changes does not grow with their number, whoever looks on.
func TestChangesAreForgotten(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	at := f.now()
	for i := range 20 * keptChanges {
		at = at.Add(time.Second)
		f.live.publish([]Change{{Conversation: fmt.Sprint(i), At: at}})
	}
	if n := len(f.live.lately); n > 2*keptChanges {
		t.Errorf("%d changes are remembered", n)
	}
}

func TestWatch(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { f.Follow(ctx, nil) })
		defer wg.Wait()
		defer cancel()
		c := f.asks("mei")
		other := f.asks("zoe")
		w, party, desk := f.Watch(ConversationTopic(c.ID)), f.Watch(PartyTopic("mei")), f.Watch(DeskTopic)
		f.says(c, "mei", "hello")
		for _, w := range []*Watch{w, party, desk} {
			<-w.C
			w.Close()
		}
		f.says(other, "zoe", "hello")
		select {
		case <-w.C:
			t.Error("signalled after it was closed, or of another one")
		default:
		}
	})
}
