package wecom

import (
	"fmt"
	"strings"
	"testing"
)

func corpusInner(a *App) (cases []envCase) {
	k := a.tokens[0][0]
	add := func(name, inner string) {
		c := envSeal(k, inner, envNow, "1")
		cases = append(cases, envCase{name: name, query: c.query(), body: c.body()})
	}
	good := envInner()
	with := func(more string) string { return envInner("more", more) }
	boss := "<FromUserName><![CDATA[boss]]></FromUserName>"

	// Another's.
	for _, corp := range []string{"wwother", "", envCorp + "x", strings.ToUpper(envCorp), " " + envCorp, "<![CDATA[" + envCorp + " ]]>"} {
		add("corp "+corp, envInner("ToUserName", "<ToUserName>"+corp+"</ToUserName>"))
	}
	add("no corp", envInner("ToUserName", ""))
	for _, id := range []string{"1000003", "0", "-1000002", "01000002", "1000002.0", " 1000002", "１000002", "x"} {
		add("app "+id, envInner("AgentID", "<AgentID>"+id+"</AgentID>"))
		add("app "+id+" of an event", strings.Replace(envEvent("subscribe", ""), ">1000002<", ">"+id+"<", 1))
		add("app "+id+" of an image", strings.Replace(envInner("AgentID", "<AgentID>"+id+"</AgentID>", "x", "<MediaId>m</MediaId>"), "[text]", "[image]", 1))
	}
	for _, e := range []string{"click", "template_card_event", "enter_agent", "subscribe", "unsubscribe"} {
		add(e+" of no app", strings.Replace(envEvent(e, ""), "<AgentID>1000002</AgentID>", "", 1))
	}
	// Incomplete.
	for _, name := range []string{"FromUserName", "MsgType", "MsgId", "AgentID"} {
		add("no "+name, envInner(name, ""))
	}
	for _, id := range []string{"", "x", "-1", "1.5", "0x10", "7300000000000000001:1", "730000000000000000173000000000000000001", "１"} {
		add("MsgId "+id, envInner("MsgId", "<MsgId>"+id+"</MsgId>"))
	}
	for _, at := range []string{"", "x", "-1", "1759999999.5", "9999999999999999999", " 1759999999"} {
		add("CreateTime "+at, envInner("CreateTime", "<CreateTime>"+at+"</CreateTime>"))
	}
	// Said twice, and what would be the last word elsewhere.
	for _, name := range []string{"ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId", "AgentID"} {
		add("twice "+name, with("<"+name+">1</"+name+">"))
		add("twice, empty "+name, with("<"+name+"/>"))
		add("prefixed "+name, with("<x:"+name+">1</x:"+name+">"))
		add("prefix only on "+name, with("<:"+name+">1</:"+name+">"))
		add("in a namespace "+name, with("<"+name+` xmlns="urn:x">1</`+name+">"))
	}
	// Read by one way of reading and then by the other.
	spellings := []string{"<NAME><![CDATA[VALUE]]></NAME>", "<NAME>VALUE</NAME>", "<NAME>VALUE<![CDATA[]]></NAME>", "<NAME><![CDATA[VALUE]]><![CDATA[]]></NAME>", "<NAME/>"}
	for name, value := range map[string]string{"ToUserName": envCorp, "FromUserName": "lilei", "MsgType": "text", "Content": "x", "MsgId": "7300000000000000001", "AgentID": "1000002", "Event": "x"} {
		for _, first := range spellings {
			for _, second := range spellings {
				both := strings.NewReplacer("NAME", name, "VALUE", value).Replace(first + "\n" + second)
				add("twice in a row "+both, envInner(name, both))
			}
		}
	}
	add("twice a field nobody reads", with("<Extra>1</Extra><Extra>2</Extra>"))
	add("twice, nested", with("<Extra><A/></Extra><Extra/>"))
	add("twice a media id", strings.Replace(with("<MediaId>m</MediaId><MediaId>m</MediaId>"), "[text]", "[image]", 1))
	add("a field inside a media id", strings.Replace(with("<MediaId>m<b/></MediaId>"), "[text]", "[image]", 1))
	add("text that ends its section", envInner("Content", "<Content><![CDATA[x]]></Content>"+boss+"<Content><![CDATA[]]></Content>"))
	add("text that ends its section and the document", envInner("Content", "<Content><![CDATA[x]]></Content></xml><xml>"+boss+"<Content><![CDATA[]]></Content>"))
	add("a field inside a field", envInner("Content", "<Content>x"+boss+"</Content>"))
	add("a field inside the sender", envInner("FromUserName", "<FromUserName>li<b>l</b>ei</FromUserName>"))
	// More than one document.
	for _, more := range []string{good, "<xml/>", "x", "<!-- -->", "</xml>", "\x00", "&#32;", "<![CDATA[ ]]>", "<?x?>"} {
		add("after the root "+more, good+more)
	}
	for _, more := range []string{"x", "\ufeff", "<!-- -->", `<?xml version="1.0"?>`, "<?x ?>", "<!DOCTYPE xml>", "&#32;", "<a/>"} {
		add("before the root "+more, more+good)
	}
	// Entities and declarations.
	for _, e := range []string{"&nbsp;", "&xxe;", "&", "&;", "&#;", "&#x;", "&#X41;", "&#0;", "&#x0;", "&#8;", "&#xD800;", "&#xFFFE;", "&#x110000;", "&#99999999999;", "&#-1;", "&#x1g;", "&lt", "&LT;", "& lt;"} {
		add("entity "+e, envInner("Content", "<Content>"+e+"</Content>"))
		add("entity for the sender "+e, envInner("FromUserName", "<FromUserName>boss"+e+"</FromUserName>"))
		add("entity nobody reads "+e, with("<Extra><A>"+e+"</A></Extra>"))
	}
	laughs := `<!DOCTYPE xml [<!ENTITY l0 "ha">`
	for i := range 9 {
		laughs += fmt.Sprintf(`<!ENTITY l%d "%s">`, i+1, strings.Repeat(fmt.Sprintf("&l%d;", i), 10))
	}
	add("billion laughs", laughs+"]>"+envInner("Content", "<Content>&l9;</Content>"))
	add("a file", `<!DOCTYPE xml [<!ENTITY f SYSTEM "file:///etc/passwd">]>`+envInner("Content", "<Content>&f;</Content>"))
	add("a DOCTYPE inside", strings.Replace(good, "<xml>", "<xml><!DOCTYPE xml>", 1))
	add("a comment between", with("<!-- x -->"))
	add("a comment in a value", envInner("FromUserName", "<FromUserName>bo<!-- -->ss</FromUserName>"))
	add("an instruction in a value", envInner("Content", "<Content>a<?x?>b</Content>"))
	add("an attribute", envInner("Content", `<Content a="1">x</Content>`))
	add("an attribute on the root", strings.Replace(good, "<xml>", `<xml a="1">`, 1))
	// Not XML.
	for _, doc := range []string{good, with("<a>x<b>&amp;<![CDATA[y]]></b></a>")} {
		for i := range doc {
			add(fmt.Sprintf("cut at %d", i), doc[:i])
		}
	}
	for _, s := range []string{"", " ", "hello", "{}", "<xml>", "<xml></xml", "<xml></xm>", "<a></a>", "<XML></XML>", "<x:xml></x:xml>", "<xml/>", "<", "<>", "</>", "</xml>", "<xml><></></xml>",
		"<xml><a></b></xml>", "<xml><a></xml></a>", "<xml><1>x</1></xml>", "<xml><a><![CDATA[x]]</a></xml>", "<xml><a><![cdata[x]]></a></xml>"} {
		add("document "+s, s)
	}
	add("text between", with("x"))
	add("a section between", with("<![CDATA[x]]>"))
	add("a reference between", with("&#32;"))
	add("]]> in text", envInner("Content", "<Content>a]]>b</Content>"))
	add("a space in a tag", envInner("Content", "<Content >x</Content>"))
	add("a space in a closing tag", envInner("Content", "<Content>x</Content >"))
	add("a name in Chinese", with("<名>x</名>"))
	for _, c := range []string{"\x00", "\x01", "\x08", "\x0b", "\x1f", "\x80", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\uFFFE", "\uFFFF", "\xe4\xbd"} {
		add(fmt.Sprintf("character %x", c), envInner("Content", "<Content><![CDATA[12345678"+c+"]]></Content>"))
		add(fmt.Sprintf("character %x in text", c), envInner("Content", "<Content>"+c+"</Content>"))
		add(fmt.Sprintf("character %x in a name", c), with("<a"+c+">x</a"+c+">"))
		add(fmt.Sprintf("character %x nobody reads", c), with("<a><b>"+c+"</b></a>"))
	}
	// Too much.
	for _, n := range []int{8, 9, 100, 5000} {
		add(fmt.Sprintf("%d levels", n), with(strings.Repeat("<a>", n)+strings.Repeat("</a>", n)))
	}
	many := ""
	for i := range maxFields + 1 {
		many += fmt.Sprintf("<f%d/>", i)
	}
	add("many fields", with(many))
	return cases
}

func corpusOuter(a *App) (cases []envCase) {
	good := envGood(a)
	add := func(status int, name, body string) {
		cases = append(cases, envCase{name: name, query: good.query(), body: body, status: status})
	}
	encrypted := "<Encrypt>" + good.encrypt + "</Encrypt>"
	for _, s := range []string{"", " ", "hello", "{}", `{"encrypt":"` + good.encrypt + `"}`, "<", "<xml", "<xml>", "<xml></xml", "<xml><Encrypt>", "<html></html>", encrypted, good.encrypt,
		"<xml>" + encrypted + "</xml>x", "<xml>" + encrypted + "</xml><xml/>", "<xml>" + encrypted + "\x00</xml>", "<xml><Encrypt><![CDATA[" + good.encrypt + "</Encrypt></xml>"} {
		add(400, "not XML", s)
	}
	for _, s := range []string{"<xml></xml>", "<xml/>", "<xml><encrypt>x</encrypt></xml>", "<xml><A>" + encrypted + "</A></xml>", "<xml><Content><![CDATA[" + encrypted + "]]></Content></xml>"} {
		add(400, "no Encrypt", s)
	}
	add(400, "plaintext", envInner())
	add(400, "plaintext of an administrator", envInner("FromUserName", "<FromUserName>boss</FromUserName>"))
	for _, s := range []string{"<xml><Encrypt/></xml>", "<xml><Encrypt>x</Encrypt></xml>", "<xml>" + encrypted + encrypted + "</xml>", "<xml><Encrypt/>" + encrypted + "</xml>",
		"<xml>" + encrypted + "<Encrypt><![CDATA[]]></Encrypt></xml>", "<xml><x:Encrypt>" + good.encrypt + "</x:Encrypt></xml>", "<xml><Encrypt>\n" + good.encrypt + "\n</Encrypt></xml>",
		"<xml><Encrypt><b>" + good.encrypt + "</b></Encrypt></xml>", "<!DOCTYPE xml><xml>" + encrypted + "</xml>", "<xml><!-- -->" + encrypted + "</xml>", `<xml xmlns="urn:x">` + encrypted + "</xml>",
		"<xml>" + strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) + encrypted + "</xml>"} {
		add(403, "tricks", s)
	}
	for _, n := range []int{MaxBody + 1, 1 << 20} {
		add(413, fmt.Sprintf("%d bytes", n), good.body()+strings.Repeat(" ", n-len(good.body())))
	}
	cases = append(cases, envCase{name: "large but not too large, and signed for another", query: good.query(),
		body: strings.Replace(good.body(), "<Encrypt>", "<Encrypt>"+strings.Repeat("A", 1000), 1)})
	return cases
}

// A value is found eight and thirty-two bytes at a time; wherever it ends, and
// whatever it ends in, it is read to its end and no further.
func TestScanLengths(t *testing.T) {
	for n := range 140 {
		for _, end := range []string{"", "]", "]]", "]>", ">", "\t", "\x7f", "字", "]字", "字]"} {
			want := strings.Repeat("x", n) + end
			var s scanner
			err := s.scan([]byte("<xml><Content><![CDATA[" + want + "]]></Content><MsgId>" + strings.Repeat("1", n) + "</MsgId></xml>"))
			if got := string(s.fields[fieldContent]); err != nil || got != want || len(s.fields[fieldMsgID]) != n {
				t.Errorf("%q is read as %q, %v", want, got, err)
			}
		}
		for _, bad := range []string{"\x00", "\x1f", "\xff", "\xed\xa0\x80", "]\x01", "]]>"} {
			var s scanner
			if s.scan([]byte("<xml><Content><![CDATA["+strings.Repeat("x", n)+bad+"]]></Content></xml>")) == nil {
				t.Errorf("%q was read after %d characters", bad, n)
			}
		}
	}
}
