package sim

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Delivery is what became of one callback.
type Delivery struct {
	User     string        `json:"user"`
	MsgID    string        `json:"msg_id,omitempty"` // events have none
	Status   int           `json:"status"`           // of the last attempt; 0: no answer in time
	Attempts int           `json:"attempts"`
	Reply    string        `json:"reply,omitempty"` // the passive answer, decrypted
	Took     time.Duration `json:"took_ns"`         // from the first attempt to the last answer
	Error    string        `json:"error,omitempty"` // why nothing was sent

	inner string
	kind  string // text, or the event's name
	shown bool   // the person has seen the reply
}

// OK reports whether the callback was received.
func (d Delivery) OK() bool { return d.Status == http.StatusOK }

// WeCom sends once, and three times more when there is no 200 within the
// timeout (document 90238).
const maxAttempts = 4

func newCallbackClient(timeout time.Duration) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.MaxIdleConnsPerHost = 64
	return &http.Client{
		Timeout:       timeout,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Redeliver sends the very same message again, freshly signed, as a retry
// whose predecessor was thought lost.
func (s *Sim) Redeliver(d Delivery) Delivery {
	return s.callback(Delivery{User: d.User, MsgID: d.MsgID, inner: d.inner, kind: d.kind, shown: d.shown})
}

// callback delivers with all that WeCom, or the faults, do to a delivery. It
// returns when the last attempt has ended.
func (s *Sim) callback(d Delivery) Delivery {
	started := time.Now()
	release := s.holdBack(d.User)
	d = s.copies(d)
	release()
	d.Took = time.Since(started)
	return d
}

// copies delivers once, or twice at the same moment with Faults.Duplicate.
func (s *Sim) copies(d Delivery) Delivery {
	s.mu.Lock()
	twice := s.faults.Duplicate
	s.mu.Unlock()
	if !twice {
		return s.attempts(d)
	}
	copies := make([]Delivery, 2)
	var both sync.WaitGroup
	for i := range copies {
		c := d
		c.shown = d.shown || i > 0 // a person sees one answer to one message
		both.Go(func() { copies[i] = s.attempts(c) })
	}
	both.Wait()
	s.note(d.User, "duplicate", "")
	first := copies[0]
	first.Attempts += copies[1].Attempts
	return first
}

// holdBack makes every other delivery wait for the one after it, when
// Faults.Reorder is on. What it returns is called after the delivery.
func (s *Sim) holdBack(user string) (release func()) {
	s.mu.Lock()
	if other := s.held; other != nil {
		s.held = nil
		s.mu.Unlock()
		return func() { close(other) }
	}
	if !s.faults.Reorder {
		s.mu.Unlock()
		return func() {}
	}
	mine := make(chan struct{})
	s.held = mine
	s.mu.Unlock()
	s.note(user, "held", "")

	// Nobody may be coming: a message alone is late, not lost.
	timer := time.NewTimer(s.conf.Timeout / 2)
	defer timer.Stop()
	select {
	case <-mine:
	case <-timer.C:
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	if s.held == mine {
		s.held = nil
	}
	s.mu.Unlock()
	return func() {}
}

func (s *Sim) attempts(d Delivery) Delivery {
	for d.Attempts < maxAttempts {
		if d.Attempts > 0 && !s.sleep(s.ctx, s.conf.RetryAfter) {
			break
		}
		d.Attempts++
		body, why := s.attempt(&d)
		if d.OK() {
			d.Reply = s.readReply(&d, body)
			return d
		}
		if d.Error = why; d.Error != "" {
			break
		}
	}
	s.note(d.User, "undelivered", strconv.Itoa(d.Attempts))
	return d
}

// attempt posts the message once and leaves the status in d.
func (s *Sim) attempt(d *Delivery) (body []byte, why string) {
	target := s.target()
	if target == "" {
		return nil, "no callback address"
	}
	began := time.Now()
	status, body, err := s.post(target, d.inner)
	d.Status = status
	remark := ""
	switch {
	case err != nil:
		d.Status, remark = 0, "no answer"
		if errors.Is(err, context.DeadlineExceeded) {
			remark = "timeout"
		}
	case s.loseAck():
		d.Status, remark = 0, "answer lost"
	}
	if !d.OK() {
		s.note(d.User, "attempt", fmt.Sprintf("%d/%d: %s", d.Attempts, maxAttempts, cmp.Or(remark, "HTTP "+strconv.Itoa(status))))
	}
	s.mu.Lock()
	s.record(Wire{Dir: "callback", Name: d.kind, Status: d.Status, MS: time.Since(began).Milliseconds(),
		Note: strings.TrimSpace(fmt.Sprintf("%s #%d %s", d.User, d.Attempts, remark))})
	s.mu.Unlock()
	return body, ""
}

// target picks the instance for the next attempt.
func (s *Sim) target() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.callbacks) == 0 {
		return ""
	}
	s.turn++
	return s.callbacks[(s.turn-1)%len(s.callbacks)]
}

const maxReply = 1 << 20

// post encrypts, signs and sends one message.
func (s *Sim) post(target, inner string) (status int, body []byte, err error) {
	sealed := s.keys.Encrypt(nil, []byte(inner))
	query := s.sign(sealed)
	outer := fmt.Sprintf("<xml><ToUserName><![CDATA[%s]]></ToUserName><AgentID><![CDATA[%d]]></AgentID><Encrypt><![CDATA[%s]]></Encrypt></xml>",
		s.conf.CorpID, s.conf.AgentID, sealed)
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, target+"?"+query.Encode(), strings.NewReader(outer))
	if err != nil {
		return 0, nil, fmt.Errorf("callback: %w", err)
	}
	req.Header.Set("Content-Type", "text/xml")
	return s.do(req)
}

func (s *Sim) do(req *http.Request) (status int, body []byte, err error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("callback: %w", err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return 0, nil, fmt.Errorf("callback: read the answer: %w", err)
	}
	return resp.StatusCode, body, nil
}

// sign makes the query that goes with a ciphertext: always a fresh one.
func (s *Sim) sign(sealed []byte) url.Values {
	timestamp := strconv.FormatInt(s.conf.Now().Unix(), 10)
	nonce := strconv.FormatInt(s.next()%1e10, 10)
	sum := s.keys.Sign([]byte(timestamp), []byte(nonce), sealed)
	return url.Values{
		"msg_signature": {hex.EncodeToString(sum[:])},
		"timestamp":     {timestamp},
		"nonce":         {nonce},
	}
}
