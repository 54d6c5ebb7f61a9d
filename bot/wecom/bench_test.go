package wecom

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"slices"
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

// benchTurn is how many calls are timed until it is the other's turn: some
// milliseconds.
const benchTurn = 4096

// versus times ours turn by turn with what it is compared with, so that both get
// the same of whatever else the machine does. x-other is the median over the turns
// of how many of the other fit into one of ours.
func versus(b *testing.B, other string, ours, theirs func(i int)) {
	turn := func(fn func(int), first, n int) time.Duration {
		began := time.Now()
		for i := range n {
			fn(first + i)
		}
		return time.Since(began)
	}
	turn(ours, 0, benchTurn)
	turn(theirs, 0, benchTurn)
	var ratios []float64
	var spent time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += benchTurn {
		n := min(benchTurn, b.N-i)
		mine := turn(ours, i, n)
		b.StopTimer()
		theirs := turn(theirs, i, n)
		spent += theirs
		ratios = append(ratios, float64(mine)/float64(theirs))
		b.StartTimer()
	}
	b.StopTimer()
	slices.Sort(ratios)
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), other+"-ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "x-"+other)
}

func BenchmarkOpen(b *testing.B) {
	app, now, calls := envBench(b)
	queries, bodies := make([][]byte, len(calls)), make([][]byte, len(calls))
	for i, c := range calls {
		queries[i], bodies[i] = []byte(c.query()), []byte(c.body())
	}
	open := func(i int) {
		o, err := app.Open(queries[i%len(queries)], bodies[i%len(bodies)], now)
		if err != nil || o.Text != "/status busy" {
			b.Fatal(o, err)
		}
	}
	b.Run("floor", func(b *testing.B) { // the same bytes through SHA-1, base64 and AES, and nothing else
		key, _ := base64.StdEncoding.DecodeString(envKey + "=")
		block, _ := aes.NewCipher(key)
		dec := cipher.NewCBCDecrypter(block, key[:aes.BlockSize]).(cbcMode)
		signed, encrypted, text := make([][]byte, len(calls)), make([][]byte, len(calls)), make([]byte, 4096)
		for i, c := range calls {
			encrypted[i] = []byte(c.encrypt)
			signed[i] = []byte(c.timestamp + c.nonce + envToken + c.encrypt)
		}
		versus(b, "floor", open, func(i int) {
			sum := sha1.Sum(signed[i%len(signed)])
			n, _ := base64.StdEncoding.Decode(text, encrypted[i%len(encrypted)])
			dec.SetIV(key[:aes.BlockSize])
			dec.CryptBlocks(text[:n], text[:n])
			if n != 352 || sum[0] == 0 && sum[1] == 0 && sum[2] == 0 && sum[3] == 0 {
				b.Fatal(n, sum)
			}
		})
	})
	b.Run("silenceper", func(b *testing.B) {
		versus(b, "sdk", open, func(i int) {
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
		})
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
	b.Run("floor", func(b *testing.B) { // what a 300-byte document cannot do without
		key, _ := base64.StdEncoding.DecodeString(envKey + "=")
		block, _ := aes.NewCipher(key)
		enc := cipher.NewCBCEncrypter(block, key[:aes.BlockSize]).(cbcMode)
		size := headerLen + 300 + len(envCorp)
		plain := make([]byte, size+padTo-size%padTo)
		joined, signature := make([]byte, 0, 4096), make([]byte, 0, 40)
		versus(b, "floor", func(int) { out = opened.Seal(out[:0], text, now) }, func(int) {
			enc.SetIV(key[:aes.BlockSize])
			enc.CryptBlocks(plain, plain)
			joined = append(joined[:0], envToken+"17600000001234567890"...)
			joined = base64.StdEncoding.AppendEncode(joined, plain)
			sum := sha1.Sum(joined)
			signature = hex.AppendEncode(signature[:0], sum[:])
		})
	})
}
