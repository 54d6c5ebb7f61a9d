package callbacks

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/bot/wecom"
)

const (
	corp  = "ww1234567890abcdef"
	token = "QDG6eK"
	key   = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
)

var now = time.Unix(1790000000, 0)

// desk is a Handler and the WeCom in front of it.
type desk struct {
	testing.TB
	*Handler
	keys    *wecom.Keys
	took    []bot.Message
	counted []string
	reasons []string
	log     bytes.Buffer
}

func newDesk(tb testing.TB, text string, err error) *desk {
	tb.Helper()
	app, fail := wecom.NewApp(wecom.Config{CorpID: corp, AgentID: 1000002, Token: token, EncodingAESKey: key})
	if fail != nil {
		tb.Fatal(fail)
	}
	keys, fail := wecom.NewKeys(token, key, corp)
	if fail != nil {
		tb.Fatal(fail)
	}
	d := &desk{TB: tb, keys: keys}
	d.Handler = &Handler{
		App: app,
		Take: func(_ time.Time, m bot.Message) (string, error) {
			d.took = append(d.took, m)
			return text, err
		},
		Now:     func() time.Time { return now },
		Log:     slog.New(slog.NewTextHandler(&d.log, nil)),
		Refused: func(reason string) { d.reasons = append(d.reasons, reason) },
		Counted: func(outcome string) { d.counted = append(d.counted, outcome) },
	}
	return d
}

// message is the inner XML of "eve said text".
func message(text string, id int) string {
	return fmt.Sprintf(`<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[eve]]></FromUserName>`+
		`<CreateTime>%d</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[%s]]></Content>`+
		`<MsgId>%d</MsgId><AgentID>1000002</AgentID></xml>`, corp, now.Unix(), text, id)
}

// query signs a ciphertext; more is appended as it is.
func (d *desk) query(cipher []byte, more string) string {
	stamp := strconv.FormatInt(now.Unix(), 10)
	sum := d.keys.Sign([]byte(stamp), []byte("8723456"), cipher)
	return "msg_signature=" + hex.EncodeToString(sum[:]) + "&timestamp=" + stamp + "&nonce=8723456" + more
}

// post is WeCom delivering inner.
func (d *desk) post(inner string) *fasthttp.RequestCtx {
	cipher := d.keys.Encrypt(nil, []byte(inner))
	return d.send("POST", d.query(cipher, ""), envelope(cipher))
}

func envelope(cipher []byte) string {
	return "<xml><ToUserName><![CDATA[" + corp + "]]></ToUserName><AgentID><![CDATA[1000002]]></AgentID><Encrypt><![CDATA[" + string(cipher) + "]]></Encrypt></xml>"
}

func (d *desk) send(method, query, body string) *fasthttp.RequestCtx {
	ctx := request(method, query, body)
	d.Serve(ctx)
	return ctx
}

func request(method, query, body string) *fasthttp.RequestCtx {
	var r fasthttp.Request
	r.Header.SetMethod(method)
	r.SetRequestURI("/callbacks/wecom?" + query)
	r.SetBodyString(body)
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&r, nil, nil)
	return ctx
}

func (d *desk) want(ctx *fasthttp.RequestCtx, status int, outcome string) {
	d.Helper()
	if got := ctx.Response.StatusCode(); got != status {
		d.Errorf("status %d, want %d", got, status)
	}
	if last := d.counted[len(d.counted)-1]; last != outcome {
		d.Errorf("counted as %s, want %s", last, outcome)
	}
}

func TestPassiveReply(t *testing.T) {
	d := newDesk(t, "忙碌，12:30 自动恢复", nil)
	ctx := d.post(message("/status busy", 1))
	d.want(ctx, 200, Replied)
	if len(d.took) != 1 || d.took[0].From != "eve" || d.took[0].Text != "/status busy" {
		t.Fatalf("took %+v", d.took)
	}
	if ct := string(ctx.Response.Header.ContentType()); !strings.HasPrefix(ct, "application/xml") {
		t.Errorf("content type %s", ct)
	}
	_, rest, _ := strings.Cut(string(ctx.Response.Body()), "<Encrypt><![CDATA[")
	cipher, _, _ := strings.Cut(rest, "]]>")
	plain, err := d.keys.Decrypt([]byte(cipher))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"忙碌，12:30 自动恢复", "<ToUserName><![CDATA[eve]]>", "<FromUserName><![CDATA[" + corp + "]]>"} {
		if !strings.Contains(string(plain), part) {
			t.Errorf("reply %s lacks %s", plain, part)
		}
	}
}

func TestAcknowledgedEmpty(t *testing.T) {
	d := newDesk(t, "", nil)
	ctx := d.post(message("/help", 1))
	d.want(ctx, 200, Taken)
	if body := ctx.Response.Body(); len(body) > 0 {
		t.Errorf("body %q", body)
	}
}

func TestOtherEventsChangeNothing(t *testing.T) {
	d := newDesk(t, "never said", nil)
	ctx := d.post(strings.Replace(message("x", 1), "<![CDATA[text]]>", "<![CDATA[location]]>", 1))
	d.want(ctx, 200, Ignored)
	if len(d.took) > 0 || len(ctx.Response.Body()) > 0 {
		t.Errorf("took %v, said %q", d.took, ctx.Response.Body())
	}
}

func TestURLVerification(t *testing.T) {
	d := newDesk(t, "", nil)
	cipher := d.keys.Encrypt(nil, []byte("1616140317555161061"))
	ctx := d.send("GET", d.query(cipher, "&echostr="+url.QueryEscape(string(cipher))), "")
	d.want(ctx, 200, Echoed)
	if got := string(ctx.Response.Body()); got != "1616140317555161061" {
		t.Errorf("echoed %q", got)
	}
}

// Whatever is wrong, a refusal looks the same in every byte.
func TestRefusalsAreAlike(t *testing.T) {
	d := newDesk(t, "", nil)
	good := d.keys.Encrypt(nil, []byte(message("/help", 1)))
	other, err := wecom.NewKeys(token, key, "wwSomebodyElse")
	if err != nil {
		t.Fatal(err)
	}
	signed := func(cipher []byte) (string, string, string) { return "POST", d.query(cipher, ""), envelope(cipher) }
	flipped := bytes.Clone(good)
	flipped[40] ^= 1
	cases := map[string]func() (method, query, body string){
		"no query":         func() (string, string, string) { return "POST", "", envelope(good) },
		"bad signature":    func() (string, string, string) { return "POST", d.query(flipped, ""), envelope(good) },
		"timestamp twice":  func() (string, string, string) { return "POST", d.query(good, "&timestamp=1790000000"), envelope(good) },
		"bad ciphertext":   func() (string, string, string) { return signed(flipped) },
		"bad base64":       func() (string, string, string) { return signed([]byte("not*base64")) },
		"another receiver": func() (string, string, string) { return signed(other.Encrypt(nil, []byte(message("/help", 1)))) },
		"another app": func() (string, string, string) {
			return signed(d.keys.Encrypt(nil, []byte(strings.Replace(message("/help", 1), "1000002", "1000003", 1))))
		},
		"broken inner XML": func() (string, string, string) { return signed(d.keys.Encrypt(nil, []byte("<xml><Content>"))) },
		"no echostr":       func() (string, string, string) { return "GET", d.query(good, ""), "" },
		"forged echostr":   func() (string, string, string) { return "GET", d.query(good, "&echostr=AAAA"), "" },
	}
	var first string
	for name, c := range cases {
		ctx := d.send(c())
		d.want(ctx, 403, Refused)
		got := ctx.Response.String()
		if first == "" {
			first = got
		}
		if got != first {
			t.Errorf("%s: %q, others %q", name, got, first)
		}
	}
	zipped := request("POST", d.query(good, ""), envelope(good))
	zipped.Request.Header.Set("Content-Encoding", "gzip")
	d.Serve(zipped)
	if got := zipped.Response.String(); got != first {
		t.Errorf("compressed body: %q, others %q", got, first)
	}
	if len(d.took) > 0 {
		t.Errorf("took %v", d.took)
	}
	if len(d.reasons) != len(cases)+1 {
		t.Errorf("%d reasons for %d refusals", len(d.reasons), len(cases)+1)
	}
	if d.log.Len() > 0 {
		t.Errorf("logged %s", &d.log)
	}
}

func TestBodiesThatAreNoEnvelope(t *testing.T) {
	d := newDesk(t, "", nil)
	q := d.query([]byte("x"), "")
	d.want(d.send("POST", q, "hello"), 400, Refused)
	d.want(d.send("POST", q, strings.Repeat("x", maxBody+1)), 413, Refused)
	put := d.send("PUT", q, "")
	d.want(put, 405, Refused)
	if allow := string(put.Response.Header.Peek("Allow")); allow != "GET, POST" {
		t.Errorf("Allow: %s", allow)
	}
}

// A message that was not kept must come again: never 200.
func TestNotTaken(t *testing.T) {
	d := newDesk(t, "lost", errors.New("the store is down"))
	ctx := d.post(message("/help secret-words", 1))
	d.want(ctx, 503, Unavailable)
	if body := string(ctx.Response.Body()); strings.Contains(body, "store") {
		t.Errorf("told WeCom %q", body)
	}
	if log := d.log.String(); !strings.Contains(log, "the store is down") || !strings.Contains(log, "ref=") || strings.Contains(log, "secret-words") {
		t.Errorf("logged %s", log)
	}
}

func TestPanicIsNotTheEnd(t *testing.T) {
	d := newDesk(t, "", nil)
	d.Take = func(time.Time, bot.Message) (string, error) { panic("out of luck") }
	d.want(d.post(message("/help", 1)), 503, Unavailable)
	if log := d.log.String(); !strings.Contains(log, "out of luck") || !strings.Contains(log, "stack=") {
		t.Errorf("logged %s", log)
	}
}

func TestTakeIsToldUntilWhen(t *testing.T) {
	d := newDesk(t, "", nil)
	d.Take = func(by time.Time, _ bot.Message) (string, error) {
		if left := time.Until(by); left <= 0 || left >= 5*time.Second {
			t.Errorf("it has %v", left)
		}
		return "", nil
	}
	d.want(d.post(message("/help", 1)), 200, Taken)
}

// fasthttp writes the next request into the same memory. What was taken from
// this one must not change.
func TestNothingOfTheRequestIsKept(t *testing.T) {
	d := newDesk(t, "", nil)
	cipher := d.keys.Encrypt(nil, []byte(message("/help alice", 1)))
	ctx := request("POST", d.query(cipher, ""), envelope(cipher))
	d.Serve(ctx)
	for _, memory := range [][]byte{ctx.PostBody(), ctx.URI().QueryString(), ctx.Request.Header.RawHeaders()} {
		for i := range memory {
			memory[i] = '#'
		}
	}
	if m := d.took[0]; m.Text != "/help alice" || m.From != "eve" || strings.Contains(m.Key, "#") {
		t.Errorf("message became %+v", m)
	}
}

func BenchmarkCallback(b *testing.B) {
	for name, text := range map[string]string{"empty": "", "reply": strings.Repeat("好", 100)} {
		b.Run(name, func(b *testing.B) {
			d := newDesk(b, "", nil)
			d.Take = func(time.Time, bot.Message) (string, error) { return text, nil }
			d.Counted = nil
			cipher := d.keys.Encrypt(nil, []byte(message("/status busy", 1)))
			ctx := request("POST", d.query(cipher, ""), envelope(cipher))
			b.ReportAllocs()
			for b.Loop() {
				ctx.Response.Reset()
				d.Serve(ctx)
			}
			if ctx.Response.StatusCode() != 200 {
				b.Fatal(ctx.Response.String())
			}
		})
	}
}
