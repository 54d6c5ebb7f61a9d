package store

import (
	"context"
	"database/sql"
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

// Item is a received message whose turn has come.
type Item struct {
	bot.Message
	Seq      int64
	Person   string // canonical userid
	Lang     string // the language chosen by the person, "" when none was
	Attempts int    // how often a run of it was cut off by the end of the process
	Received time.Time
	Departed bool  // the person left, and the directory has not called them active since
	Broken   error // the message could not be read back; its other fields are right
}

// Work runs fn in a transaction over everything these people said that is not
// done yet, oldest first. While it runs, no other instance works for them: this
// is what keeps one person's commands in order. It asks who they are when it is
// its turn to write.
func (s *Store) Work(ctx context.Context, who func() []string, limit int, fn func(*Tx, []Item) error) error {
	return s.Tx(ctx, func(tx *Tx) error {
		people := who()
		tx.people = people
		items, err := tx.undone(ctx, people, limit)
		if err != nil || len(items) == 0 {
			return err
		}
		return fn(tx, items)
	})
}

func (tx *Tx) undone(ctx context.Context, people []string, limit int) ([]Item, error) {
	var rows []inboxRow
	// Until this transaction ends nobody departs: a departure would not cut off what
	// is done here for them. The lock is one under which commands may change what is
	// known of people: a weaker one would have to grow, and two that grow wait for
	// each other.
	known := tx.db.NewSelect().Table("people").Column("id", "lang").ColumnExpr("departed_at IS NOT NULL AS departed").Where("id IN (?)", bun.List(people)).Order("id")
	if tx.s.pg {
		known = known.For("NO KEY UPDATE")
	}
	q := tx.db.NewSelect().Model(&rows).Column("seq", "key", "person", "message", "attempts", "received_at").
		ColumnExpr("coalesce(known.lang, '') AS lang").ColumnExpr("coalesce(known.departed, FALSE) AS departed").
		Join("LEFT JOIN (?) AS known ON known.id = inbox_row.person", known).
		Where("person IN (?)", bun.List(people)).Where("done_at IS NULL").Order("received_at", "seq").Limit(limit)
	if tx.s.pg {
		q = q.For("UPDATE OF inbox_row")
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	if err := tx.grants(ctx, people); err != nil {
		return nil, err
	}
	items := make([]Item, 0, len(rows))
	for _, row := range rows {
		it := Item{Seq: row.Seq, Person: row.Person, Lang: row.Lang, Attempts: row.Attempts, Received: row.ReceivedAt, Departed: row.Departed}
		text, err := tx.s.keys.open("inbox/"+row.Key, row.Message)
		if err == nil {
			err = json.Unmarshal(text, &it.Message)
		}
		if err != nil {
			it.Message, it.Broken = bot.Message{Key: row.Key, From: row.Person}, fmt.Errorf("message %d: %w", row.Seq, err)
		}
		items = append(items, it)
	}
	return items, nil
}

// finished is a message that this transaction is done with.
type finished struct {
	it     Item
	text   string
	pushed bool
}

// Finish records that a message has been dealt with, and the text every
// delivery of it is answered with. pushed says that the outbox carries it
// instead.
func (tx *Tx) Finish(it Item, text string, pushed bool) {
	tx.done = append(tx.done, finished{it, text, pushed})
}

// writeFinished is the last statement of a flush, so that finishedAll can count
// its rows.
func (tx *Tx) writeFinished(text []byte) ([]byte, error) {
	if len(tx.done) == 0 {
		return text, nil
	}
	gen := tx.s.db.QueryGen()
	text = gen.AppendQuery(text, "UPDATE inbox SET message = '', reply = v.column2, pushed = v.column3, done_at = ? FROM (VALUES ", tx.Now)
	for i, f := range tx.done {
		if i > 0 {
			text = append(text, ',')
		}
		text = gen.AppendQuery(text, "(?, ?, ?)", f.it.Seq, tx.s.keys.seal("reply/"+f.it.Key, []byte(f.text)), f.pushed)
	}
	return append(text, ") AS v WHERE inbox.seq = v.column1 AND inbox.done_at IS NULL;"...), nil
}

func (tx *Tx) finishedAll(res sql.Result) error {
	if len(tx.done) == 0 {
		return nil
	}
	if n, err := res.RowsAffected(); err != nil || n != int64(len(tx.done)) {
		return fmt.Errorf("finish messages: %d of %d were still open (%w)", n, len(tx.done), errRaced)
	}
	return nil
}

// Orphans names people with messages that nobody has dealt with for a while:
// the instance that received them died, or lost the database. Messages that
// another instance is working on right now are left alone.
func (s *Store) Orphans(ctx context.Context, before time.Time, limit int) ([]string, error) {
	var people []string
	err := s.tx(ctx, &Tx{}, func(tx *Tx) error {
		q := tx.db.NewSelect().Model((*inboxRow)(nil)).Column("person").
			Where("done_at IS NULL").Where("received_at <= ?", before.UTC()).
			Order("received_at", "seq").Limit(limit) // by seq alone, SQLite would walk the whole table
		if s.pg {
			q = q.For("UPDATE SKIP LOCKED")
		}
		return q.Scan(ctx, &people)
	})
	if err != nil {
		return nil, fmt.Errorf("look for orphaned messages: %w", err)
	}
	return people, nil
}

// Attempt notes, before they run, that these people's messages are about to be
// tried again after the process that had them ended.
func (s *Store) Attempt(ctx context.Context, people []string) error {
	_, err := s.db.NewRaw("UPDATE inbox SET attempts = attempts + 1 WHERE person IN (?) AND done_at IS NULL", bun.List(people)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("note an attempt: %w", err)
	}
	return nil
}

// Attempted reports whether any of these people's messages has been tried again
// before.
func (s *Store) Attempted(ctx context.Context, people []string) (bool, error) {
	yes, err := s.db.NewSelect().Model((*inboxRow)(nil)).Where("person IN (?)", bun.List(people)).Where("done_at IS NULL").Where("attempts > 0").Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("look for attempts: %w", err)
	}
	return yes, nil
}

// Left reports whether a message is not done and nobody is working on it right
// now.
func (s *Store) Left(ctx context.Context, key string) (left bool, err error) {
	err = s.tx(ctx, &Tx{}, func(tx *Tx) error {
		var seqs []int64
		q := tx.db.NewSelect().Model((*inboxRow)(nil)).Column("seq").Where("key = ?", key).Where("done_at IS NULL")
		if s.pg {
			q = q.For("UPDATE SKIP LOCKED")
		}
		err := q.Scan(ctx, &seqs)
		left = len(seqs) > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look whether a message was left: %w", err)
	}
	return left, nil
}

// inboxKept is how long a message is remembered after it was done. It bounds how
// late a redelivery may come, and is far above WeCom's retries (under a minute)
// and any clock window.
const inboxKept = 24 * time.Hour

func (s *Store) purgeInbox(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM inbox WHERE done_at IS NOT NULL AND seq IN (SELECT seq FROM (SELECT seq, received_at FROM inbox ORDER BY seq LIMIT 500) AS oldest WHERE received_at < ?)", inboxKept)
}
