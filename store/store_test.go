package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

var (
	testKey  = bytes.Repeat([]byte("0123456789abcdef"), 2)
	otherKey = bytes.Repeat([]byte("fedcba9876543210"), 2)
)

// clock is a time that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type fixture struct {
	*Store
	*clock
	t *testing.T
}

// each runs a case on every engine with an empty store.
func each(t *testing.T, fn func(t *testing.T, f fixture)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, url string) { fn(t, open(t, url, nil)) })
}

func open(t *testing.T, url string, set func(*Options)) fixture {
	t.Helper()
	c := &clock{at: time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC)}
	o := Options{
		URL: url, Keys: [][]byte{testKey}, PublicURL: "https://desk.example.com", Now: c.now,
		Roles: Rules{Admin: Rule{Users: []string{"boss"}}, Agent: Rule{Departments: []int{2}, Tags: []int{7}}},
		Log:   slog.New(slog.DiscardHandler),
		Render: func(to, lang, taskID string, r bot.Reply) (bot.Outgoing, error) {
			return bot.Outgoing{To: to, Text: lang + " " + r.Key}, nil
		},
	}
	if set != nil {
		set(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return fixture{s, c, t}
}

func (f fixture) tx(fn func(*Tx) error) {
	f.t.Helper()
	if err := f.Tx(f.t.Context(), fn); err != nil {
		f.t.Fatal(err)
	}
}

func said(from string, n int) bot.Message {
	return bot.Message{Key: fmt.Sprintf("m:%s:%d", from, n), From: from, Text: fmt.Sprintf("/say %d", n), Sent: time.Unix(1_700_000_000, 0).UTC()}
}

func (f fixture) receive(m bot.Message) (bool, Answer) {
	f.t.Helper()
	first, ans, err := f.Receive(f.t.Context(), m)
	if err != nil {
		f.t.Fatal(err)
	}
	return first, ans
}

func (f fixture) work(person string, fn func(*Tx, []Item) error) error {
	return f.Work(f.t.Context(), func() []string { return []string{person} }, 100, fn)
}

func TestMessageIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		m := said("LiLei", 1)
		if first, ans := f.receive(m); !first || ans.Done {
			t.Fatalf("first delivery: first=%v %+v", first, ans)
		}
		if first, ans := f.receive(m); first || ans.Done {
			t.Fatalf("second delivery before it ran: first=%v %+v", first, ans)
		}
		runs := 0
		run := func(tx *Tx, items []Item) error {
			for _, it := range items {
				runs++
				if d := cmp.Diff(m, it.Message); d != "" || it.Person != "lilei" {
					t.Errorf("person %s, message: %s", it.Person, d)
				}
				tx.Finish(it, "回答 "+it.Text, false)
			}
			return nil
		}
		for range 2 {
			if err := f.work("lilei", run); err != nil {
				t.Fatal(err)
			}
		}
		if runs != 1 {
			t.Errorf("ran %d times", runs)
		}
		for range 2 {
			if first, ans := f.receive(m); first || ans != (Answer{Done: true, Text: "回答 /say 1"}) {
				t.Errorf("later delivery: first=%v %+v", first, ans)
			}
		}
	})
}

func TestPushedReplyIsNotGivenAgain(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.receive(said("lilei", 1))
		if err := f.work("lilei", func(tx *Tx, items []Item) error {
			tx.Finish(items[0], "secret", true)
			return tx.Push(f.t.Context(), bot.Outgoing{To: "lilei", Text: "secret"})
		}); err != nil {
			t.Fatal(err)
		}
		if _, ans := f.receive(said("lilei", 1)); ans != (Answer{Done: true}) {
			t.Errorf("%+v", ans)
		}
	})
}

func TestFailedWorkLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.receive(said("lilei", 1))
		boom := errors.New("boom")
		err := f.work("lilei", func(tx *Tx, items []Item) error {
			if err := tx.EnsureAgent(t.Context(), bot.User{ID: "lilei", Level: bot.Agent}); err != nil {
				return err
			}
			tx.Audit(AuditEntry{Actor: "lilei", Action: "status.set"})
			if err := tx.Push(t.Context(), bot.Outgoing{To: "lilei", Text: "x"}); err != nil {
				return err
			}
			tx.Finish(items[0], "x", false)
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatalf("got %v", err)
		}
		f.tx(func(tx *Tx) error {
			if _, err := tx.Agent(t.Context(), "lilei"); !errors.Is(err, ErrNotFound) {
				t.Errorf("agent: %v", err)
			}
			if trail, err := tx.AuditTrail(t.Context(), "", 10); err != nil || len(trail) != 0 {
				t.Errorf("audit: %v, %v", trail, err)
			}
			return nil
		})
		if pending, dead, err := f.Depth(t.Context()); err != nil || pending+dead != 0 {
			t.Errorf("outbox: %d %d %v", pending, dead, err)
		}
		if _, ans := f.receive(said("lilei", 1)); ans.Done {
			t.Error("the message counts as done")
		}
	})
}

func TestMessagesComeInOrder(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		const n = 60
		var wg sync.WaitGroup
		for p := range 4 { // four people talk at once, each one message after the other
			wg.Go(func() {
				for i := range n {
					if _, _, err := f.Receive(t.Context(), said(fmt.Sprint("p", p), i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		next := map[string]int{}
		for range 4 * n / 50 * 2 {
			err := f.Work(t.Context(), func() []string { return []string{"p0", "p1", "p2", "p3"} }, 50, func(tx *Tx, items []Item) error {
				for _, it := range items {
					if want := fmt.Sprintf("/say %d", next[it.Person]); it.Text != want {
						t.Errorf("%s: %s, want %s", it.Person, it.Text, want)
					}
					next[it.Person]++
					tx.Finish(it, "", false)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(map[string]int{"p0": n, "p1": n, "p2": n, "p3": n}, next); d != "" {
			t.Error(d)
		}
	})
}

func TestManyDeliveriesHaveOneFirst(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		var wg sync.WaitGroup
		firsts := make(chan bool, 1000)
		for range 16 {
			wg.Go(func() {
				for i := range 50 {
					first, _, err := f.Receive(t.Context(), said("lilei", i))
					if err != nil {
						t.Error(err)
					}
					firsts <- first
				}
			})
		}
		wg.Wait()
		close(firsts)
		n := 0
		for first := range firsts {
			if first {
				n++
			}
		}
		if n != 50 {
			t.Errorf("%d first deliveries of 50 messages", n)
		}
	})
}

func TestOrphansAndAttempts(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.receive(said("lilei", 1))
		f.receive(said("hanmeimei", 1))
		if people, err := f.Orphans(t.Context(), f.now().Add(-time.Second), 10); err != nil || len(people) != 0 {
			t.Errorf("fresh messages are orphans: %v %v", people, err)
		}
		f.pass(5 * time.Second)
		people, err := f.Orphans(t.Context(), f.now().Add(-time.Second), 10)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"lilei", "hanmeimei"}, people); d != "" {
			t.Error(d)
		}
		for want := range 2 {
			if tried, err := f.Attempted(t.Context(), people); err != nil || tried != (want > 0) {
				t.Errorf("attempted = %v, %v", tried, err)
			}
			if err := f.Attempt(t.Context(), people); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.work("lilei", func(tx *Tx, items []Item) error {
			if items[0].Attempts != 2 {
				t.Errorf("attempts = %d", items[0].Attempts)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNothingReadableAtRest(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		m := said("lilei", 1)
		m.Text = "/otp verify CANARY1"
		f.receive(m)
		var link Link
		if err := f.work("lilei", func(tx *Tx, items []Item) (err error) {
			if link, err = tx.NewLink(t.Context(), bot.User{ID: "lilei"}, "/chat"); err != nil {
				return err
			}
			return tx.Push(t.Context(), bot.Outgoing{To: "lilei", Text: "CANARY2 " + link.URL})
		}); err != nil {
			t.Fatal(err)
		}
		token := link.URL[len(link.URL)-53:]
		for _, table := range []string{"inbox", "outbox", "tokens", "audit", "people"} {
			var rows []map[string]any
			if err := f.db.NewSelect().Table(table).Scan(t.Context(), &rows); err != nil {
				t.Fatal(err)
			}
			dump, err := json.Marshal(rows)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"CANARY1", "CANARY2", token, token[4:40]} {
				if bytes.Contains(dump, []byte(secret)) {
					t.Errorf("%s holds %s", table, secret)
				}
			}
		}
	})
}

func TestMessageSealedWithALostKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		f.receive(said("lilei", 1))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = fixture{reopen(t, url, otherKey), f.clock, t}
		if err := f.work("lilei", func(tx *Tx, items []Item) error {
			if len(items) != 1 || items[0].Broken == nil || items[0].Key != "m:lilei:1" {
				t.Errorf("items %+v", items)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = fixture{reopen(t, url, otherKey, testKey), f.clock, t}
		defer f.Close()
		if err := f.work("lilei", func(tx *Tx, items []Item) error {
			if items[0].Broken != nil || items[0].Text != "/say 1" {
				t.Errorf("with the old key: %+v", items)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func reopen(t *testing.T, url string, keys ...[]byte) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSecondProcessIsRefused(t *testing.T) {
	url := storetest.SQLite(t)
	open(t, url, nil)
	_, err := Open(context.Background(), Options{URL: url, Keys: [][]byte{testKey}})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("in use by another process")) {
		t.Errorf("second process: %v", err)
	}
}

func TestPurgeKeepsWhatIsNeeded(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.receive(said("old", 1))
		f.receive(said("waiting", 1))
		if err := f.work("old", func(tx *Tx, items []Item) error {
			tx.Finish(items[0], "", false)
			_, err := tx.NewLink(t.Context(), bot.User{ID: "old"}, "/chat")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		f.pass(8 * 24 * time.Hour)
		f.receive(said("fresh", 1))
		if err := f.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		var people []string
		if err := f.db.NewSelect().Model((*inboxRow)(nil)).Column("person").Order("seq").Scan(t.Context(), &people); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"waiting", "fresh"}, people); d != "" {
			t.Error(d)
		}
		if n, err := f.db.NewSelect().Model((*tokenRow)(nil)).Count(t.Context()); err != nil || n != 0 {
			t.Errorf("%d tokens left, %v", n, err)
		}
	})
}

// What one person sent is worked on in the order it came, whatever the keys of
// events are, also when the clock is set back a little.
func TestBatchIsWorkedInTheOrderItCame(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		var batch []*received
		var want []string
		for _, key := range []string{"e:c", "m:a", "e:a", "m:b", "e:b", "e:c"} {
			m := bot.Message{Key: key, From: "LiLei", Text: "/" + key}
			text, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, &received{row: inboxRow{Key: key, Person: "lilei", Message: f.keys.seal("inbox/"+key, text)}})
			want = append(want, m.Text)
		}
		f.stamp(batch[:2])
		f.pass(-clockSlack / 2)
		f.stamp(batch[2:])
		if err := f.Store.receive(t.Context(), f.db, batch); err != nil {
			t.Fatal(err)
		}
		var got []string
		err := f.Work(t.Context(), func() []string { return []string{"lilei"} }, 10, func(tx *Tx, items []Item) error {
			for _, it := range items {
				got = append(got, it.Text)
			}
			return nil
		})
		if d := cmp.Diff(want[:5], got); d != "" || err != nil {
			t.Error(err, d)
		}
		f.pass(-time.Hour) // whoever looks for messages that were left must still find this one
		late := []*received{{row: inboxRow{Key: "late"}}}
		if f.stamp(late); !late[0].row.ReceivedAt.Equal(f.now()) {
			t.Errorf("it is %v, and it came at %v", f.now(), late[0].row.ReceivedAt)
		}
	})
}

// Two instances that work for the same person at once, and change what is known of
// them, wait for each other in one order and never in a circle.
func TestInstancesWorkForOnePerson(t *testing.T) {
	url := storetest.Postgres(t)
	one, two := open(t, url, nil), open(t, url, nil)
	ctx := t.Context()
	one.know("lilei")
	var wg sync.WaitGroup
	for side, f := range []fixture{one, two} {
		wg.Go(func() {
			for i := range 60 {
				m := bot.Message{Key: fmt.Sprintf("m:%d:%d", side, i), From: "lilei", Text: "/lang en"}
				if _, _, err := f.Store.Receive(ctx, m); err != nil {
					t.Error(err)
					return
				}
				err := f.Work(ctx, func() []string { return []string{"lilei"} }, 10, func(tx *Tx, items []Item) error {
					for _, it := range items {
						if err := tx.SetLang(ctx, "lilei", "en"); err != nil {
							return err
						}
						tx.Finish(it, "", false)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// What came with a message comes back out of the inbox, and so do messages that
// were received before there was any such thing.
func TestMediaInTheInbox(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		m := said("lilei", 1)
		m.Text, m.Media = "", bot.Media{Kind: bot.Voice, ID: "1G6n", Name: "语音.amr", Format: "amr"}
		old := bot.Message{Key: "m:lilei:2", From: "lilei", Text: "/say 2", Event: bot.Pressed, Sent: m.Sent, Card: bot.Press{TaskID: "t", ResponseCode: "c"}}
		f.receive(m)
		f.pass(time.Second)
		f.receive(old)
		const before = `{"Key":"m:lilei:2","From":"lilei","Text":"/say 2","Event":"template_card_event","Sent":"2023-11-14T22:13:20Z","Card":{"TaskID":"t","ResponseCode":"c"}}`
		if now, err := json.Marshal(old); err != nil || string(now) != before {
			t.Errorf("a message without media is kept as\n%s, was\n%s", now, before)
		}
		if _, err := f.db.NewUpdate().Model((*inboxRow)(nil)).Set("message = ?", f.keys.seal("inbox/"+old.Key, []byte(before))).Where("key = ?", old.Key).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []bot.Message
		if err := f.work("lilei", func(_ *Tx, items []Item) error {
			for _, it := range items {
				got = append(got, it.Message)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]bot.Message{m, old}, got); d != "" {
			t.Error(d)
		}
	})
}
