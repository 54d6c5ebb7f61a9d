package wecom

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

// envCase is a callback to be refused. Without a status it is 403.
type envCase struct {
	name   string
	app    *App // nil: the tests' own
	query  string
	body   string
	status int
}

// The corpus is made by family, each a way in that was open in some other
// implementation or would be with one check less.
func TestRefused(t *testing.T) {
	own := envApp(t, Config{})
	families := []struct {
		name  string
		cases []envCase
	}{
		{"query", corpusQuery(own)},
		{"signature", corpusSignature(t, own)},
		{"clock", corpusClock(own)},
		{"re-split", corpusResplit(t, own)},
		{"length extension", corpusExtension(t)},
		{"base64", corpusBase64(own)},
		{"cipher", corpusCipher(t, own)},
		{"inner XML", corpusInner(own)},
		{"outer body", corpusOuter(own)},
	}
	count, text := 0, map[int]string{}
	for _, f := range families {
		if len(f.cases) == 0 {
			t.Errorf("%s: no cases", f.name)
		}
		for _, c := range f.cases {
			count++
			if c.app == nil {
				c.app = own
			}
			if c.status == 0 {
				c.status = 403
			}
			o, err := c.app.Open([]byte(c.query), []byte(c.body), envNow)
			r, ok := errors.AsType[*Refusal](err)
			if !ok || r.Status != c.status || o != (Opened{}) {
				t.Errorf("%s, %s: %+v, %v, want %d", f.name, c.name, o.Message, err, c.status)
				continue
			}
			if r.Reason == "" {
				t.Errorf("%s, %s: no reason for the metric", f.name, c.name)
			}
			if text[r.Status] == "" {
				text[r.Status] = r.Error()
			}
			if r.Error() != text[r.Status] {
				t.Errorf("%s, %s: %q tells it from %q", f.name, c.name, r, text[r.Status])
			}
		}
	}
	if count < 200 {
		t.Errorf("%d cases, want at least 200", count)
	}
	t.Logf("%d cases", count)
}

// The verification of the address is as strict, but for the body it does not have.
func TestEchoRefused(t *testing.T) {
	a := envApp(t, Config{})
	good := envGood(a)
	sound := good.echoQuery()
	if got, err := a.Echo([]byte(sound), envNow); err != nil || string(got) != envInner() {
		t.Fatalf("%q, %v", got, err)
	}
	queries := []string{good.query(), good.query() + "&echostr=", good.query() + "&echostr", sound + "&echostr=", "echostr=x&" + sound,
		sound + "&%65chostr=x", strings.ReplaceAll(sound, "echostr=", "echostr=%0A"), sound + "%0D%0A", sound + "+", sound + strings.Repeat("&x=1", MaxBody)}
	for _, c := range append(corpusQuery(a), corpusClock(a)...) {
		queries = append(queries, c.query+"&echostr="+url.QueryEscape(good.encrypt))
	}
	for _, query := range queries {
		got, err := a.Echo([]byte(query), envNow)
		if r, ok := errors.AsType[*Refusal](err); got != nil || !ok || r.Status != 403 {
			t.Errorf("%.300s: %q, %v", query, got, err)
		}
	}
}

// envGood is a sound callback for every family to spoil.
func envGood(a *App) envCall { return envSeal(a.tokens[0][0], envInner(), envNow, "1372623149") }

func corpusQuery(a *App) (cases []envCase) {
	good, k := envGood(a), a.tokens[0][0]
	add := func(name, query string) {
		cases = append(cases, envCase{name: name, query: query, body: good.body()})
	}
	add("empty", "")
	for _, p := range strings.Split(good.query(), "&") {
		name, value, _ := strings.Cut(p, "=")
		add("without "+name, strings.Replace("&"+good.query(), "&"+p, "", 1))
		add(name+" empty", strings.Replace(good.query(), p, name+"=", 1))
		add(name+" without =", strings.Replace(good.query(), p, name, 1))
		add(name+" in capitals", strings.Replace(good.query(), name, strings.ToUpper(name), 1))
		add(name+" encoded twice", strings.Replace(good.query(), value, strings.ReplaceAll(url.QueryEscape("%"+fmt.Sprintf("%x", value[0])), "%", "%")+value[1:], 1))
		for _, again := range []string{p, name + "=x", name + "=", name, "%" + fmt.Sprintf("%x", name[0]) + name[1:] + "=x"} {
			add("twice "+again, good.query()+"&"+again)
			add("first "+again, again+"&"+good.query())
		}
	}
	for _, bad := range []string{"%", "%1", "%zz", "%%", "%u0031"} {
		add("bad escape "+bad, good.query()+"&x="+bad)
		add("bad escape in a name "+bad, good.query()+"&"+bad+"=1")
	}
	for _, s := range []string{
		strings.ToUpper(good.signature), good.signature[:39], good.signature + "0", "g" + good.signature[1:],
		" " + good.signature[1:], good.signature + " ", "0x" + good.signature[2:], strings.Repeat("0", 40), strings.Repeat("\x00", 40),
	} {
		bad := good
		bad.signature = s
		add("signature "+s, bad.query())
	}
	// These are signed as they stand: only their shape speaks against them.
	at := good.timestamp
	for _, ts := range []string{
		at[:9], "0" + at, at + "0", "+" + at[1:], "-" + at[1:], at[:9] + " ", " " + at[1:], at + " ", at + "\n", at + ".0", "1.76e+0009",
		"0x68e77800", "１７６０００００００", "1760000٠00", "1760000000\x00",
	} {
		add("timestamp "+ts, envSign(k, good.encrypt, ts, good.nonce).query())
	}
	for _, nonce := range []string{
		strings.Repeat("1", 129), "1\x00", "\x1f", "1\n", "\t1", "1\x7f", "1\x80", "\xff", "é", "１",
	} {
		add("nonce "+nonce, envSign(k, good.encrypt, at, nonce).query())
	}
	return cases
}

func corpusSignature(t *testing.T, a *App) (cases []envCase) {
	good := envGood(a)
	add := func(name string, c envCall) {
		cases = append(cases, envCase{name: name, query: c.query(), body: c.body()})
	}
	for i := range good.signature {
		bad, digit := good, byte('0')
		if good.signature[i] == '0' {
			digit = 'f'
		}
		bad.signature = good.signature[:i] + string(digit) + good.signature[i+1:]
		add(fmt.Sprintf("digit %d", i), bad)
	}
	for i := 0; i < len(good.encrypt); i += 16 {
		bad, c := good, byte('A')
		if good.encrypt[i] == 'A' {
			c = 'B'
		}
		bad.encrypt = good.encrypt[:i] + string(c) + good.encrypt[i+1:]
		add(fmt.Sprintf("ciphertext %d", i), bad)
	}
	add("another token", envSeal(envKeys(t, "anotherTOKEN", envKey, envCorp), envInner(), envNow, "1"))
	other := envSeal(a.tokens[0][0], envInner("Content", ""), envNow, "1")
	other.encrypt = good.encrypt
	add("another message's", other)
	empty := envCall{good.signature, good.timestamp, good.nonce, ""}
	add("of nothing", empty)
	return cases
}

func corpusClock(a *App) (cases []envCase) {
	good, k := envGood(a), a.tokens[0][0]
	for _, off := range []time.Duration{301 * time.Second, 10 * time.Minute, time.Hour, 24 * time.Hour, 8760 * time.Hour} {
		for _, at := range []time.Time{envNow.Add(off), envNow.Add(-off)} {
			c := envSeal(k, envInner(), at, "1")
			cases = append(cases, envCase{name: "by " + at.Sub(envNow).String(), query: c.query(), body: c.body()})
		}
	}
	for _, ts := range []string{"0000000000", "0000000001", "9999999999", "9223372036", "4294967295"} {
		c := envSign(k, good.encrypt, ts, "1")
		cases = append(cases, envCase{name: "at " + ts, query: c.query(), body: c.body()})
	}
	return cases
}
