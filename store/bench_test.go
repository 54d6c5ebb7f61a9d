package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"
)

// BenchmarkReceive commits messages from 64 callbacks at once.
func BenchmarkReceive(b *testing.B) {
	storetest.Compare(b, func(b *testing.B, url string) (func(int), func()) {
		s, err := Open(b.Context(), Options{URL: url, Keys: [][]byte{testKey}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return func(i int) {
			from := storetest.Person(i)
			m := bot.Message{Key: fmt.Sprintf("m:%s:%d", from, 7400000000000000000+i), From: from, Text: "/status busy", Sent: time.Unix(1760000000, 0)}
			if first, _, err := s.Receive(context.Background(), m); err != nil || !first {
				b.Error(first, err)
			}
		}, nil
	})
}
