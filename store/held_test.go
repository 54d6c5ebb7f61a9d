package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What waits for a choice waits in its order, for a while, and is taken once.
func TestHeldWords(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		hold := func(text string) (waiting int) {
			f.tx(func(tx *Tx) (err error) {
				waiting, err = tx.Hold(t.Context(), Party{Key: "lilei"}, Words{Content: text, Nonce: "n"})
				return err
			})
			return waiting
		}
		held := func() (list []Words) {
			f.tx(func(tx *Tx) (err error) {
				list, err = tx.Held(t.Context(), Party{Key: "lilei"})
				return err
			})
			return list
		}
		hold("too old")
		f.pass(HeldFor)
		hold("one")
		if n := hold("two\x00"); n != 2 {
			t.Errorf("%d wait", n)
		}
		if d := cmp.Diff([]Words{{Content: "one", Nonce: "n"}, {Content: "two", Nonce: "n"}}, held()); d != "" {
			t.Error(d)
		}
		if again := held(); len(again) > 0 {
			t.Errorf("taken twice: %v", again)
		}
		hold("three")
		f.pass(HeldFor)
		if n, err := f.purgeHeld(t.Context()); n != 1 || err != nil {
			t.Error(n, err)
		}
		err := f.Tx(t.Context(), func(tx *Tx) error {
			_, err := tx.Hold(t.Context(), Party{Key: "lilei"}, Words{Content: strings.Repeat("x", MaxSaid+1)})
			return err
		})
		if !errors.Is(err, ErrTooLong) {
			t.Error(err)
		}
	})
}

// After a session ended, or went to somebody else, what its agent writes may not
// go to the one that is left without a question.
func TestNobodyReadsWhatWasMeantForAnother(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(5, "lilei")
		lilei := Party{Key: "lilei", ID: "lilei"}
		end := func(c Conversation) {
			f.tx(func(tx *Tx) error {
				_, err := tx.CloseConversation(t.Context(), c.ID, Party{Key: c.Asker})
				return err
			})
		}
		first := f.asks("mei")
		f.tx(func(tx *Tx) error { return tx.Stay(t.Context(), first, lilei) })
		second := f.asks("eve")
		which := func() (asker string, err error) {
			f.tx(func(tx *Tx) error {
				var c Conversation
				c, _, err = tx.Current(t.Context(), lilei)
				asker = c.Asker
				return nil
			})
			return asker, err
		}
		if who, err := which(); who != "mei" || err != nil {
			t.Errorf("in the one they wrote into: %s, %v", who, err)
		}
		end(first)
		if who, err := which(); !errors.Is(err, ErrChoose) {
			t.Errorf("after it ended: %s, %v", who, err)
		}
		f.tx(func(tx *Tx) error { _, err := tx.Use(t.Context(), second.ID, lilei); return err })
		if who, err := which(); who != "eve" || err != nil {
			t.Errorf("chosen: %s, %v", who, err)
		}
		end(second)
		if _, err := which(); !errors.Is(err, ErrNotFound) {
			t.Errorf("with none: %v", err)
		}
		f.pass(time.Second)
		f.asks("ann")
		if who, err := which(); who != "ann" || err != nil {
			t.Errorf("the next, with nothing beside it: %s, %v", who, err)
		}
	})
}
