package templates

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFlatten(t *testing.T) {
	s := newSet(t)
	status, err := s.Card("zh", "status", "t-1", sampleAgent("午饭"))
	if err != nil {
		t.Fatal(err)
	}
	want := `您的状态：忙碌
20:30 自动恢复为在线
备注: 午饭
接待中: 2/5
[在线 → /status online]
[✓ 忙碌 → /status busy]
[离线 → /status offline]`
	if diff := cmp.Diff(want, Flatten(status)); diff != "" {
		t.Error(diff)
	}

	login, err := s.Card("en", "login", "t-2", sampleCards("lilei")["login"])
	if err != nil {
		t.Fatal(err)
	}
	want = `Sign-in link
For lilei only, valid for 10 minutes
Do not forward it: whoever has this link can sign in as you.
User: lilei
Page: lilei
Open the page (https://desk.example.com/chat?a=1&accessToken=` + strings.Repeat("x", 43) + `)`
	if diff := cmp.Diff(want, Flatten(login)); diff != "" {
		t.Error(diff)
	}

	other := `{"card_type":"text_notice","source":{"desc":"IT"},"main_title":{"title":"T"},"emphasis_content":{"title":"47","desc":"code"},` +
		`"card_action":{"type":1,"url":"https://x.example"},"button_list":[{"type":1,"text":"Go","url":"https://y.example"}]}`
	if diff := cmp.Diff("IT\nT\n47 code\n(https://x.example)\n[Go] (https://y.example)", Flatten([]byte(other))); diff != "" {
		t.Error(diff)
	}
}

// Each case breaks one of WeCom's rules in an otherwise good card.
func TestCardLimits(t *testing.T) {
	good := func() card {
		return card{
			Type: "button_interaction", TaskID: "t-1", Title: heading{Title: "T"},
			Buttons: []button{{Text: "a", Key: "/a"}, {Text: "b", Key: "/b"}},
		}
	}
	c := good()
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("长", 200)
	for i, spoil := range []func(*card){
		func(c *card) { c.Type = "vote" },
		func(c *card) { c.Type = "text_notice" },
		func(c *card) { c.Type, c.Buttons, c.Title = "text_notice", nil, heading{} },
		func(c *card) { c.TaskID = "" },
		func(c *card) { c.TaskID = "a b" },
		func(c *card) { c.TaskID = strings.Repeat("x", 129) },
		func(c *card) { c.Title.Title = "" },
		func(c *card) { c.Title.Title = long },
		func(c *card) { c.Title.Desc = long },
		func(c *card) { c.Subtitle = long },
		func(c *card) { c.Source = &source{Desc: long} },
		func(c *card) { c.Emphasis = &heading{Title: "1"} },
		func(c *card) { c.Rows = make([]row, 7) },
		func(c *card) { c.Rows = []row{{Name: "备注"}} },
		func(c *card) { c.Rows = []row{{Name: "六个字的名字", Value: "x"}} },
		func(c *card) { c.Rows = []row{{Name: "备注", Value: long}} },
		func(c *card) { c.Jumps = []jump{{Type: 1, Title: long, URL: "https://x.example"}} },
		func(c *card) { c.Jumps = []jump{{Type: 1, Title: "x", URL: "javascript:alert(1)"}} },
		func(c *card) { c.Jumps = []jump{{Title: "x", URL: "https://x.example"}} },
		func(c *card) { c.Jumps = make([]jump, 4) },
		func(c *card) {
			c.CardAction = &cardAction{Type: 1, URL: "https://x.example/" + strings.Repeat("y", 2048)}
		},
		func(c *card) { c.CardAction = &cardAction{Type: 2, URL: "https://x.example/"} },
		func(c *card) { c.Buttons = nil },
		func(c *card) { c.Buttons = make([]button, 7) },
		func(c *card) { c.Buttons[0].Text = "" },
		func(c *card) { c.Buttons[0].Text = long },
		func(c *card) { c.Buttons[0].Style = 5 },
		func(c *card) { c.Buttons[0].Type = 2 },
		func(c *card) { c.Buttons[0].Key = "" },
		func(c *card) { c.Buttons[0].Key = strings.Repeat("k", 1025) },
		func(c *card) { c.Buttons[1].Key = c.Buttons[0].Key },
		func(c *card) { c.Buttons[0] = button{Type: 1, Text: "a", URL: "/relative"} },
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			c := good()
			spoil(&c)
			if err := c.check(); err == nil {
				t.Errorf("accepted: %+v", c)
			}
		})
	}
}

func TestDecodeCardIsStrict(t *testing.T) {
	for _, raw := range []string{``, `{`, `[]`, `{"card_type":"x","colour":1}`, `{} {}`} {
		if _, err := decodeCard([]byte(raw)); err == nil {
			t.Errorf("%q was taken for a card", raw)
		}
	}
	if got := Flatten([]byte(`{"a":1}`)); !strings.HasPrefix(got, "(a card that is none") {
		t.Errorf("Flatten = %q", got)
	}
}
