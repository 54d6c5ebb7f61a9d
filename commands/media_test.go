package commands

import (
	"sync"
	"testing"

	"deskbell/bot"

	"github.com/google/go-cmp/cmp"
)

// What somebody sends instead of words goes the way of words that are no command,
// through the same gate.
func TestMediaIsAnsweredLikeTalk(t *testing.T) {
	var mu sync.Mutex
	counted := map[string]int{}
	d := newDesk(t, deskOptions{set: func(o *Options) {
		o.Counted = func(command, outcome string) {
			mu.Lock()
			defer mu.Unlock()
			counted[command+" "+outcome]++
		}
	}})
	d.hire("mei", "韩梅梅", bot.Anyone)
	d.people["leaver"] = bot.Person{ID: "leaver", State: bot.Disabled}
	talk := d.say("mei", "你好")
	refused := d.say("leaver", "你好")
	if talk == "" || refused == "" || talk == refused {
		t.Fatalf("talk is answered with %q, and with %q", talk, refused)
	}
	send := func(from string, kind bot.MediaKind) string {
		m := d.message(from, "")
		m.Media = bot.Media{Kind: kind, ID: "m", Name: "a.txt"}
		first := d.deliver(m)
		if again := d.deliver(m); again != first {
			t.Errorf("%s: %q, and then %q", kind, first, again)
		}
		return first
	}
	for _, kind := range []bot.MediaKind{bot.Image, bot.Voice, bot.Video, bot.File} {
		if got := send("mei", kind); got != talk {
			t.Errorf("%s: %q, want %q", kind, got, talk)
		}
		if got := send("leaver", kind); got != refused {
			t.Errorf("%s of somebody disabled: %q, want %q", kind, got, refused)
		}
	}
	d.Close()
	if diff := cmp.Diff(map[string]int{"talk ok": 5, "talk denied": 5}, counted); diff != "" {
		t.Error("counted:", diff)
	}
}
