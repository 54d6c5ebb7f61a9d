package api

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"deskbell/store"
	"deskbell/store/storetest"
)

// online serves a floor on the loopback until the test ends.
type online struct {
	*floor
	url string
}

func (f *floor) online() online {
	f.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	f.ok(err)
	f.serveOn(ln)
	return online{f, "http://" + ln.Addr().String()}
}

// eachOnline runs fn on every engine, with a desk at which lilei is.
func eachOnline(t *testing.T, fn func(o online)) {
	t.Helper()
	eachFloor(t, func(f *floor) {
		f.status("lilei", "online")
		fn(f.online())
	})
}

// event is one of a stream; its name is "" for a ping.
type event struct{ name, id, data string }

// ear hears a stream.
type ear struct {
	testing.TB
	head  *http.Response
	heard chan event // closed at the end of the stream
	stop  func()
}

const waits = 20 * time.Second

// hears opens a stream with headers, which must be one.
func (o online) hears(path string, headers ...with) *ear {
	o.Helper()
	e := o.tries(path, headers...)
	if ct := e.head.Header.Get("Content-Type"); e.head.StatusCode != 200 || ct != "text/event-stream" || e.head.Header.Get("Cache-Control") != "no-store" ||
		e.head.Header.Get("X-Accel-Buffering") != "no" || e.head.Header.Get("Content-Encoding") != "" {
		o.Fatalf("%s: %d %v", path, e.head.StatusCode, e.head.Header)
	}
	return e
}

// tries opens what may be a stream.
func (o online) tries(path string, headers ...with) *ear {
	o.Helper()
	ctx, cancel := context.WithCancel(o.Context())
	q, err := http.NewRequestWithContext(ctx, "GET", o.url+path, nil)
	o.ok(err)
	for _, h := range headers {
		q.Header.Add(h.name, h.value)
	}
	head, err := http.DefaultClient.Do(q)
	o.ok(err)
	e := &ear{TB: o.TB, head: head, heard: make(chan event, 4096), stop: cancel}
	ended := make(chan struct{})
	o.Cleanup(func() {
		cancel()
		<-ended
	})
	go func() {
		defer close(ended)
		defer close(e.heard)
		defer head.Body.Close()
		e.read(head.Body)
	}()
	return e
}

func (e *ear) read(body io.Reader) {
	var now event
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			now.name = value
		case "id":
			now.id = value
		case "data":
			now.data += value + "\n"
		case "retry":
			now.name = "retry"
		case "":
			now.data = strings.TrimSuffix(now.data, "\n")
			e.heard <- now
			now = event{}
		}
	}
}

// any is the next event, of whatever name.
func (e *ear) any() (event, bool) {
	e.Helper()
	select {
	case ev, ok := <-e.heard:
		return ev, ok
	case <-time.After(waits):
		e.Fatal("nothing is to be heard")
		return event{}, false
	}
}

// next is the next event of a name; there must be none of another name before,
// but for those that are let pass.
func (e *ear) next(name string, pass ...string) event {
	e.Helper()
	for {
		ev, ok := e.any()
		switch {
		case !ok:
			e.Fatalf("the stream ended before %s", name)
		case ev.name == name:
			return ev
		case ev.name != "" && ev.name != "retry" && !strings.Contains(strings.Join(pass, " "), ev.name):
			e.Fatalf("%+v came before %s", ev, name)
		}
	}
}

// said is the next message.
func (e *ear) said(want string) (number string) {
	e.Helper()
	ev := e.next("message", "session")
	var m deskMessage
	if err := json.Unmarshal([]byte(ev.data), &m); err != nil || m.Content != want || ev.id == "" {
		e.Errorf("%+v, want %q", ev, want)
	}
	return ev.id
}

// over: the stream ends here, and said so when ended is its reason.
func (e *ear) over(reason string) {
	e.Helper()
	said := ""
	for ev, ok := e.any(); ok; ev, ok = e.any() {
		if ev.name == "end" {
			said = ev.data
		} else if ev.name == "message" {
			e.Errorf("%+v came before the end", ev)
		}
	}
	want := ""
	if reason != "" {
		want = `{"reason":"` + reason + `"}`
	}
	if said != want {
		e.Errorf("ended with %q, want %q", said, want)
	}
}

func (o online) says(who, session, what string) {
	o.Helper()
	o.want(o.as(who, "POST", session+"/messages", `{"content":"`+what+`"}`), 200)
}

// event is what the desk itself says of something.
func (o online) event(kind, name, content string) string {
	o.Helper()
	text, err := o.o.Words.Text("zh", "session.event."+kind, store.Said{Role: store.ByDesk, Kind: kind, Name: name, Content: content})
	o.ok(err)
	return text
}

func (o online) bearer(who string) with { return bearer(o.tokens[who]) }

func (o online) cookie(who string) with {
	return with{"Cookie", o.Server.cookie.name + "=" + o.tokens[who]}
}

func TestStreamOfASession(t *testing.T) {
	eachOnline(t, func(o online) {
		at := o.asks("hanmeimei")
		mei := o.hears(at+"/events", o.bearer("hanmeimei"))
		if first, _ := mei.any(); first.name != "retry" {
			o.Errorf("began with %+v", first)
		}
		if ev := mei.next("session"); !strings.Contains(ev.data, `"agent":"lilei"`) || strings.Contains(ev.data, "\n") || ev.id != "" {
			o.Errorf("%+v", ev)
		}
		lilei := o.hears(at+"/events", o.bearer("lilei"))
		lilei.next("session")
		o.says("hanmeimei", at, "It is on fire.\\nAgain.")
		mei.said("It is on fire.\nAgain.")
		last := lilei.said("It is on fire.\nAgain.")
		lilei.stop()
		for _, what := range []string{"one", "two", "three"} {
			o.says("hanmeimei", at, what)
		}
		id := ""
		for _, what := range []string{"one", "two", "three"} {
			id = mei.said(what)
		}
		// Who comes back goes on from where they were, without gap or repeat.
		for _, back := range []*ear{
			o.hears(at+"/events", o.bearer("lilei"), with{"Last-Event-ID", last}),
			o.hears(at+"/events?after=1", o.bearer("lilei"), with{"Last-Event-ID", last}),
			o.hears(at+"/events?after="+last, o.bearer("lilei")),
		} {
			for _, what := range []string{"one", "two", "three"} {
				back.said(what)
			}
			back.stop()
		}
		late := o.hears(at+"/events?after=1000000", o.bearer("lilei"))
		late.next("session")
		o.says("lilei", at, "which one?")
		late.said("which one?")
		if after := mei.said("which one?"); after <= id {
			o.Errorf("%s came after %s", after, id)
		}
		messages := o.as("lilei", "GET", at+"/messages", "")
		o.want(messages, 200)
		var list itemList[deskMessage]
		o.ok(json.Unmarshal(messages.Body(), &list))
		byID := o.hears(at+"/events?after="+list.Items[3].ID, o.bearer("lilei"))
		byID.said("three")
		byID.said("which one?")
	})
}

// What becomes of a session is told, also to those who only wait.
func TestStreamOfTheQueue(t *testing.T) {
	eachOnline(t, func(o online) {
		o.pulse.far = 10 * time.Millisecond
		o.status("lilei", "offline")
		first, second := o.asks("hanmeimei"), o.asks("ma")
		o.pass()
		third := o.kimAsks()
		kim := o.hears(third+"/events", o.bearer("kim"))
		if ev := kim.next("session"); !strings.Contains(ev.data, `"position":3`) {
			o.Errorf("%+v", ev)
		}
		o.want(o.as("hanmeimei", "POST", first+"/close", ""), 200)
		if ev := kim.next("session"); !strings.Contains(ev.data, `"position":2`) {
			o.Errorf("%+v", ev)
		}
		o.want(o.as("ma", "POST", second+"/close", ""), 200)
		o.status("lilei", "online")
		o.ok(o.o.Store.Dispatch(o.Context()))
		for ev := kim.next("session"); !strings.Contains(ev.data, `"status":"open"`); ev = kim.next("session") {
			if !strings.Contains(ev.data, `"position":1`) {
				o.Errorf("%+v", ev)
			}
		}
		kim.said(o.event("assigned", "", "李雷"))
		o.want(o.as("lilei", "POST", third+"/close", ""), 200)
		if ev := kim.next("session"); !strings.Contains(ev.data, `"status":"closed"`) {
			o.Errorf("%+v", ev)
		}
		kim.said(o.event("closed", "李雷", ""))
	})
}

// Whoever may not have it any more gets nothing more of it.
func TestStreamsEnd(t *testing.T) {
	eachOnline(t, func(o online) {
		o.pulse.check = 10 * time.Millisecond // of those that nothing happens to
		quiet := o.asks("ma")
		ma := o.hears(quiet+"/events", o.bearer("ma"))
		o.want(o.as("ma", "POST", "/api/v1/user/logout", ""), 200)
		ma.over("token")

		o.pulse.check = time.Hour
		at := o.asks("hanmeimei")
		mei := o.hears(at+"/events", o.bearer("hanmeimei"))
		o.tokens["ma"] = o.minted(store.TokenSpec{UserID: "ma"})
		lilei, boss, desk := o.hears(at+"/events", o.bearer("lilei")), o.hears(at+"/events", o.bearer("boss")), o.hears("/agent/chat/events", o.cookie("lilei"))
		for _, e := range []*ear{mei, lilei, boss} {
			e.next("session")
		}
		desk.next("desk")
		o.status("ma", "online")
		o.want(o.as("lilei", "POST", at+"/transfer", `{"agent":"ma"}`), 200)
		lilei.over("session")
		o.want(o.as("lilei", "POST", "/api/v1/user/logout", ""), 200)
		o.want(o.as("hanmeimei", "POST", "/api/v1/user/logout", ""), 200)
		o.says("ma", at, "now it is me")
		o.kimAsks() // of lilei, who is at the desk still
		desk.over("token")
		o.want(o.as("ma", "GET", at+"/messages", ""), 200, "now it is me")
		for ev, ok := mei.any(); ok; ev, ok = mei.any() { // the transfer was for them too
			if strings.Contains(ev.data, "now it is me") {
				o.Errorf("after the token was revoked: %+v", ev)
			}
		}
		boss.said(o.event("transferred", "李雷", ""))
		boss.said(o.event("assigned", "", "Ma"))
		boss.said("now it is me")
	})
}

func TestStreamsOfPages(t *testing.T) {
	eachOnline(t, func(o online) {
		o.pulse.far = 10 * time.Millisecond
		asked, kims := strings.TrimPrefix(o.asks("hanmeimei"), "/api/sessions"), o.kimAsks()
		guest := with{"Cookie", o.guest.name + "=" + o.tokens["kim"]}
		mei, lilei := o.hears("/chat"+asked+"/events", o.cookie("hanmeimei")), o.hears("/chat"+asked+"/events", o.cookie("lilei"))
		kim, desk := o.hears("/s/"+o.share+"/events", guest), o.hears("/agent/chat/events", o.cookie("lilei"))
		for _, e := range []*ear{mei, lilei, kim} {
			e.next("session")
		}
		if ev := desk.next("desk"); ev.data != `{"unread":2,"open":2,"queued":0}` { // that they are theirs
			o.Errorf("%+v", ev)
		}
		o.says("hanmeimei", "/api/sessions"+asked, "<b>fire</b>")
		own, other := mei.next("message", "session"), lilei.next("message", "session")
		if !strings.Contains(own.data, "&lt;b&gt;fire&lt;/b&gt;") || !strings.Contains(other.data, "&lt;b&gt;fire&lt;/b&gt;") || own.data == other.data || own.id != other.id {
			o.Errorf("%+v, %+v", own, other)
		}
		if ev := desk.next("desk"); ev.data != `{"unread":3,"open":2,"queued":0}` {
			o.Errorf("%+v", ev)
		}
		o.says("lilei", kims, "yes?")
		if ev := kim.next("message"); !strings.Contains(ev.data, "yes?") || !strings.Contains(ev.data, "<") {
			o.Errorf("%+v", ev)
		}
		o.want(o.as("boss", "DELETE", "/api/v1/bot-share-tokens/"+o.bot.ID, ""), 200)
		_ = o.as("lilei", "POST", kims+"/messages", `{"content":"nobody hears that"}`)
		kim.over("session")
		for path, headers := range map[string][]with{
			"/chat" + asked + "/events":                                     {o.cookie("ma")},
			"/s/" + o.share + "/events":                                     {guest},
			"/chat/" + o.bot.ID + "/events":                                 {o.cookie("hanmeimei")},
			"/s/dbs_" + strings.Repeat("x", 49) + "/events":                 {guest},
			"/chat" + strings.TrimPrefix(kims, "/api/sessions") + "/events": {o.cookie("hanmeimei")},
		} {
			if e := o.tries(path, headers...); e.head.StatusCode != 404 {
				o.Errorf("%s: %d", path, e.head.StatusCode)
			}
		}
		for path, headers := range map[string][]with{
			"/chat" + asked + "/events": {o.bearer("hanmeimei")}, "/agent/chat/events": {guest}, "/api/sessions" + asked + "/events": {o.cookie("hanmeimei")},
		} {
			if e := o.tries(path, headers...); e.head.StatusCode != 401 {
				o.Errorf("%s: %d", path, e.head.StatusCode)
			}
		}
	})
}

// A person has so many streams at a time; one that ends makes room.
func TestStreamsOfOnePerson(t *testing.T) {
	f := newFloor(newRig(t))
	f.status("lilei", "online")
	o := f.online()
	o.pulse.ping = 10 * time.Millisecond
	at := o.asks("hanmeimei")
	var all []*ear
	for range streamsPerPerson {
		all = append(all, o.hears(at+"/events", o.bearer("hanmeimei")))
	}
	over := o.tries(at+"/events", o.bearer("hanmeimei"))
	if over.head.StatusCode != 429 || over.head.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %v", over.head.StatusCode, over.head.Header)
	}
	o.hears(at+"/events", o.bearer("lilei")).next("session")
	all[0].stop()
	for end := time.Now().Add(waits); ; { // until a ping has found out
		e := o.tries(at+"/events", o.bearer("hanmeimei"))
		if e.head.StatusCode == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a stream that ended makes no room")
		}
	}
	if got := o.as("hanmeimei", "HEAD", at+"/events", ""); got.StatusCode() != 200 || got.IsBodyStream() || string(got.Header.ContentType()) != "text/event-stream" {
		t.Errorf("HEAD: %v", got)
	}
}

// Connections that are dropped leave nothing behind.
func TestDroppedStreams(t *testing.T) {
	f := newFloor(newRig(t))
	f.status("lilei", "online")
	o := f.online()
	o.pulse.ping = 20 * time.Millisecond
	at := o.asks("hanmeimei")
	o.hears(at+"/events", o.bearer("boss")).stop() // what is made once is there
	before := o.settled(0)
	var crowd sync.WaitGroup
	for range 200 {
		crowd.Go(func() {
			c, err := net.Dial("tcp", strings.TrimPrefix(o.url, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			// Nobody has 200 streams; the places they take are counted below.
			fmt.Fprintf(c, "GET %s/events HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer %s\r\n\r\n", at, o.tokens[[]string{"hanmeimei", "lilei", "boss"}[time.Now().Nanosecond()%3]])
			if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") && !strings.Contains(line, " 429 ") {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
	crowd.Wait()
	if after := o.settled(before); after > before+5 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
	o.places.mu.Lock()
	defer o.places.mu.Unlock()
	if len(o.places.taken) > 0 {
		t.Errorf("places still taken: %v", o.places.taken)
	}
}

// settled waits until there are no streams, nor more goroutines than low and a
// few, and tells how many there are.
func (o online) settled(low int) int {
	for end := time.Now().Add(waits); ; runtime.Gosched() {
		o.places.mu.Lock()
		open := len(o.places.taken)
		o.places.mu.Unlock()
		n := runtime.NumGoroutine()
		if open == 0 && (low == 0 || n <= low+5) || time.Now().After(end) {
			return n
		}
	}
}

// A server that stops ends its streams at once: their listeners go on elsewhere.
func TestShutdownEndsStreams(t *testing.T) {
	f := newFloor(newRig(t))
	f.status("lilei", "online")
	o := f.online()
	at := o.asks("hanmeimei")
	e := o.hears(at+"/events", o.bearer("hanmeimei"))
	e.next("session")
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	o.ok(o.Shutdown(ctx))
	e.over("")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	if n := strings.Count(o.logs.String(), `"route":"/api/sessions/{id}/events"`); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, o.logs)
	}
}

// A stream outlives the time that an answer has.
func TestStreamOutlivesTheWriteTimeout(t *testing.T) {
	f := newFloor(newRig(t))
	f.status("lilei", "online")
	f.http.WriteTimeout = 1200 * time.Millisecond
	f.pulse.ping = 300 * time.Millisecond
	o := f.online()
	at := o.asks("hanmeimei")
	e := o.hears(at+"/events", o.bearer("hanmeimei"))
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		if _, ok := e.any(); !ok {
			t.Fatalf("ended after %v", time.Since(began))
		}
	}
	o.says("lilei", at, "still here")
	e.said("still here")
}

// Many instances share one database: what is said at one is heard at the others,
// told by Redis, found in the database, or found in the database once Redis is
// gone. The pings, which would find it too, are too rare for that here.
func TestStreamsOfManyInstances(t *testing.T) {
	for _, by := range []string{"polling", "redis", "redis that is cut"} {
		t.Run(by, func(t *testing.T) {
			url := storetest.Postgres(t)
			here, there := newFloor(newRigOn(t, url)), &floor{rig: newRigOn(t, url)}
			there.tokens = here.tokens
			here.status("lilei", "online")
			var cut []func()
			for _, f := range []*floor{here, there} {
				f.pulse.ping = time.Hour
				var r *store.Redis
				if by != "polling" {
					address, sever := severable(t, storetest.Redis(t))
					var err error
					r, err = store.OpenRedis(address, [][]byte{bytes.Repeat([]byte{7}, 32)})
					f.ok(err)
					t.Cleanup(func() { _ = r.Close() })
					cut = append(cut, sever)
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					f.o.Store.Follow(ctx, r)
				}()
				t.Cleanup(func() {
					stop()
					<-ended
				})
			}
			a, b := here.online(), there.online()
			at := a.asks("hanmeimei")
			mei, lilei := b.hears(at+"/events", b.bearer("hanmeimei")), a.hears(at+"/events", a.bearer("lilei"))
			mei.next("session")
			lilei.next("session")
			if by == "redis that is cut" {
				for _, sever := range cut {
					sever()
				}
			}
			for i := range 3 {
				began := time.Now()
				a.says("lilei", at, fmt.Sprint("from a ", i))
				mei.said(fmt.Sprint("from a ", i))
				b.says("hanmeimei", at, fmt.Sprint("from b ", i))
				mei.said(fmt.Sprint("from b ", i))
				lilei.said(fmt.Sprint("from a ", i))
				lilei.said(fmt.Sprint("from b ", i))
				t.Logf("there and back in %v", time.Since(began))
			}
		})
	}
}

// severable is Redis behind a line that can be cut.
func severable(t *testing.T, address string) (through string, cut func()) {
	t.Helper()
	target, rest, _ := strings.Cut(strings.TrimPrefix(address, "redis://"), "/")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []net.Conn
	cut = func() {
		_ = ln.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range all {
			_ = c.Close()
		}
	}
	t.Cleanup(cut)
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				_ = near.Close()
				continue
			}
			mu.Lock()
			all = append(all, near, far)
			mu.Unlock()
			go io.Copy(near, far)
			go io.Copy(far, near)
		}
	}()
	return "redis://" + ln.Addr().String() + "/" + rest, cut
}

// A signal that got lost costs a moment: the next ping finds what it was for.
func TestALostSignal(t *testing.T) {
	url := storetest.Postgres(t)
	here := newFloor(newRigOn(t, url))
	there := &floor{rig: newRigOn(t, url), tokens: here.tokens}
	here.status("lilei", "online")
	here.pulse.ping = 50 * time.Millisecond
	o := here.online()
	at := o.asks("hanmeimei")
	e := o.hears(at+"/events", o.bearer("hanmeimei"))
	e.next("session")
	there.want(there.as("lilei", "POST", at+"/messages", `{"content":"nobody tells"}`), 200) // neither of them follows
	e.said("nobody tells")
}
