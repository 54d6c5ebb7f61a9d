package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"deskbell/store/storetest"
)

// Whatever is wrong with a try, it costs one slow hash and one entry of the
// audit trail, however many passwords the namespace has.
func TestOneSlowHashPerTry(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		for _, n := range []int{0, 1, 20} {
			d := f.device(ada, fmt.Sprint("ns-", n))
			for i := range n {
				f.config(d, fmt.Sprint("password ", i), "", false)
			}
		}
		for _, c := range []struct {
			namespace, password string
			good, unknown       bool
		}{
			{"nowhere", "password 0", false, true}, {strings.Repeat("n", 10_000), "x", false, true}, {"", "", false, true},
			{"ns-0", "password 0", false, false}, {"ns-0", "", false, false},
			{"ns-1", "password 0", true, false}, {"ns-1", "password 1", false, false}, {"ns-1", "", false, false},
			{"ns-20", "password 0", true, false}, {"NS-20", "password 19", true, false}, {"ns-20", "password 20", false, false},
			{"ns-20", strings.Repeat("x", 5000), false, false},
		} {
			hashes, bcrypts, audits := f.hasher.argoned.Load(), f.hasher.worked.Load(), f.rows("audit")
			_, _, err := f.OpenNamespace(ctx, c.namespace, c.password, "x", Client{})
			if c.good != (err == nil) || c.unknown != errors.Is(err, ErrNotFound) || !c.good && !c.unknown && errKey(err) != "device.refused" {
				t.Errorf("%.20s %.20q: %v", c.namespace, c.password, err)
			}
			if n := f.hasher.argoned.Load() - hashes; n != 1 {
				t.Errorf("%.20s %.20q: %d slow hashes", c.namespace, c.password, n)
			}
			if _, list, err := f.entrance(ctx, c.namespace); err != nil || len(list) != maxConfigs {
				t.Errorf("%.20s: compared with %d passwords, %v", c.namespace, len(list), err)
			}
			if f.hasher.worked.Load() != bcrypts || f.rows("audit") != audits+1 {
				t.Errorf("%.20s %.20q: other work than the rest", c.namespace, c.password)
			}
		}
	})
}

// The same over ten thousand tries, at namespaces that exist and at some that do
// not, in random order.
func TestTenThousandTries(t *testing.T) {
	f := open(t, "sqlite::memory:", func(o *Options) { o.PassCost = 4 })
	for _, n := range []int{0, 1, 20} {
		d := f.device(ada, fmt.Sprint("ns-", n))
		for i := range n {
			f.config(d, fmt.Sprint("password ", i), "", false)
		}
	}
	const tries = 10_000
	chance, unknown := rand.New(rand.NewPCG(1, 2)), 0
	hashes, audits := f.hasher.argoned.Load(), f.rows("audit")
	for range tries {
		ns := []string{"ns-0", "ns-1", "NS-20", "ns-2", "ns-21", "nowhere"}[chance.IntN(6)]
		_, _, err := f.OpenNamespace(t.Context(), ns, fmt.Sprint("wrong ", chance.IntN(30)), "x", Client{})
		switch {
		case errors.Is(err, ErrNotFound):
			unknown++
		case errKey(err) != "device.refused":
			t.Fatal(err)
		}
	}
	if n := f.hasher.argoned.Load() - hashes; n != tries || f.rows("audit") != audits+tries {
		t.Errorf("%d slow hashes, %d audit entries", n, f.rows("audit")-audits)
	}
	if unknown < tries/3 || unknown > 2*tries/3 {
		t.Errorf("%d of them at namespaces that do not exist", unknown)
	}
}

// A flood of tries waits for the same turns as the passwords of people.
func TestNamespacesShareTheTurns(t *testing.T) {
	f := open(t, storetest.SQLite(t), nil)
	f.hasher.turns = make(chan struct{}, 1)
	f.hasher.turns <- struct{}{}
	if _, _, err := f.OpenNamespace(t.Context(), "nowhere", "x", "x", Client{}); errKey(err) != "password.busy" {
		t.Errorf("%v", err)
	}
	<-f.hasher.turns
	if f.hasher.argoned.Load() != 0 || f.hasher.memory != argonMemory {
		t.Errorf("%d hashes, of %d KiB", f.hasher.argoned.Load(), f.hasher.memory)
	}
}

func TestNamespaceKey(t *testing.T) {
	f := open(t, storetest.SQLite(t), nil)
	same := f.NamespaceKey("Class-3A")
	for _, spelling := range []string{"class-3a", "CLASS-3A", "ＣＬＡＳＳ－３Ａ", "cla\u017f\u017f-3a"} {
		if f.NamespaceKey(spelling) != same {
			t.Errorf("%s is counted by itself", spelling)
		}
	}
	if f.NamespaceKey("class-3b") == same || len(f.NamespaceKey(strings.Repeat("x", 60_000))) != len(same) {
		t.Error("not one short key for each")
	}
}

// What is spelt with a character the engines cannot hold is another name: it must
// not find the one without it, past the limits that count it by itself.
func TestNothingIsLeftOutOfAName(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ctx := t.Context()
		f.config(f.device(ada, "class"), "one", "", false)
		d := f.device(ada, "other")
		for _, ns := range []string{"\x00class", "cla\x00ss", "class\x00", "cla\ufffdss"} {
			if _, _, err := f.OpenNamespace(ctx, ns, "one", "x", Client{}); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", ns, err)
			}
		}
		if _, err := f.Device(ctx, ada, d.ID+"\x00"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if _, err := f.CreateAccount(ctx, NewAccount{Username: "kim", Password: "a fine password", EndUser: true}, "boss"); err != nil {
			t.Fatal(err)
		}
		if a, err := f.AccountNamed(ctx, "k\x00im"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// The passwords of devices outlive the key they were sealed with.
func TestNamespacesAfterAKeyChange(t *testing.T) {
	url := storetest.SQLite(t)
	f := open(t, url, nil)
	d := f.device(ada, "class")
	f.config(d, "one", "", false)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{URL: url, Keys: [][]byte{otherKey}}); err == nil || !strings.Contains(err.Error(), "1 passwords of devices") {
		t.Errorf("without the old key: %v", err)
	}
	g := fixture{reopen(t, url, otherKey, testKey), f.clock, t}
	if n, err := g.RotateKeys(t.Context()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	h := fixture{reopen(t, url, otherKey), f.clock, t}
	defer h.Close()
	if _, _, err := h.OpenNamespace(t.Context(), "class", "one", "x", Client{}); err != nil {
		t.Error(err)
	}
}

// BenchmarkTry tells what a try costs at namespaces with no password, one and
// twenty, as a ratio to a namespace that does not exist, in one run.
func BenchmarkTry(b *testing.B) {
	s, err := Open(b.Context(), Options{URL: storetest.SQLite(b), Keys: [][]byte{testKey}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	names := []string{"unknown", "0", "1", "20"}
	for i, n := range []int{0, 1, 20} {
		var d Device
		if err := s.Tx(b.Context(), func(tx *Tx) (err error) {
			d, err = tx.NewDevice(b.Context(), ada, "x", names[i+1])
			return err
		}); err != nil {
			b.Fatal(err)
		}
		for j := range n {
			if _, err := s.AddConfig(b.Context(), ada, d.ID, ConfigChange{Password: new(fmt.Sprint(j))}); err != nil {
				b.Fatal(err)
			}
		}
	}
	took := timed(b, names, func(name string) {
		if _, _, err := s.OpenNamespace(b.Context(), name, "wrong", "x", Client{}); err == nil {
			b.Fatal("let in")
		}
	})
	for _, name := range names[1:] {
		b.ReportMetric(float64(took[name])/float64(took["unknown"]), "x-unknown-"+name)
	}
}
