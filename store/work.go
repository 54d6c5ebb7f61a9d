package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"deskbell/bot"

	"github.com/uptrace/bun"
)

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
