package commands

import (
	"testing"
	"time"

	"deskbell/bot"
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
