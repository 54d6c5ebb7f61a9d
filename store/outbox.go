package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// The states of a push.
const (
	Pending   = "pending"
	Sent      = "sent"
	Dead      = "dead"      // will not be tried again unless an administrator asks for it
	Cancelled = "cancelled" // taken back before the first try
)

// outboxRow is a push: a message that a transaction decided to send.
type outboxRow struct {
	bun.BaseModel `bun:"table:outbox"`

	ID           int64      `bun:"id,pk,autoincrement"`
	Person       string     `bun:"person"` // canonical userid of the recipient
	Body         string     `bun:"body"`   // sealed bot.Outgoing; wiped when delivered
	Digest       string     `bun:"digest"` // equal for equal contents to one person
	Counts       bool       `bun:"counts"` // against WeCom's limit on messages to one member; updates of a card do not
	State        string     `bun:"state"`  // pending, sent, dead
	Tries        int        `bun:"tries"`
	LastError    string     `bun:"last_error"`
	CreatedAt    time.Time  `bun:"created_at"`
	DueAt        time.Time  `bun:"due_at"`        // not before
	LeasedTo     *time.Time `bun:"leased_to"`     // somebody is sending it until then
	TriedAt      *time.Time `bun:"tried_at"`      // the latest try
	FirstTry     *time.Time `bun:"first_tried"`   // WeCom's duplicate check counts from here
	Ref          string     `bun:"ref"`           // our name for it, if it may have to be taken back
	Recalls      string     `bun:"recalls"`       // the Ref of the push that this one takes back
	MsgID        string     `bun:"msg_id"`        // WeCom's name for it, kept of those with a Ref
	ResponseCode string     `bun:"response_code"` // of a card with a Ref, sealed: allows one update
	Updates      int64      `bun:"updates"`       // id of the push whose card this one replaces, if that can be
	Variant      int        `bun:"variant"`       // chosen at the first try
}

// Push sends o after the transaction commits, and only then. It is tried until
// WeCom takes it, for up to four hours.
func (tx *Tx) Push(ctx context.Context, o bot.Outgoing) error {
	if !bot.ValidUserID(o.To) {
		return fmt.Errorf("push to %q: not a userid", o.To)
	}
	person := bot.Canonical(o.To)
	digest := tx.s.keys.digest("push/"+person, o.Text+"\x00"+string(o.Card)+"\x00"+o.ResponseCode+string(o.Image))
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	tx.pushes = append(tx.pushes, outboxRow{
		Person: person, Body: tx.s.keys.seal("outbox/"+digest, body), Digest: digest,
		Counts: o.ResponseCode == "", State: Pending, CreatedAt: tx.Now, DueAt: tx.Now, Ref: o.Ref,
	})
	return nil
}

// Recall takes back the push with this Ref, and reports whether there is one.
// What nobody has tried to send yet is not sent; for anything else a push
// follows it that recalls it, as soon as it is known under which name.
func (tx *Tx) Recall(ctx context.Context, ref string) (bool, error) {
	if ref == "" {
		return false, nil
	}
	for i := range tx.pushes {
		if p := &tx.pushes[i]; p.Ref == ref {
			p.State, p.Body = Cancelled, ""
			tx.wrote.Store(true) // a Reset could not undo this
			return true, nil
		}
	}
	var was outboxRow
	err := tx.db.NewUpdate().Model(&was).Set("state = ?", Cancelled).Set("body = ''").Where("ref = ?", ref).Where("state = ?", Pending).Where("tries = 0").Returning("id").Scan(ctx)
	if err == nil || !errors.Is(err, sql.ErrNoRows) {
		return err == nil, wrapped(err, "recall")
	}
	err = tx.db.NewSelect().Model(&was).Where("ref = ?", ref).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil || was.State == Dead || was.State == Cancelled {
		return err == nil, wrapped(err, "recall")
	}
	body, err := json.Marshal(bot.Outgoing{To: was.Person})
	if err != nil {
		return false, fmt.Errorf("recall: %w", err)
	}
	digest := tx.s.keys.digest("recall/"+was.Person, ref)
	tx.pushes = append(tx.pushes, outboxRow{
		Person: was.Person, Body: tx.s.keys.seal("outbox/"+digest, body), Digest: digest,
		State: Pending, CreatedAt: tx.Now, DueAt: tx.Now, Recalls: ref,
	})
	return true, nil
}

func wrapped(err error, doing string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Tell words r in the recipient's language and pushes it.
func (tx *Tx) Tell(ctx context.Context, userID string, r bot.Reply) error {
	return tx.tellAt(ctx, userID, r, tx.Now, "")
}

// tellAt is Tell not before a moment. ref is our name for what is sent, if it may
// have to be taken back or its card updated.
func (tx *Tx) tellAt(ctx context.Context, userID string, r bot.Reply, due time.Time, ref string) error {
	o, err := tx.word(ctx, userID, r)
	if err != nil {
		return err
	}
	for _, part := range o.Parts() {
		part.Ref = ref
		if err := tx.Push(ctx, part); err != nil {
			return err
		}
		tx.pushes[len(tx.pushes)-1].DueAt = due
	}
	return nil
}

// word renders r for a person.
func (tx *Tx) word(ctx context.Context, userID string, r bot.Reply) (bot.Outgoing, error) {
	return tx.wordAs(ctx, userID, tx.NewTaskID(), r)
}

// wordAs is word with the id that a card has already.
func (tx *Tx) wordAs(ctx context.Context, userID, taskID string, r bot.Reply) (bot.Outgoing, error) {
	p, err := tx.person(ctx, bot.Canonical(userID))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return bot.Outgoing{}, err
	}
	if p.UserID != "" {
		userID = p.UserID
	}
	o, err := tx.s.Render(userID, p.Language(), taskID, r)
	return o, wrap(err, "tell")
}

// NewTaskID makes the id for a card; a press on that card will be recognised as
// one of ours.
func (tx *Tx) NewTaskID() string { return tx.s.keys.newTaskID() }

func (tx *Tx) writePushes(text []byte) ([]byte, error) {
	if len(tx.pushes) == 0 {
		return text, nil
	}
	return tx.insert(text, &tx.pushes, "id", "leased_to", "tried_at", "first_tried")
}

func (s *Store) wakeOutbox() {
	select {
	case s.pushed <- struct{}{}:
	default:
	}
}

// Pushed is signalled after a commit that left something to deliver.
func (s *Store) Pushed() <-chan struct{} { return s.pushed }

// Delivery is a push as an administrator sees it: never its contents.
type Delivery struct {
	ID        int64
	To        string
	State     string
	Tries     int
	LastError string
	CreatedAt time.Time
	DueAt     time.Time
}

// Deliveries lists up to n pushes in a state, newest first.
func (s *Store) Deliveries(ctx context.Context, state string, n int) ([]Delivery, error) {
	var list []Delivery
	err := s.reads.NewSelect().Table("outbox").ColumnExpr("id, person AS \"to\", state, tries, last_error, created_at, due_at").
		Where("state = ?", state).Order("id DESC").Limit(n).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return list, nil
}

// Depth counts the pushes that wait and the ones that were given up.
func (s *Store) Depth(ctx context.Context) (pending, dead int, err error) {
	err = s.reads.NewRaw("SELECT (SELECT count(*) FROM outbox WHERE state = 'pending'), (SELECT count(*) FROM outbox WHERE state = 'dead')").Scan(ctx, &pending, &dead)
	if err != nil {
		return 0, 0, fmt.Errorf("count deliveries: %w", err)
	}
	return pending, dead, nil
}

// outboxKept is how long deliveries stay listed. It must exceed the hour over
// which pushes to a person are counted and the four over which equal ones are.
const outboxKept = 7 * 24 * time.Hour

func (s *Store) purgeOutbox(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM outbox WHERE state <> 'pending' AND id IN (SELECT id FROM (SELECT id, created_at FROM outbox ORDER BY id LIMIT 500) AS oldest WHERE created_at < ?)", outboxKept)
}

func (s *Store) purge(ctx context.Context, query string, kept time.Duration) (int64, error) {
	res, err := s.db.NewRaw(query, s.Now().UTC().Add(-kept)).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
