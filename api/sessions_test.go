package api

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/store/storetest"
)

// floor is a rig with people at a helpdesk: lilei and ma answer, hanmeimei asks,
// kim is a customer who asks on the page of a share.
type floor struct {
	*rig
	tokens map[string]string
	share  string // the token of kim's share
	bot    store.Share
}

// eachFloor runs fn on every engine.
func eachFloor(t *testing.T, fn func(f *floor)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, url string) { fn(newFloor(newRigOn(t, url, requireOTP))) })
}

func requireOTP(o *Options) { o.RequireAdminOTP = true }

func newFloor(r *rig) *floor {
	r.Helper()
	f := &floor{rig: r, tokens: map[string]string{"master key": masterKey, "nobody": "dba_" + strings.Repeat("A", 49)}}
	_, err := r.dir.Person(r.Context(), "ma")
	r.ok(err)
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) error {
		_, err := tx.GrantRole(r.Context(), "boss", "ma", bot.Agent)
		return err
	}))
	for _, id := range []string{"boss", "lilei", "hanmeimei", "ma"} {
		f.tokens[id] = r.minted(store.TokenSpec{UserID: id, OTP: true})
	}
	f.tokens["boss without OTP"] = r.minted(store.TokenSpec{UserID: "boss"})
	f.tokens["ada"] = r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Username: "ada", Email: "ada@example.com"})})
	for _, name := range []string{"kim", "lee"} {
		f.tokens[name] = r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Username: name, Nickname: strings.ToUpper(name), EndUser: true})})
	}
	r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) error {
		b, err := tx.NewBot(r.Context(), "helper", nil, store.Asker{UserID: "boss"})
		if err == nil {
			f.share, f.bot, err = tx.CreateShare(r.Context(), store.NewShare{Bot: b.ID}, store.Asker{UserID: "boss"})
		}
		return err
	}))
	return f
}

// status has an agent be there, or not.
func (f *floor) status(who, status string) {
	f.Helper()
	f.want(f.as(who, "PUT", "/api/agents/me/status", `{"status":"`+status+`"}`), 200)
}

func (f *floor) as(who, method, path, body string, more ...with) *fasthttp.Response {
	f.Helper()
	token, ok := f.tokens[who]
	if !ok {
		f.Fatalf("nobody here is called %s", who)
	}
	return f.do(method, path, body, append(more, bearer(token))...)
}

// asks opens a session of a person and gives its path.
func (f *floor) asks(who string) string {
	f.Helper()
	got := f.as(who, "POST", "/api/sessions", `{}`)
	f.want(got, 200)
	return "/api/sessions/" + f.field(got, "id")
}

// kimAsks opens one of the customer's, as the page of a share does.
func (f *floor) kimAsks() string {
	f.Helper()
	a, err := f.o.Store.AccountNamed(f.Context(), "kim")
	f.ok(err)
	var c store.Conversation
	f.ok(f.o.Store.Tx(f.Context(), func(tx *store.Tx) error {
		c, _, err = tx.Begin(f.Context(), a.PartyOf(), f.bot.ID, "an invoice")
		return err
	}))
	return "/api/sessions/" + c.ID
}

// field is a text in an answer.
func (f *floor) field(got *fasthttp.Response, name string) string {
	f.Helper()
	var v map[string]any
	f.ok(json.Unmarshal(got.Body(), &v))
	text, _ := v[name].(string)
	return text
}

// pass lets time go by, so that lists have an order.
func (f *floor) pass() { f.now = f.now.Add(time.Second) }

func TestSessions(t *testing.T) {
	eachFloor(t, func(f *floor) {
		got := f.as("hanmeimei", "POST", "/api/sessions", `{"title":"the printer"}`)
		f.golden("session-queued", got)
		at := "/api/sessions/" + f.field(got, "id")
		f.golden("session-queued", f.as("hanmeimei", "POST", "/api/sessions", `{"topic":"something else"}`)) // it is open already
		f.pass()
		f.status("lilei", "online")
		f.ok(f.o.Store.Dispatch(f.Context()))
		f.golden("session-open", f.as("hanmeimei", "GET", at, ""))
		f.pass()
		key := with{"Idempotency-Key", "7 of the page"}
		said := f.as("hanmeimei", "POST", at+"/messages", `{"content":"It is on fire.\n\tAgain."}`, key)
		f.golden("session-message", said)
		for range 2 {
			if again := f.as("hanmeimei", "POST", at+"/messages", `{"content":"It is on fire.\n\tAgain."}`, key); string(again.Body()) != string(said.Body()) {
				f.Errorf("the same words again: %s", again.Body())
			}
		}
		f.want(f.as("hanmeimei", "POST", at+"/messages", `{"content":"Hello?"}`, key), 409, "Idempotency-Key: was used for other words")
		f.pass()
		f.want(f.as("lilei", "POST", at+"/messages", `{"content":"Which one?"}`, key), 200, `"role":"assistant"`) // the key is lilei's own
		f.want(f.as("boss", "POST", at+"/messages", `{"content":"All of them."}`), 200, `"role":"assistant"`)
		f.want(f.as("master key", "POST", at+"/messages", `{"content":"Maintenance at 8."}`), 200, `"role":"assistant"`)
		f.golden("session-messages", f.as("lilei", "GET", at+"/messages", "", with{"Accept-Language", "en"}))
		after := f.as("hanmeimei", "GET", at+"/messages?after="+f.field(said, "id")+"&limit=2", "")
		f.want(after, 200, "Which one?", "All of them.")
		if strings.Contains(string(after.Body()), "fire") || strings.Contains(string(after.Body()), "Maintenance") {
			f.Errorf("after the first, two of them: %s", after.Body())
		}
		f.want(f.as("lilei", "POST", at+"/seen", `{"message":"`+f.field(said, "id")+`"}`), 200, `"status":"open"`)
		f.pass()
		f.golden("session-closed", f.as("hanmeimei", "POST", at+"/close", ""))
		f.want(f.as("lilei", "POST", at+"/close", "{}"), 200, `"status":"closed"`)
		f.want(f.as("hanmeimei", "POST", at+"/messages", `{"content":"It is on fire.\n\tAgain."}`, key), 200, "on fire") // it was said
		f.golden("session-ended", f.as("hanmeimei", "POST", at+"/messages", `{"content":"Thanks"}`))
		f.want(f.as("lilei", "POST", at+"/reopen", ""), 200, `"status":"open"`, `"agent":"lilei"`, `"closed_at":null`)
		f.pass()
		f.golden("session-transfer-away", f.as("lilei", "POST", at+"/transfer", `{"agent":"ma"}`, with{"Accept-Language", "en"}))
		f.status("ma", "online")
		f.want(f.as("hanmeimei", "POST", at+"/transfer", `{"agent":"ma"}`), 403)
		f.golden("session-transfer-nobody", f.as("lilei", "POST", at+"/transfer", `{"agent":"nobody"}`))
		f.want(f.as("lilei", "POST", at+"/transfer", `{"agent":"MA","note":"knows printers"}`), 200, `"agent":"ma"`)
		f.want(f.as("lilei", "GET", at, ""), 404)
		f.want(f.as("ma", "GET", at+"/messages", ""), 200, "knows printers")
	})
}

func TestListsOfSessions(t *testing.T) {
	eachFloor(t, func(f *floor) {
		first := f.asks("hanmeimei")
		f.pass()
		second := f.asks("ma")
		f.pass()
		third := f.kimAsks()
		ids := func(got *fasthttp.Response) (list []string) {
			f.want(got, 200)
			var v struct {
				Items []deskSession `json:"items"`
			}
			f.ok(json.Unmarshal(got.Body(), &v))
			for _, item := range v.Items {
				list = append(list, fmt.Sprintf("/api/sessions/%s in place %d", item.ID, item.Position))
			}
			return list
		}
		one, two, three := first+" in place 1", second+" in place 2", third+" in place 3"
		for _, c := range []struct {
			who, query string
			want       []string
		}{
			{"hanmeimei", "", []string{one}}, {"kim", "", []string{three}}, {"lee", "", nil}, {"ada", "", nil}, {"boss", "", nil}, {"master key", "", nil},
			{"boss", "?all=true", []string{three, two, one}}, {"master key", "?all=true&limit=2", []string{three, two}},
			{"master key", "?all=true&status=queued&before=2026-03-04T13:06:09%2B08:00", []string{two, one}}, {"boss", "?all=true&before=2026-03-04T13:06:08+08:00", []string{one}},
			{"boss", "?all=true&status=closed", nil}, {"hanmeimei", "?all=false&status=queued", []string{one}},
		} {
			if got := ids(f.as(c.who, "GET", "/api/sessions"+c.query, "")); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				f.Errorf("%s %s: %q, want %q", c.who, c.query, got, c.want)
			}
		}
		f.golden("sessions", f.as("hanmeimei", "GET", "/api/sessions", ""))
	})
}

func TestRefusedSessions(t *testing.T) {
	eachFloor(t, func(f *floor) {
		f.status("lilei", "online")
		at := f.asks("hanmeimei")
		long := strings.Repeat("x", store.MaxSaid+1)
		for _, c := range []struct {
			who, method, path, body string
			status                  int
			says                    string
			headers                 []with
		}{
			{"hanmeimei", "GET", "/api/sessions?all=true", "", 403, "only administrators", nil},
			{"hanmeimei", "GET", "/api/sessions?all=1", "", 400, "all:", nil},
			{"hanmeimei", "GET", "/api/sessions?status=live", "", 400, "status:", nil},
			{"hanmeimei", "GET", "/api/sessions?limit=201", "", 400, "limit:", nil},
			{"hanmeimei", "GET", "/api/sessions?before=yesterday", "", 400, "before:", nil},
			{"hanmeimei", "POST", "/api/sessions", `{"title":"a","topic":"a"}`, 400, "topic:", nil},
			{"hanmeimei", "POST", "/api/sessions", `{"content":"a"}`, 400, "content: unknown field", nil},
			{"hanmeimei", "POST", "/api/sessions", `{"title":"a\u0000"}`, 400, "title:", nil},
			{"hanmeimei", "POST", "/api/sessions", `{"title":1}`, 400, "title:", nil},
			{"master key", "POST", "/api/sessions", `{}`, 403, "nobody who could ask", nil},
			{"kim", "POST", "/api/sessions", `{}`, 403, "the page of a share", nil},
			{"ada", "POST", "/api/sessions", `{}`, 403, "the page of a share", nil},
			{"boss without OTP", "GET", "/api/sessions", "", 403, "one-time password", nil},
			{"boss without OTP", "GET", at + "/events", "", 403, "one-time password", nil},
			{"hanmeimei", "GET", "/api/sessions/1", "", 404, "not found", nil},
			{"hanmeimei", "GET", "/api/sessions/00000000-0000-0000-0000-000000000000", "", 404, "not found", nil},
			{"hanmeimei", "POST", at + "/close", `{"why":"no"}`, 400, "why: unknown field", nil},
			{"hanmeimei", "POST", at + "/messages", `{"content":" \n"}`, 400, "content: is empty", nil},
			{"hanmeimei", "POST", at + "/messages", `{"content":"` + long + `"}`, 400, "content: is longer than 8000 bytes", nil},
			{"hanmeimei", "POST", at + "/messages", `{"content":"a\u0000b"}`, 400, "content: has control", nil},
			{"hanmeimei", "POST", at + "/messages", `{"content":"a","media":"1"}`, 400, "media: unknown", nil},
			{"hanmeimei", "POST", at + "/messages", `{"content":"a"}`, 400, "Idempotency-Key:", []with{{"Idempotency-Key", strings.Repeat("k", 129)}}},
			{"hanmeimei", "POST", at + "/messages", `{"content":"a"}`, 400, "Idempotency-Key:", []with{{"Idempotency-Key", "钥"}}},
			{"hanmeimei", "POST", at + "/messages", `{"content":"a"}`, 400, "Idempotency-Key:", []with{{"Idempotency-Key", ""}}},
			{"hanmeimei", "POST", at + "/messages", `{"content":"a"}`, 400, "Idempotency-Key:", []with{{"Idempotency-Key", "a"}, {"Idempotency-Key", "b"}}},
			{"hanmeimei", "GET", at + "/messages?after=1", "", 400, "after: is no message", nil},
			{"hanmeimei", "GET", at + "/messages?limit=0", "", 400, "limit:", nil},
			{"hanmeimei", "POST", at + "/seen", `{"message":"00000000-0000-0000-0000-000000000000"}`, 400, "message: is no message", nil},
			{"hanmeimei", "POST", at + "/seen", `{}`, 400, "message: is missing", nil},
			{"hanmeimei", "GET", at + "/events?after=x", "", 400, "after: is no message", nil},
			{"hanmeimei", "GET", at + "/events", "", 400, "Last-Event-ID: is no message", []with{{"Last-Event-ID", "x"}}},
			{"hanmeimei", "GET", at + "/export?format=pdf", "", 400, "format:", nil},
			{"lilei", "POST", at + "/transfer", `{}`, 400, "agent: is missing", nil},
			{"lilei", "POST", at + "/transfer", `{"agent":"ma","note":"` + long + `"}`, 400, "note:", nil},
			{"lilei", "POST", at + "/transfer", `{"agent":"lilei"}`, 409, "", nil},
			{"lilei", "POST", at + "/transfer", `{"agent":"nobody"}`, 400, "agent: ", nil},
		} {
			got := f.as(c.who, c.method, c.path, c.body, c.headers...)
			if got.StatusCode() != c.status || !strings.Contains(f.field(got, "detail"), c.says) {
				f.Errorf("%s %s %s %.60s: %d %s, want %d %s", c.who, c.method, c.path, c.body, got.StatusCode(), got.Body(), c.status, c.says)
			}
		}
		f.want(f.as("lilei", "POST", at+"/close", ""), 200)
		f.now = f.now.Add(25 * time.Hour)
		for _, id := range []string{"lilei", "hanmeimei"} { // the old tokens have expired
			f.tokens[id] = f.minted(store.TokenSpec{UserID: id})
		}
		f.golden("session-too-old", f.as("lilei", "POST", at+"/reopen", "", with{"Accept-Language", "en"}))
	})
}

// sends has a file sent in a session, by whoever asked, and gives its id.
func (f *floor) sends(session string) (id string) {
	f.Helper()
	id = f.keep("a.txt", []byte("hello"))
	all := store.Party{Admin: true}
	f.ok(f.o.Store.Tx(f.Context(), func(tx *store.Tx) error {
		c, err := tx.Conversation(f.Context(), path.Base(session), all)
		if err != nil {
			return err
		}
		_, _, err = tx.Say(f.Context(), c, store.Party{Key: c.Asker, ID: c.AskerID}, store.Words{Content: "a.txt", Media: id})
		return err
	}))
	return id
}

// Whose session it is decides, on every route there is for one: to others it is
// not there.
func TestSessionsOfOthers(t *testing.T) {
	eachFloor(t, func(f *floor) {
		f.status("lilei", "online")
		asked, kims := f.asks("hanmeimei"), f.kimAsks()
		sent := map[string]string{asked: f.sends(asked), kims: f.sends(kims)}
		n := 0
		for _, rt := range f.table() {
			rest, ok := strings.CutPrefix(rt.path, "/api/sessions/{id}")
			if !ok {
				continue
			}
			n++
			for who := range f.tokens {
				for session, parties := range map[string]string{asked: "hanmeimei lilei", kims: "kim lilei"} {
					want := http.StatusNotFound
					switch {
					case who == "nobody":
						want = http.StatusUnauthorized
					case who == "boss without OTP":
						want = http.StatusForbidden
					case who == "boss", who == "master key", strings.Contains(parties, who):
						want = 0
					}
					body := map[string]string{"/transfer": `{"agent":"nobody"}`, "/messages": `{"content":"x"}`, "/seen": `{"message":"x"}`}[rest]
					if rt.method == "GET" {
						body = ""
					}
					method := rt.method
					if rest == "/events" && want == 0 {
						method = "HEAD" // which finds out as much, and ends
					}
					got := f.as(who, method, session+strings.Replace(rest, "{media}", sent[session], 1), body).StatusCode()
					if want != 0 && got != want || want == 0 && (got == 401 || got == 404 || got >= 500 || got == 403 && rest != "/transfer") {
						f.Errorf("%s %s as %s, of %s: %d", method, rt.path, who, parties, got)
					}
				}
			}
		}
		if n < 9 {
			f.Errorf("%d routes", n)
		}
		// What was sent in one session is not to be had through another.
		f.want(f.as("boss", "GET", asked+"/media/"+sent[kims], ""), 404)
	})
}

// A share that ended lets its customers read what they were told, and no more.
func TestSessionOfAnEndedShare(t *testing.T) {
	eachFloor(t, func(f *floor) {
		f.status("lilei", "online")
		at := f.kimAsks()
		f.want(f.as("kim", "POST", at+"/messages", `{"content":"my invoice"}`), 200, `"role":"user"`)
		f.want(f.as("boss", "DELETE", "/api/v1/bot-share-tokens/"+f.bot.ID, ""), 200)
		f.want(f.as("kim", "GET", at+"/messages", ""), 200, "my invoice")
		f.want(f.as("kim", "POST", at+"/messages", `{"content":"and another"}`), 403, "the share is revoked")
		f.want(f.as("kim", "POST", at+"/close", ""), 200)
		f.want(f.as("kim", "POST", at+"/reopen", ""), 403, "the share is revoked")
		f.want(f.as("lilei", "POST", at+"/reopen", ""), 409, "不能继续") // nobody could read the answer
	})
}
