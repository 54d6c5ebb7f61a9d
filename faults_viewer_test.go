package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// heard is a message of a session, as somebody saw it.
type heard struct {
	N       int64 // the event's
	ID      string
	Role    string
	Content string
}

// viewer looks on at a session as a page does: over a stream at any instance,
// and, when that ends, over another one from where it was.
type viewer struct {
	h         *hall
	id, token string
	words     int // how much people are to say before the session is closed

	assigned chan struct{} // closed once an agent has it
	agent    string        // then
	asked    chan struct{} // signalled for each thing the asker said
	all      chan struct{} // closed once everything was said
	spoken   int

	seen []heard
	over bool // it saw the session end

	mu   sync.Mutex
	hang context.CancelFunc // nil: no stream is open
}

func newViewer(h *hall, id, token string, words int) *viewer {
	v := &viewer{h: h, id: id, token: token, words: words, assigned: make(chan struct{}), asked: make(chan struct{}, words), all: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.viewers = append(h.viewers, v)
	return v
}

// drop breaks the stream off, and reports whether one was open.
func (v *viewer) drop() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.hang == nil {
		return false
	}
	v.hang()
	v.hang = nil
	return true
}

// follow looks on until the session is over.
func (v *viewer) follow() {
	for !v.over && v.h.pause() {
		v.listen(v.h.any())
	}
}

// listen has one stream, for as long as it lasts.
func (v *viewer) listen(i *instance) {
	ctx, hang := context.WithCancel(v.h.ctx)
	defer hang()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.origin()+"/api/sessions/"+v.id+"/events?after=0", nil)
	if err != nil {
		v.h.fail("%v", err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+v.token)
	if n := len(v.seen); n > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(v.seen[n-1].N, 10))
	}
	res, err := v.h.streaming.Do(req)
	if err != nil {
		return // it is gone
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return // another one has room
	case res.StatusCode != http.StatusOK:
		v.h.fail("a stream is answered %s", res.Status)
		return
	}
	v.h.streams.Add(1)
	v.mu.Lock()
	v.hang = hang
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		v.hang = nil
		v.mu.Unlock()
	}()
	v.read(res.Body)
}

// read reads events; one that is cut off in the middle is none.
func (v *viewer) read(body io.Reader) {
	var name, id, data string
	lines := bufio.NewScanner(body)
	for !v.over && lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data += value
		case "":
			v.event(name, id, data)
			name, id, data = "", "", ""
		}
	}
}

func (v *viewer) event(name, id, data string) {
	var err error
	switch name {
	case "session":
		var s struct{ Agent string }
		if err = json.Unmarshal([]byte(data), &s); s.Agent != "" && v.agent == "" {
			v.agent = s.Agent
			close(v.assigned)
		}
	case "message":
		var m heard
		if err = json.Unmarshal([]byte(data), &m); err == nil {
			m.N, err = strconv.ParseInt(id, 10, 64)
			v.see(m)
		}
	case "end":
		err = errors.New("ended for good")
	}
	if err != nil {
		v.h.fail("a stream says %s %q %s: %v", name, id, data, err)
	}
}

func (v *viewer) see(m heard) {
	if m.N != int64(len(v.seen)+1) {
		v.h.fail("session %s: message %d was seen after %d others", v.id, m.N, len(v.seen))
		return
	}
	v.seen = append(v.seen, m)
	if m.Role == "system" {
		v.over = v.spoken >= v.words // whatever else the desk has to say comes before people are done
		return
	}
	if m.Role == "user" {
		select {
		case v.asked <- struct{}{}:
		default: // more than there was to say, which is found at the end
		}
	}
	if v.spoken++; v.spoken == v.words {
		close(v.all)
	}
}
