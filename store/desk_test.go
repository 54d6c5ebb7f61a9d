package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"deskbell/bot"

	"github.com/google/go-cmp/cmp"
)

// staff makes agents who are online, each with room for so many conversations.
func (f fixture) staff(room int, ids ...string) {
	f.t.Helper()
	for _, id := range ids {
		f.know(id)
		f.employ(bot.User{ID: id, Name: id, Level: bot.Agent, Roles: []string{"agent"}})
		f.setStatus(id, Online, "", 0)
	}
	f.tx(func(tx *Tx) error {
		_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("max_load = ?", room).Set("own_load = TRUE").Where("TRUE").Exec(f.t.Context())
		return err
	})
}

// asks begins a conversation.
func (f fixture) asks(id string) (c Conversation) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		c, _, err = tx.Begin(f.t.Context(), Party{Key: id, ID: id, Name: id}, "", "")
		return err
	})
	return c
}

func (f fixture) dispatch() {
	f.t.Helper()
	if err := f.Dispatch(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// again reads a conversation anew.
func (f fixture) again(c Conversation) Conversation {
	f.t.Helper()
	c, err := f.Store.Conversation(f.t.Context(), c.ID, Party{Admin: true})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f fixture) says(c Conversation, who, what string) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		_, _, err := tx.Say(f.t.Context(), c, Party{Key: who, ID: who, Name: who}, Words{Content: what})
		return err
	})
}

// heard is what a conversation says, in short.
func (f fixture) heard(c Conversation) (list []string) {
	f.t.Helper()
	said, err := f.Messages(f.t.Context(), c.ID, 0, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	for i, m := range said {
		if m.N != int64(i+1) {
			f.t.Errorf("message %d has number %d", i+1, m.N)
		}
		list = append(list, fmt.Sprintf("%s%s %s: %s", m.Role, m.Kind, m.Name, m.Content))
	}
	return list
}

func TestConversation(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(2, "lilei")
		c := f.asks("mei")
		if c.Status != Assigned || c.Agent != "lilei" {
			t.Fatalf("%+v", c)
		}
		if same := f.asks("mei"); same.ID != c.ID {
			t.Error("a second conversation")
		}
		f.says(c, "mei", "the printer\nis on fire")
		f.says(c, "lilei", "again?")
		c = f.again(c)
		if c.Title != "the printer" || c.WaitingSince != nil || c.AnsweredAt == nil || c.Unread(Party{Key: "mei"}) != 1 || c.Unread(Party{Key: "lilei"}) != 0 {
			t.Errorf("%+v", c)
		}
		f.tx(func(tx *Tx) error {
			_, err := tx.CloseConversation(t.Context(), c.ID, Party{Key: "mei", Name: "Mei"})
			return err
		})
		want := []string{"systemassigned : lilei", "user mei: the printer\nis on fire", "assistant lilei: again?", "systemclosed Mei: "}
		if d := cmp.Diff(want, f.heard(c)); d != "" {
			t.Error(d)
		}
		err := f.Tx(t.Context(), func(tx *Tx) error {
			_, _, err := tx.Say(t.Context(), f.again(c), Party{Key: "mei"}, Words{Content: "hello?"})
			return err
		})
		if !errors.Is(err, ErrEnded) {
			t.Errorf("said into a closed conversation: %v", err)
		}
		if _, err := f.Store.Conversation(t.Context(), c.ID, Party{Key: "eve"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("somebody else's: %v", err)
		}
		if _, err := f.Store.Conversation(t.Context(), c.ID, Party{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody's: %v", err)
		}
		f.tx(func(tx *Tx) error {
			c, err := tx.Reopen(t.Context(), c.ID, Party{Key: "mei", Name: "Mei"})
			if c.Status != Assigned || c.Agent != "lilei" {
				t.Errorf("reopened: %+v", c)
			}
			return err
		})
	})
}

func TestQueueIsServedInOrder(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(1, "lilei")
		first := f.asks("a")
		f.pass(time.Second)
		second := f.asks("b")
		f.pass(time.Second)
		third := f.asks("c")
		if second.Status != Queued || second.Position != 1 || third.Position != 2 {
			t.Fatalf("%+v %+v", second, third)
		}
		f.tx(func(tx *Tx) error {
			_, err := tx.CloseConversation(t.Context(), first.ID, Party{Key: "lilei"})
			return err
		})
		f.dispatch()
		if second, third = f.again(second), f.again(third); second.Agent != "lilei" || third.Position != 1 {
			t.Fatalf("%+v %+v", second, third)
		}
		f.setStatus("lilei", Offline, "", 0)
		f.dispatch()
		if second = f.again(second); second.Status != Queued || second.Position != 1 {
			t.Fatalf("after its agent went: %+v", second)
		}
		f.staff(2, "wang")
		f.dispatch()
		if second, third = f.again(second), f.again(third); second.Agent != "wang" || third.Agent != "wang" {
			t.Fatalf("%+v %+v", second, third)
		}
	})
}

func TestUnansweredGoesToAnother(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(1, "lilei")
		c := f.asks("mei")
		f.pass(6 * time.Minute)
		f.dispatch()
		if c = f.again(c); c.Agent != "lilei" {
			t.Fatalf("with nobody else: %+v", c)
		}
		f.staff(1, "wang")
		f.dispatch()
		if c = f.again(c); c.Agent != "wang" {
			t.Fatalf("late: %+v", c)
		}
		f.says(c, "wang", "yes?")
		f.pass(6 * time.Minute)
		f.dispatch()
		if c = f.again(c); c.Agent != "wang" {
			t.Fatalf("it is the asker's turn: %+v", c)
		}
		f.pass(25 * time.Hour)
		if err := f.CloseIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c = f.again(c); c.Status != Closed || c.ClosedBy != "desk" {
			t.Fatalf("idle: %+v", c)
		}
		f.pass(366 * 24 * time.Hour)
		for _, want := range []int64{int64(len(f.heard(c))), 1, 0} { // what was said, then itself
			if n, err := f.purgeConversations(t.Context()); n != want || err != nil {
				t.Fatal(n, want, err)
			}
		}
		if said, err := f.Messages(t.Context(), c.ID, 0, 10); len(said) > 0 || err != nil {
			t.Errorf("%v left of what was said, %v", said, err)
		}
	})
}

func TestTransfer(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(1, "lilei")
		c := f.asks("mei")
		f.staff(1, "wang", "zhao")
		f.setStatus("zhao", Busy, "", 0)
		give := func(to, by string) error {
			return f.Tx(t.Context(), func(tx *Tx) error {
				_, err := tx.Transfer(t.Context(), c.ID, to, "knows printers", Party{Key: by, Name: by})
				return err
			})
		}
		for _, no := range []struct{ to, by, want string }{
			{"nobody", "lilei", NoSuchAgent}, {"zhao", "lilei", AgentAway}, {"lilei", "lilei", SameAgent}, {"wang", "mei", NotYours},
		} {
			if reason, ok := errors.AsType[*DeskError](give(no.to, no.by)); !ok || reason.Reason != no.want {
				t.Errorf("to %s by %s: %v", no.to, no.by, reason)
			}
		}
		if err := give("WANG", "lilei"); err != nil {
			t.Fatal(err)
		}
		if c = f.again(c); c.Agent != "wang" || c.Status != Assigned {
			t.Fatalf("%+v", c)
		}
		want := []string{"systemassigned : lilei", "systemtransferred lilei: knows printers", "systemassigned : wang"}
		if d := cmp.Diff(want, f.heard(c)); d != "" {
			t.Error(d)
		}
		if err := give("zhao", "lilei"); !errors.Is(err, ErrNotFound) {
			t.Errorf("by whoever had it: %v", err)
		}
	})
}

func TestSaidOnce(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(1, "lilei")
		c := f.asks("mei")
		say := func() (m Said, again bool) {
			f.tx(func(tx *Tx) (err error) {
				m, again, err = tx.Say(t.Context(), c, Party{Key: "mei"}, Words{Content: "once", Nonce: "n1"})
				return err
			})
			return m, again
		}
		first, _ := say()
		second, again := say()
		if !again || first.ID != second.ID || len(f.heard(c)) != 2 {
			t.Errorf("again %v, %q and %q: %q", again, first.ID, second.ID, f.heard(c))
		}
	})
}
