package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"deskbell/bot/wecom/sim"
)

// hall is the instances people are at, of which one dies now and then. Whoever
// finds one dead goes to another.
type hall struct {
	*rig
	figures
	ctx       context.Context
	stop      func() // for everybody: something went wrong
	environ   []string
	tokens    map[string]string // of the agents, by userid
	full      chan struct{}     // closed once everybody has an agent
	calling   *http.Client
	streaming *http.Client

	mu      sync.Mutex
	list    []*instance
	kills   int
	viewers []*viewer
}

func newHall(r *rig, n int, environ []string) *hall {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	r.Cleanup(transport.CloseIdleConnections)
	ctx, stop := context.WithCancel(r.within(2 * patience))
	r.Cleanup(stop)
	h := &hall{
		rig: r, ctx: ctx, stop: stop, environ: environ, tokens: map[string]string{}, full: make(chan struct{}),
		calling: &http.Client{Transport: transport, Timeout: 5 * time.Second}, streaming: &http.Client{Transport: transport},
	}
	for range n {
		h.list = append(h.list, r.start(environ...))
	}
	h.route()
	return h
}

// route has WeCom send callbacks to all of them. The caller holds mu, or is alone.
func (h *hall) route() {
	var urls []string
	for _, i := range h.list {
		urls = append(urls, i.url)
	}
	h.box.SetCallback(urls...)
}

// any is one of the instances. It may be the one that just died.
func (h *hall) any() *instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.list[rand.IntN(len(h.list))]
}

// kill ends one of them the hard way, and has WeCom take some answers for lost.
// What it returns puts another one in its place.
func (h *hall) kill() (replace func()) {
	h.box.SetFaults(sim.Faults{LostAcks: 3})
	h.mu.Lock()
	at := rand.IntN(len(h.list))
	old := h.list[at]
	h.kills++
	h.mu.Unlock()
	old.kill()
	return func() {
		next, err := h.launch(h.environ...)
		if err != nil {
			h.fail("%v", err)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.list[at] = next
		h.route()
	}
}

// leave stops those that are left.
func (h *hall) leave() {
	h.Helper()
	for _, i := range h.list {
		if err := i.stop(); err != nil {
			h.Error(err)
		}
		if h.Failed() && i.log.Len() > 0 {
			h.Logf("%s", &i.log)
		}
	}
}

// fail ends what cannot succeed any more.
func (h *hall) fail(format string, args ...any) {
	h.Helper()
	if h.ctx.Err() == nil {
		h.Errorf(format, args...)
	}
	h.stop()
}

// pause lets a moment pass before whoever was turned away tries again, and
// reports whether they should.
func (h *hall) pause() bool {
	select {
	case <-h.ctx.Done():
		return false
	case <-time.After(5 * time.Millisecond):
		return true
	}
}

// await reports whether something happens before it is too late for that.
func (h *hall) await(what <-chan struct{}) bool {
	select {
	case <-what:
		return true
	case <-h.ctx.Done():
		return false
	}
}

// say says something in WeCom, which delivers it until it is received.
func (h *hall) say(who, text string) {
	d := h.box.Say(who, text)
	if d.Attempts > 1 {
		h.redelivered.Add(1)
	}
	for !d.OK() && h.pause() {
		d = h.box.Redeliver(d)
	}
}

// visit is what somebody has who followed a link from the chat.
type visit struct{ id, token string } // of the session, if it leads to one

// enter asks for a link and follows it. An instance that dies just then may have
// taken it without an answer: then there is another link. Without one it is too
// late.
func (h *hall) enter(who, command string) visit {
	for h.pause() {
		before := len(h.box.Inbox(who))
		h.say(who, command)
		var link *url.URL
		_, err := h.box.WaitFor(h.ctx, who, func(inbox []sim.Received) bool {
			for _, m := range inbox[min(before, len(inbox)):] {
				if m.Card != nil && m.Card.Action != nil && strings.Contains(m.Card.Action.URL, "accessToken=") {
					link, _ = url.Parse(m.Card.Action.URL)
				}
			}
			return link != nil
		})
		if err != nil {
			h.fail("%s gets no link: %v", who, err)
			break
		}
		status, answer, err := h.post("/api/v1/tokens/exchange", "", map[string]string{"access_token": link.Query().Get("accessToken")})
		var got struct{ Data struct{ AccessToken string } }
		if err == nil && status == http.StatusOK && json.Unmarshal(answer, &got) == nil && got.Data.AccessToken != "" {
			return visit{strings.TrimPrefix(link.Path, "/chat/"), got.Data.AccessToken}
		}
		if err == nil && status < 500 && status != http.StatusUnauthorized {
			h.fail("%s: a link is answered %d %s", who, status, answer)
			break
		}
	}
	return visit{}
}

// answer says something over REST until an instance says that it was said. Now
// and then that answer gets lost on its way, and it is asked again.
func (h *hall) answer(token, session, content string) {
	id := ""
	for lose := rand.IntN(10) == 0; h.pause(); {
		status, answer, err := h.post("/api/sessions/"+session+"/messages", token, map[string]string{"content": content}, "Idempotency-Key", content)
		var said heard
		switch {
		case err != nil || status >= 500: // nobody knows whether it was said
			h.reposted.Add(1)
			continue
		case status != http.StatusOK || json.Unmarshal(answer, &said) != nil || said.Content != content || id != "" && said.ID != id:
			h.fail("%s is answered %d %s", content, status, answer)
			return
		case !lose:
			return
		}
		h.reposted.Add(1)
		id, lose = said.ID, false
	}
}

// post is one call at one instance. headers are names and values in turn.
func (h *hall) post(path, token string, body any, headers ...string) (status int, answer []byte, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(h.ctx, http.MethodPost, h.any().origin()+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := h.calling.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", path, err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}
