package wecom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	cliCorp   = "wwcorp"
	cliAgent  = 1000002
	cliSecret = "s3cret-CANARY-0123456789"
)

// cliFake is WeCom for these tests: strict about the shape of a call, and
// answering what it was told to.
type cliFake struct {
	t   testing.TB
	url string
	log bytes.Buffer

	mu     sync.Mutex
	issued int    // tokens so far
	token  string // the one that is good; "" makes every token good
	calls  map[string]int
	bodies map[string][]string
	answer map[string]func(r *http.Request) string
}

// cliStart starts a fake and a client of it. Calls without an answer are faults
// of the test.
func cliStart(t testing.TB, change func(*ClientOptions), answers map[string]func(r *http.Request) string) (*cliFake, *Client) {
	f := &cliFake{t: t, calls: map[string]int{}, bodies: map[string][]string{}, answer: answers}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	o := ClientOptions{
		CorpID: cliCorp, AgentID: cliAgent, Secret: cliSecret, APIBase: server.URL + "/behind/",
		Log: slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&o)
	}
	c := NewClient(o)
	t.Cleanup(c.Close)
	return f, c
}

// cliSays answers the same to every call.
func cliSays(answer string) func(*http.Request) string {
	return func(*http.Request) string { return answer }
}

// cliFails answers with an errcode, as wordy as WeCom.
func cliFails(code int) func(*http.Request) string {
	return cliSays(fmt.Sprintf(`{"errcode":%d,"errmsg":"no, hint: [1700_1_ab], from ip: 203.0.113.7, more info at https://open.work.weixin.qq.com/devtool/query?e=%[1]d"}`, code))
}

func (f *cliFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	name, ok := strings.CutPrefix(r.URL.Path, "/behind/cgi-bin/")
	if !ok {
		f.t.Errorf("call of %s", r.URL.Path)
	}
	reply := f.serve(name, r, body)
	if status, ok := strings.CutPrefix(reply, "HTTP "); ok {
		var code int
		fmt.Sscan(status, &code)
		w.WriteHeader(code)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	io.WriteString(w, reply)
}

func (f *cliFake) serve(name string, r *http.Request, body []byte) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[name]++
	f.bodies[name] = append(f.bodies[name], string(body))
	if r.Method == http.MethodPost && (!strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") || !json.Valid(body)) {
		f.t.Errorf("%s: POST of %s %q", name, r.Header.Get("Content-Type"), body)
	}
	answer := f.answer[name]
	if name == "gettoken" {
		if q := r.URL.Query(); q.Get("corpid") != cliCorp || q.Get("corpsecret") != cliSecret {
			f.t.Errorf("gettoken with %v", q)
		}
		if answer == nil {
			f.issued++
			f.token = fmt.Sprintf("token-CANARY-%d", f.issued)
			return fmt.Sprintf(`{"errcode":0,"errmsg":"ok","access_token":%q,"expires_in":7200}`, f.token)
		}
		return answer(r)
	}
	if f.token != "" && r.URL.Query().Get("access_token") != f.token {
		return cliFails(42001)(r)
	}
	if answer == nil {
		f.t.Errorf("unexpected call of %s", name)
		return cliFails(48001)(r)
	}
	return answer(r)
}

// expire makes every token issued so far worthless.
func (f *cliFake) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token = "expired"
}

func (f *cliFake) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[name]
}

func (f *cliFake) body(name string, i int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bodies[name][i]
}

// cliClock is a clock that stands still until it is moved.
type cliClock struct {
	mu  sync.Mutex
	now time.Time
}

func cliNewClock() *cliClock { return &cliClock{now: time.Unix(1_700_000_000, 0)} }

func (c *cliClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cliClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestStampedeFetchesOneToken(t *testing.T) {
	f, c := cliStart(t, nil, map[string]func(*http.Request) string{
		"getcallbackip": cliSays(`{"ip_list":["1.2.3.4"]}`),
	})
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if _, err := c.CallbackIPs(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.count("gettoken"); n != 1 {
		t.Errorf("%d gettoken calls for 1,000 cold callers, want 1", n)
	}
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	f, c := cliStart(t, nil, map[string]func(*http.Request) string{
		"user/get": func(r *http.Request) string {
			return fmt.Sprintf(`{"errcode":0,"userid":%q,"status":1}`, r.URL.Query().Get("userid"))
		},
	})
	if _, err := c.Person(t.Context(), "lilei", nil); err != nil {
		t.Fatal(err)
	}
	f.expire()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if p, err := c.Person(t.Context(), "lilei", nil); err != nil || p.State != "active" {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
	wg.Wait()
	if n := f.count("gettoken"); n != 2 {
		t.Errorf("%d gettoken calls, want the first and one for all refusals", n)
	}
}

func TestTokenRefusedTwiceIsAnError(t *testing.T) {
	f, c := cliStart(t, nil, map[string]func(*http.Request) string{"agent/get": cliFails(40014)})
	_, err := c.App(t.Context())
	if e, ok := errors.AsType[*APIError](err); !ok || e.Code != 40014 || Temporary(err) {
		t.Errorf("got %v", err)
	}
	if f.count("agent/get") != 2 || f.count("gettoken") != 2 {
		t.Errorf("%v, want one retry with one new token", f.calls)
	}
}

func TestTokenThatStaysRefusedIsNotFetchedAgainAndAgain(t *testing.T) {
	f, c := cliStart(t, nil, map[string]func(*http.Request) string{
		"gettoken":  cliSays(`{"errcode":0,"access_token":"same","expires_in":7200}`),
		"agent/get": cliFails(40014),
	})
	for range 5 {
		if _, err := c.App(t.Context()); err == nil {
			t.Fatal("no error")
		}
	}
	if n := f.count("gettoken"); n != 2 {
		t.Errorf("%d gettoken calls, want 2", n)
	}
}

func TestTwoClientsShareTheSDK(t *testing.T) {
	answer := func(name string) map[string]func(*http.Request) string {
		return map[string]func(*http.Request) string{
			"user/get": cliSays(`{"errcode":0,"userid":"lilei","name":"` + name + `","status":1}`),
		}
	}
	_, one := cliStart(t, nil, answer("one"))
	_, two := cliStart(t, nil, answer("two"))
	var wg sync.WaitGroup
	for range 20 {
		for name, c := range map[string]*Client{"one": one, "two": two} {
			wg.Go(func() {
				if p, err := c.Person(t.Context(), "lilei", nil); err != nil || p.Name != name {
					t.Errorf("client %s got %+v, %v", name, p, err)
				}
			})
		}
	}
	wg.Wait()
}

func TestCallsUnderWayAreBounded(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	full := make(chan bool) // closed when as many calls are under way as may be
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/gettoken") {
			io.WriteString(w, `{"errcode":0,"access_token":"t","expires_in":7200}`)
			return
		}
		mu.Lock()
		now++
		if most = max(most, now); now == maxInFlight {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		<-full
		mu.Lock()
		now--
		mu.Unlock()
		io.WriteString(w, `{"errcode":0}`)
	}))
	defer server.Close()
	c := NewClient(ClientOptions{CorpID: cliCorp, Secret: cliSecret, APIBase: server.URL})
	defer c.Close()
	var wg sync.WaitGroup
	for range 4 * maxInFlight {
		wg.Go(func() {
			if _, err := c.App(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != maxInFlight {
		t.Errorf("%d calls under way at once, want %d", most, maxInFlight)
	}
}

func TestCallerWithoutTimeLeftSaysNothingAboutWeCom(t *testing.T) {
	_, c := cliStart(t, nil, map[string]func(*http.Request) string{"agent/get": cliSays(`{"errcode":0,"name":"desk"}`)})
	if _, err := c.App(t.Context()); err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * breakAfter {
		if _, err := c.App(late); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	if _, err := c.App(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCancelReturnsAtOnce(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	_, c := cliStart(t, func(o *ClientOptions) { o.Timeout = time.Hour }, map[string]func(*http.Request) string{
		"user/get": func(*http.Request) string { close(arrived); <-release; return "{}" },
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := c.Person(ctx, "lilei", nil)
	if !errors.Is(err, context.Canceled) || !Temporary(err) {
		t.Errorf("got %v", err)
	}
}

func TestTimeoutIsTemporary(t *testing.T) {
	release := make(chan bool)
	_, c := cliStart(t, func(o *ClientOptions) { o.Timeout = 30 * time.Millisecond }, map[string]func(*http.Request) string{
		"gettoken": func(*http.Request) string { <-release; return "{}" },
	})
	defer close(release)
	if _, err := c.App(t.Context()); !Temporary(err) {
		t.Errorf("got %v", err)
	}
}

func TestBrokenAnswersAreTemporary(t *testing.T) {
	for _, answer := range []string{
		"HTTP 500", "HTTP 502", "HTTP 302", "HTTP 404", "", "<html>", `{"errcode":0,"name":"x`, `{}`, `null`, `[]`, `{"errcode":"0"}`,
		strings.Repeat(" ", maxAnswer+1),
	} {
		_, c := cliStart(t, nil, map[string]func(*http.Request) string{
			"message/send": cliSays(answer), "user/get": cliSays(answer), "agent/get": cliSays(answer),
		})
		name := fmt.Sprintf("%.20q", answer)
		if _, err := c.App(t.Context()); !Temporary(err) {
			t.Errorf("%s: agent/get: %v", name, err)
		}
		if r, err := c.Send(t.Context(), cliText); !Temporary(err) {
			t.Errorf("%s: message/send: %+v, %v", name, r, err)
		}
		if p, err := c.Person(t.Context(), "lilei", nil); !Temporary(err) || p.State != "unreachable" {
			t.Errorf("%s: user/get: %+v, %v", name, p, err)
		}
	}
}

func TestSkewIsTakenFromTheDateOfAnswers(t *testing.T) {
	_, c := cliStart(t, func(o *ClientOptions) {
		o.Now = func() time.Time { return time.Now().Add(time.Hour) }
	}, map[string]func(*http.Request) string{"agent/get": cliSays(`{"errcode":0,"name":"desk"}`)})
	if _, ok := c.Skew(); ok {
		t.Error("a skew before any answer")
	}
	if _, err := c.App(t.Context()); err != nil {
		t.Fatal(err)
	}
	if skew, ok := c.Skew(); !ok || skew.Round(time.Minute) != time.Hour {
		t.Errorf("skew %v, %v", skew, ok)
	}
}
