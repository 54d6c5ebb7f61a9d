package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

// receiveBatch caps how many messages one commit receives.
const receiveBatch = 256

// inboxRow is a message from the moment it may be acknowledged. Its key is what
// makes a message happen once: there is one row for it, and it is done once.
type inboxRow struct {
	bun.BaseModel `bun:"table:inbox"`

	Seq        int64      `bun:"seq,pk,autoincrement"`
	Key        string     `bun:"key"`
	Person     string     `bun:"person"`  // canonical userid
	Message    string     `bun:"message"` // sealed; wiped when done
	Reply      string     `bun:"reply"`   // sealed
	Pushed     bool       `bun:"pushed"`  // the reply went through the outbox
	Attempts   int        `bun:"attempts"`
	ReceivedAt time.Time  `bun:"received_at"`
	DoneAt     *time.Time `bun:"done_at"`
	Lang       string     `bun:"lang,scanonly"` // of the person, "" when none was chosen
	Departed   bool       `bun:"departed,scanonly"`
}

// Answer is what a finished message is answered with, each time it is
// delivered: Text, or nothing when the reply was pushed or there is none.
type Answer struct {
	Done bool
	Text string
}

// received is one call of Receive on its way through the batcher.
type received struct {
	ctx   context.Context
	row   inboxRow
	first bool
	ans   Answer
	done  chan error
}

// Receive commits m. From then on it survives anything and may be acknowledged.
// first is true for exactly one delivery of m, on whichever instance; for the
// others the answer says whether m has been dealt with.
func (s *Store) Receive(ctx context.Context, m bot.Message) (first bool, ans Answer, err error) {
	text, err := json.Marshal(m)
	if err != nil {
		return false, Answer{}, fmt.Errorf("receive: %w", err)
	}
	r := &received{ctx: ctx, done: make(chan error, 1), row: inboxRow{
		Key: m.Key, Person: bot.Canonical(m.From), Message: s.keys.seal("inbox/"+m.Key, text),
	}}
	bot.Failpoint("before-inbox")
	select {
	case s.inbox.items <- r:
	case <-ctx.Done():
		return false, Answer{}, fmt.Errorf("receive: %w", ctx.Err())
	}
	select {
	case err = <-r.done:
	case <-ctx.Done():
		return false, Answer{}, fmt.Errorf("receive: %w", ctx.Err())
	}
	bot.Failpoint("after-inbox")
	if err != nil {
		return false, Answer{}, fmt.Errorf("receive: %w", err)
	}
	return r.first, r.ans, nil
}

// flushInbox commits a batch. When the batch as a whole is refused, each of its
// messages gets its own try, so that one of them cannot hold up the others.
func (s *Store) flushInbox(ctx context.Context, batch []*received) {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	conn, err := s.db.Conn(ctx)
	batch = gather(s.inbox.items, batch, receiveBatch) // whoever came meanwhile shares the commit, or the failure
	if err == nil {
		defer conn.Close()
		s.stamp(batch)
		err = s.receive(ctx, conn, batch)
	}
	s.suspect(err)
	if err == nil || len(batch) == 1 || Transient(err) {
		for _, r := range batch {
			r.done <- err
		}
		return
	}
	for i := range batch {
		batch[i].done <- s.receive(ctx, conn, batch[i:i+1])
	}
}

// clockSlack is by how much a clock may go back without messages changing their
// order. One set back further is believed, or messages of its future would look
// too young to be taken up for as long.
const clockSlack = time.Second

// stamp says when the messages came, each later than the one before it. Only the
// batcher calls it.
func (s *Store) stamp(batch []*received) {
	for _, r := range batch {
		at := s.Now().UTC().Truncate(time.Microsecond)
		if !at.After(s.stamped) && s.stamped.Sub(at) < clockSlack {
			at = s.stamped.Add(time.Microsecond)
		}
		r.row.ReceivedAt, s.stamped = at, at
	}
}

func (s *Store) receive(ctx context.Context, db bun.IDB, batch []*received) error {
	rows := make([]inboxRow, 0, len(batch))
	byKey := make(map[string]*received, len(batch))
	for _, r := range batch {
		if byKey[r.row.Key] == nil { // the first in line is the first
			byKey[r.row.Key] = r
			rows = append(rows, r.row)
		}
	}
	// Instances that receive the same messages insert them in the same order, or
	// they would wait for each other. It is the order of their keys, which for
	// events means nothing: when they came is in received_at.
	slices.SortFunc(rows, func(a, b inboxRow) int { return strings.Compare(a.Key, b.Key) })
	var fresh []string
	if err := db.NewInsert().Model(&rows).ExcludeColumn("seq", "done_at").On("CONFLICT (key) DO NOTHING").Returning("key").Scan(ctx, &fresh); err != nil {
		return err
	}
	for _, key := range fresh {
		byKey[key].first = true
	}
	if len(fresh) == len(batch) {
		return nil
	}
	var known []string
	for _, r := range batch {
		if !r.first {
			known = append(known, r.row.Key)
		}
	}
	answers, err := s.answers(ctx, db, known)
	if err != nil {
		return err
	}
	for _, r := range batch {
		if !r.first {
			r.ans = answers[r.row.Key]
		}
	}
	return nil
}

// Answer looks up what the message was answered with. It is not Done while the
// message is still waiting or running, on whichever instance.
func (s *Store) Answer(ctx context.Context, key string) (Answer, error) {
	all, err := s.answers(ctx, s.db, []string{key})
	return all[key], err
}

func (s *Store) answers(ctx context.Context, db bun.IDB, keys []string) (map[string]Answer, error) {
	var rows []inboxRow
	err := db.NewSelect().Model(&rows).Column("key", "reply", "pushed").Where("key IN (?)", bun.List(keys)).Where("done_at IS NOT NULL").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up answers: %w", err)
	}
	all := make(map[string]Answer, len(rows))
	for _, row := range rows {
		text, err := s.keys.open("reply/"+row.Key, row.Reply)
		if err != nil {
			return nil, err
		}
		ans := Answer{Done: true}
		if !row.Pushed {
			ans.Text = string(text)
		}
		all[row.Key] = ans
	}
	return all, nil
}

// inboxKept is how long a message is remembered after it was done. It bounds how
// late a redelivery may come, and is far above WeCom's retries (under a minute)
// and any clock window.
const inboxKept = 24 * time.Hour

func (s *Store) purgeInbox(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM inbox WHERE done_at IS NOT NULL AND seq IN (SELECT seq FROM (SELECT seq, received_at FROM inbox ORDER BY seq LIMIT 500) AS oldest WHERE received_at < ?)", inboxKept)
}
