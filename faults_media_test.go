package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/bot/wecom/sim"
	"deskbell/store"
	"deskbell/store/storetest"
)

// The process is killed in the middle of getting a file, then when it has all of it
// and nobody knows, then when that is recorded: the file is whole, and kept once.
func TestKilledWhileCollecting(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRig(t, url, 1, sim.Config{RetryAfter: 10 * time.Millisecond})
		content := append([]byte("%PDF-1.7 "), bytes.Repeat([]byte("0123456789abcdef"), 100_000)...) // four pieces
		place := "after-media-piece:2"
		i := r.start("DESKBELL_FAILPOINT=" + place)
		if d := r.box.SendMedia(agent(0), "file", "a.pdf", content); !d.OK() {
			t.Fatalf("%+v\n%s", d, &i.log)
		}
		beside, err := store.Open(t.Context(), store.Options{URL: url, Beside: true, Keys: [][]byte{[]byte("four score and seven years ago o")}})
		if err != nil {
			t.Fatal(err)
		}
		defer beside.Close()
		var id string
		if err := beside.Tx(t.Context(), func(tx *store.Tx) (err error) {
			id, err = tx.WantMedia(t.Context(), bot.Message{Key: "m:1", From: agent(0), Media: bot.Media{Kind: bot.File, ID: r.sentMedia(agent(0)), Name: "a.pdf"}})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		killed := func(after string) {
			t.Helper()
			select {
			case <-i.ended:
			case <-r.within(patience).Done():
				t.Fatalf("it did not come by %s", after)
			}
		}
		for _, next := range []string{"before-media-settled:1", "after-media-settled:1"} {
			killed(place)
			if m, err := beside.Media(t.Context(), id); err != nil || m.State != store.MediaWanted {
				t.Errorf("before %s: %+v, %v", next, m, err)
			}
			i, place = r.start("DESKBELL_FAILPOINT="+next), next
		}
		killed(place)
		m, err := beside.Media(t.Context(), id)
		if err != nil || m.State != store.MediaKept || m.Type != "application/pdf" || m.Name != "a.pdf" {
			t.Fatalf("%+v, %v", m, err)
		}
		if got, err := io.ReadAll(beside.MediaBytes(t.Context(), m)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes of %d, %v", len(got), len(content), err)
		}
		if pieces, media := r.count("SELECT count(*) FROM media_parts"), r.count("SELECT count(*) FROM media"); pieces != 4 || media != 1 {
			t.Errorf("%d pieces of %d media", pieces, media)
		}
		if n := r.box.Calls("media/get"); n != 3 {
			t.Errorf("got %d times by three processes", n)
		}
	})
}

// sentMedia is WeCom's id of what the person has sent last.
func (r *rig) sentMedia(person string) (id string) {
	r.Helper()
	resp, err := http.Get(r.box.URL() + "/inbox?user=" + person)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	var chat struct{ Items []sim.Received }
	if err := json.NewDecoder(resp.Body).Decode(&chat); err != nil {
		r.Fatal(err)
	}
	for _, line := range chat.Items {
		if line.Via == sim.Own && line.MediaID != "" {
			id = line.MediaID
		}
	}
	return id
}
