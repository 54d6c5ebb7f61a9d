package sim

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"deskbell/bot/wecom"
)

// bench is a corporation, a gateway for its callbacks, and a clock.
type bench struct {
	*Sim
	t     testing.TB
	token string

	mu  sync.Mutex
	now time.Time
	got []inbound
	say func(inbound) (status int, reply string) // what the gateway does
}

// inbound is a callback as the gateway opened it.
type inbound struct {
	ToUserName, FromUserName, MsgType, Event, EventKey, Content, MsgId, TaskId, CardType, ResponseCode string
	CreateTime, AgentID                                                                                int64
	Options                                                                                            []string `xml:"SelectedItems>SelectedItem>OptionIds>OptionId"`

	raw   string
	query url.Values
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, now: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)}
	s, err := Start(Config{
		People: []Person{
			{ID: "LiLei", Name: "李雷", Departments: []int{2}, Role: "坐席 agent"},
			{ID: "hanmeimei", Name: "韩梅梅"},
			{ID: "gone", Name: "Gone", Status: StatusLeft},
			{ID: "far", Name: "Far", Hidden: true},
		},
		Departments: []Department{{ID: 1, Name: "公司"}, {ID: 2, Name: "支持", Parent: 1}, {ID: 3, Name: "一线", Parent: 2}},
		Tags:        map[int][]string{7: {"lilei"}},
		RetryAfter:  time.Nanosecond,
		Now:         b.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Sim = s
	gateway := httptest.NewServer(b.gateway(s.Config()))
	s.SetCallback(gateway.URL + "/callbacks/wecom")
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		gateway.Close()
	})
	b.token = b.get("gettoken", "corpid", s.Config().CorpID, "corpsecret", s.Config().Secret)["access_token"].(string)
	return b
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// within bounds what waits for something that may never come.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// answers sets what the gateway does from now on.
func (b *bench) answers(say func(inbound) (int, string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.say = say
}

func (b *bench) received() []inbound {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

// gateway opens callbacks with the shared keys and nothing else of bot/wecom.
func (b *bench) gateway(c Config) http.Handler {
	keys, err := wecom.NewKeys(c.Token, c.EncodingAESKey, c.CorpID)
	if err != nil {
		b.t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		sealed := []byte(q.Get("echostr"))
		if r.Method == http.MethodPost {
			var outer struct{ ToUserName, AgentID, Encrypt string }
			if err := xml.NewDecoder(r.Body).Decode(&outer); err != nil || outer.ToUserName != c.CorpID {
				b.t.Errorf("outer envelope: %v %+v", err, outer)
			}
			sealed = []byte(outer.Encrypt)
		}
		sum := keys.Sign([]byte(q.Get("timestamp")), []byte(q.Get("nonce")), sealed)
		if q.Get("msg_signature") != hex.EncodeToString(sum[:]) {
			http.Error(w, "signature", http.StatusForbidden)
			return
		}
		plain, err := keys.Decrypt(sealed)
		if err != nil {
			http.Error(w, "decrypt", http.StatusForbidden)
			return
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write(plain)
			return
		}
		in := inbound{raw: string(plain), query: q}
		if err := xml.Unmarshal(plain, &in); err != nil {
			b.t.Errorf("inner XML: %v: %s", err, plain)
		}
		b.mu.Lock()
		b.got = append(b.got, in)
		say := b.say
		b.mu.Unlock()
		if say == nil {
			return
		}
		status, reply := say(in)
		w.WriteHeader(status)
		if reply != "" {
			_, _ = io.WriteString(w, seal(keys, reply))
		}
	})
}

// seal makes the passive reply around an inner XML.
func seal(keys *wecom.Keys, inner string) string {
	sealed := keys.Encrypt(nil, []byte(inner))
	sum := keys.Sign([]byte("1700000000"), []byte("n1"), sealed)
	return fmt.Sprintf("<xml><Encrypt><![CDATA[%s]]></Encrypt><MsgSignature><![CDATA[%x]]></MsgSignature><TimeStamp>1700000000</TimeStamp><Nonce><![CDATA[n1]]></Nonce></xml>", sealed, sum)
}

// textReply is the inner XML of a passive reply to in.
func textReply(in inbound, text string) string {
	return "<xml>" + tag("ToUserName", in.FromUserName) + tag("FromUserName", in.ToUserName) +
		"<CreateTime>1700000000</CreateTime>" + tag("MsgType", "text") + tag("Content", text) + "</xml>"
}

// get calls an API with GET and pairs of query parameters.
func (b *bench) get(name string, query ...string) map[string]any {
	b.t.Helper()
	return b.call(http.MethodGet, name, nil, "", query...)
}

// post calls an API with a JSON body, which may be given as text.
func (b *bench) post(name string, body any, query ...string) map[string]any {
	b.t.Helper()
	text, ok := body.(string)
	if !ok {
		data, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		text = string(data)
	}
	return b.call(http.MethodPost, name, bytes.NewBufferString(text), "application/json", query...)
}

func (b *bench) call(method, name string, body io.Reader, contentType string, query ...string) map[string]any {
	b.t.Helper()
	q := url.Values{}
	if b.token != "" {
		q.Set("access_token", b.token)
	}
	for i := 0; i < len(query); i += 2 {
		q.Set(query[i], query[i+1])
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.URL()+"/cgi-bin/"+name+"?"+q.Encode(), body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
	return out
}

// code is the errcode of an answer.
func code(a map[string]any) int { return int(a["errcode"].(float64)) }

// wantCode fails unless the answer has the errcode.
func (b *bench) wantCode(a map[string]any, want int) {
	b.t.Helper()
	if code(a) != want {
		b.t.Errorf("errcode %d (%v), want %d", code(a), a["errmsg"], want)
	}
}

// clean fails if the simulator found something to object to.
func (b *bench) clean() {
	b.t.Helper()
	if p := b.Problems(); len(p) > 0 {
		b.t.Errorf("problems: %q", p)
	}
}
