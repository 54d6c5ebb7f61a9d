package wecom_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/bot/wecom"
	"deskbell/bot/wecom/sim"
)

// What people send arrives by name, is got under it, and is gone after three days.
func TestMediaFromTheSimulator(t *testing.T) {
	s, c := cliCorporation(t)
	conf := s.Config()
	app, err := wecom.NewApp(wecom.Config{CorpID: conf.CorpID, AgentID: conf.AgentID, Window: time.Minute, Token: conf.Token, EncodingAESKey: conf.EncodingAESKey})
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan bot.Message, 1)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		o, err := app.Open([]byte(r.URL.RawQuery), body, time.Now())
		if err != nil {
			t.Error(err)
		}
		arrived <- o.Message
	}))
	t.Cleanup(gateway.Close)
	s.SetCallback(gateway.URL)
	get := func(id string, limit int64) (name string, data []byte, err error) {
		d, err := c.Fetch(t.Context(), id, limit)
		if err != nil {
			return "", nil, err
		}
		defer d.Body.Close()
		data, err = io.ReadAll(d.Body)
		return d.Name, data, err
	}
	var last bot.Media
	for _, tt := range []struct {
		kind             bot.MediaKind
		name, want, data string
	}{
		{bot.Image, "x.png", "", "\x89PNG\r\n\x1a\n"},
		{bot.Voice, "", "", "#!AMR\n"},
		{bot.Video, "v.mp4", "", "v"},
		{bot.File, "报价 2026.xlsx", "报价 2026.xlsx", "PK"},
		{bot.File, "../../x\r\n\u202e.txt", "x.txt", ""}, // line ends are spaces in a header
		{bot.File, "errcode.json", "errcode.json", `{"errcode":42001,"errmsg":"expired"}`},
	} {
		if d := s.SendMedia("lilei", string(tt.kind), tt.name, []byte(tt.data)); !d.OK() {
			t.Fatalf("%+v", d)
		}
		m := <-arrived
		last = m.Media
		if m.Event != bot.Said || m.From != "LiLei" || m.Text != "" || last.Kind != tt.kind || last.Name != tt.want || (tt.kind == bot.Voice) != (last.Format == "amr") {
			t.Errorf("%s: %+v", tt.kind, m)
		}
		name, data, err := get(last.ID, 1000)
		if err != nil || string(data) != tt.data || name == "" || name != bot.FileName(name) || tt.want != "" && strings.Trim(name, " x.t") != strings.Trim(tt.want, " x.t") {
			t.Errorf("%s: %q, %q, %v", tt.kind, name, data, err)
		}
	}
	s.ExpireTokens()
	if _, _, err := get(last.ID, 1000); err != nil {
		t.Errorf("with a new token: %v", err)
	}
	s.SetFaults(sim.Faults{Outage: sim.Truncate})
	if _, _, err := get(last.ID, 1000); !retried(err) {
		t.Errorf("cut off: %v", err)
	}
	s.SetFaults(sim.Faults{})
	refused := func(what, key string, err error) {
		if e, ok := errors.AsType[*bot.Error](err); !ok || e.Key != key || retried(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, _, err = get(last.ID, 3)
	refused("over the limit", "media.toolarge", err)
	s.ExpireMedia()
	_, _, err = get(last.ID, 1000)
	refused("expired", "media.expired", err)
	s.SendMedia("lilei", "file", "large", bytes.Repeat([]byte("x"), 25<<20))
	_, _, err = get((<-arrived).Media.ID, 20<<20)
	refused("too large for one answer", "media.toolarge", err)
}

// retried reports whether an error is worth another try.
func retried(err error) bool {
	e, ok := errors.AsType[*bot.Error](err)
	return ok && (e.Kind == bot.Unavailable || e.Kind == bot.Limited)
}
