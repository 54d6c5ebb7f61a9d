package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"
)

// The key is changed while people give codes: none is refused, and then nothing
// needs the old key any more.
func TestKeysRotateUnderLoad(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		f := open(t, url, nil)
		secrets, recovery := map[string]string{}, []string{}
		for i := range 12 { // 120 recovery codes are more than one bite
			id := fmt.Sprint("agent", i)
			secrets[id], recovery = f.enrol(id)
		}
		f.tx(func(tx *Tx) error { return tx.Push(ctx, bot.Outgoing{To: "agent1", Text: "soon"}) })
		f.receive(said("agent1", 1))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}

		_, err := Open(ctx, Options{URL: url, Keys: [][]byte{otherKey}})
		if err == nil || !strings.Contains(err.Error(), "12 one-time passwords") || !strings.Contains(err.Error(), "120 recovery codes") {
			t.Errorf("without the old key: %v", err)
		}

		g := fixture{reopen(t, url, otherKey, testKey), f.clock, t}
		g.Now = f.now
		var load sync.WaitGroup
		for id, secret := range secrets {
			load.Go(func() {
				for range 5 {
					if r, err := g.UseOTP(ctx, id, code(t, secret, f.now())); err != nil || r.LockedFor > 0 {
						t.Errorf("%s: %+v, %v", id, r, err)
					}
				}
			})
		}
		beside, err := Open(ctx, Options{URL: url, Keys: [][]byte{otherKey, testKey}, Beside: true})
		if err != nil {
			t.Fatal(err)
		}
		n, err := beside.RotateKeys(ctx)
		load.Wait()
		if err != nil || n < 12+120+2 {
			t.Errorf("%d values, %v", n, err)
		}
		uses, err := beside.KeyUses(ctx)
		if err != nil || len(uses) < 4 {
			t.Errorf("%+v, %v", uses, err)
		}
		for _, u := range uses {
			if !u.First && !u.Lasts || !u.Known {
				t.Errorf("%+v", u)
			}
		}
		if n, err := beside.RotateKeys(ctx); n != 0 || err != nil {
			t.Errorf("once more: %d, %v", n, err)
		}
		if err := beside.Close(); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}

		h := fixture{reopen(t, url, otherKey), f.clock, t}
		h.Now = f.now
		defer h.Close()
		f.pass(time.Hour)
		if r := h.use("agent3", code(t, secrets["agent3"], f.now())); !r.OK {
			t.Errorf("without the old key: %+v", r)
		}
		h.tx(func(tx *Tx) error {
			if ok, err := tx.UseRecoveryCode(ctx, "agent11", recovery[9]); !ok || err != nil {
				t.Errorf("recovery code without the old key: %v, %v", ok, err)
			}
			return nil
		})
		c := &courier{}
		h.deliver(c)
		if got := strings.Join(c.done, ";"); !strings.Contains(got, "text soon") {
			t.Errorf("delivered %s", got)
		}
	})
}

// A value that does not open does not keep the others from being sealed anew.
func TestRotateGoesRoundABrokenValue(t *testing.T) {
	f := open(t, "sqlite::memory:", func(o *Options) { o.Keys = [][]byte{testKey, otherKey} })
	f.enrol("lilei")
	f.enrol("mei")
	slices.Reverse(f.keys.keys)
	if _, err := f.db.NewRaw("UPDATE otp SET secret = (SELECT secret FROM otp WHERE person = 'mei') WHERE person = 'lilei'").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := f.RotateKeys(t.Context())
	if err == nil || !strings.Contains(err.Error(), "1 values cannot be opened") {
		t.Errorf("%v", err)
	}
	uses, err := f.keyUses(t.Context(), sealed[0])
	if err != nil || len(uses) != 2 || uses[0].Rows != 1 || uses[1].Rows != 1 {
		t.Errorf("%+v, %v", uses, err)
	}
}

func TestCommandBesideAServer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		f.enrol("boss")
		beside, err := Open(t.Context(), Options{URL: url, Keys: [][]byte{testKey}, Beside: true, Render: f.Render})
		if err != nil {
			t.Fatal(err)
		}
		if err := beside.ResetOTPOnHost(t.Context(), "boss"); err != nil {
			t.Error(err)
		}
		if err := beside.Close(); err != nil {
			t.Error(err)
		}
		if on, err := f.OTPEnabled(t.Context(), "boss"); on || err != nil {
			t.Errorf("still on: %v, %v", on, err)
		}
		_, err = Open(t.Context(), Options{URL: storetest.SQLite(t), Keys: [][]byte{testKey}, Beside: true})
		if err == nil || !strings.Contains(err.Error(), "deskbell migrate") {
			t.Errorf("an empty store: %v", err)
		}
	})
}
