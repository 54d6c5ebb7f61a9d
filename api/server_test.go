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

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

// listen serves r in memory until the test ends, and gives a way to connect.
func (r *rig) listen() func() net.Conn {
	r.Helper()
	ln := fasthttputil.NewInmemoryListener()
	r.serveOn(ln)
	return func() net.Conn {
		r.Helper()
		c, err := ln.Dial()
		r.ok(err)
		r.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func (r *rig) serveOn(ln net.Listener) {
	r.Helper()
	ended := make(chan error, 1)
	go func() { ended <- r.Serve(ln) }()
	r.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		r.ok(r.Shutdown(ctx))
		r.ok(<-ended)
	})
}

// say sends raw bytes and reads one answer.
func say(t testing.TB, c net.Conn, raw string) *http.Response {
	t.Helper()
	go io.WriteString(c, raw)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", raw, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

func echo(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.PostBody()) }

func TestMountedHandlerGetsItsBody(t *testing.T) {
	r := newRig(t)
	r.Mount("/callbacks/wecom", echo)
	dial := r.listen()
	for _, size := range []int{0, 1, 600, prefetched, prefetched + 1, maxStranger} {
		body := strings.Repeat("x", size)
		for name, raw := range map[string]string{
			"length":  fmt.Sprintf("POST /callbacks/wecom?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, body),
			"chunked": fmt.Sprintf("POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n", chunk(body)),
		} {
			got := say(t, dial(), raw)
			if echoed, _ := io.ReadAll(got.Body); got.StatusCode != 200 || string(echoed) != body {
				t.Errorf("%d bytes, %s: %d with %d bytes", size, name, got.StatusCode, len(echoed))
			}
		}
	}
	for _, raw := range []string{
		fmt.Sprintf("POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", maxStranger+1, strings.Repeat("x", prefetched)),
		fmt.Sprintf("POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n", chunk(strings.Repeat("x", maxStranger+1))),
	} {
		if got := say(t, dial(), raw); got.StatusCode != 413 || !got.Close {
			t.Errorf("too much: %d, connection closed %v", got.StatusCode, got.Close)
		}
	}
}

func chunk(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%x\r\n%s\r\n", len(s), s)
}

// A caller who is known may send a large body; nobody else's is read.
func TestLargeBodiesNeedABearer(t *testing.T) {
	r := newRig(t)
	dial := r.listen()
	for _, c := range []struct{ size, sent, status int }{
		{maxBody, maxBody, 400}, // read whole, and no JSON
		{maxBody + 1, prefetched, 413},
	} {
		raw := fmt.Sprintf("POST /api/v1/user/logout HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			r.token("lilei"), c.size, strings.Repeat("x", c.sent))
		if got := say(t, dial(), raw); got.StatusCode != c.status {
			t.Errorf("%d bytes: %d", c.size, got.StatusCode)
		}
	}
	raw := fmt.Sprintf("POST /api/v1/user/logout HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", maxBody, strings.Repeat("x", prefetched))
	if got := say(t, dial(), raw); got.StatusCode != 401 || !got.Close {
		t.Errorf("a stranger: %d, connection closed %v", got.StatusCode, got.Close)
	}
}

// Requests follow each other on a connection: what one leaves unread must never
// be taken for the next.
func TestNothingIsLeftForTheNextRequest(t *testing.T) {
	r := newRig(t)
	r.Mount("/callbacks/wecom", echo)
	dial := r.listen()
	smuggled := "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		raw    string
		status int
	}{
		"two lengths":       {"POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
		"two lengths, api":  {"POST /api/v1/tokens/exchange HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n" + smuggled, 400},
		"length twice":      {"POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef" + smuggled, 400},
		"odd coding":        {"POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
		"unread, refused":   {fmt.Sprintf("POST /api/v1/user/logout HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", prefetched+len(smuggled), strings.Repeat("x", prefetched)+smuggled), 401},
		"unread, chunked":   {"POST /api/v1/user/logout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(smuggled) + "0\r\n\r\n", 401},
		"unread, not there": {fmt.Sprintf("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 2*prefetched) + strings.Repeat("x", 2*prefetched), 404},
	} {
		conn := dial()
		go io.WriteString(conn, c.raw)
		br := bufio.NewReader(conn)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != c.status || !resp.Close {
			t.Errorf("%s: %d, connection closed %v", name, resp.StatusCode, resp.Close)
		}
		if more, err := http.ReadResponse(br, nil); err == nil {
			t.Errorf("%s: a second answer, %d", name, more.StatusCode)
		}
	}

	// A small body nobody asked for has been read with the header.
	conn := dial()
	small := "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
	go io.WriteString(conn, small+smuggled)
	br := bufio.NewReader(conn)
	for _, want := range []int{404, 200} {
		resp, err := http.ReadResponse(br, nil)
		r.ok(err)
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != want {
			t.Errorf("%d, want %d", resp.StatusCode, want)
		}
	}
}

// A thousand connections announce bodies and send none: what they cost together
// is bounded, whether the announcement is absurd or just allowed.
func TestAnnouncedBodiesCostNothing(t *testing.T) {
	for path, size := range map[string]int{"/callbacks/wecom": 4 << 20, "/callbacks/wecom?": maxStranger, "/api/v1/tokens/exchange": maxStranger, "/nowhere": maxBody} {
		r := newRig(t)
		r.Mount("/callbacks/wecom", echo)
		r.http.ReadTimeout = 200 * time.Millisecond
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		r.ok(err)
		r.serveOn(ln)
		raw := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path, size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				_, _ = io.WriteString(c, raw)
				_, _ = io.Copy(io.Discard, c) // until the server has had enough
			})
		}
		all.Wait()
		runtime.ReadMemStats(&after)
		// Everything ever allocated, this test's own part included, bounds what
		// was held at any one time.
		if grown := (after.TotalAlloc - before.TotalAlloc + after.StackInuse) >> 20; grown >= 64 {
			t.Errorf("%d bytes announced to %s: %d MiB", size, path, grown)
		}
	}
}

// A request that never comes whole is cut off, wherever it stops.
func TestSlowRequestsAreCutOff(t *testing.T) {
	r := newRig(t)
	r.Mount("/callbacks/wecom", echo)
	r.http.ReadTimeout = 100 * time.Millisecond
	dial := r.listen()
	for _, raw := range []string{
		"POST /callbacks/w",
		"POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nContent-Len",
		"POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n<xml>",
		"POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 20000),
		"POST /callbacks/wecom HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"POST /api/v1/tokens/exchange HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 20000),
	} {
		if got := say(t, dial(), raw); got.StatusCode != 408 || !got.Close {
			t.Errorf("%.90q: %d, connection closed %v", raw, got.StatusCode, got.Close)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	r := newRig(t)
	dial := r.listen()
	for raw, want := range map[string]int{
		"nonsense\r\n\r\n": 400,
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", headerSize) + "\r\n\r\n": 431,
	} {
		got := say(t, dial(), raw)
		if got.StatusCode != want || got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("Server") != "" {
			t.Errorf("%.20q: %d %v", raw, got.StatusCode, got.Header)
		}
	}
}

func TestHead(t *testing.T) {
	r := newRig(t)
	conn := r.listen()()
	go io.WriteString(conn, "HEAD /auth/wecom HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	br := bufio.NewReader(conn)
	head, err := http.ReadResponse(br, &http.Request{Method: "HEAD"})
	r.ok(err)
	next, err := http.ReadResponse(br, nil)
	r.ok(err)
	if head.StatusCode != 200 || head.ContentLength <= 0 || next.StatusCode != 200 {
		t.Errorf("HEAD %d with length %d, then %d", head.StatusCode, head.ContentLength, next.StatusCode)
	}
}

// A stop finishes what is in flight, turns readiness off, takes no new
// connections and does not wait for idle ones.
func TestShutdown(t *testing.T) {
	r := newRig(t)
	running, finish := make(chan bool), make(chan bool)
	r.Mount("/slow", func(ctx *fasthttp.RequestCtx) {
		running <- true
		<-finish
		ctx.SetBodyString("done")
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	r.ok(err)
	ended := make(chan error, 1)
	go func() { ended <- r.Serve(ln) }()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		r.ok(err)
		return c
	}
	idle := dial()
	say(t, idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	busy := dial()
	_, err = io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	r.ok(err)
	<-running

	stopped := make(chan error, 1)
	go func() { stopped <- r.Shutdown(context.Background()) }()
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("idle connection: %v", err)
	}
	r.ok(<-ended)
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("took a new connection")
	}
	r.want(r.do("GET", "/readyz", ""), 503, "stopping")
	close(finish)
	resp, err := http.ReadResponse(bufio.NewReader(busy), nil)
	r.ok(err)
	body, err := io.ReadAll(resp.Body)
	r.ok(err)
	if string(body) != "done" || !resp.Close {
		t.Errorf("in flight: %q, connection closed %v", body, resp.Close)
	}
	r.ok(<-stopped)

	// And it does not wait for ever.
	r = newRig(t)
	r.Mount("/slow", func(*fasthttp.RequestCtx) { running <- true; <-t.Context().Done() })
	ln, err = net.Listen("tcp", "127.0.0.1:0")
	r.ok(err)
	go func() { ended <- r.Serve(ln) }()
	_, err = io.WriteString(dial(), "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	r.ok(err)
	<-running
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Shutdown(late); err == nil {
		t.Error("a request that never ends was waited for")
	}
	r.ok(<-ended)
}

// What the server adds to a callback: over a real connection in memory, with
// its body read.
func BenchmarkMounted(b *testing.B) {
	r := newRig(b, func(o *Options) { o.Log, o.Metrics = nil, NewMetrics("", nil) })
	r.Mount("/callbacks/wecom", func(*fasthttp.RequestCtx) {})
	conn := r.listen()()
	raw := []byte("POST /callbacks/wecom?timestamp=1790000000 HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n" + strings.Repeat("x", 600))
	br := bufio.NewReader(conn)
	var resp fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		_, err := conn.Write(raw)
		r.ok(err)
		r.ok(resp.Read(br))
	}
	if resp.StatusCode() != 200 {
		b.Fatal(resp.String())
	}
}
