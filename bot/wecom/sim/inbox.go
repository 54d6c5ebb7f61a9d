package sim

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Via says how a line came into a person's conversation with the app.
type Via string

// The ways. Only Passive and Push are of the app's making.
const (
	Passive Via = "passive" // in the answer to a callback
	Push    Via = "push"    // with message/send
	Own     Via = "own"     // the person typed, pressed or clicked
	Note    Via = "note"    // a remark of the simulator: a retry, a lost answer
)

// Received is one line of a person's conversation with the app.
type Received struct {
	Seq      int64     `json:"seq"` // grows; identifies the line
	At       time.Time `json:"at"`
	Via      Via       `json:"via"`
	Type     string    `json:"type"` // WeCom's msgtype; for a note, which remark
	Text     string    `json:"text,omitempty"`
	TextCard *TextCard `json:"textcard,omitempty"`
	Card     *Card     `json:"card,omitempty"`     // as it looks now
	MediaID  string    `json:"media_id,omitempty"` // of an image, file, voice or video
	FileName string    `json:"file_name,omitempty"`
	Safe     bool      `json:"safe,omitempty"` // cannot be passed on
	MsgID    string    `json:"msgid,omitempty"`
	Updates  int       `json:"updates,omitempty"` // how often the card was changed
	Recalled bool      `json:"recalled,omitempty"`
}

// TextCard is the msgtype textcard.
type TextCard struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	URL         string `json:"url"`
	ButtonText  string `json:"btntxt,omitempty"`
}

// Inbox returns what the person sees of the app, oldest first: cards in their
// latest state, nothing that was recalled, suppressed or dropped.
func (s *Sim) Inbox(user string) []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen(user)
}

func (s *Sim) seen(user string) []Received {
	m := s.people[canonical(user)]
	if m == nil {
		return nil
	}
	var list []Received
	for _, r := range m.chat {
		if r.fromApp() && !r.Recalled {
			list = append(list, r)
		}
	}
	return list
}

func (r *Received) fromApp() bool { return r.Via == Passive || r.Via == Push }

// Wait returns the inbox once it holds n messages or more.
func (s *Sim) Wait(ctx context.Context, user string, n int) ([]Received, error) {
	return s.WaitFor(ctx, user, func(inbox []Received) bool { return len(inbox) >= n })
}

// WaitFor returns the inbox once ok is content with it: a card was updated, an
// image recalled.
func (s *Sim) WaitFor(ctx context.Context, user string, ok func([]Received) bool) ([]Received, error) {
	for {
		s.mu.Lock()
		inbox, changed := s.seen(user), s.changed
		s.mu.Unlock()
		if ok(inbox) {
			return inbox, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return inbox, fmt.Errorf("wait for messages to %s, %d there: %w", user, len(inbox), ctx.Err())
		case <-s.ctx.Done():
			return inbox, fmt.Errorf("wait for messages to %s: simulator closed", user)
		}
	}
}

// Dropped counts the messages to the person that WeCom swallowed because the
// app sent more than 30 in a minute or 1,000 in an hour.
func (s *Sim) Dropped(user string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.people[canonical(user)]; m != nil {
		return m.lost
	}
	return 0
}

// show adds a line to the person's conversation. The caller holds s.mu.
func (s *Sim) show(m *member, r Received) {
	s.lines++
	r.Seq, r.At = s.lines, s.conf.Now()
	m.chat = append(m.chat, r)
	s.inboxChanged(m)
}

// note adds a remark of the simulator: kind is one the page has words for.
func (s *Sim) note(user, kind, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.people[canonical(user)]; m != nil {
		s.show(m, Received{Via: Note, Type: kind, Text: text})
	}
}

// change applies edit to the person's copies of a sent message, and reports
// whether there was one. The caller holds s.mu.
func (s *Sim) change(m *member, msgID string, edit func(*Received)) bool {
	i := slices.IndexFunc(m.chat, func(r Received) bool { return r.MsgID == msgID && r.Via == Push })
	if i < 0 {
		return false
	}
	edit(&m.chat[i])
	s.inboxChanged(m)
	return true
}

func (s *Sim) inboxChanged(m *member) {
	close(s.changed)
	s.changed = make(chan struct{})
	s.tell(pageEvent{Kind: "inbox", User: m.ID})
}

const (
	perMinute = 30
	perHour   = 1000
)

// room reports whether the person may be sent another message now, and counts
// it if so. What is dropped does not count (document 90312).
func (m *member) room(now time.Time) bool {
	hour, minute := now.Add(-time.Hour).UnixNano(), now.Add(-time.Minute).UnixNano()
	m.times = slices.DeleteFunc(m.times, func(t int64) bool { return t <= hour })
	recent := 0
	for _, t := range m.times {
		if t > minute {
			recent++
		}
	}
	if recent >= perMinute || len(m.times) >= perHour {
		m.lost++
		return false
	}
	m.times = append(m.times, now.UnixNano())
	return true
}
