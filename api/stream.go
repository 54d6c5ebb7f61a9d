package api

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// source is what a stream tells of.
type source interface {
	// news appends what is new since it was asked last, and reports whether more of
	// it may be had at once. An error that refuses the caller ends the stream.
	news(ctx context.Context, out *events) (more bool, err error)
	// admitted finds out again whether the caller may have this.
	admitted(ctx context.Context) error
	// here notes that somebody looks on.
	here(ctx context.Context) error
	// signals are for what is to be told at once, and for what may take a moment;
	// nil is never signalled.
	signals() (near, far <-chan struct{})
	// stirred reports whether what was signalled from afar, at that time, calls for
	// a look; errLater: it is too early to tell.
	stirred(ctx context.Context, at time.Time) (bool, error)
	close()
}

// pulse are the times of a stream.
type pulse struct {
	ping  time.Duration // between signs of life; the store is then asked, too: a signal that got lost costs no message
	check time.Duration // between looks at the token of one to which nothing happens
	here  time.Duration // between notes that somebody looks on
	far   time.Duration // at least, between far news
	again time.Duration // until a store that failed is asked again
}

var errLater = errors.New("later")

var pulseUsual = pulse{ping: 15 * time.Second, check: 30 * time.Second, here: 20 * time.Second, far: time.Second, again: time.Second}

// stream is an answer that goes on: server-sent events, for as long as the caller
// stays and may have them.
type stream struct {
	s      *Server
	from   source
	pulse  pulse
	timer  *time.Timer
	leave  func()
	begun  bool
	more   bool // there are news to be had without waiting
	looked time.Time
	heard  time.Time                                        // of something afar, that was not looked at yet
	due    struct{ ping, check, here, look, far time.Time } // look, far: zero when nothing calls for it
}

// streamsPerPerson bounds the streams somebody has open at this instance. A page
// that was left keeps its two until the next sign of life finds nobody there.
const streamsPerPerson = 32

// places counts the open streams of each person.
type places struct {
	mu    sync.Mutex
	taken map[string]int
}

// take takes one, if who has less than most.
func (p *places) take(who string, most int) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken[who] >= most {
		return nil, false
	}
	p.taken[who]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.taken[who]--; p.taken[who] == 0 {
			delete(p.taken, who)
		}
	}, true
}

// streamHead answers HEAD: what a stream would begin with.
type streamHead struct{}

func (streamHead) write(r *req) {
	r.ctx.SetContentType("text/event-stream")
	r.ctx.Response.Header.Set("X-Accel-Buffering", "no")
}

// stream begins one. open is called once there is a place for it.
func (r *req) stream(open func() (source, error)) (any, error) {
	if r.ctx.IsHead() {
		return streamHead{}, nil
	}
	leave, ok := r.s.places.take(r.who.actor(), streamsPerPerson)
	if !ok {
		return nil, tooMany(r.s.pulse.ping)
	}
	from, err := open()
	if err != nil {
		leave()
		return nil, err
	}
	return &stream{s: r.s, from: from, pulse: r.s.pulse, leave: leave}, nil
}

// write leaves the rest to the connection. It is not used again afterwards: a
// stream ends when its connection does, or it with the stream.
func (st *stream) write(r *req) {
	streamHead{}.write(r)
	r.ctx.Response.Header.SetConnectionClose()
	r.ctx.SetStatusCode(fasthttp.StatusOK)
	now := time.Now()
	st.timer = time.NewTimer(0)
	st.due.ping, st.due.check, st.due.here, st.due.look = now.Add(st.pulse.ping), now.Add(st.pulse.check), now, now
	r.ctx.Response.ImmediateHeaderFlush = true
	r.ctx.SetBodyStream(&flow{conn: r.ctx.Conn(), extended: now, fill: st.fill, end: func(err error) {
		st.timer.Stop()
		st.from.close()
		st.leave()
		if err != nil {
			st.s.o.Log.Error("stream failed", "route", r.template(), "id", r.id, "err", err)
		}
		st.s.account(r.ctx, r.template(), r.id, false)
	}}, -1)
}

// fill waits for something to send.
func (st *stream) fill(out *bytes.Buffer) (goesOn bool, err error) {
	e := &events{out}
	if !st.begun {
		st.begun = true
		out.WriteString("retry: 1000\n\n")
		return true, nil
	}
	if !st.await() {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), handleTime)
	defer cancel()
	return st.act(ctx, e, time.Now())
}

// await returns when something is due, or false when the server stops: whoever
// listens connects to another instance, and goes on from where this one was.
func (st *stream) await() bool {
	select {
	case <-st.s.stopping:
		return false
	default:
	}
	if st.more {
		return true
	}
	next := st.due.ping
	for _, t := range []time.Time{st.due.check, st.due.here, st.due.look, st.due.far} {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	st.timer.Reset(time.Until(next))
	near, far := st.from.signals()
	select {
	case <-st.s.stopping:
		return false
	case <-near:
		st.due.look = time.Now()
	case <-far:
		if st.heard = time.Now(); st.due.far.IsZero() {
			st.due.far = st.looked.Add(st.pulse.far)
		}
	case <-st.timer.C:
	}
	return true
}

// act does what is due. Where the store fails nothing is lost, only later.
func (st *stream) act(ctx context.Context, e *events, now time.Time) (goesOn bool, err error) {
	if !now.Before(st.due.here) {
		st.due.here = now.Add(scattered(st.pulse.here))
		if err := st.from.here(ctx); err != nil {
			st.s.o.Log.Debug("stream: who looks on", "err", err)
		}
	}
	if !now.Before(st.due.check) {
		st.due.check = now.Add(scattered(st.pulse.check))
		if err := st.from.admitted(ctx); refused(err) {
			return false, e.end(err)
		} else if err != nil {
			st.due.check = now.Add(st.pulse.again)
			st.s.o.Log.Warn("stream: cannot look at the token", "err", err)
		}
	}
	if !now.Before(st.due.ping) {
		st.due.ping = now.Add(scattered(st.pulse.ping))
		e.WriteString(": ping\n\n")
		st.due.look = now
	}
	if !st.due.far.IsZero() && !now.Before(st.due.far) {
		st.due.far, st.looked = time.Time{}, now
		stirred, err := st.from.stirred(ctx, st.heard)
		if errors.Is(err, errLater) {
			st.due.far = now.Add(st.pulse.far)
		} else if stirred || err != nil {
			st.due.look = now
		}
	}
	if st.more || !st.due.look.IsZero() && !now.Before(st.due.look) {
		st.due.look, st.looked = time.Time{}, now
		st.more, err = st.from.news(ctx, e)
		if refused(err) {
			return false, e.end(err)
		} else if err != nil {
			st.due.look = now.Add(st.pulse.again)
			st.s.o.Log.Warn("stream: cannot look for news", "err", err)
		}
	}
	return true, nil
}

// scattered is d or a little less, so that those who came together, as when an
// instance stopped, do not go on asking together.
func scattered(d time.Duration) time.Duration { return d - rand.N(d/4+1) }

// refused reports whether an error says that the caller may not have something,
// not that it could not be found out.
func refused(err error) bool {
	p, ok := errors.AsType[*problem](err)
	return ok && p.status < 500 || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrEnded)
}

// events are server-sent events that are being written.
type events struct{ *bytes.Buffer }

// send writes an event. id is what the other side names to go on behind it; 0 is
// none.
func (e *events) send(name string, id int64, data []byte) {
	e.WriteString("event: " + name + "\n")
	if id > 0 {
		e.WriteString("id: " + strconv.FormatInt(id, 10) + "\n")
	}
	// Each of these ends a line for the reader, and a line has a prefix.
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		e.WriteString("data: " + line + "\n")
	}
	e.WriteString("\n")
}

// end tells the other side not to come back.
func (e *events) end(err error) error {
	reason := "session" // not theirs any more, or gone
	if p, ok := errors.AsType[*problem](err); ok && (p.status == fasthttp.StatusUnauthorized || p.status == fasthttp.StatusForbidden) {
		reason = "token"
	}
	e.send("end", 0, []byte(`{"reason":"`+reason+`"}`))
	return nil
}

// resumeAt reads after what an event stream is to begin: what the browser says it
// saw last when it comes back, or else what the page knew when it asked first.
// ok is false when neither says.
func (r *req) resumeAt() (at string, field string, ok bool) {
	if id := string(r.ctx.Request.Header.Peek("Last-Event-ID")); id != "" {
		return id, "Last-Event-ID", true
	}
	if id := r.Query("after"); id != "" {
		return id, "after", true
	}
	return "", "", false
}
