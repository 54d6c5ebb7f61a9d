package api

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/templates"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const masterKey = "master-key-of-the-automation-0123456789"

// rig is a server over a real store, with three people: boss (admin), lilei
// (agent) and hanmeimei (user).
type rig struct {
	testing.TB
	*Server
	now  time.Time
	logs *logs
	dir  *store.Directory

	lookup func(userID string) (bot.Person, error) // instead of the directory

	mu   sync.Mutex
	said []string // the cards and texts people were sent, as "person: key text"
}

// logs is what was logged; handlers write to it at once.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(tb testing.TB, change ...func(*Options)) *rig {
	tb.Helper()
	return newRigOn(tb, "sqlite::memory:", change...)
}

// newRigOn is a rig over the store at url.
func newRigOn(tb testing.TB, url string, change ...func(*Options)) *rig {
	tb.Helper()
	r := &rig{TB: tb, now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), logs: &logs{}}
	words, err := templates.Load()
	r.ok(err)
	clock := func() time.Time { return r.now }
	st, err := store.Open(tb.Context(), store.Options{
		URL: url, Keys: [][]byte{bytes.Repeat([]byte{7}, 32)}, PublicURL: "https://desk.example.com", Now: clock,
		Roles:    store.Rules{Admin: store.Rule{Users: []string{"boss"}}, Agent: store.Rule{Users: []string{"lilei"}}},
		PassCost: 4, // as cheap as bcrypt allows
		Render: func(to, lang, taskID string, reply bot.Reply) (bot.Outgoing, error) {
			out, err := words.Render(to, lang, taskID, reply)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.said = append(r.said, to+": "+reply.Key+" "+out.Text+string(out.Card))
			return out, err
		},
	})
	r.ok(err)
	tb.Cleanup(func() { r.ok(st.Close()) })
	dir := &store.Directory{Store: st, Lookup: func(_ context.Context, id string, _ []int) (bot.Person, error) {
		if r.lookup != nil {
			return r.lookup(id)
		}
		name := map[string]string{"boss": "Ma Boss", "lilei": "李雷", "hanmeimei": "韩梅梅", "ma": "Ma"}[id]
		state := bot.Active
		if name == "" {
			state = bot.Unknown
		}
		return bot.Person{ID: id, Name: name, State: state, Departments: []int{1}}, nil
	}}
	r.dir = dir
	for _, id := range []string{"boss", "lilei", "hanmeimei"} {
		_, err := dir.Person(tb.Context(), id)
		r.ok(err)
	}
	logins := &store.Logins{Store: st, Directory: dir, WhoIs: func(_ context.Context, code string) (string, error) {
		if who, ok := strings.CutPrefix(code, "code of "); ok {
			return who, nil
		}
		return "", bot.Fail(bot.Denied, "error.denied", nil, nil)
	}}
	tb.Cleanup(logins.Wait)
	o := Options{
		Logins: logins, Store: st, Words: words, Static: templates.Static(), PublicURL: "https://desk.example.com",
		MasterKey: masterKey, Version: "v1.2.3", Now: clock,
		Log: slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	r.Server, err = New(o)
	r.ok(err)
	return r
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// link gives the token of a chat link for somebody.
func (r *rig) link(userID string) string {
	r.Helper()
	person, err := r.o.Store.Profile(r.Context(), userID)
	r.ok(err)
	var link store.Link
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) error {
		link, err = tx.NewLink(r.Context(), person.User, "/chat")
		return err
	}))
	_, token, _ := strings.Cut(link.URL, "accessToken=")
	return token
}

// token gives somebody's access token.
func (r *rig) token(userID string) string {
	r.Helper()
	token, _, err := r.o.Store.Exchange(r.Context(), r.link(userID), "", store.Client{})
	r.ok(err)
	return token
}

// told lists what a person was sent under a key of templates.
func (r *rig) told(userID, key string) (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.said {
		if text, ok := strings.CutPrefix(s, userID+": "+key+" "); ok {
			list = append(list, text)
		}
	}
	return list
}

// with is a header of a request.
type with struct{ name, value string }

func bearer(token string) with { return with{"Authorization", "Bearer " + token} }

func (r *rig) signedIn(userID string) with {
	r.Helper()
	return with{"Cookie", r.cookie.name + "=" + r.token(userID)}
}

var ownForm = with{"Sec-Fetch-Site", "same-origin"}

// do sends one request through the whole server, from 203.0.113.9.
func (r *rig) do(method, target, body string, headers ...with) *fasthttp.Response {
	r.Helper()
	var q fasthttp.Request
	q.Header.SetMethod(method)
	q.SetRequestURI(target)
	q.Header.SetHost("desk.example.com")
	if body != "" {
		q.SetBodyString(body)
	}
	for _, h := range headers {
		q.Header.Add(h.name, h.value)
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&q, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.9:4711")), nil)
	r.Server.serve(ctx)
	r.o.Logins.Wait() // for what it left to be done after its answer
	r.asDocumented(&q, &ctx.Response)
	return &ctx.Response
}

// form posts fields from one of our own pages.
func (r *rig) form(target string, fields url.Values, headers ...with) *fasthttp.Response {
	r.Helper()
	return r.do("POST", target, fields.Encode(), append(headers, ownForm, with{"Content-Type", "application/x-www-form-urlencoded"})...)
}

func (r *rig) want(got *fasthttp.Response, status int, parts ...string) {
	r.Helper()
	if got.StatusCode() != status {
		r.Errorf("status %d, want %d: %.300s", got.StatusCode(), status, got.Body())
	}
	for _, part := range parts {
		if !strings.Contains(string(got.Body()), part) {
			r.Errorf("body lacks %q: %.1500s", part, got.Body())
		}
	}
}

func (r *rig) leadsTo(got *fasthttp.Response, status int, to string) {
	r.Helper()
	if loc := string(got.Header.Peek("Location")); got.StatusCode() != status || loc != to {
		r.Errorf("%d to %q, want %d to %q", got.StatusCode(), loc, status, to)
	}
}

// changing is what differs from run to run.
var changing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|db[a-z]_[A-Za-z0-9_-]+|reference [A-Z2-7]{8}`)

// golden compares an answer, indented, with a file people can read.
func (r *rig) golden(name string, got *fasthttp.Response) {
	r.Helper()
	body := jsontext.Value(changing.ReplaceAll(got.Body(), []byte("…")))
	r.ok(body.Indent(jsontext.WithIndent("  ")))
	body = append(body, '\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		r.ok(os.WriteFile(file, body, 0o644))
	}
	want, err := os.ReadFile(file)
	r.ok(err)
	if !bytes.Equal(body, want) {
		r.Errorf("%s:\n%s\nwant\n%s", name, body, want)
	}
}
