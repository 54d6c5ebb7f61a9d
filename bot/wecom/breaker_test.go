package wecom

import (
	"net/http"
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	var b breaker
	now := time.Unix(0, 0)
	for i := range breakAfter {
		if !b.allow(now) {
			t.Fatalf("refused after %d failures", i)
		}
		if opened := b.failed(now); opened != (i == breakAfter-1) {
			t.Errorf("failure %d: opened = %v", i+1, opened)
		}
	}
	if b.allow(now.Add(probeEvery - 1)) {
		t.Error("let a call through too early")
	}
	now = now.Add(probeEvery)
	if !b.allow(now) || b.allow(now) {
		t.Error("wants one probe, not none and not two")
	}
	b.failed(now)
	if b.allow(now.Add(probeEvery - 1)) {
		t.Error("let a call through after a failed probe")
	}
	now = now.Add(probeEvery)
	if !b.allow(now) {
		t.Error("no second probe")
	}
	b.succeeded()
	for range 2 { // a probe would be allowed once
		if !b.allow(now) {
			t.Error("still open after an answer")
		}
	}
}

func TestOutageCostsOneCallInFiveSeconds(t *testing.T) {
	clock := cliNewClock()
	answer := `{"errcode":0,"access_token":"t","expires_in":7200}`
	down := "HTTP 503"
	f, c := cliStart(t, func(o *ClientOptions) { o.Now = clock.Now }, map[string]func(*http.Request) string{
		"gettoken":  func(*http.Request) string { return answer },
		"agent/get": func(*http.Request) string { return down },
	})
	for range 100 {
		if _, err := c.App(t.Context()); !Temporary(err) {
			t.Fatalf("got %v", err)
		}
	}
	if n := f.count("agent/get"); n != breakAfter {
		t.Errorf("%d calls reached WeCom, want %d", n, breakAfter)
	}
	clock.move(probeEvery)
	for range 100 {
		c.App(t.Context())
	}
	if n := f.count("agent/get"); n != breakAfter+1 {
		t.Errorf("%d calls reached WeCom, want one probe more", n)
	}
	f.mu.Lock()
	down = `{"errcode":0,"name":"desk"}`
	f.mu.Unlock()
	clock.move(probeEvery)
	for range 3 {
		if _, err := c.App(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestErrcodesDoNotOpenTheBreaker(t *testing.T) {
	f, c := cliStart(t, nil, map[string]func(*http.Request) string{"agent/get": cliFails(45009)})
	for range 3 * breakAfter {
		c.App(t.Context())
	}
	if n := f.count("agent/get"); n != 3*breakAfter {
		t.Errorf("%d calls, want %d", n, 3*breakAfter)
	}
}
