package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
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

	seen    []heard
	failure string

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
	for over := false; !over && v.failure == ""; {
		if !v.h.pause() {
			v.failure = fmt.Sprintf("saw %d messages and waits for more", len(v.seen))
			break
		}
		over = v.listen(v.h.any())
	}
	if v.failure != "" {
		v.h.stop()
	}
}

// listen has one stream, for as long as it lasts, and reports whether that was all.
func (v *viewer) listen(i *instance) (over bool) {
	ctx, hang := context.WithCancel(v.h.ctx)
	defer hang()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.origin()+"/api/sessions/"+v.id+"/events?after=0", nil)
	if err != nil {
		v.failure = err.Error()
		return false
	}
	req.Header.Set("Authorization", "Bearer "+v.token)
	if n := len(v.seen); n > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(v.seen[n-1].N, 10))
	}
	res, err := v.h.streaming.Do(req)
	if err != nil {
		return false // it is gone
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return false // another one has room
	case res.StatusCode != http.StatusOK:
		v.failure = "a stream is answered " + res.Status
		return false
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
	return v.read(res.Body)
}

// read reads events; one that is cut off in the middle is none.
func (v *viewer) read(body io.Reader) (over bool) {
	var name, id, data string
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "id":
			id = value
		case "data":
			data += value
		case "":
			if v.event(name, id, data); v.failure != "" || v.closing() {
				return v.failure == ""
			}
			name, id, data = "", "", ""
		}
	}
	return false
}

func (v *viewer) event(name, id, data string) {
	switch name {
	case "session":
		var s struct{ Agent string }
		if err := json.Unmarshal([]byte(data), &s); err != nil {
			v.failure = err.Error()
		} else if s.Agent != "" && v.agent == "" {
			v.agent = s.Agent
			close(v.assigned)
		}
	case "message":
		var m heard
		n, err := strconv.ParseInt(id, 10, 64)
		if err == nil {
			err = json.Unmarshal([]byte(data), &m)
		}
		if err != nil {
			v.failure = fmt.Sprintf("event %q: %v", id, err)
			return
		}
		m.N = n
		v.seen = append(v.seen, m)
		v.count(m)
	case "end":
		v.failure = "the stream ended for good: " + data
	}
}

func (v *viewer) count(m heard) {
	if m.Role == "system" {
		return
	}
	if m.Role == "user" {
		select {
		case v.asked <- struct{}{}:
		default: // more than there was to say; it is found at the end
		}
	}
	if v.spoken++; v.spoken == v.words {
		close(v.all)
	}
}

// closing reports whether the last thing seen is the desk's word that the session
// is over: nothing else is said by it once people have said everything.
func (v *viewer) closing() bool {
	n := len(v.seen)
	return n > 0 && v.spoken >= v.words && v.seen[n-1].Role == "system"
}
