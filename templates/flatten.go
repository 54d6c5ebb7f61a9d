package templates

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Flatten shows a card as a person would read it out: one line for each part,
// a button as [text → key], a link as (url). Transcripts are made of it.
func Flatten(raw json.RawMessage) string {
	c, err := decodeCard(raw)
	if err != nil {
		return fmt.Sprintf("(a card that is none: %v)", err)
	}
	var lines []string
	add := func(parts ...string) {
		if s := strings.TrimSpace(strings.Join(parts, "")); s != "" {
			lines = append(lines, s)
		}
	}
	if c.Source != nil {
		add(c.Source.Desc)
	}
	add(c.Title.Title)
	add(c.Title.Desc)
	if c.Emphasis != nil {
		add(c.Emphasis.Title, " ", c.Emphasis.Desc)
	}
	add(c.Subtitle)
	for _, r := range c.Rows {
		add(r.Name, ": ", r.Value)
	}
	shown := map[string]bool{}
	for _, j := range c.Jumps {
		add(j.Title, " (", j.URL, ")")
		shown[j.URL] = true
	}
	if c.CardAction != nil && !shown[c.CardAction.URL] {
		add("(", c.CardAction.URL, ")")
	}
	for _, b := range c.Buttons {
		if b.Type == 1 {
			add("[", b.Text, "] (", b.URL, ")")
			continue
		}
		add("[", b.Text, " → ", b.Key, "]")
	}
	return strings.Join(lines, "\n")
}
