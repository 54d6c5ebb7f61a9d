package store

import (
	"bytes"
	"strings"
	"testing"

	"deskbell/bot"

	"pgregory.net/rapid"
)

func ring(t testing.TB, secrets ...[]byte) *keyring {
	t.Helper()
	k, err := newKeyring(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedValueOpensOnlyInItsPlace(t *testing.T) {
	k := ring(t, testKey)
	rapid.Check(t, func(r *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(r, "plain")
		place, other := rapid.String().Draw(r, "place"), rapid.String().Draw(r, "other")
		sealed := k.seal(place, plain)
		if got, err := k.open(place, sealed); err != nil || !bytes.Equal(got, plain) {
			r.Fatalf("%q, %v", got, err)
		}
		if len(plain) == 0 {
			return
		}
		if got, err := k.open(other, sealed); other != place && err == nil {
			r.Fatalf("opened elsewhere: %q", got)
		}
		if len(plain) > 7 && strings.Contains(sealed, string(plain)) {
			r.Fatal("readable")
		}
		if sealed == k.seal(place, plain) {
			r.Fatal("sealed alike twice")
		}
		at := rapid.IntRange(0, len(sealed)-1).Draw(r, "at")
		bent := []byte(sealed)
		bent[at] ^= byte(1 << rapid.IntRange(0, 6).Draw(r, "bit"))
		if got, err := k.open(place, string(bent)); err == nil && !bytes.Equal(got, plain) {
			r.Fatalf("opened as %q after a bit was turned over", got)
		}
		if got, err := k.open(place, sealed[:at]); at > 0 && err == nil {
			r.Fatalf("opened as %q after it was cut", got)
		}
	})
}

func TestEveryBitCounts(t *testing.T) {
	k := ring(t, testKey)
	sealed := k.seal("inbox/1", []byte("你好"))
	for _, bad := range []string{"x", ".", "x.y", "." + sealed, sealed + "A", strings.Replace(sealed, ".", "", 1), sealed[:8] + "." + "AAAA"} {
		if got, err := k.open("inbox/1", bad); err == nil {
			t.Errorf("%q opened as %q", bad, got)
		}
	}
}

func TestMovedRowDoesNotOpen(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.receive(said("lilei", 1))
		f.receive(said("boss", 1))
		f.push("lilei", "one")
		f.push("boss", "two")
		for _, table := range []string{"inbox", "outbox"} {
			column := map[string]string{"inbox": "message", "outbox": "body"}[table]
			if _, err := f.db.ExecContext(t.Context(), "UPDATE "+table+" SET "+column+" = (SELECT "+column+" FROM "+table+" AS other WHERE other.person = 'boss') WHERE person = 'lilei'"); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.work("lilei", func(_ *Tx, items []Item) error {
			if items[0].Broken == nil || items[0].Text != "" {
				t.Errorf("read somebody else's message: %+v", items[0])
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		o, wecom := f.outbox(nil)
		f.goRound(o)
		if got := wecom.texts(); len(got) != 1 || got[0] != "boss: two" {
			t.Errorf("sent %v", got)
		}
		f.depth(0, 1)
	})
}

func TestRotationOfKeys(t *testing.T) {
	before, between, after := ring(t, testKey), ring(t, otherKey, testKey), ring(t, otherKey)
	old, fresh := before.seal("p", []byte("old")), between.seal("p", []byte("new"))
	for _, c := range []struct {
		name   string
		ring   *keyring
		sealed string
		want   string
	}{
		{"old by both", between, old, "old"}, {"new by both", between, fresh, "new"}, {"new by the new one", after, fresh, "new"},
		{"old by the new one", after, old, ""}, {"new by the old one", before, fresh, ""},
	} {
		got, err := c.ring.open("p", c.sealed)
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "security.old_encryption_keys") {
			t.Errorf("%s: %v does not say what to do", c.name, err)
		}
	}
	if old := before.digest("k", "v"); old == between.digest("k", "v") || between.digests("k", "v")[1] != old {
		t.Error("a hash under the old key is not looked for")
	}
}

func TestDigestsAreApart(t *testing.T) {
	k := ring(t, testKey)
	seen := map[string]bool{}
	for _, in := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"", "abc"}, {"abc", ""}, {"dba", "x"}, {"dbl", "x"}} {
		d := k.digest(in[0], in[1])
		if seen[d] || d != k.digest(in[0], in[1]) {
			t.Errorf("%q: %s", in, d)
		}
		seen[d] = true
	}
	if seen[ring(t, otherKey).digest("a", "bc")] {
		t.Error("the hash does not depend on the key")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, keys := range [][][]byte{nil, {}, {nil}, {testKey[:31]}, {append(bytes.Clone(testKey), 0)}, {testKey, testKey[:16]}} {
		_, err := newKeyring(keys)
		if err == nil || !strings.Contains(err.Error(), "security.encryption_key") || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%d keys: %v", len(keys), err)
		}
	}
}

func TestOurCards(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	rotated := open(t, "sqlite::memory:", func(o *Options) { o.Keys = [][]byte{otherKey, testKey} })
	stranger := open(t, "sqlite::memory:", func(o *Options) { o.Keys = [][]byte{otherKey} })
	seen := map[string]bool{}
	f.tx(func(tx *Tx) error {
		for range 100 {
			id := tx.NewTaskID()
			if seen[id] || len(id) > 128 { // WeCom's limit (document 90236)
				t.Errorf("task id %q", id)
			}
			seen[id] = true
			if !f.OurCard(id) || !rotated.OurCard(id) || stranger.OurCard(id) {
				t.Errorf("whose is %q?", id)
			}
			for _, forged := range []string{"", "-", id[:len(id)-1], id + "x", "x" + id, strings.ToLower(id), strings.Replace(id, "-", "_", 1), id[:26] + "-" + strings.Repeat("A", 22)} {
				if f.OurCard(forged) {
					t.Errorf("%q is not ours", forged)
				}
			}
		}
		return nil
	})
	if f.OurCard(bot.NewRef()) {
		t.Error("a reference is no task id")
	}
}
