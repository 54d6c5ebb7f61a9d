package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

var (
	busyWeCom = bot.Fail(bot.Unavailable, "error.unavailable", nil, errors.New("the network"))
	limited   = bot.Fail(bot.Limited, "error.limited", nil, errors.New("45009"))
	final     = bot.Fail(bot.Internal, "error.internal", nil, errors.New("81013"))
)

// post is a WeCom that remembers every call and drops, without a word, what is
// above 30 messages a minute or 1,000 an hour to one member, and what is equal
// to a message of the last four hours.
type post struct {
	f      fixture
	answer func(o bot.Outgoing, n int) error // n counts the calls with an equal body from 1; nil takes everything

	mu    sync.Mutex
	calls []posted
	shown []posted
	lost  int
	tries map[string]int       // by body
	known map[string]time.Time // by body
}

type posted struct {
	bot.Outgoing
	at time.Time
}

func (p *post) Send(_ context.Context, o bot.Outgoing) (bot.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, body := p.f.now(), fmt.Sprintf("%+v", o)
	minute, hour := 0, 0
	for _, c := range p.calls {
		if c.To == o.To && now.Sub(c.at) < time.Minute {
			minute++
		}
		if c.To == o.To && now.Sub(c.at) < time.Hour {
			hour++
		}
	}
	p.calls = append(p.calls, posted{o, now})
	p.tries[body]++
	if p.answer != nil {
		if err := p.answer(o, p.tries[body]); err != nil {
			return bot.Receipt{}, err
		}
	}
	if minute >= 30 || hour >= 1000 {
		p.lost++
	} else if at, ok := p.known[body]; !ok || now.Sub(at) >= duplicateCheck {
		p.known[body] = now
		p.shown = append(p.shown, posted{o, now})
	}
	return bot.Receipt{}, nil
}

func (p *post) texts() []string {
	list := []string{}
	for _, s := range p.shown {
		list = append(list, s.To+": "+s.Text)
	}
	return list
}

// outbox is one that goes round when the test says so, at the test's time.
func (f fixture) outbox(answer func(bot.Outgoing, int) error) (*Outbox, *post) {
	p := &post{f: f, answer: answer, tries: map[string]int{}, known: map[string]time.Time{}}
	return &Outbox{Store: f.Store, Sender: p}, p
}

// claim leases pushes as an outbox does.
func (s *Store) claim(ctx context.Context, n int) ([]*parcel, error) {
	return (&Outbox{Store: s}).round(ctx, nil, n)
}

// settle records what came of a push that was claimed.
func (o *Outbox) settle(ctx context.Context, p *parcel) {
	if _, err := o.round(ctx, []*parcel{p}, 0); err != nil {
		o.Store.Log.Error("not recorded", "err", err)
	}
}

// goRound claims, sends and records what is due now, until nothing is.
func (f fixture) goRound(o *Outbox) {
	f.t.Helper()
	for {
		parcels, err := f.claim(f.t.Context(), claimAtOnce)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, p := range parcels {
			o.send(f.t.Context(), p)
			o.settle(f.t.Context(), p)
		}
		if len(parcels) == 0 {
			return
		}
	}
}

// rounds goes round whenever something is due, until d is over.
func (f fixture) rounds(o *Outbox, d time.Duration) {
	f.t.Helper()
	for end := f.now().Add(d); ; {
		f.goRound(o)
		var due []time.Time
		if err := f.reads.NewSelect().Model((*outboxRow)(nil)).Column("due_at").Where("id IN (SELECT min(id) FROM outbox WHERE state = ? GROUP BY person)", Pending).
			Order("due_at").Limit(1).Scan(f.t.Context(), &due); err != nil {
			f.t.Fatal(err)
		}
		next := end
		if len(due) > 0 && due[0].Before(end) {
			next = due[0]
		}
		f.pass(max(next.Sub(f.now()), time.Millisecond))
		if !f.now().Before(end) {
			return
		}
	}
}

func (f fixture) push(to string, texts ...string) {
	f.t.Helper()
	f.tx(func(tx *Tx) error {
		for _, text := range texts {
			if err := tx.Push(f.t.Context(), bot.Outgoing{To: to, Text: text}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f fixture) depth(pending, dead int) {
	f.t.Helper()
	if p, d, err := f.Depth(f.t.Context()); err != nil || p != pending || d != dead {
		f.t.Errorf("depth %d %d, %v, want %d %d", p, d, err, pending, dead)
	}
}

func numbered(n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprint(i))
	}
	return texts
}

func TestPushesArriveInOrder(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(func(o bot.Outgoing, n int) error {
			if (o.Text == "1" || o.Text == "3") && n < 3 {
				return busyWeCom
			}
			return nil
		})
		f.push("LiLei", numbered(6)...)
		f.rounds(o, time.Minute)
		if d := cmp.Diff([]string{"LiLei: 0", "LiLei: 1", "LiLei: 2", "LiLei: 3", "LiLei: 4", "LiLei: 5"}, wecom.texts()); d != "" {
			t.Error(d)
		}
		f.depth(0, 0)
	})
}

func TestOnesTroubleIsNotEverybodys(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(func(o bot.Outgoing, _ int) error {
			if o.To == "lilei" {
				return busyWeCom
			}
			return nil
		})
		f.push("lilei", numbered(claimAtOnce+1)...)
		f.push("hanmeimei", "hello")
		f.goRound(o)
		if d := cmp.Diff([]string{"hanmeimei: hello"}, wecom.texts()); d != "" {
			t.Error(d)
		}
	})
}

func TestDeadSendersPushIsSentAgain(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		o, wecom := f.outbox(nil)
		f.push("lilei", "hello", "again")
		if parcels, err := f.claim(t.Context(), 10); err != nil || len(parcels) != 1 {
			t.Fatal(parcels, err)
		}
		f.pass(sendLease)
		f.goRound(o)
		if len(wecom.calls) > 0 {
			t.Errorf("sent %v while leased", wecom.texts())
		}
		f.pass(time.Second)
		f.goRound(o)
		if d := cmp.Diff([]string{"lilei: hello", "lilei: again"}, wecom.texts()); d != "" {
			t.Error(d)
		}
	})
}

// Unlike in TestLateFailureDoesNotUndoASend, the other instance is
// still at it, and its lease must stand.
func TestLateFailureDoesNotEndALease(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		o, _ := f.outbox(nil)
		f.push("lilei", "hello")
		late, err := f.claim(t.Context(), 1)
		if err != nil || len(late) != 1 {
			t.Fatal(late, err)
		}
		f.pass(sendLease + time.Second)
		if taken, err := f.claim(t.Context(), 1); err != nil || len(taken) != 1 {
			t.Fatal(taken, err)
		}
		for _, late[0].err = range []error{busyWeCom, final} {
			o.settle(t.Context(), late[0])
			f.depth(1, 0)
			if parcels, err := f.claim(t.Context(), 1); err != nil || len(parcels) != 0 {
				t.Errorf("%v: claimed again: %v, %v", late[0].err, parcels, err)
			}
		}
	})
}

// oneAtATime notices when a push is being sent twice at once.
type oneAtATime struct {
	t    *testing.T
	want int
	all  chan struct{}

	mu   sync.Mutex
	now  map[string]bool
	sent map[string]int
}

func (s *oneAtATime) Send(_ context.Context, o bot.Outgoing) (bot.Receipt, error) {
	s.mu.Lock()
	if s.now[o.To] {
		s.t.Errorf("%s gets two messages at once", o.To)
	}
	s.now[o.To] = true
	s.mu.Unlock()
	s.mu.Lock() // where the other outbox comes in
	defer s.mu.Unlock()
	s.now[o.To] = false
	if s.sent[o.To+o.Text]++; len(s.sent) == s.want {
		close(s.all)
		s.want = -1
	}
	return bot.Receipt{}, nil
}

func TestTwoOutboxesSendEachPushOnce(t *testing.T) {
	url := storetest.Postgres(t)
	one := open(t, url, func(o *Options) { o.Now = time.Now })
	two := open(t, url, func(o *Options) { o.Now = time.Now })
	const people, each = 20, 10
	wecom := &oneAtATime{t: t, want: people * each, all: make(chan struct{}), now: map[string]bool{}, sent: map[string]int{}}
	for i := range people {
		one.push(fmt.Sprintf("p%d", i), numbered(each)...)
	}
	two.wakeOutbox()
	run(t, &Outbox{Store: one.Store, Sender: wecom, Poll: 10 * time.Millisecond}, &Outbox{Store: two.Store, Sender: wecom, Poll: 10 * time.Millisecond})
	select {
	case <-wecom.all:
	case <-time.After(30 * time.Second):
		t.Fatal("not everything was sent")
	}
	wecom.mu.Lock()
	defer wecom.mu.Unlock()
	for what, n := range wecom.sent {
		if n != 1 {
			t.Errorf("%s was sent %d times", what, n)
		}
	}
}

func TestDeliveries(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		o, _ := f.outbox(func(o bot.Outgoing, _ int) error {
			return map[string]error{"dead": final, "wait": busyWeCom}[o.Text]
		})
		for _, text := range []string{"sent 1", "dead", "sent 2", "wait"} {
			f.push("LiLei", text)
		}
		f.goRound(o)
		f.depth(1, 1)
		for state, want := range map[string][]int64{Sent: {3, 1}, Dead: {2}, Pending: {4}} {
			list, err := f.Deliveries(t.Context(), state, 10)
			if err != nil {
				t.Fatal(err)
			}
			var ids []int64
			for _, d := range list {
				ids = append(ids, d.ID)
				if d.To != "lilei" || d.State != state || d.Tries != 1 || !d.CreatedAt.Equal(f.now()) || (d.LastError == "") != (state == Sent) {
					t.Errorf("%+v", d)
				}
			}
			if d := cmp.Diff(want, ids); d != "" {
				t.Errorf("%s: %s", state, d)
			}
		}
		if list, err := f.Deliveries(t.Context(), Sent, 1); err != nil || len(list) != 1 || list[0].ID != 3 {
			t.Errorf("the newest: %+v, %v", list, err)
		}
		var bodies []string
		if err := f.reads.NewSelect().Model((*outboxRow)(nil)).Column("body").Where("state = ?", Sent).Scan(t.Context(), &bodies); err != nil || !slices.Equal(bodies, []string{"", ""}) {
			t.Errorf("what was delivered is still there: %q, %v", bodies, err)
		}
	})
}

func TestPushOnlyToPeople(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	for _, to := range []string{"", "@all", "lilei|boss", "lilei ", "ＬiLei", "ww0123/lilei", "../x"} {
		if err := f.Tx(t.Context(), func(tx *Tx) error { return tx.Push(t.Context(), bot.Outgoing{To: to, Text: "x"}) }); err == nil {
			t.Errorf("pushed to %q", to)
		}
	}
	f.depth(0, 0)
}
