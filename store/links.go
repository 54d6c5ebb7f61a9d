package store

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"deskbell/bot"
)

// maxPath bounds the path of a link: WeCom cuts links at 2,048 bytes, and a cut
// link leads somewhere else.
const maxPath = 1024

// tokenParam is the query parameter that carries a link's token.
const tokenParam = "accessToken"

// Link is an address that signs its owner in.
type Link struct {
	URL     string
	Expires time.Time
}

// DefaultPath is where a person of this level works.
func DefaultPath(l bot.Level) string {
	switch l {
	case bot.Admin:
		return "/admin/welcome"
	case bot.Agent:
		return "/agent/chat"
	}
	return "/chat"
}

// LinkPath checks where a person wants a link to lead, and returns it as it goes
// into the link: "" is the default path, and so is the sign-in page of a
// console. It refuses, as Invalid, whatever could leave this origin or bring its
// own token, and as Denied an area that is not the person's.
func LinkPath(p string, l bot.Level) (string, error) {
	if p == "" {
		return DefaultPath(l), nil
	}
	bad := func(why string) (string, error) {
		return "", bot.Fail(bot.Invalid, "login.path", nil, fmt.Errorf("path: %s", why))
	}
	if len(p) > maxPath {
		return bad("longer than 1,024 bytes")
	}
	if p[0] != '/' {
		return bad("does not start with /")
	}
	if !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(" \\#\"<>`", r) }) {
		return bad("has a space, a backslash, a # or another character that no address has")
	}
	u, err := url.ParseRequestURI(p)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return bad("is not a path")
	}
	if unsafePath(u.EscapedPath()) {
		return bad("steps out of its area")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("has a broken query")
	}
	for name := range query {
		if strings.EqualFold(name, tokenParam) {
			return bad("brings its own accessToken")
		}
	}
	if page := path.Clean(u.Path); page == "/agent/auth/login" || page == "/admin/auth/login" {
		return DefaultPath(l), nil
	}
	if !mayOpen(u.Path, l) {
		return "", bot.Fail(bot.Denied, "login.denied", nil, nil)
	}
	return p, nil
}

// unsafePath looks for "..", segments ".", doubled slashes and backslashes,
// however often they are escaped. Not every server takes ".." for a step up only
// where it is a segment of its own.
func unsafePath(escaped string) bool {
	for range 5 {
		if strings.Contains(escaped, "//") || strings.Contains(escaped, `\`) || strings.Contains(escaped, "..") {
			return true
		}
		if strings.Contains(escaped+"/", "/./") {
			return true
		}
		next, err := url.PathUnescape(escaped)
		if err != nil || strings.ContainsFunc(next, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return true
		}
		if next == escaped {
			return false
		}
		escaped = next
	}
	return true // nobody escapes that often in good faith
}

// mayOpen reports whether a level may open an area.
func mayOpen(p string, l bot.Level) bool {
	switch p = path.Clean(p) + "/"; {
	case strings.HasPrefix(p, "/chat/"):
		return true
	case strings.HasPrefix(p, "/agent/"):
		return l >= bot.Agent
	case strings.HasPrefix(p, "/admin/"):
		return l >= bot.Admin
	}
	return false
}

// NewLink makes a link to a path that LinkPath returned, signed in as u. What
// its accessToken can do is decided by Options.Direct.
func (tx *Tx) NewLink(ctx context.Context, u bot.User, p string) (Link, error) {
	row := tokenRow{Kind: kindLink, Person: u.Key(), Source: sourceChat, ExpiresAt: tx.Now.Add(tx.s.LinkTTL)}
	if tx.s.Direct {
		row.Kind, row.Plain, row.ExpiresAt = kindAccess, true, tx.Now.Add(min(tx.s.TokenTTL, time.Hour))
	}
	token, err := tx.mint(ctx, &row)
	if err != nil {
		return Link{}, err
	}
	to, _, more := strings.Cut(p, "?") // a query may hold anything
	tx.Audit(AuditEntry{Actor: u.Key(), Action: "link.make", Target: u.Key(), Detail: to})
	sep := "?"
	if more {
		sep = "&"
	}
	return Link{URL: tx.s.base(p) + p + sep + tokenParam + "=" + token, Expires: row.ExpiresAt}, nil
}

// base is where a path is served: here, or by an external helpdesk.
func (s *Store) base(p string) string {
	base := s.PublicURL
	switch {
	case strings.HasPrefix(p, "/agent/") && s.AgentURL != "":
		base = s.AgentURL
	case strings.HasPrefix(p, "/admin/") && s.AdminURL != "":
		base = s.AdminURL
	}
	return strings.TrimSuffix(base, "/")
}
