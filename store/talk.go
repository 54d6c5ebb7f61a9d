package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

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

// speak writes what was said in some conversations, before something else is done
// with them. Everything else is written at the end: a conversation is held from
// here to the commit.
func (tx *Tx) speak(ctx context.Context, ids ...string) error {
	text, left, err := tx.writeSaid(ctx, nil, ids...)
	if err != nil || len(text) == 0 {
		return err
	}
	if _, err := tx.db.ExecContext(ctx, string(text)); err != nil {
		return fmt.Errorf("write what was said: %w", saidTwice(err))
	}
	tx.said = left
	return nil
}

// writeSaid appends the statements that write what was said in some
// conversations, or in all, and returns what is left. It holds each conversation
// from here to the commit, so that the numbers of its messages are without gaps
// and are seen in their order.
func (tx *Tx) writeSaid(ctx context.Context, text []byte, only ...string) (_ []byte, left []saying, err error) {
	var now []saying
	for _, m := range tx.said {
		if len(only) == 0 || slices.Contains(only, m.Conversation) {
			now = append(now, m)
		} else {
			left = append(left, m)
		}
	}
	if len(now) == 0 {
		return text, left, nil
	}
	slices.SortStableFunc(now, func(a, b saying) int { return strings.Compare(a.Conversation, b.Conversation) })
	list, err := tx.listeners(ctx, now)
	if err != nil {
		return nil, nil, err
	}
	rows := make([]Said, 0, len(now))
	for i := range list {
		c := &list[i]
		for len(rows) < len(now) && now[len(rows)].Conversation == c.ID {
			m := now[len(rows)]
			if c.Status == Closed {
				return nil, nil, fmt.Errorf("say: closed meanwhile: %w", errRaced) // whoever said it decides anew
			}
			if err := tx.passOn(ctx, *c, m); err != nil {
				return nil, nil, err
			}
			c.hear(&m.Said)
			rows = append(rows, m.Said)
		}
		q := tx.db.NewUpdate().Model(c).Column("title", "last", "asker_seen", "agent_seen", "answered_at", "waiting_since", "said_at", "updated_at").WherePK()
		if text, err = q.AppendQuery(tx.s.db.QueryGen(), text); err != nil {
			return nil, nil, fmt.Errorf("say: %w", err)
		}
		text = append(text, ';')
		tx.changes(*c)
	}
	if len(rows) < len(now) {
		return nil, nil, fmt.Errorf("say: gone meanwhile: %w", errRaced)
	}
	text, err = tx.insert(text, &rows)
	return text, left, wrap(err, "say")
}

// listeners holds the conversations of these messages, in the order of their ids.
func (tx *Tx) listeners(ctx context.Context, said []saying) (list []Conversation, err error) {
	ids := make([]string, len(said))
	for i, m := range said {
		ids[i] = m.Conversation
	}
	q := tx.db.NewSelect().Model(&list).Where("id IN (?)", bun.List(slices.Compact(ids))).Order("id")
	if tx.s.pg {
		q = q.For("NO KEY UPDATE")
	}
	err = wrap(q.Scan(ctx), "say")
	slices.SortFunc(list, func(a, b Conversation) int { return strings.Compare(a.ID, b.ID) }) // databases differ in how they order text
	return list, err
}

// hear has a conversation follow from what is said in it, and numbers that.
func (c *Conversation) hear(m *Said) {
	c.Last++
	m.N = c.Last
	c.UpdatedAt = m.CreatedAt
	switch m.Role {
	case ByAsker: // who writes has read what there was
		if c.Title == "" && m.Media == "" { // the name of a file says little
			c.Title = firstLine(m.Content)
		}
		if c.WaitingSince == nil {
			c.WaitingSince = &m.CreatedAt
		}
		c.AskerSeen, c.SaidAt = c.Last, m.CreatedAt
	case ByAgent:
		if m.Author == c.Agent { // and not an administrator
			c.AgentSeen = c.Last
		}
		if c.AnsweredAt == nil {
			c.AnsweredAt = &m.CreatedAt
		}
		c.WaitingSince, c.SaidAt = nil, m.CreatedAt
	}
}

// overhear has a conversation that was read follow from what this transaction
// has yet to write of it.
func (tx *Tx) overhear(c *Conversation) {
	for _, m := range tx.said {
		if m.Conversation == c.ID {
			c.hear(&m.Said)
		}
	}
}

// saidTwice turns the refusal of a message that another request has just said
// into a reason to try again, which finds it.
func saidTwice(err error) error {
	if taken(err, "conversation_messages_nonce", "conversation_messages.nonce") {
		return fmt.Errorf("said by another request: %w", errRaced)
	}
	return err
}

// firstLine is a title made of what was said first.
func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return titled(s)
}

// maxTitle bounds a title, in characters.
const maxTitle = 60

// titled is s as a title: one line, not too long.
func titled(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if utf8.RuneCountInString(s) > maxTitle {
		s = string([]rune(s)[:maxTitle-1]) + "…"
	}
	return s
}

// Messages lists up to n messages after one of that number, in their order.
func (s *Store) Messages(ctx context.Context, id string, after int64, n int) ([]Said, error) {
	var list []Said
	if err := s.reads.NewSelect().Model(&list).Where("conversation = ?", id).Where("n > ?", after).Order("n").Limit(n).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	return list, nil
}

// LatestMessages lists the last n messages up to one of that number, in their
// order; before is 0 for the end.
func (s *Store) LatestMessages(ctx context.Context, id string, before int64, n int) ([]Said, error) {
	var list []Said
	q := s.reads.NewSelect().Model(&list).Where("conversation = ?", id).Order("n DESC").Limit(n)
	if before > 0 {
		q.Where("n < ?", before)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	slices.Reverse(list)
	return list, nil
}

// MessageNumber is the number of a message of a conversation, or ErrNotFound.
func (s *Store) MessageNumber(ctx context.Context, conversation, id string) (n int64, err error) {
	err = s.reads.NewSelect().Model((*Said)(nil)).Column("n").Where("conversation = ?", conversation).Where("id = ?", id).Scan(ctx, &n)
	return n, conversationErr(err)
}

// Seen notes that a party saw everything up to a message of that number, and
// takes back the pushes of what they saw. It does nothing for whoever takes no
// part in it any more.
func (s *Store) Seen(ctx context.Context, c Conversation, by Party, n int64) error {
	who, role := c.side(by)
	if who == "" {
		return nil
	}
	return s.Tx(ctx, func(tx *Tx) error {
		var was Conversation
		err := tx.db.NewUpdate().Model(&was).Set("?0 = CASE WHEN last < ?1 THEN last ELSE ?1 END", bun.Ident(who+"_seen"), n).
			Where("id = ?", c.ID).Where("? = ?", bun.Ident(who), by.Key).Where("?0 < ?1 AND ?0 < last", bun.Ident(who+"_seen"), n).
			Returning("id, asker, agent, last").Scan(ctx)
		if errors.Is(conversationErr(err), ErrNotFound) {
			return nil // seen before
		}
		if err != nil {
			return fmt.Errorf("note what was seen: %w", err)
		}
		var ids []string
		err = tx.db.NewSelect().Model((*Said)(nil)).Column("id").Where("conversation = ?", c.ID).Where("n <= ?", n).Where("role = ?", role).
			Where("created_at > ?", tx.Now.Add(-time.Hour)).Order("n DESC").Limit(200).Scan(ctx, &ids)
		if err != nil {
			return fmt.Errorf("note what was seen: %w", err)
		}
		refs := make([]string, len(ids))
		for i, id := range ids {
			refs[i] = sayingRef(c.ID, role, id)
		}
		if len(refs) > 0 { // one that was claimed is on its way: it has been tried
			_, err = tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("state = ?", Cancelled).Set("body = ''").Where("ref IN (?)", bun.List(refs)).
				Where("person = ?", by.Key).Where("state = ?", Pending).Where("tries = 0").Exec(ctx)
		}
		tx.changes(was)
		return wrap(err, "take back what was seen")
	})
}

// side tells as what a party takes part, which is also the column that says so,
// and the role of what the other side says. "" is an administrator looking on.
func (c Conversation) side(by Party) (who, role string) {
	switch {
	case !c.has(by):
		return "", ""
	case by.Key == c.Asker:
		return "asker", ByAgent
	}
	return "agent", ByAsker
}

// here is how long a page is believed to be open after it last said so.
const here = 45 * time.Second

// Here notes that a party has the conversation's page open. The page says so
// again before Here is over.
func (s *Store) Here(ctx context.Context, c Conversation, by Party) error {
	who, _ := c.side(by)
	if who == "" {
		return nil
	}
	return s.Tx(ctx, func(tx *Tx) error {
		_, err := tx.db.NewUpdate().Model((*Conversation)(nil)).Set("? = ?", bun.Ident(who+"_here"), tx.Now.Add(here)).
			Where("id = ?", c.ID).Where("? = ?", bun.Ident(who), by.Key).Where("status <> ?", Closed).Exec(ctx)
		return wrap(err, "note who looks on")
	})
}
