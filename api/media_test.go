package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// oneMedium is a WeCom that has one thing.
type oneMedium []byte

func (g oneMedium) Fetch(context.Context, string, int64) (bot.Download, error) {
	if g == nil {
		return bot.Download{}, bot.Fail(bot.Invalid, "media.expired", nil, errors.New("40007"))
	}
	return bot.Download{Size: int64(len(g)), Body: io.NopCloser(bytes.NewReader(g))}, nil
}

// keep stores what somebody sent, under the name they gave it. nil is something
// WeCom has forgotten.
func (r *rig) keep(name string, data []byte) (id string) {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	settled, ended := make(chan store.Media, 1), make(chan struct{})
	c := &store.Collector{Store: r.o.Store, Fetcher: oneMedium(data), Settled: func(_ context.Context, _ *store.Tx, m store.Media) error {
		settled <- m
		return nil
	}}
	r.ok(r.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		id, err = tx.WantMedia(ctx, bot.Message{Key: "m:" + fmt.Sprint(time.Now().UnixNano()), From: "hanmeimei", Media: bot.Media{Kind: bot.File, ID: "m", Name: name}})
		return err
	}))
	go func() { defer close(ended); c.Run(ctx) }()
	if m := <-settled; m.ID != id {
		r.Fatalf("kept %+v", m)
	}
	cancel()
	<-ended
	return id
}

// mediaRig serves media to everybody.
func mediaRig(t *testing.T) *rig {
	r := newRig(t)
	r.routes = newRouter([]route{{"GET", "/media/{id}", anybody, plainAPI, func(ctx context.Context, q *req) (any, error) {
		return q.s.medium(ctx, q.holes[0])
	}}})
	return r
}

const (
	pngHead = "\x89PNG\r\n\x1a\n"
	script  = "<script>alert(document.domain)</script>"
)

// Whatever it is called and whatever is in it, nothing that somebody sent is served
// as something that runs.
func TestMediaNeverRuns(t *testing.T) {
	r := mediaRig(t)
	for _, tt := range []struct{ name, data, kind, how string }{
		{"photo.png", pngHead + "pixels", "image/png", "inline"},
		{"photo.jpg", "\xff\xd8\xff\xe0", "image/jpeg", "inline"},
		{"a.gif", "GIF89a" + script, "image/gif", "inline"}, // shown as a broken picture
		{"a.pdf", "%PDF-1.7", "application/pdf", "attachment"},
		{"v.amr", "#!AMR\n", "audio/amr", "attachment"},
		{"v.mp4", "\x00\x00\x00\x20ftypisom", "video/mp4", "attachment"},
		{"page.png", "<!doctype html>" + script, "application/octet-stream", "attachment"},
		{"drawing.png", `<svg xmlns="http://www.w3.org/2000/svg">` + script + `</svg>`, "application/octet-stream", "attachment"},
		{"drawing.svg", `<?xml version="1.0"?><svg onload="alert(1)"/>`, "application/octet-stream", "attachment"},
		{"page.html", "\xef\xbb\xbf<html>" + script, "application/octet-stream", "attachment"},
		{"page.html", pngHead + "<html>" + script, "image/png", "inline"}, // by its bytes a picture, and nobody guesses again
		{"utf16.png", "\xff\xfe<\x00s\x00c\x00r\x00", "application/octet-stream", "attachment"},
		{"script.js", "alert(1)", "application/octet-stream", "attachment"},
		{"a.xhtml", `<html xmlns="http://www.w3.org/1999/xhtml">`, "application/octet-stream", "attachment"},
		{"setup.exe", "MZ\x90", "application/octet-stream", "attachment"},
		{"empty.png", "", "application/octet-stream", "attachment"},
	} {
		got := r.do("GET", "/media/"+r.keep(tt.name, []byte(tt.data)), "")
		r.want(got, 200)
		h := &got.Header
		how, params, err := mime.ParseMediaType(string(h.Peek("Content-Disposition")))
		if err != nil || how != tt.how || params["filename"] != tt.name || string(h.ContentType()) != tt.kind || string(got.Body()) != tt.data {
			t.Errorf("%s: %s %v %s, %v, %q", tt.name, how, params, h.ContentType(), err, got.Body())
		}
		if csp := string(h.Peek("Content-Security-Policy")); !strings.Contains(csp, "sandbox") || strings.Contains(csp, "allow") || !strings.Contains(csp, "default-src 'none'") ||
			string(h.Peek("X-Content-Type-Options")) != "nosniff" || string(h.Peek("Cross-Origin-Resource-Policy")) != "same-origin" || len(h.PeekAll("Content-Security-Policy")) != 1 {
			t.Errorf("%s: %s", tt.name, h)
		}
	}
}

func TestMediaNames(t *testing.T) {
	r := mediaRig(t)
	for _, tt := range []struct{ name, want string }{
		{"报价单 (最终).xlsx", "报价单 (最终).xlsx"},
		{"../../etc/passwd", "passwd"},
		{"a\r\nSet-Cookie: x=y\r\n\r\n.png", "aSet-Cookie_ x=y.png"},
		{"invoice\u202egnp.exe", "invoicegnp.exe"},
		{`a";filename*=UTF-8''x.html;b="c.txt`, "a_;filename_=UTF-8''x.html;b=_c.txt"},
		{`100%41'.txt`, "100%41'.txt"},
		{"", "file"},
	} {
		got := r.do("GET", "/media/"+r.keep(tt.name, []byte("x")), "")
		header := string(got.Header.Peek("Content-Disposition"))
		_, params, err := mime.ParseMediaType(header)
		if err != nil || params["filename"] != tt.want || len(params) != 1 || strings.ContainsAny(header, "\r\n\u202e") || len(got.Header.Peek("Set-Cookie")) > 0 {
			t.Errorf("%q: %s, %v, %v; want %q", tt.name, header, params, err, tt.want)
		}
	}
}

func TestMediaOverTheWire(t *testing.T) {
	r := mediaRig(t)
	data := append([]byte(pngHead), bytes.Repeat([]byte("0123456789"), 200_000)...)
	id := r.keep("large.png", data)
	dial := r.listen()
	ask := func(method, more string) *http.Response {
		t.Helper()
		c := dial()
		go io.WriteString(c, method+" /media/"+id+" HTTP/1.1\r\nHost: desk.example.com\r\n"+more+"Connection: close\r\n\r\n")
		raw, err := io.ReadAll(c)
		r.ok(err)
		head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		resp := &http.Response{Status: lines[0], Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		for _, line := range lines[1:] {
			name, value, _ := strings.Cut(line, ": ")
			resp.Header.Add(name, value)
		}
		return resp
	}
	whole := ask("GET", "")
	body, err := io.ReadAll(whole.Body)
	r.ok(err)
	etag := whole.Header.Get("ETag")
	if !strings.Contains(whole.Status, "200") || !bytes.Equal(body, data) || whole.Header.Get("Content-Length") != fmt.Sprint(len(data)) || etag != `"`+id+`"` || whole.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("%s %v, %d bytes", whole.Status, whole.Header, len(body))
	}
	head := ask("HEAD", "")
	if !strings.Contains(head.Status, "200") || head.ContentLength != 0 {
		t.Errorf("HEAD: %s, %d bytes", head.Status, head.ContentLength)
	}
	for _, name := range []string{"Content-Length", "Content-Type", "Content-Disposition", "ETag", "Content-Security-Policy"} {
		if head.Header.Get(name) != whole.Header.Get(name) {
			t.Errorf("HEAD says %s: %q, GET %q", name, head.Header.Get(name), whole.Header.Get(name))
		}
	}
	known := ask("GET", "If-None-Match: "+etag+"\r\n")
	if !strings.Contains(known.Status, "304") || known.ContentLength != 0 || known.Header.Get("Content-Security-Policy") == "" {
		t.Errorf("known: %s %v, %d bytes", known.Status, known.Header, known.ContentLength)
	}
	if other := ask("GET", "If-None-Match: \"x\"\r\n"); !strings.Contains(other.Status, "200") {
		t.Errorf("another one known: %s", other.Status)
	}
}

func TestMediaNotHere(t *testing.T) {
	r := mediaRig(t)
	r.want(r.do("GET", "/media/unknown", ""), 404)
	r.want(r.do("GET", "/media/"+r.keep("a.png", nil), ""), 404)
	var wanted string
	r.ok(r.o.Store.Tx(t.Context(), func(tx *store.Tx) (err error) {
		wanted, err = tx.WantMedia(t.Context(), bot.Message{Key: "m:w", From: "lilei", Media: bot.Media{Kind: bot.Image, ID: "m"}})
		return err
	}))
	r.want(r.do("GET", "/media/"+wanted, ""), 404)
}
