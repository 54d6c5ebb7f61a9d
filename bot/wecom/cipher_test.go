package wecom

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

func corpusBase64(a *App) (cases []envCase) {
	k := a.tokens[0][0]
	padded := map[int]string{} // by the number of "=" at the end
	for i := 0; len(padded) < 3; i++ {
		e := string(k.Encrypt(nil, []byte(envInner("Content", "<Content>"+strings.Repeat("x", 32*i)+"</Content>"))))
		padded[strings.Count(e, "=")] = e
	}
	add := func(name, encrypt string) {
		c := envSign(k, encrypt, "1760000000", "1")
		cases = append(cases, envCase{name: name, query: c.query(), body: c.body()})
	}
	for pads, e := range padded {
		for _, space := range []string{" ", "\n", "\t", "\r\n\r\n", "    ", "\n\n\n\n"} {
			for _, at := range []int{0, 4, 5, 76, len(e) - 2, len(e)} {
				add(fmt.Sprintf("%q at %d", space, at), e[:at]+space+e[at:])
			}
		}
		add("more padding", e+"=")
		add("a quad of padding", e+"====")
		add("padding in the middle", e[:4]+"===="+e[4:])
		add("a foreign character", e[:8]+"!"+e[9:])
		add("the alphabet of URLs", e[:8]+"-_"+e[10:])
		add("not ASCII", e[:8]+"é"+e[10:])
		add("cut", e[:len(e)-pads-1])
		if pads > 0 {
			add("less padding", e[:len(e)-1])
			add("padding only", e[:len(e)-pads])
			// The last character has bits nothing depends on.
			last := len(e) - pads - 1
			v := strings.IndexByte(base64Alphabet, e[last])
			for bit := 1; bit < 1<<(2*pads); bit++ {
				add("stray bits", e[:last]+string(base64Alphabet[v|bit])+e[last+1:])
			}
		}
	}
	add("nothing", "")
	add("only padding", "====")
	return cases
}

// envRaw encrypts a plaintext of the test's own making.
func envRaw(k *Keys, plain []byte) string {
	r := k.enter()
	defer k.leave(r)
	r.enc.SetIV(k.iv[:])
	p := bytes.Clone(plain)
	r.enc.CryptBlocks(p, p)
	return base64.StdEncoding.EncodeToString(p)
}

// envPlain is header, message and receiver with a length field that may lie,
// padded as it should be.
func envPlain(length int, msg, receiveID string) []byte {
	p := append([]byte("0123456789abcdef"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(p[randomLen:], uint32(length))
	p = append(append(p, msg...), receiveID...)
	pad := padTo - len(p)%padTo
	return append(p, bytes.Repeat([]byte{byte(pad)}, pad)...)
}

func corpusCipher(t *testing.T, a *App) (cases []envCase) {
	k := a.tokens[0][0]
	add := func(name, encrypt string) {
		c := envSign(k, encrypt, "1760000000", "1")
		cases = append(cases, envCase{name: name, query: c.query(), body: c.body()})
	}
	msg := envInner()
	good := envPlain(len(msg), msg, envCorp)
	if got, err := k.Decrypt([]byte(envRaw(k, good))); err != nil || string(got) != msg {
		t.Fatalf("Decrypt = %q, %v", got, err)
	}

	for _, n := range []int{1, 15, 16, 31, 33, 48, 80, 336} {
		add(fmt.Sprintf("%d bytes", n), base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, n)))
	}
	for _, n := range []int{32, 64, 352} {
		add(fmt.Sprintf("noise of %d bytes", n), base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, n)))
	}
	for _, length := range []int{len(msg) - 1, len(msg) + 1, len(msg) + len(envCorp), len(msg) + len(envCorp) + 1, 0, 1 << 16, 1<<31 - 1, 1 << 31, 1<<32 - 8, 1<<32 - 1} {
		add(fmt.Sprintf("length %d", length), envRaw(k, envPlain(length, msg, envCorp)))
	}
	for _, receiver := range []string{"", "wwother", envCorp[1:], envCorp[:17], envCorp + "x", "x" + envCorp, strings.ToUpper(envCorp), envCorp + "\x00", " " + envCorp} {
		add("receiver "+receiver, envRaw(k, envPlain(len(msg), msg, receiver)))
	}
	pad := int(good[len(good)-1])
	for i := 1; i <= pad; i++ {
		bad := bytes.Clone(good)
		bad[len(bad)-i] ^= 0x40
		add(fmt.Sprintf("padding byte %d", i), envRaw(k, bad))
	}
	for _, last := range []byte{0, 33, 64, 128, 255} {
		bad := bytes.Clone(good)
		for i := 1; i <= pad; i++ {
			bad[len(bad)-i] = last
		}
		add(fmt.Sprintf("padding of %d", last), envRaw(k, bad))
	}
	all := bytes.Repeat([]byte{32}, 32)
	add("nothing but padding", envRaw(k, all))
	short := append(bytes.Repeat([]byte{0}, 19), bytes.Repeat([]byte{13}, 13)...)
	add("no room for a header", envRaw(k, short))
	other, err := NewKeys(envToken, envKey2, envCorp)
	if err != nil {
		t.Fatal(err)
	}
	add("another key", string(other.Encrypt(nil, []byte(msg))))
	return cases
}

// Our decoder takes what the library's takes, canonical spellings only.
func TestBase64(t *testing.T) {
	for n := range 70 {
		want := bytes.Repeat([]byte{0xfb, 0x5a, byte(n)}, 24)[:n]
		src, dst := base64.StdEncoding.EncodeToString(want), make([]byte, 72)
		if got, err := decodeBase64(dst[:(len(want)+2)/3*3], []byte(src)); err != nil || !bytes.Equal(dst[:got], want) {
			t.Errorf("%s: %x, %v", src, dst[:got], err)
		}
		if n == 0 {
			continue
		}
		for c := range 256 {
			for at := range src {
				bad := src[:at] + string([]byte{byte(c)}) + src[at+1:]
				lib, libErr := base64.StdEncoding.Strict().DecodeString(bad)
				got, err := decodeBase64(dst, []byte(bad))
				if c == '\r' || c == '\n' {
					libErr = errBase64
				}
				if (err == nil) != (libErr == nil) || err == nil && !bytes.Equal(dst[:got], lib) {
					t.Fatalf("%q: %x, %v; the library: %x, %v", bad, dst[:got], err, lib, libErr)
				}
			}
		}
	}
}

func TestNewKeys(t *testing.T) {
	for name, k := range map[string][2]string{
		"no token":        {"", envKey},
		"no key":          {envToken, ""},
		"42 characters":   {envToken, envKey[1:]},
		"44 characters":   {envToken, envKey + "C"},
		"with its =":      {envToken, envKey[1:] + "="},
		"other character": {envToken, "$" + envKey[1:]},
		"base64 only":     {envToken, "+/" + envKey[2:]},
		"not ASCII":       {envToken, "é" + envKey[2:]},
	} {
		_, err := NewKeys(k[0], k[1], envCorp)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if k[1] != "" && strings.Contains(err.Error(), k[1]) {
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
	for name, c := range map[string]Config{
		"no corp":      {AgentID: 1, Token: "t", EncodingAESKey: envKey},
		"no app":       {CorpID: "c", Token: "t", EncodingAESKey: envKey},
		"negative app": {CorpID: "c", AgentID: -1, Token: "t", EncodingAESKey: envKey},
		"no token":     {CorpID: "c", AgentID: 1, EncodingAESKey: envKey},
		"no key":       {CorpID: "c", AgentID: 1, Token: "t"},
		"previous key": {CorpID: "c", AgentID: 1, Token: "t", EncodingAESKey: envKey, PreviousEncodingAESKey: "x"},
		"window":       {CorpID: "c", AgentID: 1, Token: "t", EncodingAESKey: envKey, Window: -1},
	} {
		if _, err := NewApp(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
