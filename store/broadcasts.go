package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"deskbell/bot"
)

const (
	// criesASecond is how many people a broadcast is pushed to in a second. What is
	// pushed meanwhile stands behind that many messages in the outbox, not behind
	// all of them.
	criesASecond = 20
	// askAtMost bounds the questions to the directory about people nobody here knows.
	askAtMost = 200
	// listWithin bounds finding out whom a broadcast goes to: its author waits.
	listWithin = 10 * time.Second
)

// Broadcasts sends what administrators say to everybody: all whom the app is
// visible to and whom the directory does not call disabled or gone. Any number of
// instances may run it.
type Broadcasts struct {
	Directory *Directory
	List      func(context.Context) ([]string, error) // the userids the app is visible to
}

// Run sends until ctx ends.
func (b *Broadcasts) Run(ctx context.Context) {
	s := b.Directory.Store
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.cried:
		case <-tick.C:
		}
		if err := b.Step(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("broadcast", "err", err)
		}
	}
}

// Step does what is due within a second.
func (b *Broadcasts) Step(ctx context.Context) error {
	s := b.Directory.Store
	var todo []Broadcast
	err := s.reads.NewSelect().Model(&todo).Where("done_at IS NULL").Where("counted_at IS NULL OR confirmed_at IS NOT NULL").Order("asked_at").Limit(20).Scan(ctx)
	if err != nil {
		return fmt.Errorf("look for broadcasts: %w", err)
	}
	for i := range todo {
		c, do := &todo[i], b.send
		if c.CountedAt == nil {
			do = b.count
		} else if c.Sent == c.Count {
			do = b.finish
		}
		if err := do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// count finds out whom it goes to, and asks its author.
func (b *Broadcasts) count(ctx context.Context, c *Broadcast) error {
	people, listed, err := b.audience(ctx)
	if err != nil {
		return err
	}
	return b.Directory.Store.Tx(ctx, func(tx *Tx) error {
		q := tx.db.NewUpdate().Model(c).Set("counted_at = ?", tx.Now).Set("listed = ?", listed).Set("people = ?", strings.Join(people, "\n")).Set("count = ?", len(people)).
			Where("id = ?", c.ID).Where("counted_at IS NULL").Returning("*")
		if err := conversationErr(q.Scan(ctx)); err != nil {
			return raced(err)
		}
		c.For = ConfirmWithin
		return tx.Tell(ctx, c.Author, bot.Card("broadcast", *c))
	})
}

// audience is whom a broadcast goes to. When WeCom does not say whom the app is
// visible to, it is everybody known here.
func (b *Broadcasts) audience(ctx context.Context) (people []string, listed bool, err error) {
	s := b.Directory.Store
	ctx, cancel := context.WithTimeout(ctx, listWithin)
	defer cancel()
	var rows []personRow
	if err := s.reads.NewSelect().Model(&rows).Column("id", "user_id", "state").Order("id").Scan(ctx); err != nil {
		return nil, false, fmt.Errorf("list people: %w", err)
	}
	known := make(map[string]bot.State, len(rows))
	for _, row := range rows {
		known[row.ID] = row.State
		if row.State == bot.Active {
			people = append(people, row.UserID)
		}
	}
	all, err := b.List(ctx)
	if err != nil {
		s.Log.Warn("broadcast: WeCom does not say whom the app is visible to; it goes to those known here", "people", len(people), "err", err)
		return people, false, nil
	}
	b.meet(ctx, all, known)
	people = nil
	for _, id := range all {
		if state, ok := known[bot.Canonical(id)]; !ok || state == bot.Active {
			people = append(people, id)
		}
	}
	return people, true, nil
}

// meet asks the directory about people nobody here knows. Of whom it does not
// say anything in time, it is believed that they are there.
func (b *Broadcasts) meet(ctx context.Context, all []string, known map[string]bot.State) {
	var mu sync.Mutex
	var asking sync.WaitGroup
	hands := make(chan struct{}, 8)
	asked := 0
	for _, id := range all {
		if _, ok := known[bot.Canonical(id)]; ok || asked == askAtMost {
			continue
		}
		asked++
		hands <- struct{}{}
		asking.Go(func() {
			defer func() { <-hands }()
			p, err := b.Directory.Person(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				known[bot.Canonical(id)] = p.State
			}
		})
	}
	asking.Wait()
}

// send pushes it to the next of its people.
func (b *Broadcasts) send(ctx context.Context, c *Broadcast) error {
	people := strings.Split(c.People, "\n")
	next := people[c.Sent:min(c.Sent+criesASecond, len(people))]
	return b.Directory.Store.Tx(ctx, func(tx *Tx) error {
		res, err := tx.db.NewUpdate().Model((*Broadcast)(nil)).Set("sent = ?", c.Sent+len(next)).Where("id = ?", c.ID).Where("sent = ?", c.Sent).Exec(ctx)
		if err := changedOne(res, err, "broadcast"); err != nil {
			return raced(err) // another instance was faster
		}
		for _, id := range next {
			if err := tx.tellAt(ctx, id, bot.Text("broadcast.message", *c), tx.Now, broadcastRef(c.ID)); err != nil {
				return err
			}
		}
		return nil
	})
}

// finish tells the author what became of it, once the outbox has done with it.
func (b *Broadcasts) finish(ctx context.Context, c *Broadcast) error {
	s := b.Directory.Store
	var rows []struct {
		State string
		N     int
	}
	err := s.reads.NewSelect().Model((*outboxRow)(nil)).ColumnExpr("state, count(DISTINCT person) AS n").Where("ref = ?", broadcastRef(c.ID)).Group("state").Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("count a broadcast: %w", err)
	}
	for _, row := range rows {
		switch row.State {
		case Pending:
			return nil
		case Sent:
			c.Arrived = row.N
		}
	}
	c.Failed = c.Count - c.Arrived
	return s.Tx(ctx, func(tx *Tx) error {
		res, err := tx.db.NewUpdate().Model((*Broadcast)(nil)).Set("done_at = ?", tx.Now).Set("people = ''").Where("id = ?", c.ID).Where("done_at IS NULL").Exec(ctx)
		if err := changedOne(res, err, "broadcast"); err != nil {
			return raced(err)
		}
		return tx.Tell(ctx, c.Author, bot.Card("broadcast.done", *c))
	})
}
