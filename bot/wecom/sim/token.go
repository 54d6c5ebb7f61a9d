package sim

import (
	"crypto/rand"
	"time"
)

// tokens is the access_token of the app. There is one at a time: repeated
// gettoken calls get the same one until it expires (document 91039).
type tokens struct {
	current string
	until   time.Time
	expired map[string]bool // told apart from tokens that never were
}

const tokenLife = 7200 * time.Second

func (s *Sim) getToken(c *call) (answer, *refusal) {
	switch {
	case c.query["corpid"] == "":
		return nil, refuse(41002, "")
	case c.query["corpsecret"] == "":
		return nil, refuse(41004, "")
	case c.query["corpid"] != s.conf.CorpID:
		return nil, refuse(40013, "")
	case c.query["corpsecret"] != s.conf.Secret:
		return nil, refuse(40001, "")
	}
	t := &s.tokens
	if t.current == "" || !c.now.Before(t.until) {
		t.expire()
		t.current, t.until = rand.Text()+rand.Text(), c.now.Add(tokenLife)
	}
	left := int(t.until.Sub(c.now).Seconds())
	return answer{"access_token": t.current, "expires_in": left}, nil
}

func (t *tokens) expire() {
	if t.current != "" {
		if t.expired == nil {
			t.expired = map[string]bool{}
		}
		t.expired[t.current] = true
	}
	t.current = ""
}

// ExpireTokens ends the access_token early, which WeCom reserves the right to
// do: calls with it get 42001 until gettoken hands out another.
func (s *Sim) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.expire()
}

func (s *Sim) checkToken(c *call) *refusal {
	t := &s.tokens
	token := c.query["access_token"]
	switch {
	case token == "":
		return refuse(41001, "")
	case t.expired[token], token == t.current && !c.now.Before(t.until):
		return refuse(42001, "")
	case token != t.current:
		return refuse(40014, "")
	}
	return nil
}
