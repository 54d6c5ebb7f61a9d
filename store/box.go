package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// box seals things that belong together with a key of their own. Only that key is
// sealed with a configured one, so that changing those is cheap however large the
// things are, and forgetting it forgets them.
type box struct{ aead cipher.AEAD }

// newBox makes a box and the secret that opens it again.
func newBox() (secret []byte, b *box) {
	secret = make([]byte, 32)
	_, _ = rand.Read(secret)
	b, err := openBox(secret)
	if err != nil {
		panic(err) // only for a secret of another length
	}
	return secret, b
}

func openBox(secret []byte) (*box, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("open box: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("open box: %w", err)
	}
	return &box{aead}, nil
}

// seal encrypts (AES-256-GCM) for one place in the box; the empty plaintext stays
// empty.
func (b *box) seal(place string, plain []byte) string {
	if len(plain) == 0 {
		return ""
	}
	buf := make([]byte, b.aead.NonceSize(), b.aead.NonceSize()+len(plain)+b.aead.Overhead())
	_, _ = rand.Read(buf)
	return base64.RawStdEncoding.EncodeToString(b.aead.Seal(buf, buf, plain, []byte(place)))
}

func (b *box) open(place, sealed string) ([]byte, error) {
	if sealed == "" {
		return nil, nil
	}
	buf, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil || len(buf) < b.aead.NonceSize() {
		return nil, fmt.Errorf("unseal: not sealed by a box")
	}
	n := b.aead.NonceSize()
	plain, err := b.aead.Open(buf[n:n], buf[:n], buf[n:], []byte(place))
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	return plain, nil
}
