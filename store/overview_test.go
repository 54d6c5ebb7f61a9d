package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestUsualAnswer(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(50, "lilei")
		usual := func() time.Duration {
			d, err := f.UsualAnswer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		for i := range usualFew {
			if d := usual(); d != 0 {
				t.Errorf("after %d sessions: %s", i, d)
			}
			c := f.asks(fmt.Sprintf("asker%d", i))
			f.pass(time.Duration(i+1) * time.Minute)
			f.says(c, "lilei", "hello")
		}
		if d := usual(); d != 3*time.Minute {
			t.Errorf("the median is %s", d)
		}
		f.pass(8 * 24 * time.Hour)
		if d := usual(); d != 0 {
			t.Errorf("a week later it is %s", d)
		}
	})
}

func TestLastWords(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.staff(5, "lilei")
		a, b := f.asks("hanmeimei"), f.asks("eve")
		f.says(a, "hanmeimei", "first")
		f.says(a, "lilei", "second")
		f.says(b, "eve", "other")
		words, err := f.LastWords(t.Context(), []Conversation{a, b})
		if err != nil || len(words) != 2 || words[a.ID].Content != "second" || words[b.ID].Content != "other" {
			t.Errorf("%+v, %v", words, err)
		}
		if words, err := f.LastWords(t.Context(), nil); err != nil || len(words) != 0 {
			t.Errorf("%+v, %v", words, err)
		}
	})
}

func TestCanned(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		keep := func(agent, title, text string) (k Canned, err error) {
			err = f.Tx(t.Context(), func(tx *Tx) error {
				k, err = tx.KeepCanned(t.Context(), agent, title, text)
				return err
			})
			return k, err
		}
		first, err := keep("lilei", "", " Hello there.\nWhat is it? ")
		if err != nil || first.Title != "Hello there." || first.Text != "Hello there.\nWhat is it?" {
			t.Errorf("%+v, %v", first, err)
		}
		for text, want := range map[string]error{" ": ErrEmpty, strings.Repeat("x", MaxSaid+1): ErrTooLong} {
			if _, err := keep("lilei", "x", text); !errors.Is(err, want) {
				t.Errorf("%d bytes: %v", len(text), err)
			}
		}
		for i := range maxCanned - 1 {
			f.pass(time.Second)
			if _, err := keep("lilei", fmt.Sprint(i), "x"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := keep("lilei", "one more", "x"); !errors.Is(err, ErrEnough) {
			t.Errorf("too many: %v", err)
		}
		if _, err := keep("lucy", "", "hers"); err != nil {
			t.Error(err)
		}
		list, err := f.Canned(t.Context(), "lilei")
		if err != nil || len(list) != maxCanned || list[0].ID != first.ID {
			t.Fatalf("%d kept, %v", len(list), err)
		}
		drop := func(agent string) error {
			return f.Tx(t.Context(), func(tx *Tx) error { return tx.DropCanned(t.Context(), agent, first.ID) })
		}
		if err := drop("lucy"); !errors.Is(err, ErrNotFound) {
			t.Errorf("another's: %v", err)
		}
		if err := drop("lilei"); err != nil {
			t.Error(err)
		}
		if err := drop("lilei"); !errors.Is(err, ErrNotFound) {
			t.Errorf("again: %v", err)
		}
	})
}
