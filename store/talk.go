package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// The roles of a message, as the contract calls them.
const (
	ByAsker = "user"
	ByAgent = "assistant"
	ByDesk  = "system" // the desk itself: Kind says what happened
)

// The kinds of what the desk says: keys of templates, behind "session.event.".
const (
	saidQueued      = "queued"      // nobody is free; Content is ""
	saidAssigned    = "assigned"    // Content is the agent's name
	saidTransferred = "transferred" // Name gave it on, Content is the note
	saidClosed      = "closed"      // Name closed it, "" for time
	saidReopened    = "reopened"    // Name did
	saidLost        = "lost"        // Content, which somebody sent, could not be had
)

// MaxSaid bounds one message, in bytes. WeCom shows less in one text; a push of
// more is several.
const MaxSaid = 8000

// ErrEmpty and ErrTooLong say what is wrong with the words of a message.
var (
	ErrEmpty   = errors.New("nothing was said")
	ErrTooLong = errors.New("longer than a message may be")
)

// Said is one message of a conversation.
type Said struct {
	bun.BaseModel `bun:"table:conversation_messages,alias:m"`

	Conversation string    `bun:"conversation,pk"`
	N            int64     `bun:"n,pk"` // from 1, without gaps
	ID           string    `bun:"id"`
	Role         string    `bun:"role"`
	Kind         string    `bun:"kind"`   // of what the desk says, or of the medium
	Author       string    `bun:"author"` // canonical userid, or account:UID; "" for the desk
	Name         string    `bun:"name"`   // the author's
	Content      string    `bun:"content"`
	Media        string    `bun:"media"` // id of what was sent instead of words, or ""
	Nonce        string    `bun:"nonce"`
	CreatedAt    time.Time `bun:"created_at"`
}

// Words is what somebody wants to say.
type Words struct {
	Content string
	Media   string // id of a stored medium; Content is then its name, if it has one
	Kind    string // of the medium, a bot.MediaKind
	Nonce   string // the same words sent again have the same; "" for none
}

// Say adds to a conversation and tells the other side. It is said once for each
// Nonce: again returns what was said before. ErrEnded: it is closed.
func (tx *Tx) Say(ctx context.Context, c Conversation, by Party, w Words) (m Said, again bool, err error) {
	w.Content = spoken(w.Content)
	switch {
	case w.Content == "" && w.Media == "":
		return m, false, fmt.Errorf("say: %w", ErrEmpty)
	case len(w.Content) > MaxSaid || len(w.Nonce) > 256:
		return m, false, fmt.Errorf("say: %w", ErrTooLong)
	}
	if w.Nonce != "" { // also of one that was closed since: it was said
		if m, again, err = tx.saidBefore(ctx, c.ID, by, w.Nonce); err != nil || again {
			return m, again, err
		}
	}
	if c.Status == Closed {
		return m, false, fmt.Errorf("say: %w", ErrEnded)
	}
	m = Said{
		Conversation: c.ID, ID: uuid.NewString(), Role: ByAgent, Author: by.Key, Name: by.name(),
		Content: w.Content, Media: w.Media, Kind: w.Kind, Nonce: w.Nonce, CreatedAt: tx.Now,
	}
	if by.Key == c.Asker {
		m.Role = ByAsker
	}
	tx.said = append(tx.said, saying{m, c.Agent})
	return m, false, tx.pass(ctx, c, m)
}

// spoken is what can be kept of words: PostgreSQL takes neither broken UTF-8 nor NUL.
func spoken(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", ""))
}

func (tx *Tx) saidBefore(ctx context.Context, id string, by Party, nonce string) (m Said, again bool, err error) {
	if i := slices.IndexFunc(tx.said, func(m saying) bool { return m.Conversation == id && m.Author == by.Key && m.Nonce == nonce }); i >= 0 {
		return tx.said[i].Said, true, nil
	}
	var rows []Said
	err = tx.db.NewSelect().Model(&rows).Where("conversation = ?", id).Where("author = ?", by.Key).Where("nonce = ?", nonce).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return m, false, wrap(err, "look for what was said")
	}
	return rows[0], true, nil
}

// note is the desk's own word in a conversation.
func (tx *Tx) note(id, kind, name, content string) {
	tx.said = append(tx.said, saying{Said: Said{Conversation: id, ID: uuid.NewString(), Role: ByDesk, Kind: kind, Name: name, Content: content, CreatedAt: tx.Now}})
}

// saying is a message that is not written yet, and who was to answer when it was
// said, whom its push goes to.
type saying struct {
	Said
	agent string
}

// lookAway is for how long a page that is open holds back the push of what it
// will show. What it shows it says within a second, also on another instance; if
// it does not, nobody looked. Pushes come to a person in their order, so whatever
// follows waits as well, and no longer than this.
const lookAway = 2 * time.Second

// Passed is the data of session.said.
type Passed struct {
	Said
	Session Conversation
	URL     string // of what was sent instead of words, for whoever signs in
}

// pass tells the other side what was said. A page they have open gets there
// first; then the push is taken back before it is sent.
func (tx *Tx) pass(ctx context.Context, c Conversation, m Said) error {
	to, here := c.Agent, c.AgentHere
	if m.Role == ByAgent {
		to, here = c.Asker, c.AskerHere
	}
	if !bot.ValidUserID(to) { // an end user, or nobody yet
		return nil
	}
	due := tx.Now
	if here != nil && here.After(tx.Now) {
		due = due.Add(lookAway)
	}
	p := Passed{Said: m, Session: c}
	if m.Media != "" {
		p.URL = strings.TrimSuffix(tx.s.PublicURL, "/") + "/chat/" + c.ID + "/media/" + m.Media
	}
	return tx.tellAt(ctx, to, bot.Text("session.said", p), due, sayingRef(c.ID, m.Role, m.ID))
}

// passOn tells another agent what the asker said if the conversation is theirs by
// now.
func (tx *Tx) passOn(ctx context.Context, c Conversation, m saying) error {
	if m.Role != ByAsker || m.agent == c.Agent {
		return nil
	}
	tx.wrote.Store(true) // a Reset could not undo this
	tx.pushes = slices.DeleteFunc(tx.pushes, func(p outboxRow) bool { return p.Ref == sayingRef(c.ID, m.Role, m.ID) })
	return tx.pass(ctx, c, m.Said)
}

// sayingRef names the push of a message, for the page that shows it.
func sayingRef(conversation, role, id string) string {
	return "said/" + conversation + "/" + role + "/" + id
}

// unsentTo takes back the pushes to an agent of what the asker of a conversation
// said, as far as nobody has tried to send them.
func (tx *Tx) unsentTo(ctx context.Context, agent, conversation string) error {
	all := sayingRef(conversation, ByAsker, "")
	for i := range tx.pushes {
		if p := &tx.pushes[i]; p.Person == agent && strings.HasPrefix(p.Ref, all) {
			p.State, p.Body = Cancelled, ""
		}
	}
	_, err := tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("state = ?", Cancelled).Set("body = ''").
		Where("person = ?", agent).Where("state = 'pending'").Where("tries = 0").Where("ref LIKE ?", all+"%").Exec(ctx)
	return wrap(err, "take back what was said")
}
