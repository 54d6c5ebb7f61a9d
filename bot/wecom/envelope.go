package wecom

import (
	"bytes"
	"crypto/subtle"
	"net/http"
	"time"

	"deskbell/bot"
)

// MaxBody is the largest callback there can be; WeCom's are about 1 KiB.
const MaxBody = 64 << 10

// Opened is a message that came through, and what opened it: the answer must be
// sealed with the same keys, which are not always the current ones.
type Opened struct {
	bot.Message
	app  *App
	keys *Keys
}

// Open turns a callback into a message or a *Refusal. query is the raw query
// string. Neither slice is kept.
func (a *App) Open(query, body []byte, now time.Time) (o Opened, err error) {
	if len(body) > MaxBody {
		return Opened{}, &Refusal{http.StatusRequestEntityTooLarge, "size"}
	}
	var q parameters
	if !q.parse(query, false) {
		return Opened{}, refuse("query")
	}
	var outer scanner
	switch err = outer.scan(body); {
	case err == errSyntax, err == nil && !outer.has(fieldEncrypt):
		return Opened{}, &Refusal{http.StatusBadRequest, "body"}
	case err != nil:
		return Opened{}, refuse("body")
	}
	keys, r, plain, err := a.unlock(&q, outer.fields[fieldEncrypt], now)
	if err != nil {
		return Opened{}, err
	}
	o.app, o.keys = a, keys
	err = a.decode(&o.Message, r, plain, q.sent)
	keys.leave(r)
	if err != nil {
		return Opened{}, err
	}
	return o, nil
}

// Echo answers WeCom's verification of the callback address with the plaintext
// it wants to see.
func (a *App) Echo(query []byte, now time.Time) ([]byte, error) {
	if len(query) > MaxBody {
		return nil, refuse("query")
	}
	var q parameters
	if !q.parse(query, true) {
		return nil, refuse("query")
	}
	keys, r, plain, err := a.unlock(&q, q.echo, now)
	if err != nil {
		return nil, err
	}
	defer keys.leave(r)
	return bytes.Clone(plain), nil
}

// unlock goes from ciphertext to plaintext: the signature first, always, and
// nothing that is not signed is looked at any further. The plaintext is in the
// room, which the caller leaves.
func (a *App) unlock(q *parameters, encrypt []byte, now time.Time) (k *Keys, r *room, plain []byte, err error) {
	trusted := a.signer(q, encrypt)
	if trusted == nil {
		return nil, nil, nil, refuse("signature")
	}
	// In whole seconds, as durations overflow within the ten digits' reach.
	if off := now.Unix() - q.sent; off > a.window || off < -a.window {
		return nil, nil, nil, refuse("clock")
	}
	for _, k := range trusted {
		r := k.enter()
		if plain, err = k.decrypt(r, encrypt); err == nil {
			return k, r, plain, nil
		}
		k.leave(r)
	}
	return nil, nil, nil, refuse(err.Error())
}

// signer finds whose token made the signature.
func (a *App) signer(q *parameters, encrypt []byte) trust {
	for _, t := range a.tokens {
		sum := t[0].Sign(q.timestamp, q.nonce, encrypt)
		if subtle.ConstantTimeCompare(sum[:], q.signature[:]) == 1 {
			return t
		}
	}
	return nil
}
