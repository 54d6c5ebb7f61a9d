package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// keyring holds the configured keys, each stretched into one subkey per use
// (HKDF, RFC 5869), so that no two uses ever share a key.
type keyring struct{ keys []subkeys }

type subkeys struct {
	id   string // names the key in what it sealed
	aead cipher.AEAD
	hash []byte
	sign []byte

	audit []byte // chains the audit trail

	pepper []byte // goes into passwords before they are hashed
}

func newKeyring(secrets [][]byte) (*keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("security.encryption_key is missing")
	}
	k := &keyring{}
	for _, secret := range secrets {
		if len(secret) != 32 {
			return nil, fmt.Errorf("security.encryption_key must be 32 bytes, not %d", len(secret))
		}
		derive := func(use string) []byte {
			key, err := hkdf.Key(sha256.New, secret, nil, "deskbell/"+use, 32)
			if err != nil {
				panic(err) // only for an output longer than 8,160 bytes
			}
			return key
		}
		block, err := aes.NewCipher(derive("seal"))
		if err != nil {
			return nil, fmt.Errorf("security.encryption_key: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("security.encryption_key: %w", err)
		}
		k.keys = append(k.keys, subkeys{id: hex.EncodeToString(derive("id")[:4]), aead: aead, hash: derive("token"), sign: derive("task"), audit: derive("audit"), pepper: derive("password")})
	}
	return k, nil
}

// seal encrypts (AES-256-GCM) for the place named by bound, and nowhere else:
// a value moved to another row or column does not open. The result is
// keyid.base64(nonce‖ciphertext); the empty plaintext stays empty.
func (k *keyring) seal(bound string, plain []byte) string {
	if len(plain) == 0 {
		return ""
	}
	first := k.keys[0]
	buf := make([]byte, first.aead.NonceSize(), first.aead.NonceSize()+len(plain)+first.aead.Overhead())
	_, _ = rand.Read(buf)
	buf = first.aead.Seal(buf, buf, plain, []byte(bound))
	out := make([]byte, 0, len(first.id)+1+base64.RawStdEncoding.EncodedLen(len(buf)))
	out = append(append(out, first.id...), '.')
	return string(base64.RawStdEncoding.AppendEncode(out, buf))
}

func (k *keyring) open(bound, sealed string) ([]byte, error) {
	if sealed == "" {
		return nil, nil
	}
	id, text, _ := strings.Cut(sealed, ".")
	buf, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	for _, key := range k.keys {
		if key.id != id || len(buf) < key.aead.NonceSize() {
			continue
		}
		n := key.aead.NonceSize()
		plain, err := key.aead.Open(nil, buf[:n], buf[n:], []byte(bound))
		if err != nil {
			return nil, fmt.Errorf("unseal: %w", err)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("unseal: no key %q: put the key that sealed it into security.old_encryption_keys", id)
}

// named is the key with this id, or nil.
func (k *keyring) named(id string) *subkeys {
	for i := range k.keys {
		if k.keys[i].id == id {
			return &k.keys[i]
		}
	}
	return nil
}

// digest is a keyed hash: whoever reads or writes the database can neither use
// nor make what it stands for.
func (k *keyring) digest(kind, value string) string { return mac(k.keys[0].hash, kind, value) }

// digests is value under every key, for looking up what an older key hashed.
func (k *keyring) digests(kind, value string) []string {
	all := make([]string, len(k.keys))
	for i := range k.keys {
		all[i] = mac(k.keys[i].hash, kind, value)
	}
	return all
}

func mac(key []byte, kind, value string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(kind + "\x00" + value))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// newTaskID makes the id of a card of ours. It carries its own proof, so that a
// pressed button of any other card is recognised without a table of cards.
func (k *keyring) newTaskID() string {
	id := rand.Text()
	return id + "-" + mac(k.keys[0].sign, "card", id)[:22]
}

// OurCard reports whether a card with this task id was sent by this gateway.
func (s *Store) OurCard(taskID string) bool {
	id, proof, ok := strings.Cut(taskID, "-")
	for _, key := range s.keys.keys {
		if ok && hmac.Equal([]byte(proof), []byte(mac(key.sign, "card", id)[:22])) {
			return true
		}
	}
	return false
}

// The kinds of token. The prefix lets secret scanners find one that leaked; the
// kind is part of the hash, so that none is ever taken for another.
const (
	kindAccess = "dba" // opens the API and the pages
	kindLink   = "dbl" // exchanged, once, for an access token

	kindShare    = "dbs" // opens the page of a bot
	kindHandOver = "dbh" // shows an end user's new password, once
	kindPassword = "dbp" // sets a local password, once
	kindLogin    = "dbw" // waits for a login to be approved in the chat

	kindApp    = "dbn" // opens the values of one device, for an app
	kindDevice = "dbd" // sets the password of a device, once
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newToken makes 43 random characters of 62 (256 bits) behind the kind, and a
// checksum behind those, so that a mistyped token is refused without a query.
func newToken(kind string) string {
	var b strings.Builder
	b.WriteString(kind + "_")
	buf := make([]byte, 64)
	for b.Len() < len(kind)+1+43 {
		_, _ = rand.Read(buf)
		for _, c := range buf {
			if c < 248 && b.Len() < len(kind)+1+43 { // 248 = 4 × 62: no character is likelier than another
				b.WriteByte(base62[c%62])
			}
		}
	}
	return b.String() + checksum(b.String())
}

// tokenKind tells what kind of token s is, or "" for none.
func tokenKind(s string) string {
	if len(s) != 3+1+43+6 || checksum(s[:47]) != s[47:] {
		return ""
	}
	return s[:3]
}

func checksum(s string) string {
	sum := crc32.ChecksumIEEE([]byte(s))
	var out [6]byte
	for i := range out {
		out[5-i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}
