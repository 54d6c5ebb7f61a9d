package commands

import (
	"strings"
	"sync"
	"testing"

	"deskbell/bot"
	"deskbell/store"

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

// In a session, what somebody sends is wanted from WeCom and said, once.
func TestMediaGoesIntoTheSession(t *testing.T) {
	d := newDesk(t, deskOptions{})
	d.hire("mei", "韩梅梅", bot.Anyone)
	d.say("mei", "/session")
	m := d.message("mei", "")
	m.Media = bot.Media{Kind: bot.File, ID: "wecom's name", Name: "../报告.pdf"}
	for range 2 {
		if got := d.deliver(m); got == d.say("eve", "hello") {
			t.Errorf("answered %q", got)
		}
	}
	list, err := d.Store.Conversations(t.Context(), store.Conversations{Party: store.Party{Key: "mei"}})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	said, err := d.Store.Messages(t.Context(), list[0].ID, 0, 10)
	if err != nil || len(said) != 2 {
		t.Fatal(said, err)
	}
	if got := said[1]; got.Content != "报告.pdf" || got.Media == "" || got.Kind != string(bot.File) || got.Role != store.ByAsker {
		t.Errorf("%+v", got)
	}
	wanted, err := d.Store.MediaOf(t.Context(), list[0].ID, said[1].Media)
	if err != nil || wanted.State != store.MediaWanted || wanted.Person != "mei" {
		t.Errorf("%+v, %v", wanted, err)
	}
}

// What has no name, as pictures and voice, is called what it is, in the reader's
// language; and whoever has only the chat finds it by its address.
func TestMediaWithoutAName(t *testing.T) {
	d := newDesk(t, deskOptions{})
	d.hire("mei", "韩梅梅", bot.Anyone)
	d.hire("lilei", "李雷", bot.Agent)
	d.say("lilei", "/status online")
	d.say("mei", "/session")
	d.pushed("lilei")
	for kind, name := range map[bot.MediaKind]string{bot.Image: "图片", bot.Voice: "语音", bot.Video: "视频"} {
		m := d.message("mei", "")
		m.Media = bot.Media{Kind: kind, ID: "wecom's name " + name}
		d.deliver(m)
		got := strings.Join(d.pushed("lilei"), "\n")
		if !strings.Contains(got, "📎 "+name+"\nhttps://desk.example.com/chat/") || !strings.Contains(got, "/media/") {
			t.Errorf("of a %s lilei reads %q", kind, got)
		}
	}
}
