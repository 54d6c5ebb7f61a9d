package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// responseCode allows one update of one card.
type responseCode struct {
	msgID  string
	taskID string
	until  time.Time
	used   bool
}

// newResponseCode makes a code. The caller holds s.mu.
func (s *Sim) newResponseCode(msgID, taskID string, now time.Time) string {
	code := fmt.Sprintf("rc_%d", s.next())
	s.outbox.response[code] = responseCode{msgID: msgID, taskID: taskID, until: now.Add(responseCodeHours * time.Hour)}
	return code
}

// cardUpdate is the body of message/update_template_card (document 94888).
type cardUpdate struct {
	UserIDs      []string        `json:"userids"`
	PartyIDs     []int           `json:"partyids"`
	TagIDs       []int           `json:"tagids"`
	AtAll        int             `json:"atall"`
	AgentID      json.RawMessage `json:"agentid"`
	ResponseCode string          `json:"response_code"`
	TranslateIDs int             `json:"enable_id_trans"`
	Button       *struct {
		ReplaceName string `json:"replace_name"`
	} `json:"button"`
	Card *Card `json:"template_card"`
}

func (s *Sim) updateCard(c *call) (answer, *refusal) {
	var u cardUpdate
	if no := s.decode(c, &u); no != nil {
		return nil, no
	}
	if no := s.checkAgent(u.AgentID); no != nil {
		return nil, no
	}
	code, ok := s.outbox.response[u.ResponseCode]
	if !ok || code.used || !c.now.Before(code.until) {
		return nil, refuse(60140, "")
	}
	c.note = code.taskID
	if no := u.check(code.taskID); no != nil {
		return nil, no
	}
	receivers, invalid := s.updateReceivers(&u, code.msgID)
	if len(receivers) == 0 {
		return nil, refuse(81013, "")
	}
	code.used = true
	s.outbox.response[u.ResponseCode] = code
	for _, m := range receivers {
		s.change(m, code.msgID, func(r *Received) {
			r.Updates++
			// A new card each time: the old one may be in a reader's hands.
			if u.Button != nil {
				r.Card = r.Card.clone()
				r.Card.ReplaceText = u.Button.ReplaceName
				return
			}
			r.Card = u.Card.clone()
			r.Card.TaskID = code.taskID
		})
	}
	return answer{"invaliduser": invalid}, nil
}

func (u *cardUpdate) check(taskID string) *refusal {
	switch {
	case len(u.UserIDs) == 0 && len(u.PartyIDs) == 0 && len(u.TagIDs) == 0 && u.AtAll == 0:
		return refuse(82001, "")
	case len(u.UserIDs) > 1000 || len(u.PartyIDs) > 100 || len(u.TagIDs) > 100:
		return refuse(40032, "")
	case (u.Button == nil) == (u.Card == nil):
		return refuse(40058, "one of button and template_card")
	case u.Button != nil && u.Button.ReplaceName == "":
		return refuse(40063, "button.replace_name")
	case u.Button != nil:
		return nil
	case u.Card.TaskID != "" && u.Card.TaskID != taskID:
		return refuse(42014, "task_id must stay the same")
	}
	card := *u.Card
	card.TaskID = taskID
	return card.check()
}

// updateReceivers returns those of the card's receivers the update is for, and
// the userids it names in vain.
func (s *Sim) updateReceivers(u *cardUpdate, msgID string) (to []*member, invalid []string) {
	got := s.outbox.sent[msgID].to
	invalid = []string{}
	for _, id := range u.UserIDs {
		if !slices.Contains(got, canonical(id)) {
			invalid = append(invalid, canonical(id))
		}
	}
	for _, id := range got {
		m := s.people[id]
		if m == nil {
			continue
		}
		named := slices.ContainsFunc(u.UserIDs, func(n string) bool { return canonical(n) == id })
		inParty := slices.ContainsFunc(u.PartyIDs, func(p int) bool { return slices.Contains(m.inDepartments(), p) })
		inTag := slices.ContainsFunc(u.TagIDs, func(t int) bool { return s.tagged(m, t) })
		if u.AtAll == 1 || named || inParty || inTag {
			to = append(to, m)
		}
	}
	return to, invalid
}

const recallHours = 24

// messageRecall takes a message back (document 94867).
func (s *Sim) messageRecall(c *call) (answer, *refusal) {
	var body struct {
		MsgID string `json:"msgid"`
	}
	if no := s.decode(c, &body); no != nil {
		return nil, no
	}
	was, ok := s.outbox.sent[body.MsgID]
	if !ok || c.now.Sub(was.at) > recallHours*time.Hour {
		return nil, refuse(40058, "msgid")
	}
	for _, id := range was.to {
		if m := s.people[id]; m != nil {
			s.change(m, body.MsgID, func(r *Received) { r.Recalled = true })
		}
	}
	return nil, nil
}
