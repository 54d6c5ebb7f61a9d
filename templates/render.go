package templates

import "deskbell/bot"

// Render words a reply for a person. taskID is the id a card carries.
func (s *Set) Render(to, lang, taskID string, r bot.Reply) (bot.Outgoing, error) {
	if r.IsCard {
		card, err := s.Card(lang, r.Key, taskID, r.Data)
		return bot.Outgoing{To: to, Card: card, TaskID: taskID}, err
	}
	text, err := s.Text(lang, r.Key, r.Data)
	return bot.Outgoing{To: to, Text: text}, err
}
