package wecom

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"deskbell/bot"
)

var (
	cliText   = bot.Outgoing{To: "lilei", Text: `您好 <a href="https://desk.example/?a=1&b=2">x</a>`}
	cliCard   = bot.Outgoing{To: "lilei", Card: []byte(`{"card_type":"text_notice", "task_id":"t1"}`)}
	cliUpdate = bot.Outgoing{To: "lilei", Card: []byte(`{"card_type":"button_interaction","task_id":"t1"}`), ResponseCode: "RC-CANARY"}
)

func cliSend(t *testing.T, answer string) (*cliFake, *Client) {
	return cliStart(t, nil, map[string]func(*http.Request) string{
		"message/send": cliSays(answer), "message/update_template_card": cliSays(answer),
	})
}

func TestSendBodies(t *testing.T) {
	for name, c := range map[string]struct {
		o          bot.Outgoing
		call, body string
	}{
		"text":   {cliText, "message/send", `{"touser":"lilei","msgtype":"text","agentid":1000002,"text":{"content":"您好 \u003ca href=\"https://desk.example/?a=1\u0026b=2\"\u003ex\u003c/a\u003e"},"safe":0,"enable_id_trans":0,"enable_duplicate_check":1,"duplicate_check_interval":14400}`},
		"card":   {cliCard, "message/send", `{"touser":"lilei","msgtype":"template_card","agentid":1000002,"template_card":{"card_type":"text_notice","task_id":"t1"},"safe":0,"enable_id_trans":0,"enable_duplicate_check":1,"duplicate_check_interval":14400}`},
		"update": {cliUpdate, "message/update_template_card", `{"userids":["lilei"],"agentid":1000002,"response_code":"RC-CANARY","template_card":{"card_type":"button_interaction","task_id":"t1"}}` + "\n"},
		"code without card": {
			bot.Outgoing{To: "lilei", Text: "hi", ResponseCode: "rc"}, "message/send",
			`{"touser":"lilei","msgtype":"text","agentid":1000002,"text":{"content":"hi"},"safe":0,"enable_id_trans":0,"enable_duplicate_check":1,"duplicate_check_interval":14400}`,
		},
	} {
		f, client := cliSend(t, `{"errcode":0,"errmsg":"ok"}`)
		for i := range 2 {
			if _, err := client.Send(t.Context(), c.o); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := f.body(c.call, i); got != c.body {
				t.Errorf("%s, try %d\n got %s\nwant %s", name, i+1, got, c.body)
			}
		}
	}
}

func TestVariantsDiffer(t *testing.T) {
	f, c := cliSend(t, `{"errcode":0}`)
	seen := map[string]bool{}
	for _, v := range []int{0, 1, 2, variants - 1, -1, 1 << 40} {
		o := cliText
		o.Variant = v
		if _, err := c.Send(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		seen[f.body("message/send", i)] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d different bodies, want 4", len(seen))
	}
	for i, body := range f.bodies["message/send"] {
		_, interval, _ := strings.Cut(body, `"duplicate_check_interval":`)
		var n int
		if fmt.Sscan(strings.TrimSuffix(interval, "}"), &n); n < variants || n > dedupeWindow {
			t.Errorf("body %d: window %d", i, n)
		}
	}
}

func TestReceipt(t *testing.T) {
	_, c := cliSend(t, `{"errcode":0,"errmsg":"ok","msgid":"m1","response_code":"rc"}`)
	r, err := c.Send(t.Context(), cliCard)
	if err != nil || r.MsgID != "m1" || r.ResponseCode != "rc" || len(r.Invalid) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestUndeliveredIsFinal(t *testing.T) {
	for _, c := range []struct {
		o      bot.Outgoing
		answer string
		want   []string
	}{
		{cliText, `{"errcode":0,"invaliduser":"lilei"}`, []string{"lilei"}},
		{cliText, `{"errcode":0,"invaliduser":"lilei|mei","unlicenseduser":"han"}`, []string{"lilei", "mei", "han"}},
		{cliText, `{"errcode":0,"unlicenseduser":"lilei"}`, []string{"lilei"}},
		{cliUpdate, `{"errcode":0,"invaliduser":["lilei"]}`, []string{"lilei"}},
	} {
		_, client := cliSend(t, c.answer)
		r, err := client.Send(t.Context(), c.o)
		if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind != bot.NotFound || !slices.Equal(r.Invalid, c.want) {
			t.Errorf("%s: %+v, %v", c.answer, r, err)
		}
	}
}

func TestSendErrors(t *testing.T) {
	for answer, want := range map[string]bot.Kind{
		`{"errcode":-1}`:      bot.Unavailable,
		`{"errcode":45009}`:   bot.Limited,
		`{"errcode":45033}`:   bot.Unavailable,
		`{"errcode":60020}`:   bot.Unavailable,
		`{"errcode":301002}`:  bot.Unavailable,
		`{"errcode":81013}`:   bot.NotFound,
		`{"errcode":40058}`:   bot.Internal,
		`{"errcode":85002}`:   bot.Invalid,
		"HTTP 500":            bot.Unavailable,
		`{"errcode":0,"msgid`: bot.Unavailable,
		`{}`:                  bot.Unavailable,
	} {
		for _, o := range []bot.Outgoing{cliText, cliUpdate} {
			_, c := cliSend(t, answer)
			_, err := c.Send(t.Context(), o)
			if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind != want || e.Key != "error.wecom" {
				t.Errorf("%s: %v, want kind %d", answer, err, want)
			}
		}
	}
}

func TestWrongSecretKeepsMessages(t *testing.T) {
	_, c := cliStart(t, nil, map[string]func(*http.Request) string{"gettoken": cliFails(40001)})
	_, err := c.Send(t.Context(), cliText)
	if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind != bot.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestCardUpdatedBeforeIsDone(t *testing.T) {
	_, c := cliSend(t, `{"errcode":60140}`)
	if _, err := c.Send(t.Context(), cliUpdate); err != nil {
		t.Error(err)
	}
	_, err := c.Send(t.Context(), cliCard)
	if err == nil {
		t.Error("60140 of message/send is no success")
	}
}

func TestNothingWrongIsSent(t *testing.T) {
	f, c := cliStart(t, nil, nil)
	for _, o := range []bot.Outgoing{
		{To: "@all", Text: "x"},
		{To: "a|b", Text: "x"},
		{To: "", Text: "x"},
		{To: "lilei"},
		{To: "lilei", Card: []byte{}},
		{To: "lilei", Text: "x", Card: []byte("{}")},
		{To: "lilei", Text: strings.Repeat("x", maxText+1)},
		{To: "lilei", Card: []byte(`"card"`)},
		{To: "lilei", Card: []byte(`{"card_type":`)},
	} {
		_, err := c.Send(t.Context(), o)
		if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind != bot.Invalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if len(f.calls) != 0 {
		t.Errorf("called %v", f.calls)
	}
}
