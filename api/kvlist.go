package api

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"deskbell/store"
)

// listed is a part of a device's entries.
type listed struct {
	values []store.Value
	total  int
	page   store.Page
	more   *string // where the next part is
}

const (
	listUsual   = 100
	listLargest = 1000
)

// list reads the part of the entries that the query asks for. The address of the
// next part says behind which entry it begins, so that going through a large
// device costs each time what the first part did, and misses nothing that is
// added meanwhile.
func (s *Server) list(ctx context.Context, r *req) (l listed, err error) {
	p := store.Page{By: "key", Limit: listUsual, After: r.Query("after")}
	if by := r.Query("sortBy"); by != "" {
		if p.By = by; !store.Ordered(by) {
			return l, badRequest("sortBy", "is not key, createdAt or updatedAt")
		}
	}
	switch dir := strings.ToLower(r.Query("sortDir")); dir {
	case "", "asc", "desc":
		p.Down = dir == "desc"
	default:
		return l, badRequest("sortDir", "is not asc or desc")
	}
	if p.Limit, err = r.number("limit", p.Limit, 1, listLargest); err != nil {
		return l, err
	}
	if p.Skip, err = r.number("skip", 0, 0, 1<<30); err != nil {
		return l, err
	}
	if at := r.Query("at"); at != "" {
		if p.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return l, badRequest("at", "is not a time of RFC 3339")
		}
	}
	l.page = p
	p.Limit++ // one more than wanted tells whether there is more, however many were removed meanwhile
	if l.values, l.total, err = s.o.Store.Values(ctx, *r.who.app, p); err != nil {
		return l, err
	}
	if p.Limit--; len(l.values) > p.Limit {
		l.values = l.values[:p.Limit]
		last := l.values[p.Limit-1]
		q := url.Values{"sortBy": {p.By}, "sortDir": {"asc"}, "limit": {strconv.Itoa(p.Limit)}, "skip": {strconv.Itoa(p.Skip + p.Limit)}, "after": {last.Key}}
		if p.Down {
			q.Set("sortDir", "desc")
		}
		switch p.By {
		case "createdAt":
			q.Set("at", last.CreatedAt.UTC().Format(time.RFC3339Nano))
		case "updatedAt":
			q.Set("at", last.UpdatedAt.UTC().Format(time.RFC3339Nano))
		}
		l.more = orNull(r.route.path + "?" + q.Encode())
	}
	return l, nil
}

// valuePage is a part of the entries.
type valuePage struct {
	Items    []shownValue `json:"items"`
	Total    int          `json:"total_rows"`
	LoadMore *string      `json:"load_more,omitzero"`
}

// listValues lists entries without their values.
func (s *Server) listValues(ctx context.Context, r *req) (any, error) {
	l, err := s.list(ctx, r)
	if err != nil {
		return nil, err
	}
	shown := make([]shownValue, len(l.values))
	for i, v := range l.values {
		shown[i] = showValue(r.who.app.Device, v)
	}
	return valuePage{shown, l.total, l.more}, nil
}

// keyPage is a part of the keys.
type keyPage struct {
	Keys     []string    `json:"keys"`
	Total    int         `json:"total_rows"`
	Current  currentPage `json:"current_page"`
	LoadMore *string     `json:"load_more,omitzero"`
}

type currentPage struct {
	Limit int `json:"limit"`
	Skip  int `json:"skip"`
	Count int `json:"count"`
}

// listKeys lists the keys alone.
func (s *Server) listKeys(ctx context.Context, r *req) (any, error) {
	l, err := s.list(ctx, r)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(l.values))
	for i, v := range l.values {
		keys[i] = v.Key
	}
	return keyPage{keys, l.total, currentPage{l.page.Limit, l.page.Skip, len(keys)}, l.more}, nil
}
