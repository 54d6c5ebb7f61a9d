package store_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/store/storetest"
)

// BenchmarkReceive commits messages from 64 callbacks at once. x-plain compares
// it with an INSERT for each message.
func BenchmarkReceive(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLite, "postgres": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			st, err := store.Open(b.Context(), store.Options{URL: url(b), Keys: [][]byte{bytes.Repeat([]byte("k"), 32)}})
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			storetest.Compare(b, func(i int) {
				first, _, err := st.Receive(b.Context(), busy(i))
				if err != nil || !first {
					b.Error(first, err)
				}
			}, func() {}, storetest.Plain(b, url(b)))
		})
	}
}

// busy is a message as a callback brings it.
func busy(i int) bot.Message {
	from := storetest.Person(i)
	return bot.Message{Key: fmt.Sprintf("m:%s:%d", from, 7400000000000000000+i), From: from, Text: "/status busy", Sent: time.Unix(1760000000, 0)}
}
