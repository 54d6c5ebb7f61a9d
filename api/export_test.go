package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"deskbell/store"
)

func TestExport(t *testing.T) {
	eachFloor(t, func(f *floor) {
		f.status("lilei", "online")
		at := f.asks("hanmeimei")
		for _, who := range []string{"hanmeimei", "lilei"} {
			f.want(f.as(who, "POST", at+"/messages", `{"content":"<script>alert(1)</script>\n</style> says `+who+`"}`), 200)
		}
		got := f.as("hanmeimei", "GET", at+"/export", "")
		f.want(got, 200, "<!doctype html>", `lang="zh-CN"`, "韩梅梅", "李雷", "&lt;script&gt;alert(1)&lt;/script&gt;", "says lilei", "2026-03-04 05:06:07", "</html>")
		if body := string(got.Body()); strings.Contains(body, "<script") || regexp.MustCompile(`(href|src)=|url\(|@import`).MatchString(body) {
			f.Errorf("the file refers to something, or does something: %s", body)
		}
		name := string(got.Header.Peek("Content-Disposition"))
		if !regexp.MustCompile(`^attachment; filename="session-[0-9a-f]{8}-20260304\.html"$`).MatchString(name) {
			f.Errorf("Content-Disposition: %s", name)
		}
		got = f.as("boss", "GET", at+"/export?format=json", "")
		var file, read struct {
			Session  deskSession   `json:"session"`
			Messages []deskMessage `json:"messages"`
		}
		f.ok(json.Unmarshal(got.Body(), &file))
		var list itemList[deskMessage]
		f.ok(json.Unmarshal(f.as("boss", "GET", at, "").Body(), &read.Session))
		f.ok(json.Unmarshal(f.as("boss", "GET", at+"/messages", "").Body(), &list))
		read.Messages = list.Items
		if d := cmp.Diff(read, file); d != "" || len(list.Items) != 3 {
			f.Errorf("the file is not what is read (-read +file)\n%s", d)
		}
		if kind := string(got.Header.ContentType()); kind != "application/json; charset=utf-8" || !strings.Contains(string(got.Header.Peek("Content-Disposition")), `.json"`) {
			f.Errorf("%s, %s", kind, got.Header.Peek("Content-Disposition"))
		}
		f.want(f.do("GET", "/chat"+strings.TrimPrefix(at, "/api/sessions")+"/export", "", with{"Cookie", f.cookie.name + "=" + f.tokens["lilei"]}), 200, "says lilei")
		f.want(f.do("GET", "/chat"+strings.TrimPrefix(at, "/api/sessions")+"/export", "", with{"Cookie", f.cookie.name + "=" + f.tokens["ma"]}), 404)
		f.want(f.as("hanmeimei", "HEAD", at+"/export", ""), 200)
		f.want(f.as("ma", "GET", at+"/export", ""), 404)
		var trail []string
		f.ok(f.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
			list, err := tx.AuditTrail(t.Context(), "", 100)
			for _, e := range list {
				if e.Action == "session.export" {
					trail = append(trail, e.Actor+" "+e.Detail)
				}
			}
			return err
		}))
		if got, want := strings.Join(trail, ", "), "lilei html, boss json, hanmeimei html"; got != want {
			f.Errorf("the trail has %q, want %q", got, want)
		}
	})
}

// A long session goes out whole, a few messages at a time.
func TestExportOfALongSession(t *testing.T) {
	f := newFloor(newRig(t))
	f.status("lilei", "online")
	at := f.asks("hanmeimei")
	const many = 5*newsAtOnce + 7
	mei := store.Party{Key: "hanmeimei", ID: "hanmeimei"}
	c, err := f.o.Store.Conversation(t.Context(), strings.TrimPrefix(at, "/api/sessions/"), mei)
	f.ok(err)
	for i := range many {
		f.ok(f.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
			_, _, err := tx.Say(t.Context(), c, mei, store.Words{Content: fmt.Sprint("line ", i, strings.Repeat(" x", 400))})
			return err
		}))
	}
	o := f.online()
	for _, form := range []string{"json", "html"} {
		q, err := http.NewRequestWithContext(t.Context(), "GET", o.url+at+"/export?format="+form, nil)
		f.ok(err)
		q.Header.Set("Authorization", "Bearer "+o.tokens["lilei"])
		got, err := http.DefaultClient.Do(q)
		f.ok(err)
		body, err := io.ReadAll(got.Body)
		f.ok(err)
		f.ok(got.Body.Close())
		at := 0
		for i := range many {
			next := bytes.Index(body[at:], fmt.Appendf(nil, "line %d x", i))
			if next < 0 {
				t.Fatalf("%s: line %d is missing", form, i)
			}
			at += next
		}
		if n := len(regexp.MustCompile(`(<p>|"content":")line `).FindAll(body, -1)); n != many {
			t.Errorf("%s: %d lines", form, n)
		}
		var whole struct {
			Session  deskSession   `json:"session"`
			Messages []deskMessage `json:"messages"`
		}
		if form == "json" {
			f.ok(json.Unmarshal(body, &whole))
			if len(whole.Messages) != many+1 || whole.Session.User != "hanmeimei" {
				t.Errorf("%d messages, %+v", len(whole.Messages), whole.Session)
			}
		}
	}
}
