package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

func TestErrcodes(t *testing.T) {
	b := newBench(t)
	b.SetFaults(Faults{Errcode: map[string]Failure{"user/get": {Code: 45009, Times: 2}, "*": {Code: -1, Times: 1}}})
	b.wantCode(b.get("user/get", "userid", "lilei"), 45009)
	b.wantCode(b.get("tag/list"), -1)
	b.wantCode(b.get("tag/list"), 0)
	b.wantCode(b.get("user/get", "userid", "lilei"), 45009)
	b.wantCode(b.get("user/get", "userid", "lilei"), 0)
	b.SetFaults(Faults{Errcode: map[string]Failure{"user/get": {Code: 42001}}})
	for range 3 {
		b.wantCode(b.get("user/get", "userid", "lilei"), 42001)
	}
	b.clean()
}

func TestOutages(t *testing.T) {
	for _, c := range []struct {
		outage Outage
		sent   int // messages that arrive all the same
	}{{Refuse, 0}, {Hang, 0}, {Broken, 0}, {Truncate, 1}, {Drop, 1}} {
		t.Run(string(c.outage), func(t *testing.T) {
			b := newBench(t)
			b.SetFaults(Faults{Outage: c.outage})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.outage == Hang {
				cancel() // nothing comes however long one waits
			}
			body, status, err := b.raw(ctx)
			if err == nil && status == http.StatusOK && json.Valid(body) {
				t.Errorf("answered: %s", body)
			}
			if n := len(b.Inbox("lilei")); n != c.sent {
				t.Errorf("%d messages arrived, want %d", n, c.sent)
			}
		})
	}
}

// raw sends a message and returns what comes back, if anything.
func (b *bench) raw(ctx context.Context) (body []byte, status int, err error) {
	data, err := json.Marshal(b.text("lilei", "hi"))
	if err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.URL()+"/cgi-bin/message/send?access_token="+b.token, bytes.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return body, resp.StatusCode, err
}

func TestLatencyEndsWithTheCaller(t *testing.T) {
	b := newBench(t)
	b.SetFaults(Faults{LatencyMS: 600_000})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := b.raw(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; err == nil {
		t.Error("answered ten minutes early")
	}
	b.SetFaults(Faults{LatencyMS: 1})
	b.wantCode(b.get("tag/list"), 0)
}

func TestFaultsAsJSON(t *testing.T) {
	var f Faults
	if err := json.Unmarshal([]byte(`{"errcode":{"gettoken":40001,"*":{"code":-1,"times":2}},"outage":"hang"}`), &f); err != nil {
		t.Fatal(err)
	}
	if f.Errcode["gettoken"] != (Failure{Code: 40001}) || f.Errcode["*"] != (Failure{Code: -1, Times: 2}) || f.check() != nil {
		t.Errorf("%+v, %v", f, f.check())
	}
	for _, bad := range []Faults{
		{Outage: "strike"}, {LatencyMS: -1}, {LostAcks: -1},
		{Errcode: map[string]Failure{"user/create": {Code: 1}}},
		{Errcode: map[string]Failure{"gettoken": {}}},
	} {
		if bad.check() == nil {
			t.Errorf("accepted %+v", bad)
		}
	}
}
