package wecom

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"deskbell/bot"
)

// referenceRead reads a document with encoding/xml, token by token: the text of each
// child of the root. It is more forgiving than the scanner, and must never
// understand something else.
func referenceRead(doc []byte) (map[string]string, error) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	found := map[string]string{}
	var path []string
	roots := 0
	for {
		token, err := d.Token()
		if err == io.EOF && roots == 1 && len(path) == 0 {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			if path = append(path, name); len(path) == 1 {
				if roots++; roots > 1 || name != "xml" {
					return nil, fmt.Errorf("root %d is %s", roots, name)
				}
			}
			if len(path) == 2 {
				if _, twice := found[name]; twice || token.Name.Space != "" {
					return nil, fmt.Errorf("%s in %q again", name, token.Name.Space)
				}
				found[name] = ""
			}
			if len(token.Attr) > 0 {
				return nil, errors.New("attributes")
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			switch {
			case len(path) == 2:
				found[path[1]] += string(token)
			case len(path) < 2 && len(bytes.TrimSpace(token)) > 0:
				return nil, errors.New("text outside the fields")
			}
		default:
			return nil, fmt.Errorf("a %T", token)
		}
	}
}

// seedDocuments are documents at the edge of what is read.
func seedDocuments(f *testing.F, add func(doc []byte)) {
	a := envApp(f, Config{})
	for _, c := range corpusInner(a) {
		var outer struct{ Encrypt []byte }
		if xml.Unmarshal([]byte(c.body), &outer) == nil {
			if doc, err := a.tokens[0][0].Decrypt(outer.Encrypt); err == nil && len(doc) < 4096 {
				add(doc)
			}
		}
	}
	add([]byte(envInner("Content", "<Content>a<![CDATA[]]]]><![CDATA[>\r\n]]>&amp;\r&#13;&#x1f35c;字</Content>")))
	add([]byte(envEvent("template_card_event", "<TaskId>t</TaskId><ResponseCode/><SelectedItems><a><b>1</b></a></SelectedItems>")))
}

// FuzzInner: what the scanner accepts, it reads as encoding/xml does.
func FuzzInner(f *testing.F) {
	seedDocuments(f, func(doc []byte) { f.Add(doc) })
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		var s scanner
		err := s.scan(doc)
		if !bytes.Equal(doc, before) {
			t.Fatal("the document was changed")
		}
		if err != nil {
			return
		}
		want, err := referenceRead(doc)
		if err != nil {
			t.Fatalf("accepted what encoding/xml refuses: %v", err)
		}
		for _, name := range []string{"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId", "AgentID",
			"Event", "EventKey", "TaskId", "ResponseCode", "MediaId", "Format", "FileName", "Encrypt"} {
			at := fieldNamed([]byte(name))
			text, there := want[name]
			if there != s.has(at) || text != string(s.fields[at]) {
				t.Errorf("%s is %q (%v), encoding/xml says %q (%v)", name, s.fields[at], s.has(at), text, there)
			}
			delete(want, name)
		}
		if len(want) != len(s.names) {
			t.Errorf("%d other fields, encoding/xml says %d", len(s.names), len(want))
		}
	})
}

// FuzzOpen: whatever is inside a sound envelope, and whatever an envelope or its
// query looks like, it is refused in one way or means what it says.
func FuzzOpen(f *testing.F) {
	a := envApp(f, Config{})
	good := envGood(a)
	seedDocuments(f, func(doc []byte) { f.Add(doc, good.query(), good.body()) })
	for _, c := range append(corpusOuter(a), corpusQuery(a)...) {
		if len(c.body) < 4096 {
			f.Add([]byte(envInner()), c.query, c.body)
		}
	}
	f.Fuzz(func(t *testing.T, inner []byte, query, body string) {
		sealed := envSeal(a.tokens[0][0], string(inner), envNow, "1")
		if o, ok := fuzzOpened(t, a, sealed.query(), sealed.body()); ok {
			want, err := referenceRead(inner)
			if err != nil {
				t.Fatalf("opened what encoding/xml refuses: %v", err)
			}
			if o.From != want["FromUserName"] || want["ToUserName"] != envCorp ||
				o.Event == bot.Said && (o.Text != want["Content"] && o.Media.Kind == bot.NoMedia || !strings.HasSuffix(o.Key, ":"+want["MsgId"])) ||
				o.Event == bot.Said && want["MsgType"] != "text" && string(o.Media.Kind) != want["MsgType"] ||
				o.Media.ID != "" && o.Media.ID != want["MediaId"] || o.Media.Kind != bot.NoMedia && (o.Event != bot.Said || o.Media.ID == "" || o.Text != "") ||
				o.Event != bot.Other && (!bot.ValidUserID(o.From) || want["AgentID"] != "1000002") {
				t.Errorf("%+v, encoding/xml says %v", o.Message, want)
			}
		}
		for _, c := range [][2]string{{query, body}, {query, good.body()}, {good.query(), body}} {
			if o, ok := fuzzOpened(t, a, c[0], c[1]); ok && (o.From != "LiLei" || o.Text != "/status busy") {
				t.Errorf("forged %+v", o.Message)
			}
		}
	})
}

func fuzzOpened(t *testing.T, a *App, query, body string) (Opened, bool) {
	t.Helper()
	o, err := a.Open([]byte(query), []byte(body), envNow)
	if err == nil {
		return o, true
	}
	r, ok := errors.AsType[*Refusal](err)
	if !ok || r.Status != 403 && r.Status != 400 && r.Status != 413 || r.Reason == "" || o != (Opened{}) {
		t.Errorf("%+v, %#v", o, err)
	}
	return o, false
}

// FuzzDecrypt: whatever the plaintext, its end and its length field say, nothing
// outside of it is read.
func FuzzDecrypt(f *testing.F) {
	k := envKeys(f, envToken, envKey, envCorp)
	f.Add(envPlain(2, "hi", envCorp))
	f.Add(envPlain(1<<32-8, "hi", envCorp))
	f.Add(bytes.Repeat([]byte{32}, 32))
	f.Fuzz(func(t *testing.T, plain []byte) {
		plain = append(plain, make([]byte, (padTo-len(plain)%padTo)%padTo)...)
		msg, err := k.Decrypt([]byte(envRaw(k, plain)))
		if err == nil && !bytes.HasPrefix(plain[headerLen:], append(msg, envCorp...)) {
			t.Errorf("%q out of %q", msg, plain)
		}
	})
}
