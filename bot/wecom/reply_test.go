package wecom

import (
	"encoding/xml"
	"regexp"
	"strings"
	"testing"
)

func TestSeal(t *testing.T) {
	a := envApp(t, Config{})
	o, err := envSeal(a.tokens[0][0], envInner(), envNow, "1").open(a, envNow)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ text, want string }{
		{"忙碌，12:30 自动恢复（午饭）", ""},
		{"", ""},
		{"a < b && c > d\n<a href=\"x\">", ""},
		{"]]>", ""},
		{"]]]]>>]]>]", ""},
		{"]]><ToUserName>boss</ToUserName><![CDATA[", ""},
		{strings.Repeat("字", 682), ""},
		{"a\x00b\x1bc\uFFFEd\xffe\ttab", "abcde\ttab"},
		{"]\x00]\x00>", "]]>"},
		{"one\r\ntwo\rthree", "one\ntwo\nthree"},
	}
	for _, tt := range tests {
		if tt.want == "" {
			tt.want = tt.text
		}
		sealed := o.Seal([]byte("before "), tt.text, envNow)
		outer, ok := strings.CutPrefix(string(sealed), "before ")
		if !ok || !envelopeShape.MatchString(outer) {
			t.Fatalf("envelope %s", sealed)
		}
		var got struct {
			ToUserName, FromUserName, MsgType, Content string
			CreateTime                                 int64
		}
		inner := envReply(t, &o, []byte(outer))
		if err := xml.Unmarshal([]byte(inner), &got); err != nil {
			t.Fatal(err)
		}
		if got.ToUserName != "LiLei" || got.FromUserName != envCorp || got.CreateTime != envNow.Unix() || got.MsgType != "text" || got.Content != tt.want {
			t.Errorf("%q became %+v", tt.text, got)
		}
		// What we write, we read.
		var s scanner
		if err := s.scan([]byte(inner)); err != nil || string(s.fields[fieldContent]) != tt.want {
			t.Errorf("%q read back as %q, %v", tt.text, s.fields[fieldContent], err)
		}
	}
}

var envelopeShape = regexp.MustCompile(`^<xml><Encrypt><!\[CDATA\[[A-Za-z0-9+/]+=*\]\]></Encrypt>` +
	`<MsgSignature><!\[CDATA\[[0-9a-f]{40}\]\]></MsgSignature><TimeStamp>1760000000</TimeStamp>` +
	`<Nonce><!\[CDATA\[[0-9a-f]{16}\]\]></Nonce></xml>$`)

// One text sealed twice must not look alike.
func TestSealFresh(t *testing.T) {
	a := envApp(t, Config{})
	o, err := envSeal(a.tokens[0][0], envInner(), envNow, "1").open(a, envNow)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 100 {
		sealed := string(o.Seal(nil, "ok", envNow))
		encrypted, rest, _ := strings.Cut(sealed, "</Encrypt>")
		_, nonce, _ := strings.Cut(rest, "<Nonce>")
		if seen[encrypted] || seen[nonce] {
			t.Fatal("sealed alike twice")
		}
		seen[encrypted], seen[nonce] = true, true
	}
}
