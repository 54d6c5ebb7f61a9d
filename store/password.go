package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"deskbell/bot"

	"golang.org/x/crypto/bcrypt"
)

const (
	passwordCost    = 12 // bcrypt; about 0.2 s of one core
	costliest       = 15 // of a hash from elsewhere; more would hold up everybody
	passwordMin     = 8  // characters
	passwordMax     = 128
	passwordPatient = time.Second // how long a password waits for its turn
	bcryptBytes     = 72          // all that bcrypt itself looks at
)

// hasher hashes passwords, few at a time: hashing is slow on purpose, and a
// flood of logins must leave a core for everybody else.
//
// A hash of ours is "dbp1.keyid.bcrypt". What bcrypt gets is not the password
// but an HMAC of it under a key that is not in the database: a stolen database
// is no use for guessing, and neither length nor content can trip bcrypt up,
// which looks at 72 bytes and stops. A hash that begins with "$2" comes from
// another program and is the bcrypt of the password itself.
type hasher struct {
	keys   *keyring
	cost   int
	turns  chan struct{}
	worked atomic.Int64 // in units of 2^bcrypt.MinCost rounds; what the time of an answer depends on

	memory  uint32       // of a namespace's password, in KiB; see namespace.go
	argoned atomic.Int64 // how many of those there were
}

func newHasher(keys *keyring, cost int) *hasher {
	if cost == 0 {
		cost = passwordCost
	}
	memory := uint32(argonMemory) >> max(0, passwordCost-cost) // tests make both cheap
	return &hasher{keys: keys, cost: cost, memory: memory, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

const ourHash = "dbp1"

// enter waits for a turn to hash, for a moment.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-h.turns }
	select {
	case h.turns <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(passwordPatient)
	defer timer.Stop()
	select {
	case h.turns <- struct{}{}:
		return leave, nil
	case <-timer.C:
		return nil, bot.Fail(bot.Unavailable, "password.busy", nil, errors.New("too many passwords at once"))
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
}

// hashPassword is for a password to be remembered. Never call it, nor
// verifyPassword, inside a transaction: the whole store would wait.
func (s *Store) hashPassword(ctx context.Context, password string) (string, error) {
	h := s.hasher
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	key := h.keys.keys[0]
	h.worked.Add(1 << (h.cost - bcrypt.MinCost))
	hash, err := bcrypt.GenerateFromPassword(pepper(key, password), h.cost)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return ourHash + "." + key.id + "." + string(hash), nil
}

// verifyPassword compares a password, exactly as it was received, with a hash.
// It takes as long when the hash is "", which nothing matches: that stands for
// people who do not exist. rehash says that the password is right and its hash
// not as hashPassword would make it today.
func (s *Store) verifyPassword(ctx context.Context, hash, password string) (ok, rehash bool, err error) {
	h := s.hasher
	secret, crypted := pepper(h.keys.keys[0], password), hash
	switch {
	case hash == "":
		crypted = nobodys(h.cost)
	case strings.HasPrefix(hash, "$2"):
		rehash = true
		if secret = []byte(password); len(secret) > bcryptBytes {
			crypted = nobodys(h.cost) // its maker saw no more than 72 bytes, so this is a different password
		}
	default:
		rest, ours := strings.CutPrefix(hash, ourHash+".")
		id, inner, _ := strings.Cut(rest, ".")
		key := h.keys.named(id)
		if !ours || key == nil {
			return false, false, fmt.Errorf("verify a password: no key %q: put the key that made its hash into security.old_encryption_keys", id)
		}
		secret, crypted = pepper(*key, password), inner
		rehash = id != h.keys.keys[0].id
	}
	cost, err := bcrypt.Cost([]byte(crypted))
	if err == nil && cost > costliest {
		err = fmt.Errorf("cost %d", cost)
	}
	if err != nil { // nothing matches it, as nothing matches the password of nobody
		s.Log.Error("the hash of a password is unusable: its owner cannot sign in with it until they set another", "err", err)
		crypted, cost = nobodys(h.cost), h.cost
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	ok = h.compare(crypted, secret, cost)
	// A cheaper hash is made up for, so that it does not tell it is somebody's:
	// 2^c + (2^c + 2^(c+1) + … + 2^(n-1)) = 2^n.
	for c := cost; c < h.cost; c++ {
		h.compare(nobodys(c), secret[:0], c)
	}
	return ok, ok && (rehash || cost != h.cost), nil
}

func (h *hasher) compare(hash string, secret []byte, cost int) bool {
	h.worked.Add(1 << (cost - bcrypt.MinCost))
	return bcrypt.CompareHashAndPassword([]byte(hash), secret) == nil
}

// nobodys is a hash of this cost that was made from no password.
func nobodys(cost int) string {
	return fmt.Sprintf("$2a$%02d$%s", cost, strings.Repeat(".", 53))
}

func pepper(key subkeys, password string) []byte {
	m := hmac.New(sha256.New, key.pepper)
	m.Write([]byte(password))
	return base64.RawStdEncoding.AppendEncode(nil, m.Sum(nil))
}

// checkNewPassword refuses a password nobody should choose. It counts
// characters, not bytes, and asks for no mixture of kinds.
func checkNewPassword(password string, about ...string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password) || n < passwordMin || n > passwordMax:
		return bot.Fail(bot.Invalid, "password.length", nil, nil)
	case common(password):
		return bot.Fail(bot.Invalid, "password.common", nil, nil)
	}
	for _, word := range about {
		if word != "" && strings.EqualFold(word, password) {
			return bot.Fail(bot.Invalid, "password.common", nil, nil)
		}
	}
	return nil
}
