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
// x-plain compares it with an INSERT for each message.
func BenchmarkStatus(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			log := slog.New(slog.NewJSONHandler(io.Discard, nil))
			texts, err := templates.Load()
			if err != nil {
				b.Fatal(err)
			}
			st, err := store.Open(b.Context(), store.Options{
				URL: url(b), Keys: [][]byte{testKey}, Render: texts.Render, Log: log,
				Roles: store.Rules{Agent: store.Rule{Departments: []int{2}}},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			directory := &store.Directory{Store: st, Lookup: func(_ context.Context, id string, _ []int) (bot.Person, error) {
				return bot.Person{ID: id, Name: id, State: bot.Active, Departments: []int{2}}, nil
			}}
			r, err := NewRunner(Options{Store: st, Directory: directory, Word: texts.Word, Log: log})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			var undelivered sync.WaitGroup
			outbox := &store.Outbox{
				Store:  st,
				Sender: senderFunc(func(context.Context, bot.Outgoing) (bot.Receipt, error) { return bot.Receipt{}, nil }),
				Result: func(outcome string) {
					if outcome != "sent" {
						b.Error(outcome)
					}
					undelivered.Done()
				},
			}
			ctx, stop := context.WithCancel(b.Context())
			var stopped sync.WaitGroup
			stopped.Go(func() { outbox.Run(ctx) })
			defer stopped.Wait()
			defer stop()
			start := time.Now()
			say := func(i int) {
				undelivered.Add(1)
				from := storetest.Person(i)
				key := fmt.Sprintf("m:%s:%d", from, start.UnixNano()+int64(i))
				if text, err := r.Take(ctx, bot.Message{Key: key, From: from, Text: "/status busy", Sent: start}); text != "" || err != nil {
					b.Error(text, err)
				}
			}
			storetest.Compare(b, say, undelivered.Wait, storetest.Plain(b, url(b)))
		})
	}
}
