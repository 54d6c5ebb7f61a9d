package templates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
)

// card is the part of WeCom's template_card that our cards use (document
// 90236). A field that is not here is one no card has needed yet: decoding is
// strict, because WeCom drops what it does not know without a word.
type card struct {
	Type       string      `json:"card_type"`
	Source     *source     `json:"source,omitempty"`
	TaskID     string      `json:"task_id,omitempty"`
	Title      heading     `json:"main_title"`
	Emphasis   *heading    `json:"emphasis_content,omitempty"`
	Subtitle   string      `json:"sub_title_text,omitempty"`
	Rows       []row       `json:"horizontal_content_list,omitempty"`
	Jumps      []jump      `json:"jump_list,omitempty"`
	CardAction *cardAction `json:"card_action,omitempty"`
	Buttons    []button    `json:"button_list,omitempty"`
}

type source struct {
	Desc  string `json:"desc"`
	Color int    `json:"desc_color,omitempty"`
}

type heading struct {
	Title string `json:"title,omitempty"`
	Desc  string `json:"desc,omitempty"`
}

type row struct {
	Name  string `json:"keyname"`
	Value string `json:"value"`
}

type jump struct {
	Type  int    `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

type cardAction struct {
	Type int    `json:"type"`
	URL  string `json:"url"`
}

type button struct {
	Type  int    `json:"type"` // 0 calls us back with Key, 1 opens URL
	Text  string `json:"text"`
	Style int    `json:"style,omitempty"`
	Key   string `json:"key,omitempty"`
	URL   string `json:"url,omitempty"`
}

func decodeCard(raw []byte) (c card, err error) {
	err = jsonv2.Unmarshal(raw, &c, jsonv2.RejectUnknownMembers(true))
	return c, err
}

func (c card) encode() (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// faults collects what is wrong with a card, so that its author sees it all.
type faults []error

func (f *faults) when(wrong bool, format string, args ...any) {
	if wrong {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

func (f *faults) long(field, s string, limit int) {
	n := utf8.RuneCountInString(s)
	f.when(n > limit, "%s has %d characters, at most %d are shown", field, n, limit)
}

func (f *faults) link(field, s string) {
	u, err := url.Parse(s)
	f.when(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http", "%s is not a web address", field)
	f.when(len(s) > 2048, "%s is longer than 2,048 bytes", field)
}

// check holds a card against WeCom's rules. It counts the lengths WeCom only
// advises as rules too: what is longer is cut where nobody chose to.
func (c card) check() error {
	var f faults
	f.long("main_title.title", c.Title.Title, 36)
	f.long("main_title.desc", c.Title.Desc, 44)
	f.long("sub_title_text", c.Subtitle, 160)
	if c.Source != nil {
		f.long("source.desc", c.Source.Desc, 20)
	}
	if c.Emphasis != nil {
		f.long("emphasis_content.title", c.Emphasis.Title, 14)
		f.long("emphasis_content.desc", c.Emphasis.Desc, 22)
	}
	f.when(len(c.Rows) > 6, "%d rows, at most 6", len(c.Rows))
	for _, r := range c.Rows {
		f.when(r.Name == "" || r.Value == "", "a row without name or value")
		f.long("keyname", r.Name, 5)
		f.long("value", r.Value, 30)
	}
	f.when(len(c.Jumps) > 3, "%d jumps, at most 3", len(c.Jumps))
	for _, j := range c.Jumps {
		f.when(j.Type != 1 || j.Title == "", "a jump needs type 1 and a title")
		f.long("jump title", j.Title, 18)
		f.link("jump url", j.URL)
	}
	if c.CardAction != nil {
		f.when(c.CardAction.Type != 1, "card_action.type must be 1")
		f.link("card_action.url", c.CardAction.URL)
	}
	f.taskID(c.TaskID)
	switch c.Type {
	case "text_notice":
		f.when(c.CardAction == nil, "text_notice needs card_action (errcode 42045)")
		f.when(c.Title.Title == "" && c.Subtitle == "", "text_notice needs a title or sub_title_text")
		f.when(len(c.Buttons) > 0 || c.Emphasis != nil && c.Emphasis.Title == "", "text_notice has no buttons and no untitled emphasis")
	case "button_interaction":
		f.when(c.Title.Title == "", "button_interaction needs a title")
		f.when(c.TaskID == "", "button_interaction needs a task id")
		f.when(c.Emphasis != nil, "emphasis_content belongs to text_notice")
		f.buttons(c.Buttons)
	default:
		f.when(true, "card_type %q is not one we send", c.Type)
	}
	return errors.Join(f...)
}

func (f *faults) taskID(id string) {
	f.when(len(id) > 128, "task_id is longer than 128 bytes")
	for i := range len(id) {
		c := id[i]
		ok := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-' || c == '@'
		if !ok {
			f.when(true, "task_id may hold letters, digits, _, - and @ only")
			return
		}
	}
}

func (f *faults) buttons(list []button) {
	f.when(len(list) < 1 || len(list) > 6, "%d buttons, 1 to 6 are allowed", len(list))
	seen := map[string]bool{}
	for _, b := range list {
		f.when(b.Text == "", "a button without text")
		f.long("button text", b.Text, 10)
		f.when(b.Style < 0 || b.Style > 4, "button style %d, 1 to 4 are known", b.Style)
		switch b.Type {
		case 0:
			f.when(b.Key == "" || len(b.Key) > 1024 || b.URL != "", "a callback button needs a key of at most 1,024 bytes and no url")
			f.when(seen[b.Key], "two buttons with one key")
			seen[b.Key] = true
		case 1:
			f.link("button url", b.URL)
		default:
			f.when(true, "button type %d", b.Type)
		}
	}
}
