package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
)

// Somebody taken out of the app is out of every door within five seconds of the
// event, and the administrator learns what was cut.
func TestLeaverIsRefusedAtEveryDoor(t *testing.T) {
	d := newDesk(t)
	if said := d.box.Say("boss", "/help"); !said.OK() { // or nobody here knew of an administrator
		t.Fatal(said)
	}
	d.box.Say("lilei", "/login")
	link := d.card("lilei", func(c *sim.Card) bool { return c.Action != nil && strings.Contains(c.Action.URL, "accessToken=") }).Action.URL
	_, link, _ = strings.Cut(link, "accessToken=")
	exchange := func() said {
		return d.call("POST", "/api/v1/tokens/exchange", "", `{"access_token":"`+link+`"}`)
	}
	bearer := exchange().Data.AccessToken
	if a := d.call("POST", "/api/agents/password", bearer, `{"new_password":"correct horse battery"}`); a.Status != 200 {
		t.Fatalf("%+v", a)
	}
	d.box.Say("lilei", "/login") // another, not used yet
	link = d.card("lilei", func(c *sim.Card) bool { return c.Action != nil && !strings.Contains(c.Action.URL, link) }).Action.URL
	_, link, _ = strings.Cut(link, "accessToken=")
	login := `{"user_id":"lilei","password":"correct horse battery"}`
	if a := d.login(login); a.Status != 200 {
		t.Fatalf("%+v", a)
	}

	person, _ := d.box.Person("lilei")
	person.Hidden = true
	d.box.SetPerson(person)
	gone := time.Now()
	d.box.Event("lilei", "unsubscribe")
	d.card("boss", func(c *sim.Card) bool {
		return c.Title.Title == "李雷 已停用" && c.Rows[1].Value == "退出 3 处" && c.Rows[3].Value == "已删除"
	})
	for door, status := range map[string]int{
		"bearer": d.call("GET", "/api/agents/me", bearer, "").Status,
		"link":   exchange().Status,
		"login":  d.login(login).Status,
	} {
		if status != 401 {
			t.Errorf("%s: %d", door, status)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	said := d.box.Say("lilei", "/status online")
	if !strings.Contains(said.Reply, "可见范围") {
		if _, err := d.box.WaitFor(ctx, "lilei", func(all []sim.Received) bool {
			return strings.Contains(all[len(all)-1].Text, "可见范围")
		}); err != nil {
			t.Errorf("the chat says %q", said.Reply)
		}
	}
	if took := time.Since(gone); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
