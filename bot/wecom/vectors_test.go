package wecom

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
)

// envVector is an example whose bytes others have published, or that was computed
// without this package.
type envVector struct {
	Name, Does                  string
	Token, Key, Corp            string
	Timestamp, Nonce, Signature string
	Encrypt, Random, Plain      string
	Agent                       int
	Sender, Text, MsgID         string
	Error                       string
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []envVector
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	run := map[string]func(*testing.T, envVector){
		"echo": vectorEcho, "message": vectorMessage, "encrypt": vectorEncrypt, "fail": vectorFail, "file": vectorFile,
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) { run[v.Does](t, v) })
	}
	if len(vectors) != 17 {
		t.Errorf("%d vectors, want A to Q", len(vectors))
	}
}

func (v envVector) call() envCall {
	return envCall{v.Signature, v.Timestamp, v.Nonce, v.Encrypt}
}

func (v envVector) app(t *testing.T) (*App, time.Time) {
	t.Helper()
	seconds, err := strconv.ParseInt(v.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return envApp(t, Config{CorpID: v.Corp, AgentID: v.Agent, Token: v.Token, EncodingAESKey: v.Key}), time.Unix(seconds, 0)
}

func vectorEcho(t *testing.T, v envVector) {
	a, now := v.app(t)
	for _, query := range []string{
		v.call().echoQuery(),
		strings.ReplaceAll(v.call().echoQuery(), "%2B", "+"),   // a proxy decoded the plus
		strings.ReplaceAll(v.call().echoQuery(), "%2B", "%20"), // and another took it for a space
	} {
		got, err := a.Echo([]byte(query), now)
		if err != nil || string(got) != v.Plain {
			t.Errorf("Echo = %q, %v, want %q", got, err, v.Plain)
		}
	}
	other := v.call()
	other.nonce = other.nonce[:len(other.nonce)-1] + "4"
	if got, err := a.Echo([]byte(other.echoQuery()), now); err == nil && other != v.call() {
		t.Errorf("Echo with another nonce = %q", got)
	}
}

func vectorMessage(t *testing.T, v envVector) {
	a, now := v.app(t)
	o, err := v.call().open(a, now)
	if err != nil {
		t.Fatal(err)
	}
	want := bot.Message{
		Key:  "m:" + v.Corp + ":" + strconv.Itoa(v.Agent) + ":" + v.Sender + ":" + v.MsgID,
		From: v.Sender, Text: v.Text, Event: bot.Said, Sent: now,
	}
	if o.Message != want {
		t.Errorf("Open = %+v, want %+v", o.Message, want)
	}
}

func vectorEncrypt(t *testing.T, v envVector) {
	k := envKeys(t, v.Token, v.Key, v.Corp)
	r := k.enter()
	defer k.leave(r)
	r.text = append(r.text[:0], v.Random+"size"+v.Plain...)
	if got := k.encrypt(r, []byte("before ")); string(got) != "before "+v.Encrypt {
		t.Errorf("encrypt = %s", got)
	}
	if got, err := k.Decrypt([]byte(v.Encrypt)); err != nil || string(got) != v.Plain {
		t.Errorf("Decrypt = %q, %v", got, err)
	}
	if v.Signature != "" {
		sum := k.Sign([]byte(v.Timestamp), []byte(v.Nonce), []byte(v.Encrypt))
		if got := hex.EncodeToString(sum[:]); got != v.Signature {
			t.Errorf("Sign = %s", got)
		}
	}
}

func vectorFail(t *testing.T, v envVector) {
	got, err := envKeys(t, v.Token, v.Key, v.Corp).Decrypt([]byte(v.Encrypt))
	if err == nil || !strings.HasSuffix(err.Error(), ": "+v.Error) {
		t.Errorf("Decrypt = %q, %v, want %s", got, err, v.Error)
	}
}

// vectorFile has no header and no receiver, only the cipher and the padding.
func vectorFile(t *testing.T, v envVector) {
	k := envKeys(t, v.Token, v.Key, v.Corp)
	p, err := base64.StdEncoding.DecodeString(v.Encrypt)
	if err != nil {
		t.Fatal(err)
	}
	r := k.enter()
	defer k.leave(r)
	r.dec.SetIV(k.iv[:])
	r.dec.CryptBlocks(p, p)
	if got, ok := unpad(p); !ok || string(got) != v.Plain {
		t.Errorf("unpad = %q, %v", got, ok)
	}
}
