package wecom_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"deskbell/bot"
	"deskbell/bot/wecom"
	"deskbell/bot/wecom/sim"
)

// cliCorporation is a simulated corporation and a client of it.
func cliCorporation(t *testing.T) (*sim.Sim, *wecom.Client) {
	t.Helper()
	s, err := sim.Start(sim.Config{
		People: []sim.Person{
			{ID: "LiLei", Name: "李雷", Departments: []int{1}, Status: sim.StatusActive},
			{ID: "eve", Name: "Eve", Status: sim.StatusDisabled},
		},
		Tags: map[int][]string{7: {"LiLei"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.SetCallback("http://127.0.0.1:1/") // without one WeCom takes no cards with buttons
	conf := s.Config()
	c := wecom.NewClient(wecom.ClientOptions{CorpID: conf.CorpID, AgentID: conf.AgentID, Secret: conf.Secret, APIBase: s.URL()})
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for _, p := range s.Problems() {
			t.Error("the simulator did not understand: ", p)
		}
	})
	return s, c
}

func TestSimulatorUnderstandsEveryCall(t *testing.T) {
	s, c := cliCorporation(t)
	ctx := t.Context()
	if p, err := c.Person(ctx, "lilei", []int{7}); err != nil || p.ID != "LiLei" || p.State != bot.Active || !slices.Equal(p.Tags, []int{7}) {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := c.Person(ctx, "eve", nil); err != nil || p.State != bot.Disabled {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := c.Person(ctx, "nobody", nil); err != nil || p.State != bot.Unknown {
		t.Errorf("%+v, %v", p, err)
	}
	if r, err := c.Send(ctx, bot.Outgoing{To: "LiLei", Text: `<a href="https://desk.example">您好</a>`}); err != nil || r.MsgID == "" {
		t.Errorf("%+v, %v", r, err)
	}
	card := `{"card_type":"button_interaction","main_title":{"title":"Status"},"task_id":"t1","button_list":[{"text":"Busy","key":"/status busy"}]}`
	r, err := c.Send(ctx, bot.Outgoing{To: "LiLei", Card: []byte(card)})
	if err != nil || r.ResponseCode == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	update := bot.Outgoing{To: "LiLei", Card: []byte(card), ResponseCode: r.ResponseCode}
	for range 2 { // the second finds the code spent
		if _, err := c.Send(ctx, update); err != nil {
			t.Error(err)
		}
	}
	_, err = c.Send(ctx, bot.Outgoing{To: "nobody", Text: "x"})
	if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind != bot.NotFound {
		t.Errorf("got %v", err)
	}
	if m, err := c.Menu(ctx); err != nil || len(m.Buttons) != 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if err := c.SetMenu(ctx, wecom.Menu{Buttons: []wecom.Button{{Type: "click", Name: "状态", Key: "/status"}}}); err != nil {
		t.Error(err)
	}
	if m, err := c.Menu(ctx); err != nil || len(m.Buttons) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := c.App(ctx); err != nil {
		t.Error(err)
	}
	if ips, err := c.CallbackIPs(ctx); err != nil || len(ips) == 0 {
		t.Errorf("%v, %v", ips, err)
	}
	if id, err := c.UserInfo(ctx, s.LoginCode("LiLei")); err != nil || id != "LiLei" {
		t.Errorf("%q, %v", id, err)
	}
	if n := s.Calls("gettoken"); n != 1 {
		t.Errorf("%d gettoken calls", n)
	}
}

func TestTokenThatDiesEarlyCostsOneGetToken(t *testing.T) {
	s, c := cliCorporation(t)
	if _, err := c.App(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ExpireTokens()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := c.App(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.Calls("gettoken"); n != 2 {
		t.Errorf("%d gettoken calls, want 2", n)
	}
}

// A message whose answer got lost is sent again and seen once.
func TestResendingShowsAMessageOnce(t *testing.T) {
	s, c := cliCorporation(t)
	o := bot.Outgoing{To: "LiLei", Text: "您好"}
	for _, lost := range []sim.Outage{sim.Drop, sim.Truncate} {
		if _, err := c.App(t.Context()); err != nil { // have a token
			t.Fatal(err)
		}
		s.SetFaults(sim.Faults{Outage: lost})
		_, err := c.Send(t.Context(), o)
		if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind != bot.Unavailable {
			t.Fatalf("%s: %v", lost, err)
		}
		s.SetFaults(sim.Faults{})
	}
	if _, err := c.Send(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := s.Inbox("LiLei"); len(got) != 1 {
		t.Errorf("seen %d times", len(got))
	}
	o.Variant = 1
	if _, err := c.Send(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := s.Inbox("LiLei"); len(got) != 2 {
		t.Errorf("an equal message that was meant: seen %d times", len(got))
	}
}
