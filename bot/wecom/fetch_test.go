package wecom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"deskbell/bot"
)

// fetchFrom is a client of a WeCom whose media/get is serve.
func fetchFrom(t testing.TB, timeout time.Duration, serve http.HandlerFunc) (c *Client, log *bytes.Buffer) {
	t.Helper()
	mux := http.NewServeMux()
	var tokens atomic.Int64
	mux.HandleFunc("GET /cgi-bin/gettoken", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"errcode":0,"access_token":"token-CANARY-%d","expires_in":7200}`, tokens.Add(1))
	})
	mux.HandleFunc("GET /cgi-bin/media/get", serve)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	log = &bytes.Buffer{}
	c = NewClient(ClientOptions{CorpID: cliCorp, AgentID: cliAgent, Secret: cliSecret, APIBase: server.URL, Timeout: timeout, Log: slog.New(slog.NewTextHandler(log, nil))})
	t.Cleanup(c.Close)
	return c, log
}

// fetchAll gets a file whole.
func fetchAll(ctx context.Context, c *Client, id string, limit int64) (name string, data []byte, err error) {
	d, err := c.Fetch(ctx, id, limit)
	if err != nil {
		return "", nil, err
	}
	defer d.Body.Close()
	data, err = io.ReadAll(d.Body)
	return d.Name, data, err
}

func fetchWant(t *testing.T, err error, kind bot.Kind, key string) {
	t.Helper()
	e, ok := errors.AsType[*bot.Error](err)
	if !ok || e.Kind != kind || e.Key != key || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%#v, %v; want kind %d, %s", e, err, kind, key)
	}
}

func TestFetchNames(t *testing.T) {
	for _, tt := range []struct{ header, want string }{
		{`attachment; filename="a.png"`, "a.png"},
		{`attachment; filename=a.png`, "a.png"},
		{`attachment; filename="报价 单.xlsx"`, "报价 单.xlsx"},
		{`attachment; filename=报价.xlsx; x=y`, "报价.xlsx"},
		{`attachment; filename*=UTF-8''%E6%8A%A5%E4%BB%B7.xlsx`, "报价.xlsx"},
		{`attachment; filename="old.xlsx"; filename*=utf-8'zh'%E6%8A%A5.xlsx`, "报.xlsx"},
		{`Attachment; FileName="a \"b\".txt"`, "a _b_.txt"},
		{`attachment; filename="../../etc/passwd"`, "passwd"},
		{`attachment; filename*=UTF-8''..%2f..%2fa%0d%0aX-Evil%3A%201.png`, "aX-Evil_ 1.png"},
		{"attachment; filename=\"invoice\u202efdp.exe\"", "invoicefdp.exe"},
		{`attachment; filename="a"; filename="b"`, "a_; filename=_b"},
		{`attachment; filename="` + strings.Repeat("长", 90) + `.pdf"`, strings.Repeat("长", 38) + ".pdf"},
		{`attachment`, ""}, {`attachment; filename=`, ""}, {`attachment; filename=""`, ""}, {`attachment; filename*=utf-8''%zz`, ""},
	} {
		c, _ := fetchFrom(t, 0, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Disposition"] = []string{tt.header}
			w.Header().Set("Content-Type", "application/octet-stream")
			if q := r.URL.Query(); q.Get("media_id") != "a&b=c" || q.Get("access_token") != "token-CANARY-1" {
				t.Errorf("asked with %v", q)
			}
			io.WriteString(w, "content")
		})
		name, data, err := fetchAll(t.Context(), c, "a&b=c", 7)
		if err != nil || name != tt.want || string(data) != "content" {
			t.Errorf("%s: %q, %q, %v; want %q", tt.header, name, data, err, tt.want)
		}
	}
}

func FuzzDispositionName(f *testing.F) {
	for _, s := range []string{`attachment; filename="a.png"`, `a; filename*=UTF-8''%E6..%2f`, `a; FILENAME=x;y="z`, "a; filename=\"\u202e\r\n\"", `filename=İ`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		name := dispositionName(header)
		if len(name) > 120 || strings.ContainsAny(name, "/\\\r\n\"") || bot.FileName(name) != name || strings.ContainsFunc(name, unicode.IsControl) {
			t.Errorf("%q gave %q", header, name)
		}
	})
}

// A refusal is told from a file by its headers, never by what is in the file.
func TestFetchToldFromRefusals(t *testing.T) {
	const refusal = `{"errcode":%d,"errmsg":"no, hint: [1_2_3], from ip: 203.0.113.7, more info at https://x/?access_token=token-CANARY-1"}`
	for _, tt := range []struct {
		name, contentType, disposition, body string
		kind                                 bot.Kind
		key                                  string // "" when it is a file
	}{
		{"expired", "application/json; charset=UTF-8", "", fmt.Sprintf(refusal, 40007), bot.Invalid, "media.expired"},
		{"expired, as text", "text/plain", "", fmt.Sprintf(refusal, 40007), bot.Invalid, "media.expired"},
		{"expired, as nothing", "", "", fmt.Sprintf(refusal, 40007), bot.Invalid, "media.expired"},
		{"too large for WeCom", "application/json", "", fmt.Sprintf(refusal, 830002), bot.Invalid, "media.toolarge"},
		{"busy", "application/json", "", fmt.Sprintf(refusal, -1), bot.Unavailable, "error.wecom"},
		{"too many at once", "application/json", "", fmt.Sprintf(refusal, 45033), bot.Unavailable, "error.wecom"},
		{"too often", "application/json", "", fmt.Sprintf(refusal, 45009), bot.Limited, "error.wecom"},
		{"not trusted", "application/json", "", fmt.Sprintf(refusal, 60020), bot.Unavailable, "error.wecom"},
		{"the call is wrong", "application/json", "", fmt.Sprintf(refusal, 41006), bot.Internal, "error.wecom"},
		{"all is well, and no file", "application/json", "", `{"errcode":0,"errmsg":"ok"}`, bot.Unavailable, "error.wecom"},
		{"no errcode", "application/json", "", `{}`, bot.Unavailable, "error.wecom"},
		{"a proxy's page", "text/html", "", `<html>Sign in to the network</html>`, bot.Unavailable, "error.wecom"},
		{"a JSON file", "application/json", `attachment; filename="a.json"`, fmt.Sprintf(refusal, 42001), 0, ""},
		{"a text file", "text/plain", `attachment; filename="a.txt"`, fmt.Sprintf(refusal, -1), 0, ""},
		{"an empty file", "text/plain", `attachment; filename="a.txt"`, "", 0, ""},
		{"an image without a name", "image/jpeg", "", "\xff\xd8\xff", 0, ""},
		{"a voice without a name", "voice/amr", "", "#!AMR\n", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := fetchFrom(t, 0, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil
				if tt.contentType != "" {
					w.Header().Set("Content-Type", tt.contentType)
				}
				if tt.disposition != "" {
					w.Header().Set("Content-Disposition", tt.disposition)
				}
				io.WriteString(w, tt.body)
			})
			_, data, err := fetchAll(t.Context(), c, "m", 1000)
			if tt.key != "" {
				fetchWant(t, err, tt.kind, tt.key)
			} else if err != nil || string(data) != tt.body {
				t.Errorf("%q, %v", data, err)
			}
			if len(c.slots) != 0 {
				t.Errorf("%d slots are still taken", len(c.slots))
			}
		})
	}
}

// A stale token is renewed once, as for any call.
func TestFetchRenewsTheToken(t *testing.T) {
	c, _ := fetchFrom(t, 0, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("access_token") != "token-CANARY-2" {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"errcode":42001,"errmsg":"expired"}`)
			return
		}
		w.Header().Set("Content-Disposition", `attachment; filename="a"`)
		io.WriteString(w, "x")
	})
	if _, data, err := fetchAll(t.Context(), c, "m", 10); err != nil || string(data) != "x" {
		t.Errorf("%q, %v", data, err)
	}
}

// A file over the limit is refused, announced or not, and is never in memory as a
// whole.
func TestFetchTooLarge(t *testing.T) {
	const size, limit = 25 << 20, 20 << 20
	piece := bytes.Repeat([]byte("x"), 64<<10)
	for _, announced := range []bool{true, false} {
		var sent atomic.Int64
		c, _ := fetchFrom(t, 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Disposition", `attachment; filename="a.bin"`)
			if announced {
				w.Header().Set("Content-Length", fmt.Sprint(size))
			}
			for range size / len(piece) {
				n, err := w.Write(piece)
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		})
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		d, err := c.Fetch(t.Context(), "m", limit)
		var n int64
		if err == nil {
			n, err = io.Copy(io.Discard, d.Body)
			d.Body.Close()
		}
		runtime.ReadMemStats(&after)
		fetchWant(t, err, bot.Invalid, "media.toolarge")
		if announced && n != 0 || n > limit {
			t.Errorf("announced %v: %d bytes were read", announced, n)
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20 {
			t.Errorf("announced %v: %d bytes of memory for it", announced, allocated)
		}
	}
	c, _ := fetchFrom(t, 0, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename="a.bin"`)
		w.Write(piece)
	})
	if _, data, err := fetchAll(t.Context(), c, "m", int64(len(piece))); err != nil || !bytes.Equal(data, piece) {
		t.Errorf("a file of just the limit: %d bytes, %v", len(data), err)
	}
}

// A file that stops coming is given up. That is not held against WeCom, which
// answered.
func TestFetchStalls(t *testing.T) {
	release := make(chan struct{})
	c, _ := fetchFrom(t, 50*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Disposition", `attachment; filename="a"`)
		w.Header().Set("Content-Length", "8")
		io.WriteString(w, "xxxx")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Query().Get("media_id") == "cut" {
			return
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	for _, id := range append(slices.Repeat([]string{"stuck"}, breakAfter+1), "cut") {
		_, _, err := fetchAll(t.Context(), c, id, 8)
		fetchWant(t, err, bot.Unavailable, "error.wecom")
	}
	ctx, cancel := context.WithCancel(t.Context())
	d, err := c.Fetch(ctx, "stuck", 8)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(d.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	d.Body.Close()
	d.Body.Close()
	if len(c.slots) != 0 || c.breaker.failures != 0 {
		t.Errorf("%d slots taken, %d failures", len(c.slots), c.breaker.failures)
	}
}

// A file may take long, as long as it keeps coming, and whoever reads it may take
// their time.
func TestFetchKeepsComing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience, pause = time.Second, time.Hour
		c := NewClient(ClientOptions{Timeout: patience})
		body, sent := io.Pipe()
		a := &arrival{client: c, ctx: t.Context(), body: body, left: 100, patience: time.AfterFunc(patience, func() { body.CloseWithError(context.Canceled) })}
		a.end = func() { a.patience.Stop() }
		a.patience.Stop()
		go func() {
			for range 10 {
				io.WriteString(sent, "x")
				time.Sleep(pause + patience - 1) // the reader has waited nearly too long
			}
			time.Sleep(2 * time.Nanosecond)
			io.WriteString(sent, "y")
		}()
		var got []byte
		var err error
		for err == nil {
			p := make([]byte, 10)
			var n int
			n, err = a.Read(p)
			got = append(got, p[:n]...)
			time.Sleep(pause)
		}
		fetchWant(t, err, bot.Unavailable, "error.wecom")
		if string(got) != "xxxxxxxxxx" {
			t.Errorf("got %q", got)
		}
		a.Close()
		synctest.Wait()
	})
}

// An outage opens the breaker, which then also keeps these calls back.
func TestFetchOutage(t *testing.T) {
	var calls atomic.Int64
	c, log := fetchFrom(t, 0, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	})
	for range 3 * breakAfter {
		_, err := c.Fetch(t.Context(), "m", 8)
		fetchWant(t, err, bot.Unavailable, "error.wecom")
	}
	if n := calls.Load(); n > breakAfter+1 {
		t.Errorf("%d calls during an outage", n)
	}
	if !strings.Contains(log.String(), "does not answer") || strings.Contains(log.String(), "CANARY") {
		t.Errorf("log: %s", log)
	}
}
