package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"deskbell/bot/settings"
	"deskbell/bot/wecom/sim"
)

// desk is the whole product in this process, with the demo's people.
type desk struct {
	*testing.T
	box *sim.Sim
	url string
}

func newDesk(t *testing.T) desk {
	t.Helper()
	people, departments := sim.Sample()
	box, err := sim.Start(sim.Config{People: people, Departments: departments})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := demoConfig(box, "http://"+ln.Addr().String(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Limits.LoginPerAddress, cfg.Limits.LoginPerAccount = settings.Rate{}, settings.Rate{}
	ctx, stop := context.WithCancel(t.Context())
	g, err := newGateway(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	box.SetCallback(cfg.Server.PublicURL + "/callbacks/wecom")
	ended := make(chan error, 1)
	go func() { ended <- g.run(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return desk{t, box, cfg.Server.PublicURL}
}

// said is what the Agents API says, as far as these tests read it.
type said struct {
	Status int
	Code   int
	Data   struct {
		State, Token, Number, AccessToken string
		LoginID                           string `json:"login_id"`
		UserID                            string `json:"user_id"`
		AgentStatus                       string `json:"status"`
		OTP                               bool   `json:"otp_enabled"`
	}
}

func (d desk) call(method, path, token, body string) (a said) {
	d.Helper()
	req, err := http.NewRequestWithContext(d.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		d.Fatal(err)
	}
	a.Status = res.StatusCode
	return a
}

func (d desk) login(body string) said {
	d.Helper()
	return d.call("POST", "/api/agents/login", "", body)
}

// card waits for a card in somebody's chat that is like this.
func (d desk) card(user string, like func(*sim.Card) bool) (found *sim.Card) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), patience)
	defer cancel()
	_, err := d.box.WaitFor(ctx, user, func(all []sim.Received) bool {
		for _, r := range slices.Backward(all) {
			if r.Card != nil && like(r.Card) {
				found = r.Card
				return true
			}
		}
		return false
	})
	if err != nil {
		d.Fatalf("%v: %+v", err, d.box.Inbox(user))
	}
	return found
}

// key is what the button with this on it stands for.
func key(c *sim.Card, text string) string {
	for _, b := range c.Buttons {
		if b.Text == text {
			return b.Key
		}
	}
	return ""
}

// From the login to the chat and back: the number on the screen is pressed on
// the card, the card says so, and the token comes once.
func TestLoginApprovedInTheChat(t *testing.T) {
	d := newDesk(t)
	asked := d.login(`{"user_id":"LILEI"}`)
	if asked.Status != 202 || len(asked.Data.Number) != 2 {
		t.Fatalf("%+v", asked)
	}
	card := d.card("lilei", func(c *sim.Card) bool { return key(c, asked.Data.Number) != "" })
	poll := func() said { return d.call("GET", "/api/agents/login/"+asked.Data.LoginID, "", "") }
	if a := poll(); a.Status != 200 || a.Data.State != "pending" || a.Data.Token != "" {
		t.Fatalf("before: %+v", a)
	}
	d.box.Press("lilei", card.TaskID, key(card, asked.Data.Number))
	d.card("lilei", func(c *sim.Card) bool { return c.TaskID == card.TaskID && strings.Contains(c.Title.Title, "已同意") })
	first, second := poll(), poll()
	if first.Data.State != "approved" || first.Data.UserID != "lilei" || first.Data.Token == "" || second.Data.State != "approved" || second.Data.Token != "" {
		t.Fatalf("%+v, then %+v", first, second)
	}
	if me := d.call("GET", "/api/agents/me", first.Data.Token, ""); me.Status != 200 || me.Data.AgentStatus != "online" {
		t.Errorf("%+v", me)
	}
	d.card("lilei", func(c *sim.Card) bool { return key(c, "不是我，全部退出") != "" }) // was this you
	if problems := d.box.Problems(); len(problems) > 0 {
		t.Errorf("WeCom objects: %q", problems)
	}
}

// The other proofs, and what is left of them when WeCom does not said.
func TestLoginWithAPassword(t *testing.T) {
	d := newDesk(t)
	d.box.Say("lilei", "/password")
	card := d.card("lilei", func(c *sim.Card) bool { return c.Action != nil && strings.Contains(c.Action.URL, "/password?") })
	link, err := url.Parse(card.Action.URL)
	if err != nil {
		t.Fatal(err)
	}
	fields := url.Values{"accessToken": {link.Query().Get("accessToken")}, "password": {"correct horse"}, "again": {"correct horse"}}
	res, err := http.PostForm(d.url+"/password", fields)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if page, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !bytes.Contains(page, []byte("密码已设置")) {
		t.Fatalf("%d %s", res.StatusCode, page)
	}
	const good = `{"user_id":"lilei","password":"correct horse"}`
	with := func(code string) string { return `{"user_id":"lilei","wecom_code":"` + code + `"}` }
	expect := func(what string, a said, status, code int) {
		t.Helper()
		if a.Status != status || a.Code != code || (a.Data.Token != "") != (status == 200) {
			t.Errorf("%s: %+v", what, a)
		}
	}
	expect("password", d.login(good), 200, 0)
	expect("wrong password", d.login(`{"user_id":"lilei","password":"wrong horse"}`), 401, 1011)
	code := d.box.LoginCode("lilei")
	expect("WeCom", d.login(with(code)), 200, 0)
	expect("WeCom, used", d.login(with(code)), 401, 1011)
	expect("WeCom, somebody else's", d.login(with(d.box.LoginCode("hanmeimei"))), 401, 1011)
	expect("a user", d.login(`{"user_id":"hanmeimei","wecom_code":"`+d.box.LoginCode("hanmeimei")+`"}`), 403, 1002)

	// Before the outage, after which WeCom is not asked for a while.
	d.box.SetFaults(sim.Faults{Errcode: map[string]sim.Failure{"user/get": {Code: 60020}}})
	expect("WeCom refuses this host", d.login(good), 503, 1003)
	d.box.SetFaults(sim.Faults{Outage: sim.Broken})
	expect("password in an outage", d.login(good), 200, 0)
	expect("wrong password in an outage", d.login(`{"user_id":"lilei","password":"wrong horse"}`), 401, 1011)
	expect("WeCom in an outage", d.login(with(d.box.LoginCode("lilei"))), 503, 1003)
	expect("nothing in an outage", d.login(`{"user_id":"lilei"}`), 202, 0)
	d.box.SetFaults(sim.Faults{})

	lilei, _ := d.box.Person("lilei")
	lilei.Status = sim.StatusDisabled
	d.box.SetPerson(lilei)
	for range 2 { // the first one finds out, and the password is gone with the rest
		if a := d.login(good); a.Status != 403 && a.Status != 401 {
			t.Errorf("disabled: %+v", a)
		}
	}
}
