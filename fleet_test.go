package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deskbell/bot/settings"
	"deskbell/bot/wecom/sim"
	"deskbell/store"
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

// fleet is several instances of the whole product in this process, each with its
// own server and its own connections to one database. boss administers, agent0
// to agent7 work. The clock of the stores is moved by hand.
type fleet struct {
	*testing.T
	*clock
	box   *sim.Sim
	url   string // of the database
	keys  [][]byte
	desks []desk
	gates []*gateway
	post  *courier
	said  int // messages so far
	db    *sql.DB

	pushed atomic.Int64 // answers to codes that have to be looked for in the chat
}

func newFleet(t *testing.T, storeURL string, instances int, change ...func(*Config)) *fleet {
	t.Helper()
	people := []sim.Person{{ID: "boss", Name: "boss", Departments: []int{1}}, {ID: "hanmeimei", Name: "韩梅梅", Departments: []int{1}}}
	for i := range 8 {
		people = append(people, sim.Person{ID: agent(i), Name: agent(i), Departments: []int{2}}, sim.Person{ID: guest(i), Name: guest(i), Departments: []int{1}})
	}
	clock := &clock{at: time.Now()}
	box, err := sim.Start(sim.Config{Now: clock.now, People: people, Departments: []sim.Department{{ID: 1, Name: "Corp"}, {ID: 2, Name: "Desk", Parent: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	f := &fleet{T: t, clock: clock, box: box, url: storeURL, post: newCourier(t, box.Config())}
	dir := t.TempDir()
	for range instances {
		f.launch(dir, change)
	}
	box.SetCallback(f.desks[0].url + "/callbacks/wecom")
	for _, p := range people { // known from now on
		if _, err := f.gates[0].leavers.Directory.Person(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *fleet) launch(dir string, change []func(*Config)) {
	f.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	cfg, err := demoConfig(f.box, "http://"+ln.Addr().String(), dir)
	if err != nil {
		f.Fatal(err)
	}
	cfg.Store.URL, f.keys = settings.Secret(f.url), cfg.EncryptionKeys()
	cfg.WeCom.ClockWindow = 100_000 * time.Hour
	cfg.WeCom.PassiveWait = 200 * time.Millisecond // then, and when another instance answers, the text is pushed
	cfg.Limits.LoginPerAddress, cfg.Limits.LoginPerAccount = settings.Rate{}, settings.Rate{}
	cfg.Limits.CommandsPerPerson, cfg.Limits.LinksPerPerson, cfg.Limits.PushesPerPerson = settings.Rate{}, settings.Rate{}, settings.Rate{}
	for _, c := range change {
		c(&cfg)
	}
	ctx, stop := context.WithCancel(context.Background())
	g, err := newGateway(ctx, cfg, slog.New(slog.DiscardHandler), func(o *store.Options) {
		o.Now, o.PassCost = f.now, 4 // as cheap as bcrypt allows
	})
	if err != nil {
		f.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.run(ctx, ln) }()
	f.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			f.Error(err)
		}
	})
	f.gates, f.desks = append(f.gates, g), append(f.desks, desk{f.T, f.box, cfg.Server.PublicURL})
}

func (f *fleet) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) tx(fn func(*store.Tx) error) {
	f.Helper()
	f.must(f.gates[0].store.Tx(f.Context(), fn))
}

// token is an access token of a person, as good as one made with a code if otp.
func (f *fleet) token(userID string, otp bool) (token string) {
	f.Helper()
	f.tx(func(tx *store.Tx) (err error) {
		token, _, err = tx.NewToken(f.Context(), store.TokenSpec{UserID: userID, Source: "test", OTP: otp})
		return err
	})
	return token
}

// link is the token of a link from the chat.
func (f *fleet) link(userID string) string {
	f.Helper()
	p, err := f.gates[0].store.Profile(f.Context(), userID)
	f.must(err)
	var link store.Link
	f.tx(func(tx *store.Tx) error {
		link, err = tx.NewLink(f.Context(), p.User, "/chat")
		return err
	})
	_, token, _ := strings.Cut(link.URL, "accessToken=")
	return token
}

func guest(i int) string { return fmt.Sprintf("guest%d", i) }

// number is that of a message nobody has sent yet.
func (f *fleet) number() int { f.said++; return f.said }

// tell delivers a message to one instance, and returns what it says to it; "" when
// that is pushed, as when another instance was at work for this person. It is safe
// beside others: id is the message's number.
func (f *fleet) tell(at desk, userID, text string, id int) string {
	status, reply, err := f.post.deliver(f.Context(), at.url+"/callbacks/wecom", userID, text, id)
	if status != 200 || err != nil {
		f.Errorf("%s: %d, %v", text, status, err)
	}
	return reply
}

// send is one request. headers are names and values in turn.
func (f *fleet) send(method, url, body string, headers ...string) (status int, answer string) {
	req, err := http.NewRequestWithContext(f.Context(), method, url, strings.NewReader(body))
	if err != nil {
		f.Error(err)
		return 0, ""
	}
	req.Close = true // a connection kept for later may be closed by the other end just when it is used
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		f.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.Error(err)
	}
	return res.StatusCode, string(text)
}

// cardSince waits for a card like this behind what somebody had in their chat
// before.
func (f *fleet) cardSince(before int, userID string, like func(*sim.Card) bool) (card *sim.Card) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	_, err := f.box.WaitFor(ctx, userID, func(all []sim.Received) bool {
		for _, r := range all[min(before, len(all)):] {
			if r.Card != nil && like(r.Card) {
				card = r.Card
			}
		}
		return card != nil
	})
	f.must(err)
	return card
}

// approved asks for a login of somebody and has them approve it in the chat.
func (f *fleet) approved(at desk, userID, code string) (loginID string) {
	f.Helper()
	before := len(f.box.Inbox(userID))
	asked := at.login(fmt.Sprintf(`{"user_id":%q,"otp_code":%q}`, userID, code))
	if asked.Status != 202 {
		f.Fatalf("%+v", asked)
	}
	card := f.cardSince(before, userID, func(c *sim.Card) bool { return key(c, asked.Data.Number) != "" })
	f.box.Press(userID, card.TaskID, key(card, asked.Data.Number))
	for state, end := "", time.Now().Add(patience); state != store.LoginApproved; { // a press gives no answer
		if time.Now().After(end) {
			f.Fatal("the login was not approved")
		}
		f.must(f.database().QueryRow("SELECT state FROM logins WHERE task_id = '" + card.TaskID + "'").Scan(&state))
	}
	return asked.Data.LoginID
}
