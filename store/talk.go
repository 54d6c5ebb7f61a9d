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
)

// MaxSaid bounds one message, in bytes: what fits into a text of WeCom's beside
// the name of who says it.
const MaxSaid = 1800

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
	Kind         string    `bun:"kind"`   // of what the desk says
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
	Media   string // id of a stored medium; Content is then its name
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
	case c.Status == Closed:
		return m, false, fmt.Errorf("say: %w", ErrEnded)
	}
	if w.Nonce != "" {
		if m, again, err = tx.saidBefore(ctx, c.ID, by, w.Nonce); err != nil || again {
			return m, again, err
		}
	}
	m = Said{
		Conversation: c.ID, ID: uuid.NewString(), Role: ByAgent, Author: by.Key, Name: by.name(),
		Content: w.Content, Media: w.Media, Nonce: w.Nonce, CreatedAt: tx.Now,
	}
	if by.Key == c.Asker {
		m.Role = ByAsker
	}
	tx.said = append(tx.said, m)
	return m, false, tx.pass(ctx, c, m)
}

// spoken is what can be kept of words: PostgreSQL takes neither broken UTF-8 nor NUL.
func spoken(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", ""))
}

func (tx *Tx) saidBefore(ctx context.Context, id string, by Party, nonce string) (m Said, again bool, err error) {
	if i := slices.IndexFunc(tx.said, func(m Said) bool { return m.Conversation == id && m.Author == by.Key && m.Nonce == nonce }); i >= 0 {
		return tx.said[i], true, nil
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
	tx.said = append(tx.said, Said{Conversation: id, ID: uuid.NewString(), Role: ByDesk, Kind: kind, Name: name, Content: content, CreatedAt: tx.Now})
}

// lookAway is for how long a page that is open holds back the push of what it
// will show: it says so within moments, and if it does not, nobody looked.
const lookAway = 5 * time.Second

// Passed is the data of session.said.
type Passed struct {
	Said
	Session Conversation
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
	return tx.tellAt(ctx, to, bot.Text("session.said", Passed{m, c}), due, sayingRef(c.ID, m.Role, m.ID))
}

// sayingRef names the push of a message, for the page that shows it.
func sayingRef(conversation, role, id string) string {
	return "said/" + conversation + "/" + role + "/" + id
}

// speak writes what was said in this transaction: each conversation's row is
// held from here to the commit, so it comes late, and in one order.
func (tx *Tx) speak(ctx context.Context) error {
	if len(tx.said) == 0 {
		return nil
	}
	said := tx.said
	tx.said = nil
	slices.SortStableFunc(said, func(a, b Said) int { return strings.Compare(a.Conversation, b.Conversation) })
	for i := 0; i < len(said); {
		j := i + 1
		for j < len(said) && said[j].Conversation == said[i].Conversation {
			j++
		}
		if err := tx.numbered(ctx, said[i:j]); err != nil {
			return err
		}
		i = j
	}
	if _, err := tx.db.NewInsert().Model(&said).Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("write what was said: %w", err)
	}
	return nil
}

// numbered gives these messages of one conversation their numbers, and has the
// conversation follow from them.
func (tx *Tx) numbered(ctx context.Context, said []Said) error {
	id := said[0].Conversation
	var c Conversation
	q := tx.db.NewUpdate().Model(&c).Set("last = last + ?", len(said)).Set("updated_at = ?", tx.Now).
		Where("id = ?", id).Where("status <> ?", Closed)
	var asker, agent *Said // their first words here
	for i := range said {
		switch said[i].Role {
		case ByAsker:
			if asker == nil {
				asker = &said[i]
			}
		case ByAgent:
			if agent == nil {
				agent = &said[i]
			}
		}
	}
	if asker != nil || agent != nil {
		q.Set("said_at = ?", tx.Now)
	}
	if asker != nil {
		q.Set("title = CASE WHEN title = '' THEN ? ELSE title END", firstLine(asker.Content))
	}
	if agent != nil {
		q.Set("answered_at = coalesce(answered_at, ?)", tx.Now)
	}
	switch latest := lastPerson(said); {
	case latest == ByAgent: // who answered has read what there was
		q.Set("waiting_since = NULL").Set("agent_seen = last + ?", len(said))
	case latest == ByAsker && agent != nil:
		q.Set("waiting_since = ?", tx.Now).Set("asker_seen = last + ?", len(said))
	case latest == ByAsker:
		q.Set("waiting_since = coalesce(waiting_since, ?)", tx.Now).Set("asker_seen = last + ?", len(said))
	}
	if err := q.Returning("id, asker, agent, last").Scan(ctx); err != nil {
		if errors.Is(conversationErr(err), ErrNotFound) {
			return fmt.Errorf("say: closed meanwhile: %w", errRaced) // whoever said it decides anew
		}
		return fmt.Errorf("say: %w", err)
	}
	for i := range said {
		said[i].N = c.Last - int64(len(said)-1-i)
	}
	tx.changes(c)
	return tx.unsaid(ctx, said)
}

// unsaid makes sure, now that nobody else can add to the conversation, that none
// of these was said before.
func (tx *Tx) unsaid(ctx context.Context, said []Said) error {
	for _, m := range said {
		if m.Nonce == "" {
			continue
		}
		n, err := tx.db.NewSelect().Model((*Said)(nil)).Where("conversation = ?", m.Conversation).Where("author = ?", m.Author).Where("nonce = ?", m.Nonce).Count(ctx)
		if err != nil {
			return fmt.Errorf("say: %w", err)
		}
		if n > 0 {
			return fmt.Errorf("say: said by another request: %w", errRaced)
		}
	}
	return nil
}

func lastPerson(said []Said) string {
	for _, m := range slices.Backward(said) {
		if m.Role != ByDesk {
			return m.Role
		}
	}
	return ""
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
// takes back the pushes of what they saw.
func (s *Store) Seen(ctx context.Context, c Conversation, by Party, n int64) error {
	column, role := "asker_seen", ByAgent
	switch by.Key {
	case c.Asker:
	case c.Agent:
		column, role = "agent_seen", ByAsker
	default: // an administrator looking on
		return nil
	}
	return s.Tx(ctx, func(tx *Tx) error {
		var was Conversation
		err := tx.db.NewUpdate().Model(&was).Set("? = ?", bun.Ident(column), min(n, c.Last)).Where("id = ?", c.ID).Where("? < ?", bun.Ident(column), min(n, c.Last)).
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
		if len(refs) > 0 {
			_, err = tx.db.NewUpdate().Model((*outboxRow)(nil)).Set("state = ?", Cancelled).Set("body = ''").Where("ref IN (?)", bun.List(refs)).
				Where("state = ?", Pending).Where("tries = 0").Exec(ctx)
		}
		tx.changes(was)
		return wrap(err, "take back what was seen")
	})
}

// here is how long a page is believed to be open after it last said so.
const here = 45 * time.Second

// Here notes that a party has the conversation's page open. The page says so
// again before Here is over.
func (s *Store) Here(ctx context.Context, c Conversation, by Party) error {
	column := "asker_here"
	switch by.Key {
	case c.Asker:
	case c.Agent:
		column = "agent_here"
	default:
		return nil
	}
	return s.Tx(ctx, func(tx *Tx) error {
		_, err := tx.db.NewUpdate().Model((*Conversation)(nil)).Set("? = ?", bun.Ident(column), tx.Now.Add(here)).Where("id = ?", c.ID).Where("status <> ?", Closed).Exec(ctx)
		return wrap(err, "note who looks on")
	})
}
