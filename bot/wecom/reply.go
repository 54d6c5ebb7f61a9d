package wecom

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"
)

// Seal appends a complete passive reply to dst: text from the app back to the
// sender, encrypted and signed with the keys the message came in with.
func (o *Opened) Seal(dst []byte, text string, now time.Time) []byte {
	var chance [randomLen + 8]byte
	rand.Read(chance[:])
	unix := now.Unix()

	k := o.keys
	r := k.enter()
	defer k.leave(r)
	b := append(r.text[:0], chance[:randomLen]...)
	b = append(b, make([]byte, headerLen-randomLen)...)
	b = append(b, "<xml><ToUserName>"...)
	b = appendCDATA(b, o.From)
	b = append(b, "</ToUserName><FromUserName>"...)
	b = appendCDATA(b, o.app.corpID)
	b = append(b, "</FromUserName><CreateTime>"...)
	b = strconv.AppendInt(b, unix, 10)
	b = append(b, "</CreateTime><MsgType><![CDATA[text]]></MsgType><Content>"...)
	b = appendCDATA(b, text)
	r.text = append(b, "</Content></xml>"...)

	nonce := hex.AppendEncode(make([]byte, 0, 16), chance[randomLen:])
	return k.appendEnvelope(dst, r, strconv.AppendInt(make([]byte, 0, 20), unix, 10), nonce)
}

// appendEnvelope encrypts r.text and appends it, signed and wrapped as WeCom
// reads it.
func (k *Keys) appendEnvelope(dst []byte, r *room, timestamp, nonce []byte) []byte {
	dst = append(dst, "<xml><Encrypt><![CDATA["...)
	start := len(dst)
	dst = k.encrypt(r, dst)
	sum := k.Sign(timestamp, nonce, dst[start:])
	dst = append(dst, "]]></Encrypt><MsgSignature><![CDATA["...)
	dst = hex.AppendEncode(dst, sum[:])
	dst = append(dst, "]]></MsgSignature><TimeStamp>"...)
	dst = append(dst, timestamp...)
	dst = append(dst, "</TimeStamp><Nonce><![CDATA["...)
	dst = append(dst, nonce...)
	return append(dst, "]]></Nonce></xml>"...)
}

// appendCDATA writes text so that it reads back the same: "]]>" goes into two
// sections, and what XML cannot hold at all is left out.
func appendCDATA(b []byte, text string) []byte {
	b = append(b, cdataOpen...)
	from := 0 // what is not written yet
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '>' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 || !legal(r) {
			b = append(b, text[from:i]...)
			from = i + n
		} else if c == '>' {
			b = append(b, text[from:i]...)
			from = i
			if bytes.HasSuffix(b, []byte("]]")) {
				b = append(b, cdataClose+cdataOpen...)
			}
		}
		i += n
	}
	return append(append(b, text[from:]...), cdataClose...)
}
