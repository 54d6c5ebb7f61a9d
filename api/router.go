package api

import (
	"context"
	"slices"
	"strings"
)

// route is one line of the table.
type route struct {
	method string
	path   string // segments; {name} takes one, {name...} the rest
	may    policy
	as     *envelope
	run    func(context.Context, *req) (any, error)
}

// router finds the line for a request: paths without a hole in one lookup, the
// others in the table's order.
type router struct {
	exact    map[string][]*route
	patterns []pattern
}

type pattern struct {
	segments []string
	routes   []*route
}

func newRouter(table []route) router {
	r := router{exact: map[string][]*route{}}
	for i := range table {
		rt := &table[i]
		if !strings.Contains(rt.path, "{") {
			r.exact[rt.path] = append(r.exact[rt.path], rt)
			continue
		}
		segments := strings.Split(rt.path, "/")
		at := slices.IndexFunc(r.patterns, func(p pattern) bool { return slices.Equal(p.segments, segments) })
		if at < 0 {
			at = len(r.patterns)
			r.patterns = append(r.patterns, pattern{segments: segments})
		}
		r.patterns[at].routes = append(r.patterns[at].routes, rt)
	}
	return r
}

// match gives every route at path, one for each method, and what the holes of
// the path hold. A path is first looked for whole: /admin/outbox wins over
// /admin/{page...}, which takes the methods it has none for. A hole for one part
// takes nothing of what has a name: /kv/_info is no /kv/{key} of any method.
func (r *router) match(path, method string) (rt *route, holes []string, allow []string) {
	found := r.exact[path]
	if rt := pick(found, method); rt != nil {
		return rt, nil, nil
	}
	for _, p := range r.patterns {
		filled, ok := p.match(path)
		if !ok || len(r.exact[path]) > 0 && !p.rest() {
			continue
		}
		if rt := pick(p.routes, method); rt != nil {
			return rt, filled, nil
		}
		found = append(slices.Clip(found), p.routes...)
	}
	return nil, nil, methods(found)
}

// pick finds the route for a method; HEAD is answered as GET, without the body.
func pick(routes []*route, method string) *route {
	if method == "HEAD" {
		method = "GET"
	}
	for _, rt := range routes {
		if rt.method == method {
			return rt
		}
	}
	return nil
}

func methods(routes []*route) []string {
	var all []string
	for _, rt := range routes {
		all = append(all, rt.method)
		if rt.method == "GET" {
			all = append(all, "HEAD")
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// rest reports whether the last hole takes all that is left of a path.
func (p pattern) rest() bool { return strings.HasSuffix(p.segments[len(p.segments)-1], "...}") }

func (p pattern) match(path string) (holes []string, ok bool) {
	rest := path
	for i, segment := range p.segments {
		hole := strings.HasPrefix(segment, "{")
		if hole && strings.HasSuffix(segment, "...}") {
			return append(holes, rest), true
		}
		part, after, more := strings.Cut(rest, "/")
		if more == (i == len(p.segments)-1) {
			return nil, false
		}
		switch {
		case hole && part != "":
			holes = append(holes, part)
		case part != segment:
			return nil, false
		}
		rest = after
	}
	return holes, true
}
