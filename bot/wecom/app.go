package wecom

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Config is what the console of a self-built app shows. The previous token and
// key, each optional, still open callbacks while the console is being changed.
type Config struct {
	CorpID                 string
	AgentID                int // the app, in WeCom's words
	Token, EncodingAESKey  string
	PreviousToken          string
	PreviousEncodingAESKey string
	Window                 time.Duration // how far off a callback's timestamp may be, either way; 0: 5 minutes
}

// App opens what WeCom sends to one app and seals the answers.
type App struct {
	corpID    string
	appID     string
	keyPrefix string  // of the key of every message
	window    int64   // seconds
	tokens    []trust // current first
}

// trust is one token and the keys a callback signed with it may be encrypted
// with. The console changes token and key separately, so every pairing counts.
type trust []*Keys

// NewApp checks and prepares a configuration.
func NewApp(c Config) (*App, error) {
	switch {
	case c.CorpID == "":
		return nil, errors.New("corp id is empty")
	case c.AgentID <= 0:
		return nil, errors.New("agent id is not a positive number")
	case c.Window < 0:
		return nil, errors.New("clock window is negative")
	case c.Window == 0:
		c.Window = 5 * time.Minute
	}
	a := &App{corpID: c.CorpID, appID: strconv.Itoa(c.AgentID), window: int64(c.Window / time.Second)}
	a.keyPrefix = "m:" + a.corpID + ":" + a.appID + ":"
	tokens, aesKeys := []string{c.Token}, []string{c.EncodingAESKey}
	if c.PreviousToken != "" {
		tokens = append(tokens, c.PreviousToken)
	}
	if c.PreviousEncodingAESKey != "" {
		aesKeys = append(aesKeys, c.PreviousEncodingAESKey)
	}
	for _, token := range tokens {
		var t trust
		for i, key := range aesKeys {
			k, err := NewKeys(token, key, c.CorpID)
			if err != nil {
				return nil, fmt.Errorf("callback keys (%s): %w", [...]string{"current", "previous"}[i], err)
			}
			t = append(t, k)
		}
		a.tokens = append(a.tokens, t)
	}
	return a, nil
}

// Refusal is why Open or Echo would not have a callback. Whatever is behind a
// Status, its text is the same; Reason is a label for a metric and for nothing
// the sender can see.
type Refusal struct {
	Status int // 403; 400 and 413 for a body that is no envelope
	Reason string
}

func (r *Refusal) Error() string { return "callback refused with status " + strconv.Itoa(r.Status) }

func refuse(reason string) *Refusal { return &Refusal{Status: 403, Reason: reason} }
