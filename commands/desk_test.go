package commands

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/bot/wecom/sim"
	"deskbell/store"
	"deskbell/templates"

	otplib "github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// desk is a gateway without its ends: messages go in by say, and what would be
// pushed is collected.
type desk struct {
	*Runner
	t      testing.TB
	store  *store.Store
	people map[string]bot.Person
	phones map[string]string         // the secret in each person's authenticator
	missed map[string][]bot.Outgoing // pushed to people who were not looking
	cards  map[string]bot.Outgoing   // the latest of each person
	mu     sync.Mutex
	clock  time.Time
	n      int
	log    *bytes.Buffer
}

type deskOptions struct {
	url      string // default: SQLite in memory
	lookup   func(context.Context, string) (bot.Person, error)
	commands []Command
	set      func(*Options)
}

var testKey = bytes.Repeat([]byte("0123456789abcdef"), 2)

func newDesk(t testing.TB, o deskOptions) *desk {
	t.Helper()
	set, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	set.Zone = time.FixedZone("CST", 8*3600)
	d := &desk{t: t, people: map[string]bot.Person{}, phones: map[string]string{}, missed: map[string][]bot.Outgoing{}, cards: map[string]bot.Outgoing{}, clock: time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC), log: &bytes.Buffer{}}
	set.Now = d.now
	if o.url == "" {
		o.url = "sqlite::memory:"
	}
	d.store, err = store.Open(t.Context(), store.Options{
		URL: o.url, Keys: [][]byte{testKey}, PublicURL: "https://desk.example.com", Render: set.Render, Now: d.now,
		Log: slog.New(slog.NewTextHandler(&lockedBuffer{d: d}, nil)),
		Roles: store.Rules{
			Admin: store.Rule{Users: []string{"boss"}, Departments: []int{9}},
			Agent: store.Rule{Users: []string{"mei"}, Departments: []int{8}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if o.lookup == nil {
		o.lookup = func(_ context.Context, id string) (bot.Person, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			p, ok := d.people[bot.Canonical(id)]
			if !ok {
				return bot.Person{ID: id, State: bot.Unknown}, nil
			}
			return p, nil
		}
	}
	directory := &store.Directory{Store: d.store, Lookup: func(ctx context.Context, id string, _ []int) (bot.Person, error) { return o.lookup(ctx, id) }}
	options := Options{Store: d.store, Directory: directory, Word: set.Word, Commands: o.commands, Wait: 20 * time.Second, Log: d.store.Log}
	if o.set != nil {
		o.set(&options)
	}
	if d.Runner, err = NewRunner(options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Runner.Close()
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(d.log.String())
		}
	})
	return d
}

type lockedBuffer struct{ d *desk }

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	return b.d.log.Write(p)
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.clock
}

func (d *desk) pass(dur time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clock = d.clock.Add(dur)
}

// join puts a person into the directory. A level is given by department.
func (d *desk) hire(id, name string, l bot.Level) {
	p := bot.Person{ID: id, Name: name, State: bot.Active, Departments: []int{1}}
	if l > bot.Anyone {
		p.Departments = []int{7 + int(l)}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people[bot.Canonical(id)] = p
}

func (d *desk) message(from, text string) bot.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	return bot.Message{Key: fmt.Sprintf("m:%s:%d", from, d.n), From: from, Text: text, Sent: d.clock}
}

// say is what a person gets to see after typing a line: the passive reply, or
// else what was pushed to them meanwhile.
func (d *desk) say(from, text string) string {
	d.t.Helper()
	return d.deliver(d.message(from, text))
}

// cry sends what administrators say to everybody, as far as it is time.
func (d *desk) cry() {
	d.t.Helper()
	all := &store.Broadcasts{Directory: d.Directory, List: func(context.Context) (ids []string, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, p := range d.people {
			ids = append(ids, p.ID)
		}
		slices.Sort(ids)
		return ids, nil
	}}
	if err := all.Step(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// soon is by when a callback wants its answer.
func soon() time.Time { return time.Now().Add(20 * time.Second) }

func (d *desk) deliver(m bot.Message) string {
	d.t.Helper()
	text, err := d.Take(soon(), m)
	if err != nil {
		d.t.Fatalf("%s: %s: %v", m.From, m.Text, err)
	}
	if text != "" {
		return text
	}
	d.cry()
	return strings.Join(d.pushed(m.From), "\n")
}

// outgoing delivers what waits in the outbox and returns it.
func (d *desk) outgoing() (all []bot.Outgoing) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen := make(chan bot.Outgoing, 100)
	done := make(chan struct{})
	box := &store.Outbox{Store: d.store, Sender: senderFunc(func(_ context.Context, o bot.Outgoing) (bot.Receipt, error) {
		seen <- o
		return bot.Receipt{MsgID: "m", ResponseCode: "rc"}, nil
	})}
	go func() { defer close(done); box.Run(ctx) }()
	for {
		pending, _, err := d.store.Depth(ctx)
		if err != nil {
			d.t.Fatal(err)
		}
		if pending == 0 {
			break
		}
	}
	cancel()
	<-done
	close(seen)
	for o := range seen {
		all = append(all, o)
	}
	return all
}

// pushed delivers what waits in the outbox and returns what was for a person.
func (d *desk) pushed(to string) []string {
	d.t.Helper()
	all := d.outgoing()
	for _, o := range all {
		if o.Image != nil {
			d.scan(o)
		}
	}
	return append(d.gathered(all, to), shown(all, to)...)
}

// gathered is what a person missed until now; what is for others they miss.
func (d *desk) gathered(all []bot.Outgoing, to string) []string {
	missed := d.missed[to]
	delete(d.missed, to)
	for _, o := range all {
		if o.To != to {
			d.missed[o.To] = append(d.missed[o.To], o)
		}
		if o.Card != nil {
			d.cards[o.To] = o
		}
	}
	return shown(missed, to)
}

// press presses the first button of somebody's latest card whose key begins so.
func (d *desk) press(from, key string) string {
	d.t.Helper()
	card := d.cards[from]
	for line := range strings.Lines(templates.Flatten(card.Card)) {
		if _, button, ok := strings.Cut(strings.TrimSpace(line), " → "); ok && strings.HasPrefix(button, key) {
			m := d.message(from, strings.TrimSuffix(button, "]"))
			m.Event, m.Card = bot.Pressed, bot.Press{TaskID: card.TaskID, ResponseCode: "press"}
			return d.deliver(m)
		}
	}
	d.t.Fatalf("%s has no button %s:\n%s", from, key, templates.Flatten(card.Card))
	return ""
}

// scan lets a person's authenticator read a picture.
func (d *desk) scan(o bot.Outgoing) {
	d.t.Helper()
	link, err := sim.Scan(o.Image)
	if err != nil {
		d.t.Fatal(err)
	}
	if strings.HasPrefix(link, "https://") { // the QR code of a share, for customers
		if o.Safe {
			d.t.Fatalf("%s cannot be passed on", link)
		}
		return
	}
	key, err := otplib.NewKeyFromURL(link)
	if err != nil || !o.Safe || key.AccountName() != o.To {
		d.t.Fatalf("picture for %s, safe %v: %v, %v", o.To, o.Safe, key, err)
	}
	d.phones[o.To] = key.Secret()
}

// code is what a person's authenticator shows.
func (d *desk) code(who string) string {
	d.t.Helper()
	c, err := totp.GenerateCode(d.phones[who], d.now())
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// shown is what a person gets to see of what was sent.
func shown(all []bot.Outgoing, to string) (got []string) {
	for _, o := range all {
		switch {
		case o.To != to:
		case o.Card != nil && o.ResponseCode != "":
			got = append(got, "(the card changes)", templates.Flatten(o.Card))
		case o.Card != nil:
			got = append(got, templates.Flatten(o.Card))
		case o.Image != nil:
			what := "(image)"
			if link, err := sim.Scan(o.Image); err == nil && strings.HasPrefix(link, "https://") {
				what = "(image of " + link + ")"
			}
			got = append(got, what)
		case o.Recall != "":
			got = append(got, "(recalled)")
		default:
			got = append(got, o.Text)
		}
	}
	return got
}

type senderFunc func(context.Context, bot.Outgoing) (bot.Receipt, error)

func (f senderFunc) Send(ctx context.Context, o bot.Outgoing) (bot.Receipt, error) { return f(ctx, o) }

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
