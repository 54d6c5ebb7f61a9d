package wecom

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
)

const maxNonce = 128

// parameters are what of a callback's query string counts. All of it is shaped so
// that WeCom's undelimited signature cannot be re-split or extended.
type parameters struct {
	signature [sha1.Size]byte // 40 lower-case hex digits
	timestamp []byte          // 10 digits
	sent      int64           // the same as a number
	nonce     []byte          // 1 to 128 printable ASCII characters
	echo      []byte          // echostr; of the address verification only
}

// parse reads a raw query string. Other parameters may be there, but none of ours
// may be missing or come twice, however it is spelt.
func (q *parameters) parse(raw []byte, withEcho bool) bool {
	return !withEcho && q.usual(raw) || q.any(raw, withEcho)
}

// usual reads a query string that is exactly as WeCom writes those of messages,
// and leaves every other, good or bad, to any. Both would read the same.
func (q *parameters) usual(raw []byte) bool {
	const (
		signature = "msg_signature="
		timestamp = "&timestamp="
		nonce     = "&nonce="
		signed    = len(signature) + 2*sha1.Size
		sent      = signed + len(timestamp) + 10
		rest      = sent + len(nonce)
	)
	if len(raw) <= rest || len(raw) > rest+maxNonce || string(raw[:len(signature)]) != signature ||
		string(raw[signed:signed+len(timestamp)]) != timestamp || string(raw[sent:rest]) != nonce {
		return false
	}
	for _, c := range raw[rest:] {
		if !isDigit(c) && !isLetter(c) {
			return false
		}
	}
	q.timestamp, q.nonce = raw[sent-10:sent], raw[rest:]
	var ok bool
	q.sent, ok = number(q.timestamp)
	return ok && decodeSignature(&q.signature, raw[len(signature):signed])
}

func (q *parameters) any(raw []byte, withEcho bool) bool {
	var seen [4]bool
	var signed []byte
	escaped := bytes.IndexByte(raw, '%') >= 0 || bytes.IndexByte(raw, '+') >= 0
	for len(raw) > 0 {
		var pair []byte
		pair, raw = cutAt(raw, '&')
		name, value := cutAt(pair, '=')
		if escaped {
			var nameOK, valueOK bool
			name, nameOK = unescape(name)
			value, valueOK = unescape(value)
			if !nameOK || !valueOK {
				return false
			}
		}
		var at int
		switch string(name) {
		case "msg_signature":
			at, signed = 0, value
		case "timestamp":
			at, q.timestamp = 1, value
		case "nonce":
			at, q.nonce = 2, value
		case "echostr":
			at, q.echo = 3, value
		default:
			continue
		}
		if seen[at] && (at != 3 || withEcho) {
			return false
		}
		seen[at] = true
	}
	var isNumber bool
	q.sent, isNumber = number(q.timestamp)
	ok := isNumber && len(q.timestamp) == 10 && isNonce(q.nonce) && decodeSignature(&q.signature, signed)
	if withEcho {
		// A proxy may have turned a bare plus into a space, which base64 never has.
		q.echo = bytes.ReplaceAll(q.echo, []byte(" "), []byte("+"))
		ok = ok && len(q.echo) > 0
	}
	return ok
}

// cutAt is bytes.Cut for one byte, which has a quicker search of its own.
func cutAt(s []byte, c byte) (before, after []byte) {
	if i := bytes.IndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, nil
}

// unescape undoes form encoding, once.
func unescape(s []byte) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		switch s[0] {
		case '%':
			var c [1]byte
			if len(s) < 3 {
				return nil, false
			}
			if _, err := hex.Decode(c[:], s[1:3]); err != nil {
				return nil, false
			}
			out, s = append(out, c[0]), s[3:]
		case '+':
			out, s = append(out, ' '), s[1:]
		default:
			out, s = append(out, s[0]), s[1:]
		}
	}
	return out, true
}

// decodeSignature reads 40 lower-case hex digits. One spelling only, or a
// signature could be told from its twin.
func decodeSignature(sum *[sha1.Size]byte, s []byte) bool {
	if len(s) != 2*len(sum) {
		return false
	}
	digits := (*[2 * sha1.Size]byte)(s)
	var wrong byte
	for i := range sum {
		high, low := lowerHex[digits[2*i]], lowerHex[digits[2*i+1]]
		wrong |= high | low
		sum[i] = high<<4 | low&0xf
	}
	return wrong < 0x10
}

// lowerHex is the value of a digit, and more than 15 for any other byte.
var lowerHex = func() (t [256]byte) {
	for c := range t {
		t[c] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()

func isNonce(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxNonce
}

// number reads up to 18 digits, so it cannot overflow.
func number(s []byte) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for _, c := range s {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
