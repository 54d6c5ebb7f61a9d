package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"deskbell/bot"
	"deskbell/store/storetest"
)

// benchDesk is a store with agents who have room for whatever comes.
func benchDesk(b *testing.B, url string) *Store {
	s, err := Open(b.Context(), Options{URL: url, Keys: [][]byte{testKey}, PublicURL: "https://desk.example.com",
		Render: func(to, lang, taskID string, r bot.Reply) (bot.Outgoing, error) {
			return bot.Outgoing{To: to, Text: r.Key}, nil
		}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	err = s.Tx(b.Context(), func(tx *Tx) error {
		for i := range 100 {
			if err := tx.EnsureAgent(b.Context(), agentOf(fmt.Sprintf("agent%03d", i))); err != nil {
				return err
			}
		}
		_, err := tx.db.NewUpdate().Model((*Agent)(nil)).Set("status = ?", Online).Set("max_load = 100").Where("TRUE").Exec(b.Context())
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// benchTx is Tx, again if somebody was faster.
func benchTx(b *testing.B, s *Store, fn func(ctx context.Context, tx *Tx) error) {
	ctx := context.Background()
	for {
		if err := s.Tx(ctx, func(tx *Tx) error { return fn(ctx, tx) }); err == nil {
			return
		} else if !Raced(err) {
			b.Error(err)
			return
		}
	}
}

// BenchmarkSay has 64 people say something in sessions of theirs at once, each
// message with its push to the agent.
func BenchmarkSay(b *testing.B) {
	storetest.Compare(b, func(b *testing.B, url string) (func(int), func()) {
		s := benchDesk(b, url)
		return func(i int) {
			by := Party{Key: storetest.Person(i), ID: storetest.Person(i)}
			benchTx(b, s, func(ctx context.Context, tx *Tx) error {
				c, err := tx.OpenConversation(ctx, by.Key, "")
				if errors.Is(err, ErrNotFound) {
					c, _, err = tx.Begin(ctx, by, "", "")
				}
				if err != nil {
					return err
				}
				_, _, err = tx.Say(ctx, c, by, Words{Content: "the printer is on fire", Nonce: fmt.Sprint(i)})
				return err
			})
		}, nil
	})
}

// BenchmarkAssign has 64 people begin a session at once, which is given to one of
// 100 agents, and close it.
func BenchmarkAssign(b *testing.B) {
	storetest.Compare(b, func(b *testing.B, url string) (func(int), func()) {
		s := benchDesk(b, url)
		return func(i int) {
			by := Party{Key: storetest.Person(i), ID: storetest.Person(i)}
			var c Conversation
			benchTx(b, s, func(ctx context.Context, tx *Tx) (err error) {
				c, _, err = tx.Begin(ctx, by, "", "")
				return err
			})
			benchTx(b, s, func(ctx context.Context, tx *Tx) error {
				_, err := tx.CloseConversation(ctx, c.ID, by)
				return err
			})
		}, nil
	})
}
