package sim

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// Verify does what saving the callback address in WeCom's console does: it
// expects the decrypted echostr within a second, and not a byte more. It asks
// every instance.
func (s *Sim) Verify(ctx context.Context) error {
	s.mu.Lock()
	targets := s.callbacks
	s.mu.Unlock()
	if len(targets) == 0 {
		return errors.New("verify: no callback address")
	}
	for _, target := range targets {
		if err := s.verify(ctx, target); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sim) verify(ctx context.Context, target string) error {
	ctx, cancel := context.WithTimeout(ctx, s.conf.Timeout/5)
	defer cancel()
	echo := []byte(strconv.FormatInt(s.next(), 10) + rand.Text()[:4])
	sealed := s.keys.Encrypt(nil, echo)
	query := s.sign(sealed)
	query.Set("echostr", string(sealed))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target+"?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	status, body, err := s.do(req)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	s.mu.Lock()
	s.record(Wire{Dir: "callback", Name: "verify", Status: status})
	s.mu.Unlock()
	if status != http.StatusOK || !bytes.Equal(body, echo) {
		return fmt.Errorf("verify: answered %d with %d bytes, not 200 with the %d of the echo", status, len(body), len(echo))
	}
	return nil
}
