package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/bot/wecom"
	"deskbell/bot/wecom/sim"
	"deskbell/store"
	"deskbell/store/storetest"
)

// The road of what people send, from their phone to the stored copy: through the
// encrypted callback, WeCom's own bytes, an outage of WeCom and its forgetting.
func TestRoadOfMedia(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		box, err := sim.Start(sim.Config{People: []sim.Person{{ID: "LiLei", Name: "李雷"}}})
		if err != nil {
			t.Fatal(err)
		}
		defer box.Close()
		conf := box.Config()
		app, err := wecom.NewApp(wecom.Config{CorpID: conf.CorpID, AgentID: conf.AgentID, Window: time.Minute, Token: conf.Token, EncodingAESKey: conf.EncodingAESKey})
		if err != nil {
			t.Fatal(err)
		}
		st, err := store.Open(t.Context(), store.Options{URL: url, Keys: [][]byte{bytes.Repeat([]byte{7}, 32)}})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		wanted := make(chan string, 10)
		gateway := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			o, err := app.Open([]byte(r.URL.RawQuery), body, time.Now())
			if err == nil {
				err = st.Tx(t.Context(), func(tx *store.Tx) error {
					id, err := tx.WantMedia(t.Context(), o.Message)
					wanted <- id
					return err
				})
			}
			if err != nil {
				t.Error(err)
			}
		}))
		defer gateway.Close()
		box.SetCallback(gateway.URL)

		client := wecom.NewClient(wecom.ClientOptions{CorpID: conf.CorpID, AgentID: conf.AgentID, Secret: conf.Secret, APIBase: box.URL()})
		defer client.Close()
		settled := make(chan store.Media, 10)
		start := func() (stop func()) {
			c := &store.Collector{Store: st, Fetcher: client, Poll: 20 * time.Millisecond, Settled: func(_ context.Context, _ *store.Tx, m store.Media) error {
				settled <- m
				return nil
			}}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); c.Run(ctx) }()
			return func() { cancel(); <-ended }
		}
		send := func(kind bot.MediaKind, name string, data []byte) (id string) {
			t.Helper()
			d := box.SendMedia("lilei", string(kind), name, data)
			if id = <-wanted; !d.OK() || d.Attempts != 1 {
				t.Fatalf("%+v", d)
			}
			if again := box.Redeliver(d); !again.OK() || <-wanted != id {
				t.Errorf("delivered again it is another medium")
			}
			return id
		}
		expect := func(id, state, reason, name, kind string, data []byte) {
			t.Helper()
			select {
			case m := <-settled:
				got, err := io.ReadAll(st.MediaBytes(t.Context(), m))
				if m.ID != id || m.Person != "lilei" || m.State != state || m.Reason != reason || name != "" && m.Name != name || m.Type != kind || !bytes.Equal(got, data) || (err != nil) != (state == store.MediaFailed) {
					t.Errorf("%+v, %d bytes, %v", m, len(got), err)
				}
			case <-time.After(patience):
				t.Fatal("nothing came of it")
			}
		}

		stop := start()
		picture := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte("pixel"), 300_000)...)
		expect(send(bot.Image, "x.png", picture), store.MediaKept, "", "", "image/png", picture)
		page := []byte("<html><script>alert(1)</script>")
		expect(send(bot.File, "../../报价\u202egnp.html", page), store.MediaKept, "", "报价gnp.html", "application/octet-stream", page)
		expect(send(bot.File, "large.bin", make([]byte, 25<<20)), store.MediaFailed, "media.toolarge", "large.bin", "", nil)

		box.SetFaults(sim.Faults{Outage: sim.Truncate})
		cut := send(bot.Voice, "", append([]byte("#!AMR\n"), picture...))
		tick, over := time.NewTicker(5*time.Millisecond), time.After(patience)
		for box.Calls("media/get") < 5 { // three above, and then two that were cut off
			select {
			case <-tick.C:
			case <-over:
				t.Fatal("it is not tried again")
			}
		}
		tick.Stop()
		stop() // in the middle of an outage, and somebody else goes on
		box.SetFaults(sim.Faults{})
		stop = start()
		expect(cut, store.MediaKept, "", "", "audio/amr", append([]byte("#!AMR\n"), picture...))

		stop()
		late := send(bot.File, "late.txt", []byte("x"))
		box.ExpireMedia()
		stop = start()
		expect(late, store.MediaFailed, "media.expired", "late.txt", "", nil)
		stop()
		if p := box.Problems(); len(p) > 0 {
			t.Error(p)
		}
	})
}
