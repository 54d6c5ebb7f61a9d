package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"
)

// sees waits until somebody's chat is as it should be, and fails unless it comes
// to that.
func (f *fleet) sees(userID, what string, ok func([]sim.Received) bool) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	if inbox, err := f.box.WaitFor(ctx, userID, ok); err != nil {
		for _, r := range inbox {
			f.Logf("%s %s %+v", r.Via, r.Text, r.Card)
		}
		f.Fatalf("%s does not see %s", userID, what)
	}
}

// reads waits for a text.
func (f *fleet) reads(userID, text string) {
	f.Helper()
	f.sees(userID, text, func(all []sim.Received) bool {
		return slices.ContainsFunc(all, func(r sim.Received) bool { return strings.Contains(r.Text, text) })
	})
}

// offer waits for an agent's card with this title, and says how often it changed.
func (f *fleet) offer(userID, title string) (r sim.Received) {
	f.Helper()
	f.sees(userID, "a card "+title, func(all []sim.Received) bool {
		i := slices.IndexFunc(all, func(r sim.Received) bool { return r.Card != nil && strings.HasPrefix(r.Card.Title.Title, title) })
		if i >= 0 {
			r = all[i]
		}
		return i >= 0
	})
	return r
}

func (f *fleet) cardsOf(userID string) (n int) {
	for _, r := range f.box.Inbox(userID) {
		if r.Card != nil && (strings.Contains(r.Card.Title.Title, "请您帮忙") || strings.Contains(r.Card.Title.Title, "会话")) {
			n++
		}
	}
	return n
}

// An agent's card follows what becomes of the session: the same card in WeCom
// changes, for as long as WeCom allows, and then there is another.
func TestTheAgentsCardFollowsTheSession(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := newFleet(t, url, 1)
		f.say("agent0", "/status online")
		f.say("guest0", "/session 打印机")
		offer := f.offer("agent0", "guest0 请您帮忙")
		if a := offer.Card.Action; a == nil || !strings.Contains(a.URL, "/agent/chat?session=") {
			t.Errorf("the card leads to %+v", a)
		}
		f.say("guest0", "卡纸了")
		f.reads("agent0", "卡纸了")
		if d := f.box.Press("agent0", offer.Card.TaskID, offer.Card.Buttons[0].Key); !d.OK() {
			t.Fatal(d)
		}
		if r := f.offer("agent0", "→ guest0"); r.MsgID != offer.MsgID || r.Updates != 1 {
			t.Errorf("after the press: %+v", r)
		}
		f.say("agent0", "马上来")
		f.reads("guest0", "马上来")
		f.say("guest0", "/session close")
		if r := f.offer("agent0", "会话已结束"); r.MsgID != offer.MsgID || r.Updates != 2 || r.Card.TaskID != offer.Card.TaskID {
			t.Errorf("after the end: %+v", r)
		}

		// Another goes back to the queue when its agent goes, and on to the next.
		f.say("guest1", "/session 键盘")
		second := f.offer("agent0", "guest1 请您帮忙")
		f.say("agent1", "/status online")
		f.say("agent0", "/status offline")
		if r := f.offer("agent0", "会话已收回"); r.MsgID != second.MsgID {
			t.Errorf("after they went: %+v", r)
		}
		third := f.offer("agent1", "guest1 请您帮忙")
		f.reads("guest1", "agent1现在接待您")

		// It is given on, comes back, and the card was already used up: a second one.
		f.say("agent2", "/status online")
		f.say("agent1", "/session transfer "+strings.TrimPrefix(third.Card.Buttons[0].Key, "/session use ")+" agent2 懂键盘")
		if r := f.offer("agent1", "会话已转给 agent2"); r.MsgID != third.MsgID {
			t.Errorf("after it was given on: %+v", r)
		}
		fourth := f.offer("agent2", "guest1 请您帮忙")
		if !strings.Contains(fourth.Card.SubTitle, "懂键盘") {
			t.Errorf("the note is not on the card: %+v", fourth.Card)
		}
		f.say("agent2", "/session transfer "+strings.TrimPrefix(fourth.Card.Buttons[0].Key, "/session use ")+" agent1")
		fifth := f.offer("agent1", "guest1 请您帮忙")
		if fifth.MsgID == third.MsgID || f.cardsOf("agent1") != 2 {
			t.Errorf("%d cards, %+v", f.cardsOf("agent1"), fifth)
		}
		f.box.Press("agent1", fifth.Card.TaskID, fifth.Card.Buttons[1].Key)
		f.reads("guest1", "坐席结束了会话")
		if r := f.offer("agent1", "会话已结束"); r.MsgID != fifth.MsgID {
			t.Errorf("after they closed it: %+v", r)
		}
		if n := f.cardsOf("agent1"); n != 2 {
			t.Errorf("%d cards at the end", n)
		}
		if list := f.box.Problems(); len(list) > 0 {
			t.Error(list)
		}
	})
}

// A broadcast reaches everybody who can see the app, also those who never said
// anything, and its author is told whom it did not reach.
func TestBroadcast(t *testing.T) {
	f := newFleet(t, "sqlite::memory:", 1)
	f.box.SetPerson(sim.Person{ID: "stranger", Name: "stranger", Departments: []int{1}})
	f.box.SetPerson(sim.Person{ID: "gone", Name: "gone", Departments: []int{1}, Status: sim.StatusDisabled})
	f.say("boss", "/broadcast 今晚\n维护")
	card := f.offer("boss", "发给 19 人？").Card // boss, hanmeimei, 16 others and the stranger
	person, _ := f.box.Person("guest7")
	person.Hidden = true
	f.box.SetPerson(person) // since they were counted
	f.box.Press("boss", card.TaskID, card.Buttons[0].Key)
	f.reads("stranger", "通知（boss）\n今晚\n维护")
	done := f.offer("boss", "通知发完了").Card
	if done.Rows[0].Value != "18 人" || done.Rows[1].Value != "1 人" {
		t.Errorf("%+v", done.Rows)
	}
	for _, r := range f.box.Inbox("gone") {
		t.Errorf("somebody who is disabled got %+v", r)
	}
	if f.pass(time.Hour); !f.box.Press("boss", card.TaskID, "/audit").OK() {
		t.Error("the card does not say that it went out")
	}
}

// When an agent leaves the company, their sessions go to others and the
// administrator reads how many.
func TestAnAgentLeavesTheDesk(t *testing.T) {
	f := newFleet(t, "sqlite::memory:", 1)
	f.say("agent0", "/status online")
	f.say("guest0", "/session 打印机")
	f.offer("agent0", "guest0 请您帮忙")
	f.say("agent1", "/status online")
	person, _ := f.box.Person("agent0")
	person.Hidden = true
	f.box.SetPerson(person)
	f.box.Event("agent0", "unsubscribe")
	f.offer("agent1", "guest0 请您帮忙")
	f.reads("guest0", "agent1现在接待您")
	if card := f.offer("boss", "agent0 已停用").Card; !strings.Contains(card.SubTitle, "1 个会话会转给其他坐席") {
		t.Errorf("the administrator reads %q", card.SubTitle)
	}
	f.say("guest0", "还在吗")
	f.reads("agent1", "还在吗")
}
