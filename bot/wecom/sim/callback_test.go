package sim

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func TestSayReachesTheGatewayAndItsReplyThePerson(t *testing.T) {
	b := newBench(t)
	b.answers(func(in inbound) (int, string) { return 200, textReply(in, "收到 "+in.Content) })
	said := "a ]]> <b>&\x01 中文"
	d := b.Say("lilei", said)
	if !d.OK() || d.Attempts != 1 || d.Reply != "收到 "+strings.Replace(said, "\x01", "", 1) {
		t.Errorf("delivery %+v", d)
	}
	in := b.received()[0]
	if in.FromUserName != "LiLei" || in.ToUserName != b.Config().CorpID || in.MsgType != "text" || in.MsgId != d.MsgID ||
		in.AgentID != int64(b.Config().AgentID) || in.CreateTime != b.clock().Unix() {
		t.Errorf("inner %+v", in)
	}
	inbox, err := b.Wait(within(t), "LILEI", 1)
	if err != nil || inbox[0].Via != Passive || inbox[0].Text != d.Reply {
		t.Errorf("inbox %+v, %v", inbox, err)
	}
	b.clean()
}

func TestMessageIDsDifferAndNeed64Bits(t *testing.T) {
	b := newBench(t)
	first, second := b.Say("lilei", "same"), b.Say("lilei", "same")
	if first.MsgID == second.MsgID || len(first.MsgID) < 17 {
		t.Errorf("%s, %s", first.MsgID, second.MsgID)
	}
}

func TestFailuresAreRetriedThreeTimes(t *testing.T) {
	for _, c := range []struct {
		name            string
		fails, attempts int
		ok              bool
	}{
		{"none", 0, 1, true},
		{"two", 2, 3, true},
		{"for ever", 9, 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			left := c.fails
			b.answers(func(in inbound) (int, string) {
				if left > 0 {
					left--
					return http.StatusServiceUnavailable, ""
				}
				return 200, textReply(in, "ok")
			})
			d := b.Say("hanmeimei", "hi")
			if d.Attempts != c.attempts || d.OK() != c.ok || (d.Reply == "ok") != c.ok {
				t.Errorf("delivery %+v", d)
			}
			ids := map[string]bool{}
			nonces := map[string]bool{}
			for _, in := range b.received() {
				ids[in.raw] = true
				nonces[in.query.Get("nonce")] = true
			}
			if len(ids) != 1 || len(nonces) != c.attempts {
				t.Errorf("%d contents and %d nonces in %d attempts", len(ids), len(nonces), c.attempts)
			}
		})
	}
}

func TestSilenceIsATimeout(t *testing.T) {
	s, err := Start(Config{Timeout: 1, RetryAfter: 1, People: []Person{{ID: "lilei"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	s.SetCallback(silent.URL)
	if d := s.Say("lilei", "hi"); d.OK() || d.Attempts != 4 || d.Status != 0 {
		t.Errorf("delivery %+v", d)
	}
}

func TestRedeliverIsTheSameMessageSignedAnew(t *testing.T) {
	b := newBench(t)
	b.answers(func(in inbound) (int, string) { return 200, textReply(in, "once") })
	again := b.Redeliver(b.Say("lilei", "hi"))
	got := b.received()
	if len(got) != 2 || got[0].raw != got[1].raw || got[0].query.Get("nonce") == got[1].query.Get("nonce") {
		t.Errorf("got %+v", got)
	}
	if again.Reply != "once" || len(b.Inbox("lilei")) != 1 {
		t.Errorf("reply %q, inbox %+v", again.Reply, b.Inbox("lilei"))
	}
}

func TestDeliveryFaults(t *testing.T) {
	t.Run("duplicate", func(t *testing.T) {
		b := newBench(t)
		b.answers(func(in inbound) (int, string) { return 200, textReply(in, "hi") })
		b.SetFaults(Faults{Duplicate: true})
		d := b.Say("lilei", "hello")
		if d.Attempts != 2 || d.Reply != "hi" || len(b.received()) != 2 || len(b.Inbox("lilei")) != 1 {
			t.Errorf("delivery %+v, inbox %+v", d, b.Inbox("lilei"))
		}
	})
	t.Run("lost acknowledgement", func(t *testing.T) {
		b := newBench(t)
		b.answers(func(in inbound) (int, string) { return 200, textReply(in, "hi") })
		b.SetFaults(Faults{LostAcks: 2})
		d := b.Say("lilei", "hello")
		if d.Attempts != 3 || !d.OK() || len(b.Inbox("lilei")) != 1 || b.Faults().LostAcks != 0 {
			t.Errorf("delivery %+v, inbox %+v", d, b.Inbox("lilei"))
		}
	})
	t.Run("reordered", func(t *testing.T) {
		b := newBench(t)
		b.SetFaults(Faults{Reorder: true})
		var first sync.WaitGroup
		first.Go(func() { b.Say("lilei", "first") })
		if _, err := b.WaitFor(within(t), "lilei", func([]Received) bool { return b.isHolding() }); err != nil {
			t.Fatal(err)
		}
		b.Say("lilei", "second")
		first.Wait()
		if got := b.received(); got[0].Content != "second" || got[1].Content != "first" {
			t.Errorf("order %q, %q", got[0].Content, got[1].Content)
		}
	})
}

func (b *bench) isHolding() bool {
	b.Sim.mu.Lock()
	defer b.Sim.mu.Unlock()
	return b.held != nil
}

func TestCallbacksGoRoundTheInstances(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	hits := map[string]int{}
	instance := func(name string) string {
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			hits[name]++
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	b.SetCallback(instance("a"), instance("b"))
	for range 4 {
		b.Say("lilei", "hi")
	}
	if hits["a"] != 2 || hits["b"] != 2 {
		t.Errorf("hits %v", hits)
	}
}

func TestEventsPressesAndClicks(t *testing.T) {
	b := newBench(t)
	b.Event("lilei", "enter_agent")
	b.Click("lilei", "/status busy")
	if d := b.Press("lilei", "nothing", "k"); d.Error == "" || d.Attempts != 0 {
		t.Errorf("a card that is not there was pressed: %+v", d)
	}
	b.wantCode(b.post("message/send", b.cardTo("lilei", "t1")), 0)
	b.Press("lilei", "t1", "/status online", Selection{Question: "q", Options: []string{"o1", "o2"}})
	got := b.received()
	if got[0].Event != "enter_agent" || got[0].MsgId != "" || got[1].Event != "click" || got[1].EventKey != "/status busy" {
		t.Errorf("events %+v", got[:2])
	}
	press := got[2]
	if press.Event != "template_card_event" || press.EventKey != "/status online" || press.TaskId != "t1" ||
		press.CardType != "button_interaction" || press.ResponseCode == "" || strings.Join(press.Options, ",") != "o1,o2" {
		t.Errorf("press %+v", press)
	}
	b.clean()
}

func TestPassiveRepliesAreHeldAgainstTheRules(t *testing.T) {
	good := func(in inbound) string { return textReply(in, "fine") }
	for name, reply := range map[string]func(inbound) string{
		"not swapped": func(in inbound) string {
			in.FromUserName, in.ToUserName = in.ToUserName, in.FromUserName
			return good(in)
		},
		"another person": func(in inbound) string { in.FromUserName = "boss"; return good(in) },
		"not text":       func(in inbound) string { return strings.Replace(good(in), "[text]", "[markdown]", 1) },
		"no CreateTime": func(in inbound) string {
			return strings.Replace(good(in), "<CreateTime>1700000000</CreateTime>", "", 1)
		},
		"repeated element":  func(in inbound) string { return strings.Replace(good(in), "</xml>", "<Content>x</Content></xml>", 1) },
		"unknown element":   func(in inbound) string { return strings.Replace(good(in), "</xml>", "<MsgId>1</MsgId></xml>", 1) },
		"something after":   func(in inbound) string { return good(in) + "<xml></xml>" },
		"too long":          func(in inbound) string { return textReply(in, strings.Repeat("长", 700)) },
		"nothing in it":     func(in inbound) string { return textReply(in, " ") },
		"not XML":           func(inbound) string { return "hello" },
		"a doctype":         func(in inbound) string { return "<!DOCTYPE x>" + good(in) },
		"prefixed elements": func(in inbound) string { return strings.ReplaceAll(good(in), "Content>", "a:Content>") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.answers(func(in inbound) (int, string) { return 200, reply(in) })
			d := b.Say("lilei", "hi")
			if len(b.Problems()) != 1 {
				t.Errorf("problems %q, reply %q", b.Problems(), d.Reply)
			}
		})
	}
	t.Run("to an event that takes no text", func(t *testing.T) {
		b := newBench(t)
		b.answers(func(in inbound) (int, string) { return 200, good(in) })
		if b.Event("lilei", "unsubscribe"); len(b.Problems()) != 1 {
			t.Errorf("problems %q", b.Problems())
		}
	})
}

func TestReplyEnvelopeNamesAreExact(t *testing.T) {
	b := newBench(t)
	good := seal(b.keys, textReply(inbound{FromUserName: "LiLei", ToUserName: b.Config().CorpID}, "hi"))
	if text, err := b.openReply("lilei", []byte(good)); err != nil || text != "hi" {
		t.Fatalf("%q, %v", text, err)
	}
	for _, bad := range []string{
		strings.ReplaceAll(good, "TimeStamp", "Timestamp"),
		strings.ReplaceAll(good, "MsgSignature", "Signature"),
		strings.Replace(good, "1700000000", "1700000001", 1),
		strings.Replace(good, "<Nonce><![CDATA[n1]]></Nonce>", "", 1),
		strings.Replace(good, "<xml>", `<xml a="b">`, 1),
		"success!",
	} {
		if _, err := b.openReply("lilei", []byte(bad)); err == nil {
			t.Errorf("accepted: %s", bad)
		}
	}
}

func TestVerify(t *testing.T) {
	b := newBench(t)
	if err := b.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	wrong := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(`"echo"`)) }))
	defer wrong.Close()
	b.SetCallback(wrong.URL)
	if err := b.Verify(t.Context()); err == nil {
		t.Error("a wrong echo was accepted")
	}
}
