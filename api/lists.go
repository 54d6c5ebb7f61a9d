package api

import (
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// pageSize is how many lines of a list there are on a page.
const pageSize = 50

// list is what pages with a list begin with.
type list struct {
	Frame frame
	Path  string // of the page
	Do    string // where its forms go: they lead back to what is looked at
	Q     string // what is searched for
	Pager pager
}

// pager has the ways to the other parts of a list, "" for none.
type pager struct {
	First, Next string
	Shown       int
}

// doPath is where the forms of a page go. Not to the page itself: there links
// from the chat send theirs.
const doPath = "/do"

// list begins a page with a list, of which so many lines are shown. next is what
// "after" is on the following page; keep names what else its address says.
func (r *req) list(shown int, next string, keep ...string) list {
	path, kept := strings.TrimSuffix(r.Path(), doPath), url.Values{}
	for _, name := range append(keep, "q") {
		if value := r.Query(name); value != "" {
			kept.Set(name, value)
		}
	}
	at := func(v url.Values, path string) string {
		if len(v) == 0 {
			return path
		}
		return path + "?" + v.Encode()
	}
	l := list{Frame: r.frame(), Path: path, Q: r.Query("q"), Pager: pager{Shown: shown}}
	if after := r.Query("after"); after != "" {
		l.Pager.First = at(kept, path)
	}
	if next != "" {
		kept.Set("after", next)
		l.Pager.Next = at(kept, path)
		kept.Del("after")
	}
	if after := r.Query("after"); after != "" {
		kept.Set("after", after)
	}
	l.Do = at(kept, path+doPath)
	return l
}

// back is the page that a form was on, as it was looked at.
func (r *req) back() string {
	path, query, asked := strings.Cut(r.self(), "?")
	path = strings.TrimSuffix(path, doPath)
	if asked {
		path += "?" + query
	}
	return path
}

// did leads back to the page of a form, which says what was done.
func (r *req) did(key, about string) (any, error) { return r.flash(r.back(), key, about), nil }

// page answers with a page of the desk.
func page(name string, data any) (any, error) {
	return live{view{fasthttp.StatusOK, name, data}}, nil
}

// cut takes off the line that was only asked for to know whether there are more.
func cut[T any](lines []T, id func(T) string) (shown []T, next string) {
	if len(lines) <= pageSize {
		return lines, ""
	}
	lines = lines[:pageSize]
	return lines, id(lines[pageSize-1])
}
