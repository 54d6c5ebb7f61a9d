package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Say types text to the app.
func (s *Sim) Say(from, text string) Delivery {
	s.own(from, "text", text)
	id := strconv.FormatInt(s.next(), 10)
	inner := s.inner(from, "text", tag("Content", text), "<MsgId>"+id+"</MsgId>")
	return s.callback(Delivery{User: from, MsgID: id, kind: "text", inner: inner})
}

// Event reports that something happened to the person: "enter_agent",
// "subscribe", "unsubscribe".
func (s *Sim) Event(from, name string) Delivery {
	return s.event(from, name, tag("EventKey", ""))
}

// Click chooses an entry of the app's menu.
func (s *Sim) Click(from, key string) Delivery {
	s.own(from, "click", key)
	return s.event(from, "click", tag("EventKey", key))
}

// A Selection is what was chosen in one of a card's questions.
type Selection struct {
	Question string   `json:"question"`
	Options  []string `json:"options"`
}

// Press presses the button with that key on a card the person has. A card that
// is not there, or does not offer the key, cannot be pressed: nothing is sent
// and Error says so.
func (s *Sim) Press(from, taskID, key string, chosen ...Selection) Delivery {
	s.mu.Lock()
	card, msgID := s.cardOf(from, taskID)
	if card == nil || !card.offers(key) {
		s.mu.Unlock()
		return Delivery{User: from, kind: "template_card_event", Error: fmt.Sprintf("%s has no card %q with a button %q", from, taskID, key)}
	}
	name, label := "template_card_event", key
	if card.ActionMenu != nil && slices.ContainsFunc(card.ActionMenu.Actions, func(b CardButton) bool { return b.Key == key }) {
		name = "template_card_menu_event"
	}
	for _, b := range card.Buttons {
		if b.Key == key {
			label = b.Text
		}
	}
	fields := []string{
		tag("EventKey", key), tag("TaskId", taskID), tag("CardType", card.Type),
		tag("ResponseCode", s.newResponseCode(msgID, taskID, s.conf.Now())),
	}
	s.mu.Unlock()
	s.own(from, "press", label)
	if len(chosen) > 0 {
		fields = append(fields, selectedItems(chosen))
	}
	return s.event(from, name, fields...)
}

// cardOf finds the person's copy of a card. The caller holds s.mu.
func (s *Sim) cardOf(user, taskID string) (card *Card, msgID string) {
	m := s.people[canonical(user)]
	if m == nil {
		return nil, ""
	}
	for _, r := range slices.Backward(m.chat) {
		if r.Card != nil && r.Card.TaskID == taskID && !r.Recalled {
			return r.Card, r.MsgID
		}
	}
	return nil, ""
}

// Post delivers any inner XML, properly encrypted: what only a test would send.
func (s *Sim) Post(from, inner string) Delivery {
	return s.callback(Delivery{User: from, kind: "raw", inner: inner})
}

func (s *Sim) event(from, name string, fields ...string) Delivery {
	fields = append([]string{tag("Event", name)}, fields...)
	return s.callback(Delivery{User: from, kind: name, inner: s.inner(from, "event", fields...)})
}

// own shows the person's own words in the conversation.
func (s *Sim) own(from, kind, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.people[canonical(from)]; m != nil {
		s.show(m, Received{Via: Own, Type: kind, Text: text})
	}
}

// inner makes the XML of a message or event, in the order WeCom writes it.
func (s *Sim) inner(from, msgType string, fields ...string) string {
	s.mu.Lock()
	if m := s.people[canonical(from)]; m != nil {
		from = m.ID // WeCom writes the directory's spelling
	}
	s.mu.Unlock()
	var b strings.Builder
	b.WriteString("<xml>" + tag("ToUserName", s.conf.CorpID) + tag("FromUserName", from))
	fmt.Fprintf(&b, "<CreateTime>%d</CreateTime>", s.conf.Now().Unix())
	b.WriteString(tag("MsgType", msgType))
	for _, f := range fields {
		b.WriteString(f)
	}
	fmt.Fprintf(&b, "<AgentID>%d</AgentID></xml>", s.conf.AgentID)
	return b.String()
}

func selectedItems(chosen []Selection) string {
	var b strings.Builder
	b.WriteString("<SelectedItems>")
	for _, c := range chosen {
		b.WriteString("<SelectedItem>" + tag("QuestionKey", c.Question) + "<OptionIds>")
		for _, o := range c.Options {
			b.WriteString(tag("OptionId", o))
		}
		b.WriteString("</OptionIds></SelectedItem>")
	}
	b.WriteString("</SelectedItems>")
	return b.String()
}

// tag writes an element as CDATA, without the characters XML cannot hold.
func tag(name, value string) string {
	value = strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, strings.ToValidUTF8(value, "\uFFFD"))
	value = strings.ReplaceAll(value, "]]>", "]]]]><![CDATA[>")
	return "<" + name + "><![CDATA[" + value + "]]></" + name + ">"
}
