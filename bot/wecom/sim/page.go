package sim

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path"
	"time"
)

//go:embed page
var pageFiles embed.FS

var signInTemplate = template.Must(template.ParseFS(pageFiles, "page/signin.html"))

// routes is everything that has an address here.
func (s *Sim) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/cgi-bin/", s.serveAPI)
	page := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, s.guard(h)) }
	page("GET "+authorizePath, s.serveSignIn)
	page("GET "+qrPath, s.serveSignIn)
	page("GET /{$}", servePage("index.html"))
	for _, name := range assets() {
		page("GET /page/"+name, servePage(name))
	}
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.endpoints(page)
	mux.HandleFunc("/", s.notFound)
	return mux
}

// guard keeps web pages of other origins out, whose scripts run in the browser
// of whoever plays here: a foreign Origin is refused, and so is a foreign Host,
// behind which a rebound DNS name could hide.
func (s *Sim) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		crossSite := r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate"
		if !s.ownHost(r.Host) || origin != "" && origin != "http://"+r.Host || crossSite {
			http.Error(w, "this page answers to its own address only", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// ownHost accepts what only this machine's own addresses can be: an IP address,
// localhost, or the name it was told to listen on.
func (s *Sim) ownHost(hostport string) bool {
	u := url.URL{Host: hostport}
	host := u.Hostname()
	listen, _, _ := net.SplitHostPort(s.conf.Listen)
	return net.ParseIP(host) != nil || host == "localhost" || host != "" && host == listen
}

// assets lists what the page consists of, besides itself.
func assets() []string {
	entries, err := fs.ReadDir(pageFiles, "page")
	if err != nil {
		panic(err) // the files are in the program
	}
	var names []string
	for _, e := range entries {
		if path.Ext(e.Name()) != ".html" {
			names = append(names, e.Name())
		}
	}
	return names
}

func servePage(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	}
}

// signInPage lets somebody choose who they are.
func (s *Sim) signInPage(w http.ResponseWriter, r *http.Request) {
	type choice struct{ Link, ID, Name, Role string }
	as := func(id string) string {
		q := r.URL.Query()
		q.Set("as", id)
		return r.URL.Path + "?" + q.Encode()
	}
	data := struct {
		App              string
		People           []choice
		Outsider, Refuse string
	}{App: s.conf.AppName, Outsider: as(""), Refuse: as("!")}
	for _, p := range s.People() {
		data.People = append(data.People, choice{as(p.ID), p.ID, p.Name, p.Role})
	}
	var page bytes.Buffer
	if err := signInTemplate.Execute(&page, data); err != nil {
		s.log.Error("sim: sign-in page", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page.Bytes())
}

// serveEvents streams what changes to an open page.
func (s *Sim) serveEvents(w http.ResponseWriter, r *http.Request) {
	watcher := make(chan pageEvent, 256)
	s.mu.Lock()
	s.watchers[watcher] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, watcher)
		s.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	stream := http.NewResponseController(w)
	fmt.Fprint(w, ": hello\n\n")
	for {
		if err := stream.Flush(); err != nil {
			return
		}
		select {
		case e, open := <-watcher:
			if !open {
				return
			}
			data, err := json.Marshal(e)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "data: %s\n\n", data)
		case <-r.Context().Done():
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// maxWords is the most a page may post.
const maxWords = 64 << 10

// decodePage reads what the page posted.
func decodePage(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxWords))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one value")
	}
	if err != nil {
		pageError(w, http.StatusBadRequest, err)
		return false
	}
	return true
}

func pageError(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer{"error": err.Error()})
}
