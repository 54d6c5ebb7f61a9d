package wecom

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/silenceper/wechat/v2/util"
)

// envBench is a run of distinct "/status busy" callbacks, as WeCom writes them.
func envBench(b testing.TB) (app *App, now time.Time, calls []envCall) {
	app, now = envApp(b, Config{}), time.Unix(1760000000, 0)
	for i := range 1024 {
		inner := fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName>\n<FromUserName><![CDATA[user%05d]]></FromUserName>\n"+
			"<CreateTime>%d</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n<Content><![CDATA[/status busy]]></Content>\n"+
			"<MsgId>%d</MsgId>\n<AgentID>%d</AgentID>\n</xml>", envCorp, i*19, now.Unix(), 7400000000000000000+i*7919, envAgent)
		calls = append(calls, envSeal(app.tokens[0][0], inner, now, fmt.Sprint(1000000000+i*104729)))
	}
	return app, now, calls
}

func BenchmarkOpen(b *testing.B) {
	app, now, calls := envBench(b)
	queries, bodies := make([][]byte, len(calls)), make([][]byte, len(calls))
	for i, c := range calls {
		queries[i], bodies[i] = []byte(c.query()), []byte(c.body())
	}
	b.Run("deskbell", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			o, err := app.Open(queries[i%len(queries)], bodies[i%len(bodies)], now)
			if err != nil || o.Text != "/status busy" {
				b.Fatal(o, err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) { // the same bytes through SHA-1, base64 and AES, and nothing else
		key, _ := base64.StdEncoding.DecodeString(envKey + "=")
		block, _ := aes.NewCipher(key)
		dec := cipher.NewCBCDecrypter(block, key[:aes.BlockSize]).(cbcMode)
		signed, encrypted, text := make([][]byte, len(calls)), make([][]byte, len(calls)), make([]byte, 4096)
		for i, c := range calls {
			encrypted[i] = []byte(c.encrypt)
			signed[i] = []byte(c.timestamp + c.nonce + envToken + c.encrypt)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			sum := sha1.Sum(signed[i%len(signed)])
			n, _ := base64.StdEncoding.Decode(text, encrypted[i%len(encrypted)])
			dec.SetIV(key[:aes.BlockSize])
			dec.CryptBlocks(text[:n], text[:n])
			if n != 352 || sum[0] == 0 && sum[1] == 0 && sum[2] == 0 && sum[3] == 0 {
				b.Fatal(n, sum)
			}
		}
	})
	b.Run("silenceper", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c := &calls[i%len(calls)]
			var outer struct{ ToUserName, AgentID, Encrypt string }
			var inner struct {
				ToUserName, FromUserName, MsgType, Content string
				CreateTime, MsgId, AgentID                 int64
			}
			if err := xml.Unmarshal(bodies[i%len(bodies)], &outer); err != nil {
				b.Fatal(err)
			}
			if util.Signature(envToken, c.timestamp, c.nonce, outer.Encrypt) != c.signature {
				b.Fatal("signature")
			}
			_, raw, err := util.DecryptMsg(envCorp, outer.Encrypt, envKey)
			if err != nil {
				b.Fatal(err)
			}
			if err := xml.Unmarshal(raw, &inner); err != nil || inner.Content != "/status busy" {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	app, now, calls := envBench(b)
	opened, err := app.Open([]byte(calls[0].query()), []byte(calls[0].body()), now)
	if err != nil {
		b.Fatal(err)
	}
	frame := len(envReply(b, &opened, opened.Seal(nil, "", now)))
	text := strings.Repeat("x", 300-frame)
	out := make([]byte, 0, 4096)
	b.Run("deskbell", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out = opened.Seal(out[:0], text, now)
		}
	})
	b.Run("floor", func(b *testing.B) { // what a 300-byte document cannot do without
		key, _ := base64.StdEncoding.DecodeString(envKey + "=")
		block, _ := aes.NewCipher(key)
		enc := cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).(cbcMode)
		size := headerLen + 300 + len(envCorp)
		plain := make([]byte, size+padTo-size%padTo)
		joined, signature := make([]byte, 0, 4096), make([]byte, 0, 40)
		b.ReportAllocs()
		for b.Loop() {
			enc.SetIV(key[:aes.BlockSize])
			enc.CryptBlocks(plain, plain)
			joined = append(joined[:0], envToken+"17600000001234567890"...)
			joined = base64.StdEncoding.AppendEncode(joined, plain)
			sum := sha1.Sum(joined)
			signature = hex.AppendEncode(signature[:0], sum[:])
		}
	})
}
