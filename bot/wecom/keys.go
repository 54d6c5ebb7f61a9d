package wecom

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Sizes of WeCom's plaintext: random(16) ‖ length(4) ‖ message ‖ receiveid,
// padded as in PKCS#7 but to 32 bytes (document 91144).
const (
	randomLen = 16
	headerLen = randomLen + 4
	padTo     = 32
)

// Keys is one Token and EncodingAESKey of WeCom's console, and the receiveid
// that must stand at the end of what they protect. It may be used by many
// goroutines at once.
type Keys struct {
	token     []byte
	receiveID []byte
	iv        [aes.BlockSize]byte
	block     cipher.Block
	rooms     sync.Pool // of *room
}

// room is what one callback needs to be worked on without allocating.
type room struct {
	dec, enc cbcMode
	text     []byte // plaintext; becomes ciphertext in place, or the reverse
	joined   []byte // what becomes the one string of a message
}

// cbcMode is what crypto/aes returns for CBC; crypto/tls uses SetIV the same way
// to keep the expanded key from one record to the next.
type cbcMode interface {
	cipher.BlockMode
	SetIV([]byte)
}

// NewKeys checks and prepares a pair. The receiveid of an own app is the corp
// id; an empty one is possible, it belongs to kinds of bots other than ours.
func NewKeys(token, encodingAESKey, receiveID string) (*Keys, error) {
	if token == "" {
		return nil, errors.New("token is empty")
	}
	key, err := decodeAESKey(encodingAESKey)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("prepare AES key: %w", err)
	}
	k := &Keys{token: []byte(token), receiveID: []byte(receiveID), block: block}
	copy(k.iv[:], key)
	k.rooms.New = func() any {
		return &room{
			dec: cipher.NewCBCDecrypter(k.block, k.iv[:]).(cbcMode),
			enc: cipher.NewCBCEncrypter(k.block, k.iv[:]).(cbcMode),
		}
	}
	return k, nil
}

// decodeAESKey turns the console's 43 characters into 32 bytes. The last one
// carries two bits more than fit, which WeCom's generator does not clear; so no
// strict decoding here.
func decodeAESKey(s string) ([]byte, error) {
	if len(s) != 43 {
		return nil, fmt.Errorf("EncodingAESKey has %d characters, not 43", len(s))
	}
	for _, c := range []byte(s) {
		if !isDigit(c) && !isLetter(c) {
			return nil, errors.New("EncodingAESKey has a character other than letters and digits")
		}
	}
	key, err := base64.StdEncoding.DecodeString(s + "=")
	if err != nil {
		return nil, errors.New("EncodingAESKey is not base64") // the cause would quote the key
	}
	return key, nil
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func (k *Keys) enter() *room  { return k.rooms.Get().(*room) }
func (k *Keys) leave(r *room) { k.rooms.Put(r) }

// Sign is WeCom's signature of the three parts under the token: SHA-1 of all
// four in byte order, one after the other.
func (k *Keys) Sign(timestamp, nonce, encrypt []byte) [sha1.Size]byte {
	parts := [4][]byte{timestamp, nonce, k.token, encrypt} // digits and letters: mostly in order already
	for i := 1; i < len(parts); i++ {
		for j := i; j > 0 && string(parts[j]) < string(parts[j-1]); j-- {
			parts[j], parts[j-1] = parts[j-1], parts[j]
		}
	}
	h := sha1.New()
	for _, p := range parts {
		h.Write(p)
	}
	return [sha1.Size]byte(h.Sum(make([]byte, 0, sha1.Size)))
}

// Encrypt appends to dst the base64 of msg encrypted for the receiver.
func (k *Keys) Encrypt(dst, msg []byte) []byte {
	r := k.enter()
	defer k.leave(r)
	r.text = append(r.text[:0], make([]byte, headerLen)...)
	rand.Read(r.text[:randomLen])
	r.text = append(r.text, msg...)
	return k.encrypt(r, dst)
}

// encrypt appends to dst what r.text holds: headerLen bytes, of which the random
// ones are set, and the message. r.text is spent afterwards.
func (k *Keys) encrypt(r *room, dst []byte) []byte {
	binary.BigEndian.PutUint32(r.text[randomLen:], uint32(len(r.text)-headerLen))
	r.text = append(r.text, k.receiveID...)
	pad := padTo - len(r.text)%padTo
	for range pad {
		r.text = append(r.text, byte(pad))
	}
	r.enc.SetIV(k.iv[:])
	r.enc.CryptBlocks(r.text, r.text)
	return base64.StdEncoding.AppendEncode(dst, r.text)
}

// Decrypt opens what Encrypt or WeCom sealed for this receiver.
func (k *Keys) Decrypt(encrypt []byte) ([]byte, error) {
	r := k.enter()
	defer k.leave(r)
	msg, why := k.decrypt(r, encrypt)
	if why != nil {
		return nil, fmt.Errorf("decrypt: %w", why)
	}
	return bytes.Clone(msg), nil
}

// What decrypt may find wrong. None says more than a metric may.
var (
	errBase64   = errors.New("base64")
	errLength   = errors.New("length")
	errPadding  = errors.New("padding")
	errReceiver = errors.New("receiver")
)

// decrypt returns a slice of r.text.
func (k *Keys) decrypt(r *room, encrypt []byte) ([]byte, error) {
	r.text = slices.Grow(r.text[:0], base64.StdEncoding.DecodedLen(len(encrypt)))
	n, err := decodeBase64(r.text[:cap(r.text)], encrypt)
	if err != nil {
		return nil, err
	}
	if n == 0 || n%padTo != 0 {
		return nil, errLength
	}
	p := r.text[:n]
	r.dec.SetIV(k.iv[:])
	r.dec.CryptBlocks(p, p)
	p, ok := unpad(p)
	if !ok {
		return nil, errPadding
	}
	if len(p) < headerLen {
		return nil, errLength
	}
	size, rest := uint64(binary.BigEndian.Uint32(p[randomLen:])), p[headerLen:]
	if size > uint64(len(rest)) {
		return nil, errLength
	}
	if !bytes.Equal(rest[size:], k.receiveID) {
		return nil, errReceiver
	}
	return rest[:size], nil
}

// unpad takes 1 to 32 equal bytes off the end, having looked at all of them.
func unpad(p []byte) ([]byte, bool) {
	if len(p) == 0 {
		return nil, false
	}
	pad := int(p[len(p)-1])
	if pad < 1 || pad > padTo || pad > len(p) {
		return nil, false
	}
	var wrong byte
	for _, c := range p[len(p)-pad:] {
		wrong |= c ^ byte(pad)
	}
	return p[:len(p)-pad], wrong == 0
}
