package sim

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// message is the body of message/send (document 90236).
type message struct {
	ToUser   string          `json:"touser"`
	ToParty  string          `json:"toparty"`
	ToTag    string          `json:"totag"`
	Type     string          `json:"msgtype"`
	AgentID  json.RawMessage `json:"agentid"`
	Text     *content        `json:"text"`
	Markdown *content        `json:"markdown"`
	Image    *mediaRef       `json:"image"`
	File     *mediaRef       `json:"file"`
	TextCard *TextCard       `json:"textcard"`
	Card     *Card           `json:"template_card"`

	Safe          int `json:"safe"`
	TranslateIDs  int `json:"enable_id_trans"`
	CheckRepeat   int `json:"enable_duplicate_check"`
	CheckInterval int `json:"duplicate_check_interval"`
}

type content struct {
	Content string `json:"content"`
}

type mediaRef struct {
	MediaID string `json:"media_id"`
}

// outbox is what the app has sent.
type outbox struct {
	sent     map[string]sent // by msgid
	tasks    map[string]bool // every task_id there ever was
	repeats  map[[32]byte]repeat
	response map[string]responseCode
}

type sent struct {
	at time.Time
	to []string // canonical userids
}

// repeat is a body that must not be delivered again, and what was answered.
type repeat struct {
	until time.Time
	was   answer
}

func newOutbox() outbox {
	return outbox{
		sent: map[string]sent{}, tasks: map[string]bool{},
		repeats: map[[32]byte]repeat{}, response: map[string]responseCode{},
	}
}

const (
	maxText           = 2048
	defaultInterval   = 1800
	maxInterval       = 4 * 3600
	responseCodeHours = 72
)

func (s *Sim) messageSend(c *call) (answer, *refusal) {
	var m message
	if no := s.decode(c, &m); no != nil {
		return nil, no
	}
	c.note = m.Type + " → " + m.ToUser
	if no := s.checkAgent(m.AgentID); no != nil {
		return nil, no
	}
	if no := s.checkMessage(&m); no != nil {
		return nil, no
	}
	to, bad, no := s.recipients(&m)
	if no != nil {
		return nil, no
	}
	// The check compares the JSON itself: one byte of difference and it is
	// another message.
	hash := sha256.Sum256(c.body)
	if r, ok := s.outbox.repeats[hash]; ok && m.CheckRepeat == 1 && c.now.Before(r.until) {
		c.note += " (duplicate)"
		for _, p := range to {
			s.show(p, Received{Via: Note, Type: "suppressed"})
		}
		return maps.Clone(r.was), nil
	}
	if m.Card != nil && m.Card.TaskID != "" {
		if s.outbox.tasks[m.Card.TaskID] {
			return nil, refuse(42014, "task_id was used before")
		}
		s.outbox.tasks[m.Card.TaskID] = true
	}
	out := s.deliver(&m, to, bad, c.now)
	if m.CheckRepeat == 1 {
		interval := time.Duration(m.CheckInterval) * time.Second
		s.outbox.repeats[hash] = repeat{until: c.now.Add(interval), was: maps.Clone(out)}
	}
	return out, nil
}

// deliver shows the message to everybody it is for.
func (s *Sim) deliver(m *message, to []*member, bad answer, now time.Time) answer {
	msgID := "m" + strconv.FormatInt(s.next(), 36)
	line := Received{
		Via: Push, Type: m.Type, MsgID: msgID, Safe: m.Safe == 1,
		TextCard: m.TextCard,
	}
	switch m.Type {
	case "text":
		line.Text = cutText(m.Text.Content)
	case "markdown":
		line.Text = m.Markdown.Content
	case "image":
		line.MediaID = m.Image.MediaID
	case "file":
		line.MediaID, line.FileName = m.File.MediaID, s.media[m.File.MediaID].file.name
	}
	record := sent{at: now}
	for _, p := range to {
		record.to = append(record.to, canonical(p.ID))
		if !p.room(now) {
			s.show(p, Received{Via: Note, Type: "dropped"})
			continue
		}
		mine := line
		if m.Card != nil {
			mine.Card = m.Card.clone()
		}
		s.show(p, mine)
	}
	s.outbox.sent[msgID] = record
	out := answer{"msgid": msgID}
	for key, list := range bad {
		out[key] = list
	}
	if m.Card != nil && m.Card.interactive() {
		out["response_code"] = s.newResponseCode(msgID, m.Card.TaskID, now)
	}
	return out
}

// cutText does to a long text what WeCom does: silently drops its end.
func cutText(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// recipients resolves whom the message is for; bad holds the names of those it
// cannot reach, as the answer reports them.
func (s *Sim) recipients(m *message) (to []*member, bad answer, no *refusal) {
	if m.ToUser == "" && m.ToParty == "" && m.ToTag == "" {
		return nil, nil, refuse(82001, "")
	}
	bad = answer{"invaliduser": "", "invalidparty": "", "invalidtag": ""}
	add := func(p *member) {
		if p.reachable() && !slices.Contains(to, p) {
			to = append(to, p)
		}
	}
	if m.ToUser == "@all" {
		for _, p := range s.everybody() {
			add(p)
		}
	} else {
		users, parties, tags := split(m.ToUser), split(m.ToParty), split(m.ToTag)
		if len(users) > 1000 || len(parties) > 100 || len(tags) > 100 {
			return nil, nil, refuse(40032, "")
		}
		bad["invaliduser"] = s.findUsers(users, add)
		bad["invalidparty"] = s.findGroups(parties, add, s.hasDepartment, func(p *member, id int) bool {
			return slices.Contains(p.inDepartments(), id)
		})
		bad["invalidtag"] = s.findGroups(tags, add, s.hasTag, s.tagged)
	}
	if len(to) == 0 {
		return nil, nil, refuse(81013, "")
	}
	return to, bad, nil
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, "|")
}

// findUsers adds the members named and returns the others, in lower case as
// WeCom returns them.
func (s *Sim) findUsers(ids []string, add func(*member)) string {
	var bad []string
	for _, id := range ids {
		if p := s.people[canonical(id)]; p.reachable() {
			add(p)
		} else {
			bad = append(bad, canonical(id))
		}
	}
	return strings.Join(bad, "|")
}

// findGroups adds the members of departments or tags and returns those that
// do not exist.
func (s *Sim) findGroups(ids []string, add func(*member), exists func(int) bool, in func(*member, int) bool) string {
	var bad []string
	for _, text := range ids {
		id, err := strconv.Atoi(text)
		if err != nil || !exists(id) {
			bad = append(bad, text)
			continue
		}
		for _, p := range s.everybody() {
			if in(p, id) {
				add(p)
			}
		}
	}
	return strings.Join(bad, "|")
}

func (s *Sim) hasDepartment(id int) bool { _, ok := s.department(id); return ok }

func (s *Sim) hasTag(id int) bool { return s.conf.Tags[id] != nil }
