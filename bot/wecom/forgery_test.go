package wecom

import (
	"crypto/sha1"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// corpusResplit moves characters between the parts of a signed callback, which
// keeps WeCom's signature valid: whoever recorded one can do this without the
// token. Each must be refused, or be the same delivery again.
func corpusResplit(t *testing.T, a *App) (cases []envCase) {
	k := a.tokens[0][0]
	for _, nonce := range []string{"1372623149", "437374425", "1", "0", "9999999999", "17600000", "VHh7ymSeb0jc4lSb", "zz", "1759999990"} {
		good := envSeal(k, envInner(), envNow, nonce)
		want, err := good.open(a, envNow)
		if err != nil {
			t.Fatal(err)
		}
		for forged := range resplits(k, good) {
			c := envCase{name: fmt.Sprintf("%s|%s|%.20s…", forged.timestamp, forged.nonce, forged.encrypt), query: forged.query(), body: forged.body()}
			if got, err := a.Open([]byte(c.query), []byte(c.body), envNow); err == nil && got == want {
				continue
			}
			cases = append(cases, c)
		}
	}
	if len(cases) < 100 {
		t.Errorf("%d re-splits, so they are not being made", len(cases))
	}
	return cases
}

// resplits finds the other callbacks that share a callback's signature.
func resplits(k *Keys, good envCall) map[envCall]bool {
	parts := []string{string(k.token), good.timestamp, good.nonce, good.encrypt}
	for i := range parts {
		for j := i; j > 0 && parts[j] < parts[j-1]; j-- {
			parts[j], parts[j-1] = parts[j-1], parts[j]
		}
	}
	before, after, _ := strings.Cut(strings.Join(parts, ""), string(k.token))
	found := map[envCall]bool{}
	try := func(a, b, c string) {
		for _, p := range [][3]string{{a, b, c}, {a, c, b}, {b, a, c}, {b, c, a}, {c, a, b}, {c, b, a}} {
			forged := envCall{good.signature, p[0], p[1], p[2]}
			sum := k.Sign([]byte(p[0]), []byte(p[1]), []byte(p[2]))
			if forged != good && hex.EncodeToString(sum[:]) == good.signature {
				found[forged] = true
			}
		}
	}
	for i := range len(before) + 1 { // two parts before the token, one after
		try(before[:i], before[i:], after)
	}
	for i := range min(len(after), 160) { // one before, two after
		try(before, after[:i], after[i:])
		try(before, after[len(after)-i:], after[:len(after)-i])
	}
	return found
}

// corpusExtension continues SHA-1 from a signature that was seen, over its own
// padding and more text: a valid signature for a longer last part, made without
// the token. One must know how long that is, so every length is tried.
func corpusExtension(t *testing.T) (cases []envCase) {
	for n := 1; n <= 32; n++ {
		a := envApp(t, Config{Token: strings.Repeat("T", n)})
		k := a.tokens[0][0]
		for _, last := range []string{"nonce", "ciphertext"} {
			good := envSeal(k, envInner(), envNow, "~") // sorts behind everything
			for last == "ciphertext" && (good.nonce != "1" || good.encrypt[0] < 'V') {
				good = envSeal(k, envInner(), envNow, "1")
			}
			length := n + len(good.timestamp) + len(good.nonce) + len(good.encrypt)
			more, signature := extend(t, good.signature, length, "1234")
			forged := good
			forged.signature = signature
			if last == "nonce" {
				forged.nonce += more
			} else {
				forged.encrypt += more
			}
			if sum := k.Sign([]byte(forged.timestamp), []byte(forged.nonce), []byte(forged.encrypt)); hex.EncodeToString(sum[:]) != signature {
				t.Fatalf("token of %d, %s: the forgery is not one", n, last)
			}
			c := envCase{name: fmt.Sprintf("%s, token of %d", last, n), app: a, query: forged.query(), body: forged.body()}
			if last == "ciphertext" {
				c.status = 400 // the padding has characters no XML can hold
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// extend returns SHA-1's padding for a text of the given length with more behind
// it, and the sum of the whole, knowing only the sum of the text.
func extend(t *testing.T, sum string, length int, more string) (appended, extended string) {
	t.Helper()
	pad := append([]byte{0x80}, make([]byte, (119-length%64)%64)...)
	pad = binary.BigEndian.AppendUint64(pad, uint64(length)*8)
	state, err := hex.DecodeString(sum)
	if err != nil {
		t.Fatal(err)
	}
	saved := append([]byte("sha\x01"), state...)
	saved = append(saved, make([]byte, 64)...) // the block begun: none
	saved = binary.BigEndian.AppendUint64(saved, uint64(length+len(pad)))
	h := sha1.New()
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(saved); err != nil {
		t.Fatal(err)
	}
	h.Write([]byte(more))
	return string(pad) + more, hex.EncodeToString(h.Sum(nil))
}
