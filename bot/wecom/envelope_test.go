package wecom

import (
	"cmp"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
)

// The app of the tests.
const (
	envCorp   = "wx5823bf96d3bd56c7"
	envAgent  = 1000002
	envToken  = "QDG6eKtestTOKEN"
	envKey    = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
	envToken2 = "previousTOKEN9"
	envKey2   = "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR"
)

// envApp makes an app; what c leaves out is the tests' own.
func envApp(t testing.TB, c Config) *App {
	t.Helper()
	c.CorpID = cmp.Or(c.CorpID, envCorp)
	c.AgentID = cmp.Or(c.AgentID, envAgent)
	c.Token = cmp.Or(c.Token, envToken)
	c.EncodingAESKey = cmp.Or(c.EncodingAESKey, envKey)
	a, err := NewApp(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func envKeys(t testing.TB, token, key, receiveID string) *Keys {
	t.Helper()
	k, err := NewKeys(token, key, receiveID)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var envNow = time.Unix(1760000000, 0)

// envInner is a text message from user whose fields a test may replace: pairs of
// a name and what to put there, tags and all, or "" for nothing.
func envInner(edits ...string) string {
	fields := []string{
		"ToUserName", "<ToUserName><![CDATA[" + envCorp + "]]></ToUserName>",
		"FromUserName", "<FromUserName><![CDATA[LiLei]]></FromUserName>",
		"CreateTime", "<CreateTime>1759999999</CreateTime>",
		"MsgType", "<MsgType><![CDATA[text]]></MsgType>",
		"Content", "<Content><![CDATA[/status busy]]></Content>",
		"MsgId", "<MsgId>7300000000000000001</MsgId>",
		"AgentID", "<AgentID>" + strconv.Itoa(envAgent) + "</AgentID>",
	}
	for i := 0; i < len(edits); i += 2 {
		found := false
		for j := 0; j < len(fields); j += 2 {
			if fields[j] == edits[i] {
				fields[j+1], found = edits[i+1], true
			}
		}
		if !found {
			fields = append(fields, edits[i], edits[i+1])
		}
	}
	var b strings.Builder
	b.WriteString("<xml>")
	for j := 1; j < len(fields); j += 2 {
		b.WriteString(fields[j])
	}
	return b.String() + "</xml>"
}

// envEvent is an event of our app; more comes after its name.
func envEvent(name, more string) string {
	return envInner("MsgType", "<MsgType><![CDATA[event]]></MsgType>", "Content", "", "MsgId", "",
		"Event", "<Event><![CDATA["+name+"]]></Event>", "more", more)
}

// envCall is a callback taken apart, so that a test can spoil any of it.
type envCall struct{ signature, timestamp, nonce, encrypt string }

// envSeal makes a callback the way WeCom does.
func envSeal(k *Keys, inner string, at time.Time, nonce string) envCall {
	return envSign(k, string(k.Encrypt(nil, []byte(inner))), strconv.FormatInt(at.Unix(), 10), nonce)
}

// envSign signs any ciphertext, sound or not.
func envSign(k *Keys, encrypt, timestamp, nonce string) envCall {
	sum := k.Sign([]byte(timestamp), []byte(nonce), []byte(encrypt))
	return envCall{hex.EncodeToString(sum[:]), timestamp, nonce, encrypt}
}

func (c envCall) query() string {
	return "msg_signature=" + url.QueryEscape(c.signature) + "&timestamp=" + url.QueryEscape(c.timestamp) +
		"&nonce=" + url.QueryEscape(c.nonce)
}

func (c envCall) echoQuery() string { return c.query() + "&echostr=" + url.QueryEscape(c.encrypt) }

func (c envCall) body() string {
	return "<xml><ToUserName><![CDATA[" + envCorp + "]]></ToUserName><AgentID><![CDATA[" + strconv.Itoa(envAgent) +
		"]]></AgentID><Encrypt><![CDATA[" + c.encrypt + "]]></Encrypt></xml>"
}

func (c envCall) open(a *App, now time.Time) (Opened, error) {
	return a.Open([]byte(c.query()), []byte(c.body()), now)
}

// envReply reads a sealed reply as WeCom would and returns the document inside.
func envReply(t testing.TB, o *Opened, sealed []byte) string {
	t.Helper()
	var outer struct{ Encrypt, MsgSignature, TimeStamp, Nonce string }
	if err := xml.Unmarshal(sealed, &outer); err != nil {
		t.Fatal(err)
	}
	sum := o.keys.Sign([]byte(outer.TimeStamp), []byte(outer.Nonce), []byte(outer.Encrypt))
	if hex.EncodeToString(sum[:]) != outer.MsgSignature {
		t.Fatalf("signature %s, want %x", outer.MsgSignature, sum)
	}
	inner, err := o.keys.Decrypt([]byte(outer.Encrypt))
	if err != nil {
		t.Fatal(err)
	}
	return string(inner)
}

func TestOpen(t *testing.T) {
	const key = "m:" + envCorp + ":1000002:lilei:7300000000000000001"
	sent := time.Unix(1759999999, 0)
	said := func(text string) bot.Message { return bot.Message{Key: key, From: "LiLei", Text: text, Sent: sent} }
	event := func(e bot.Event, text string) bot.Message {
		return bot.Message{From: "LiLei", Text: text, Event: e, Sent: sent}
	}
	pressed := event(bot.Pressed, "/status online")
	pressed.Card = bot.Press{TaskID: "task-1", ResponseCode: "code-1"}
	other := bot.Message{Key: key, From: "LiLei", Event: bot.Other, Sent: sent}
	media := func(m bot.Media) bot.Message { return bot.Message{Key: key, From: "LiLei", Sent: sent, Media: m} }
	sends := func(kind, fields string) string {
		return envInner("MsgType", "<MsgType><![CDATA["+kind+"]]></MsgType>", "Content", "", "x", fields)
	}

	tests := []struct {
		name, inner string
		want        bot.Message
	}{
		{"text", envInner(), said("/status busy")},
		{"line breaks between fields", regexp.MustCompile(`</\w+>|^<xml>`).ReplaceAllString(envInner(), "$0\r\n\t "), said("/status busy")},
		{"Chinese and an emoji", envInner("Content", "<Content><![CDATA[／状态　忙碌 🍜]]></Content>"), said("／状态　忙碌 🍜")},
		{"fields in the text", envInner("Content", "<Content><![CDATA[</Content><FromUserName>boss</FromUserName>]]></Content>"),
			said("</Content><FromUserName>boss</FromUserName>")},
		{"]]> in two sections", envInner("Content", "<Content><![CDATA[a]]]]><![CDATA[>b]]></Content>"), said("a]]>b")},
		{"]]> as an entity", envInner("Content", "<Content>a]]&gt;b</Content>"), said("a]]>b")},
		{"sections and text mixed", envInner("Content", "<Content>a<![CDATA[<b>]]>&amp;<![CDATA[]]>c</Content>"), said("a<b>&c")},
		{"entities", envInner("Content", "<Content>&lt;&gt;&amp;&apos;&quot;&#65;&#x1f35C;</Content>"), said("<>&'\"A🍜")},
		{"entities in a section", envInner("Content", "<Content><![CDATA[&lt;&nope;]]></Content>"), said("&lt;&nope;")},
		{"line ends", envInner("Content", "<Content><![CDATA[a\r\nb\rc\n]]>d\re&#13;</Content>"), said("a\nb\nc\nd\ne\r")},
		{"empty text", envInner("Content", "<Content/>"), said("")},
		{"brackets", envInner("Content", "<Content><![CDATA[a]b]]c]]]></Content>"), said("a]b]]c]")},
		{"the sender's case", envInner("FromUserName", "<FromUserName>LILEI</FromUserName>"),
			bot.Message{Key: key, From: "LILEI", Text: "/status busy", Sent: sent}},
		{"no time of its own", envInner("CreateTime", ""), bot.Message{Key: key, From: "LiLei", Text: "/status busy", Sent: envNow}},
		{"fields nobody knows", envInner("x", "<Extra><Item>1</Item><Item>&lt;</Item></Extra><New-1_.x/>"), said("/status busy")},
		{"eight levels", envInner("x", "<A><B><C><D><E><F><G>1</G></F></E></D></C></B></A>"), said("/status busy")},

		{"menu", envEvent("click", "<EventKey><![CDATA[/status busy]]></EventKey>"), event(bot.Clicked, "/status busy")},
		{"event in capitals", envEvent("CLICK", "<EventKey>/help</EventKey>"), event(bot.Clicked, "/help")},
		{"button", envEvent("template_card_event", "<EventKey>/status online</EventKey><TaskId>task-1</TaskId>"+
			"<CardType>button_interaction</CardType><ResponseCode>code-1</ResponseCode><SelectedItems><SelectedItem><QuestionKey>q</QuestionKey>"+
			"<OptionIds><OptionId>1</OptionId><OptionId>2</OptionId></OptionIds></SelectedItem></SelectedItems>"), pressed},
		{"opened", envEvent("enter_agent", "<EventKey><![CDATA[]]></EventKey>"), event(bot.Entered, "")},
		{"came", envEvent("subscribe", "<EventKey>x</EventKey>"), event(bot.Subscribed, "")},
		{"went", envEvent("unsubscribe", ""), event(bot.Unsubscribed, "")},

		{"image", sends("image", "<PicUrl><![CDATA[http://p]]></PicUrl><MediaId><![CDATA[1G6n-_0]]></MediaId>"), media(bot.Media{Kind: bot.Image, ID: "1G6n-_0"})},
		{"voice", sends("voice", "<MediaId>m</MediaId><Format>amr</Format>"), media(bot.Media{Kind: bot.Voice, ID: "m", Format: "amr"})},
		{"video", sends("video", "<MediaId>m</MediaId><ThumbMediaId>t</ThumbMediaId>"), media(bot.Media{Kind: bot.Video, ID: "m"})},
		{"file", sends("file", "<MediaId>m</MediaId><FileName><![CDATA[报价 &.xlsx]]></FileName>"), media(bot.Media{Kind: bot.File, ID: "m", Name: "报价 &.xlsx"})},
		{"file with a name to climb by", sends("file", "<MediaId>m</MediaId><FileName>..\\..\\etc/passwd\u202e\nfdp.exe</FileName>"),
			media(bot.Media{Kind: bot.File, ID: "m", Name: "passwdfdp.exe"})},
		{"image that says something", envInner("MsgType", "<MsgType>image</MsgType>", "x", "<MediaId>m</MediaId>"), media(bot.Media{Kind: bot.Image, ID: "m"})},
		{"text with a media id", envInner("x", "<MediaId>m</MediaId><FileName>f</FileName>"), said("/status busy")},
		{"image nobody could fetch", sends("image", "<PicUrl>http://p</PicUrl>"), other},
		{"image with half an id", sends("image", "<MediaId>m m</MediaId>"), other},
		{"image with too much of one", sends("image", "<MediaId>"+strings.Repeat("m", 257)+"</MediaId>"), other},
		{"image like no other", envInner("MsgType", "<MsgType>image</MsgType>", "MsgId", "", "x", "<MediaId>m</MediaId>"), event(bot.Other, "")},
		{"image from WeCom itself", strings.Replace(sends("image", "<MediaId>m</MediaId>"), "LiLei", "sys", 1), bot.Message{From: "sys", Event: bot.Other, Sent: sent}},
		{"location", sends("location", "<Location_X>1</Location_X><Label>x</Label>"), other},
		{"link", sends("link", "<Title>x</Title><Url>http://p</Url>"), other},
		{"location event", envEvent("LOCATION", "<Latitude>1</Latitude>"), event(bot.Other, "")},
		{"card menu", envEvent("template_card_menu_event", "<EventKey>/x</EventKey>"), event(bot.Other, "")},
		{"nameless event", envEvent("", ""), event(bot.Other, "")},
		{"WeCom itself", envInner("FromUserName", "<FromUserName>sys</FromUserName>"), bot.Message{From: "sys", Event: bot.Other, Sent: sent}},
		{"somebody else's member", envInner("FromUserName", "<FromUserName>wwcorp/eve</FromUserName>"),
			bot.Message{From: "wwcorp/eve", Event: bot.Other, Sent: sent}},
		{"corporation's event", strings.Replace(envEvent("change_contact", "<ChangeType>create_user</ChangeType>"),
			"<AgentID>1000002</AgentID>", "<AgentID></AgentID>", 1), event(bot.Other, "")},
		{"customer service", "<xml><ToUserName>" + envCorp + "</ToUserName><CreateTime>1759999999</CreateTime><MsgType>event</MsgType>" +
			"<Event>kf_msg_or_event</Event><Token>t</Token></xml>", bot.Message{Event: bot.Other, Sent: sent}},
	}
	a := envApp(t, Config{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := envSeal(a.tokens[0][0], tt.inner, envNow, "1").open(a, envNow)
			if err != nil {
				t.Fatal(err, err.(*Refusal).Reason)
			}
			if tt.want.Key == "" {
				if !strings.HasPrefix(o.Key, "e:") || len(o.Key) != 66 {
					t.Errorf("key %q", o.Key)
				}
				tt.want.Key = o.Key
			}
			if o.Message != tt.want {
				t.Errorf("got  %+v\nwant %+v", o.Message, tt.want)
			}
		})
	}
}

// What makes two deliveries one, and what does not.
func TestKey(t *testing.T) {
	a := envApp(t, Config{})
	key := func(inner, nonce string) string {
		t.Helper()
		o, err := envSeal(a.tokens[0][0], inner, envNow, nonce).open(a, envNow)
		if err != nil {
			t.Fatal(err)
		}
		return o.Key
	}
	first := key(envInner(), "1")
	if again := key(envInner(), "2"); again != first {
		t.Errorf("signed anew: %q and %q", again, first)
	}
	if again := key(envInner("FromUserName", "<FromUserName>lilei</FromUserName>"), "1"); again != first {
		t.Errorf("spelt anew: %q and %q", again, first)
	}
	seen := map[string]string{first: "the first"}
	for _, other := range []string{
		envInner("MsgId", "<MsgId>7300000000000000002</MsgId>"),
		envInner("FromUserName", "<FromUserName>lilei2</FromUserName>"),
		envInner("FromUserName", "<FromUserName>sys</FromUserName>"),
		envEvent("subscribe", ""),
		envEvent("unsubscribe", ""),
		envEvent("click", "<EventKey>1</EventKey>"),
		envEvent("click", "<EventKey>2</EventKey>"),
		envEvent("template_card_event", "<EventKey>1</EventKey><TaskId>1</TaskId>"),
		envEvent("template_card_event", "<EventKey>1</EventKey><TaskId>2</TaskId>"),
		envEvent("change_contact", "<ChangeType>create_user</ChangeType><UserID>a</UserID>"),
		envEvent("change_contact", "<ChangeType>create_user</ChangeType><UserID>b</UserID>"),
	} {
		k := key(other, "1")
		if seen[k] != "" {
			t.Errorf("one key for\n%s\n%s", other, seen[k])
		}
		if seen[k] = other; key(other, "2") != k {
			t.Errorf("two keys for %s", other)
		}
	}
}

// Token and key are changed in the console one after the other, so all four
// pairings arrive; each is answered with the pair it came with.
func TestPreviousKeys(t *testing.T) {
	a := envApp(t, Config{PreviousToken: envToken2, PreviousEncodingAESKey: envKey2})
	for _, token := range []string{envToken, envToken2, "unknownTOKEN"} {
		for _, key := range []string{envKey, envKey2, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"} {
			known := (token == envToken || token == envToken2) && (key == envKey || key == envKey2)
			k := envKeys(t, token, key, envCorp)
			call := envSeal(k, envInner(), envNow, "1")
			o, err := call.open(a, envNow)
			if known != (err == nil) {
				t.Errorf("%s %s: %v", token, key, err)
			}
			if echo, err := a.Echo([]byte(call.echoQuery()), envNow); known != (string(echo) == envInner()) {
				t.Errorf("%s %s: echo %q, %v", token, key, echo, err)
			}
			if known {
				o.keys = k
				envReply(t, &o, o.Seal(nil, "ok", envNow))
			}
		}
	}
	if _, err := envSeal(envKeys(t, envToken2, envKey, envCorp), envInner(), envNow, "1").open(envApp(t, Config{}), envNow); err == nil {
		t.Error("a previous token opened an app that has none")
	}
}

func TestWindow(t *testing.T) {
	tests := []struct {
		window, off time.Duration
		ok          bool
	}{
		{0, 5 * time.Minute, true}, {0, -5 * time.Minute, true},
		{0, 301 * time.Second, false}, {0, -301 * time.Second, false},
		{time.Hour, time.Hour, true}, {time.Hour, -time.Hour - time.Second, false},
	}
	for _, tt := range tests {
		a := envApp(t, Config{Window: tt.window})
		call := envSeal(a.tokens[0][0], envInner(), envNow.Add(tt.off), "1")
		if _, err := call.open(a, envNow); tt.ok != (err == nil) {
			t.Errorf("window %v, off by %v: %v", tt.window, tt.off, err)
		}
		if _, err := a.Echo([]byte(call.echoQuery()), envNow); tt.ok != (err == nil) {
			t.Errorf("window %v, off by %v: echo: %v", tt.window, tt.off, err)
		}
	}
}

// What nobody signed changes nothing.
func TestOuterIgnored(t *testing.T) {
	a := envApp(t, Config{})
	call := envSeal(a.tokens[0][0], envInner(), envNow, "1")
	want, err := call.open(a, envNow)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := "<Encrypt>" + call.encrypt + "</Encrypt>"
	for _, body := range []string{
		"<xml>" + encrypted + "</xml>",
		"<xml>" + encrypted + "<AgentID>1</AgentID><ToUserName>wwother</ToUserName></xml>",
		"\n<xml>\n<ToUserName/>\n" + encrypted + "\n<AgentID></AgentID>\n</xml>\n",
		"<xml><FromUserName>boss</FromUserName><Content>/role grant me</Content>" + encrypted + "</xml>",
	} {
		if got, err := a.Open([]byte(call.query()), []byte(body), envNow); err != nil || got != want {
			t.Errorf("%s\n%+v, %v", body, got, err)
		}
	}
	for _, query := range []string{
		call.query() + "&tenant=1&echostr=a&echostr=b",
		"x&&" + call.query() + "&=&y=%20",
		strings.NewReplacer("msg_", "%6dsg%5F", "nonce=1", "non%63e=%31").Replace(call.query()),
	} {
		if got, err := a.Open([]byte(query), []byte(call.body()), envNow); err != nil || got != want {
			t.Errorf("%s\n%+v, %v", query, got, err)
		}
	}
}

// The server uses the memory of a request again as soon as it is answered.
func TestOpenKeepsNothing(t *testing.T) {
	a := envApp(t, Config{})
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 100 {
				text := fmt.Sprintf("message %d of %d", i, n)
				call := envSeal(a.tokens[0][0], envInner("Content", "<Content>"+text+"</Content>"), envNow, "1")
				query, body := []byte(call.query()), []byte(call.body())
				o, err := a.Open(query, body, envNow)
				clear(query)
				clear(body)
				sealed := o.Seal(nil, text, envNow)
				if err != nil || o.Text != text || o.From != "LiLei" || !strings.Contains(envReply(t, &o, sealed), text) {
					t.Errorf("%+v, %v, want %s", o.Message, err, text)
				}
			}
		})
	}
	wg.Wait()
}

// A message costs one allocation: the string its parts are cut from. (The pool of
// rooms is left out, as the garbage collector may empty it at any time.)
func TestOpenAllocations(t *testing.T) {
	a := envApp(t, Config{})
	k := a.tokens[0][0]
	call := envSeal(k, envInner("FromUserName", "<FromUserName>lilei</FromUserName>"), envNow, "1")
	query, body, r := []byte(call.query()), []byte(call.body()), k.enter()
	n := testing.AllocsPerRun(100, func() {
		var q parameters
		q.parse(query, false)
		var outer scanner
		if err := outer.scan(body); err != nil {
			t.Fatal(err)
		}
		encrypt := outer.fields[fieldEncrypt]
		if k.Sign(q.timestamp, q.nonce, encrypt) != q.signature {
			t.Fatal("signature")
		}
		plain, err := k.decrypt(r, encrypt)
		if err != nil {
			t.Fatal(err)
		}
		var m bot.Message
		if err := a.decode(&m, r, plain, q.sent); err != nil || m.From != "lilei" {
			t.Fatal(m, err)
		}
	})
	if n != 1 {
		t.Errorf("%v allocations, want 1", n)
	}
}
