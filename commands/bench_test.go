package commands

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/store/storetest"
	"deskbell/templates"
)

// BenchmarkStatus runs /status busy, said by many people through 64 callbacks at
// once, up to its delivered card: received, run, audited, pushed, all committed.
func BenchmarkStatus(b *testing.B) {
	storetest.Compare(b, func(b *testing.B, url string) (func(int), func()) {
		log := slog.New(slog.NewJSONHandler(io.Discard, nil))
		texts, err := templates.Load()
		if err != nil {
			b.Fatal(err)
		}
		s, err := store.Open(b.Context(), store.Options{
			URL: url, Keys: [][]byte{testKey}, Render: texts.Render, Log: log,
			Roles: store.Rules{Agent: store.Rule{Departments: []int{2}}},
			Pace:  store.Rate{N: 1 << 20, Per: time.Minute}, // counted for each push, as always, and never reached
		})
		if err != nil {
			b.Fatal(err)
		}
		directory := &store.Directory{Store: s, Lookup: func(_ context.Context, id string, _ []int) (bot.Person, error) {
			return bot.Person{ID: id, Name: id, State: bot.Active, Departments: []int{2}}, nil
		}}
		r, err := NewRunner(Options{Store: s, Directory: directory, Word: texts.Word, Log: log})
		if err != nil {
			b.Fatal(err)
		}
		var pushes, outbox sync.WaitGroup
		box := &store.Outbox{
			Store:  s,
			Sender: senderFunc(func(context.Context, bot.Outgoing) (bot.Receipt, error) { return bot.Receipt{}, nil }),
			Result: func(outcome string) {
				if outcome != "sent" {
					b.Error(outcome)
				}
				pushes.Done()
			},
		}
		ctx, stop := context.WithCancel(context.Background())
		outbox.Go(func() { box.Run(ctx) })
		b.Cleanup(func() {
			r.Close()
			stop()
			outbox.Wait()
			s.Close()
		})
		return func(i int) {
			pushes.Add(1)
			from := storetest.Person(i)
			m := bot.Message{Key: fmt.Sprintf("m:%s:%d", from, 7400000000000000000+i), From: from, Text: "/status busy", Sent: time.Unix(1760000000, 0)}
			if text, err := r.Take(soon(), m); text != "" || err != nil {
				b.Error(text, err)
			}
		}, pushes.Wait
	})
}
