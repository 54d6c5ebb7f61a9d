// Package bot owns the words everyone shares: a message, a person, a reply,
// what goes out, and an error a person may be shown.
//
// It knows no transport, no storage and no language: WeCom's formats are in
// bot/wecom, what is remembered in store, what can be said to the bot in
// commands, and the sentences in templates.
package bot

import (
	"context"
	"strings"
	"time"
)

// Message is what a person said or pressed.
type Message struct {
	Key   string    // identifies the delivery: two messages with one Key are the same message
	From  string    // the sender's userid, as WeCom spelt it
	Text  string    // what was typed; for a press or a menu click, the command line it stands for
	Event Event     // Said unless something other than typing or sending happened
	Sent  time.Time // WeCom's CreateTime, to the second
	Card  Press     // which card was pressed, when Event is Pressed
	Media Media     `json:",omitzero"` // what was sent instead of words, when Event is Said
}

// Press names the card behind a pressed button.
type Press struct {
	TaskID       string // the card's task_id
	ResponseCode string // allows one update of the card, within 72 hours
}

// Event says what kind of thing a Message reports. The values are WeCom's own
// event names (document 90240), lower case.
type Event string

// The events Deskbell acts on. Every other one arrives as Other.
const (
	Said         Event = ""                    // a text message, or a Media
	Clicked      Event = "click"               // a menu entry; Text is its key
	Pressed      Event = "template_card_event" // a card's button; Text is its key
	Entered      Event = "enter_agent"         // the app was opened
	Subscribed   Event = "subscribe"           // the person came into the app's visible range
	Unsubscribed Event = "unsubscribe"         // the person left it
	Other        Event = "other"               // acknowledged, and nothing else
)

// Level is how much a person may do.
type Level int

// The levels, each including the ones before it.
const (
	Anyone Level = iota // active in the directory
	Agent               // works at the desk
	Admin               // runs the desk
)

// String gives the role's name in the contract: user, agent or admin.
func (l Level) String() string {
	switch l {
	case Admin:
		return "admin"
	case Agent:
		return "agent"
	}
	return "user"
}

// State is what the corporate directory says of a userid.
type State string

// The states are kept apart because they call for different answers. All but
// Active are refused; Unreachable is the only one worth trying again.
const (
	Active      State = "active"
	Disabled    State = "disabled"
	Left        State = "left"
	Inactive    State = "inactive"    // invited, never activated
	Unknown     State = "not_found"   // no such userid
	Hidden      State = "not_visible" // outside the app's visible range
	Unreachable State = "unreachable" // the directory did not answer
)

// Person is a member as the directory describes them.
type Person struct {
	ID          string // the directory's spelling of the userid
	Name        string
	State       State
	Departments []int
	Tags        []int // only the tags the role rules mention
}

// User is a person a command runs for.
type User struct {
	ID          string // the directory's spelling
	Name        string
	Lang        string // "zh" or "en"
	Level       Level
	Roles       []string // every role held: admin, agent; ["user"] when neither
	Departments []int
}

// Key is the user's canonical userid.
func (u User) Key() string { return Canonical(u.ID) }

// Canonical is the form under which a userid is stored and compared: WeCom
// holds userids unique without regard to case (document 90331).
func Canonical(userID string) string { return strings.ToLower(userID) }

// ValidUserID reports whether s can be the userid of a member: 1 to 64 bytes of
// letters, digits, "_", "-", "@" and ".", starting with a letter or digit
// (document 90331). It refuses the ids WeCom gives to outsiders and to members
// of linked corporations.
func ValidUserID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c == '_' || c == '-' || c == '@' || c == '.'):
		default:
			return false
		}
	}
	return true
}

// Reply is what to say, not yet in a language: a key of templates and the data
// its holes need.
type Reply struct {
	Key    string
	Data   any
	IsCard bool
}

// Text is a reply in words.
func Text(key string, data any) Reply { return Reply{Key: key, Data: data} }

// Card is a reply as a WeCom template card.
func Card(key string, data any) Reply { return Reply{Key: key, Data: data, IsCard: true} }

// Outgoing is a rendered message, ready to go. Exactly one of Text, Card, Image
// and Recall is set; Text is at most 2,048 bytes, see Parts. Sending the same
// Outgoing again must put the same bytes on the wire: that is how WeCom's
// duplicate check makes a retry safe (document 90236).
type Outgoing struct {
	To           string `json:"to"` // userid in the directory's spelling
	Text         string `json:"text,omitempty"`
	Card         []byte `json:"card,omitempty"`          // the JSON object WeCom calls template_card
	TaskID       string `json:"task_id,omitempty"`       // the id that Card carries: an update of it carries the same
	ResponseCode string `json:"response_code,omitempty"` // update a card that is there instead of sending one
	Image        []byte `json:"image,omitempty"`         // a PNG
	MediaID      string `json:"media_id,omitempty"`      // the Image, once WeCom has it: see Preparer
	Safe         bool   `json:"safe,omitempty"`          // cannot be passed on
	Recall       string `json:"recall,omitempty"`        // take the message with this MsgID back
	Ref          string `json:"-"`                       // our own name for a message that may have to be taken back
	Variant      int    `json:"variant,omitempty"`       // tells equal contents apart for WeCom's duplicate check
}

// maxText is what WeCom shows of a text; it cuts the rest without a word
// (document 90236).
const maxText = 2048

// Parts cuts a text that is too long for WeCom into several messages, between
// lines where it can and never inside a character. Anything else is one part.
func (o Outgoing) Parts() []Outgoing {
	parts := []Outgoing{o}
	for {
		last := &parts[len(parts)-1]
		text := last.Text
		if len(text) <= maxText {
			return parts
		}
		cut := strings.LastIndexByte(text[:maxText+1], '\n')
		if cut <= 0 {
			for cut = maxText; text[cut]&0xc0 == 0x80; cut-- { // a byte inside a character
			}
		}
		rest := o
		last.Text, rest.Text = strings.TrimRight(text[:cut], "\n"), strings.TrimLeft(text[cut:], "\n")
		parts = append(parts, rest)
	}
}

// Receipt is what WeCom answered to a message it took.
type Receipt struct {
	MsgID        string
	ResponseCode string
	Invalid      []string // userids that did not get it, although the call succeeded
}

// Sender delivers messages to people. An error of kind Unavailable or Limited
// is worth another try; any other is final.
type Sender interface {
	Send(context.Context, Outgoing) (Receipt, error)
}

// Preparer is a Sender that has something to do for a message before it can be
// sent, such as handing over its image. What it returns is kept and sent in
// place of the original, so that every try sends the same bytes.
type Preparer interface {
	Prepare(context.Context, Outgoing) (Outgoing, error)
}
