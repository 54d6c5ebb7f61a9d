package commands

import (
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// A message that some instance received and nobody runs is taken over when WeCom
// comes back with it, in time for the reply. The clock stands still, so the sweep
// does not see it.
func TestMessageLeftByAnotherInstance(t *testing.T) {
	eachDesk(t, deskOptions{}, func(t *testing.T, d *desk) {
		d.hire("mei", "Mei", bot.Agent)
		if _, err := d.Directory.Person(t.Context(), "mei"); err != nil { // a stranger's callback would not wait as long
			t.Fatal(err)
		}
		m := d.message("mei", "/lang en")
		if first, _, err := d.store.Receive(t.Context(), m); err != nil || !first {
			t.Fatal(first, err)
		}
		began := time.Now()
		text, err := d.Take(soon(), m)
		if err != nil || text == "" {
			t.Errorf("answered %q, %v", text, err)
		}
		if took := time.Since(began); took < leftAfter {
			t.Errorf("taken over after %s: whoever has it may be about to run it", took)
		}
	})
}

// Somebody who left, as another instance heard, is nobody here either, also while
// this one still remembers them as active.
func TestWhoLeftElsewhereIsNobodyHere(t *testing.T) {
	eachDesk(t, deskOptions{}, func(t *testing.T, d *desk) {
		d.hire("mei", "Mei", bot.Agent)
		d.hire("boss", "Boss", bot.Admin)
		if got := d.say("mei", "/status online"); got == "" {
			t.Fatal("no answer")
		}
		left := d.people["mei"]
		left.State = bot.Left
		d.people["mei"] = left
		if err := d.store.Tx(t.Context(), func(tx *store.Tx) error { return tx.CutOff(t.Context(), "mei", bot.Left) }); err != nil {
			t.Fatal(err)
		}
		if p, ok := d.Directory.Peek("mei"); !ok || p.State != bot.Active {
			t.Fatalf("%+v is not what this instance remembers", p)
		}
		if got := d.say("mei", "/status online"); !strings.Contains(got, "退出") {
			t.Errorf("answered %q", got)
		}
		err := d.store.Tx(t.Context(), func(tx *store.Tx) error {
			a, err := tx.Agent(t.Context(), "mei")
			if a.Status != store.Offline {
				t.Errorf("who left is %s", a.Status)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if got := d.say("boss", "/role why mei help"); !strings.Contains(got, "不可以") {
			t.Errorf("why: %q", got)
		}
	})
}
