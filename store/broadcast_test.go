package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
)

// A broadcast is confirmed once, by its author, in time.
func TestConfirmBroadcast(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.know("boss")
		f.know("lilei")
		boss := bot.User{ID: "boss", Name: "王芳", Level: bot.Admin}
		ask := func() (b Broadcast) {
			f.tx(func(tx *Tx) error { return tx.AskBroadcast(t.Context(), boss, " the network\nis down ") })
			all := &Broadcasts{Directory: &Directory{Store: f.Store}, List: nobodySays}
			if err := all.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := f.db.NewSelect().Model(&b).Order("asked_at DESC").Limit(1).Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			return b
		}
		confirm := func(b Broadcast, by bot.User) (got Broadcast, err error) {
			f.tx(func(tx *Tx) error { got, err = tx.ConfirmBroadcast(t.Context(), b.ID, by); return nil })
			return got, err
		}
		b := ask()
		if b.Count != 2 || b.Listed || b.Content != "the network\nis down" {
			t.Errorf("%+v", b)
		}
		if _, err := confirm(b, bot.User{ID: "other"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("by somebody else: %v", err)
		}
		if got, err := confirm(b, boss); err != nil || got.Again || got.ConfirmedAt == nil {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := confirm(b, boss); err != nil || !got.Again {
			t.Errorf("twice: %+v, %v", got, err)
		}
		f.pass(time.Second)
		late := ask()
		f.pass(ConfirmWithin)
		if _, err := confirm(late, boss); !errors.Is(err, ErrEnded) {
			t.Errorf("too late: %v", err)
		}
	})
}

// A broadcast is not accepted that would not be sent to its end.
func TestBroadcastTooLong(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.know("boss")
		for text, want := range map[string]error{" ": ErrEmpty, strings.Repeat("x", maxBroadcast+1): ErrTooLong, strings.Repeat("x", maxBroadcast): nil} {
			if err := f.Tx(t.Context(), func(tx *Tx) error { return tx.AskBroadcast(t.Context(), bot.User{ID: "boss", Level: bot.Admin}, text) }); !errors.Is(err, want) {
				t.Errorf("%d bytes: %v, want %v", len(text), err, want)
			}
		}
	})
}

func nobodySays(context.Context) ([]string, error) { return nil, errors.New("WeCom does not answer") }
