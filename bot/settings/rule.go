package settings

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rule is how a value is written and read. Reason follows the key's name in a
// sentence, Fix tells what to write instead.
type Rule[T any] struct {
	Read        func(string) (T, bool)
	Reason, Fix string
	Bare        bool // a number or true/false: written without quotes
}

// OrEmpty lets the zero value be written as "".
func (r Rule[T]) OrEmpty() Rule[T] {
	read := r.Read
	r.Read = func(s string) (T, bool) {
		v, ok := read(s)
		return v, ok || s == ""
	}
	return r
}

// Like is the rule of a text that is kept as it is.
func Like(ok func(string) bool, reason, fix string) Rule[string] {
	return Rule[string]{Read: func(s string) (string, bool) { return s, ok(s) }, Reason: reason, Fix: fix}
}

// OneOf is one of a few words.
func OneOf(words ...string) Rule[string] {
	return Like(func(s string) bool { return slices.Contains(words, s) },
		"is none of the possible words", "choose "+strings.Join(words, ", "))
}

// Number is a whole number.
func Number(low, high int) Rule[int] {
	return Rule[int]{
		Read: func(s string) (int, bool) {
			n, err := strconv.Atoi(s)
			return n, err == nil && n >= low && n <= high
		},
		Reason: "is not a whole number in range",
		Fix:    fmt.Sprintf("write one from %d to %d, without quotes", low, high),
		Bare:   true,
	}
}

// Span is a length of time.
func Span(low, high time.Duration) Rule[time.Duration] {
	return Rule[time.Duration]{
		Read: func(s string) (time.Duration, bool) {
			d, ok := parseSpan(s)
			return d, ok && d >= low && d <= high
		},
		Reason: "is not a duration in range",
		Fix:    fmt.Sprintf(`write it like "90s", "5m", "8h" or "365d", from %v to %v`, low, high),
	}
}

// Rules without a choice.
var (
	Address = Like(isAddress, "is not host:port", `write it like "127.0.0.1:8080"`)
	CIDR    = Rule[netip.Prefix]{
		Read: func(s string) (netip.Prefix, bool) {
			p, err := netip.ParsePrefix(s)
			return p, err == nil
		},
		Reason: "is not a CIDR", Fix: `write it like "10.0.0.0/8", one address like "10.0.0.1/32"`,
	}
	Origin   = Like(isOrigin, "is not an origin", `write it like "https://app.example.com", without a path`)
	PerTime  = Rule[Rate]{Read: parseRate, Reason: "is not a rate", Fix: `write it like "20/m" (s, m or h), or "off"`}
	Private  = Like(func(s string) bool { return isURL(s) && isPrivate(s) }, "is not an https address (http only on a loopback address)", "use https: tokens travel there")
	Switch   = Rule[bool]{Read: func(s string) (bool, bool) { return s == "true", s == "true" || s == "false" }, Reason: "is neither true nor false", Fix: "write true or false, without quotes", Bare: true}
	PublicAt = Like(func(s string) bool { return isOrigin(strings.TrimSuffix(s, "/")) && isPrivate(s) }, "is not an https origin (http only on a loopback address)", `write the origin people open, like "https://desk.example.com"`)
	URL      = Like(isURL, "is not an http or https address", `write it like "https://host/path", without query and fragment`)
	Word     = Like(isWord, "is longer than 256 characters or holds white space", "copy it once more, without anything around it")
)

func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsFunc(host, isSpace) {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && HasPort(u) &&
		!strings.ContainsAny(s, "?#") && !strings.ContainsFunc(s, isSpace)
}

// HasPort reports whether the port of a URL, if it names one, is one.
func HasPort(u *url.URL) bool {
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && n > 0
}

func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isURL(s) && u.Path == ""
}

// isPrivate reports whether what is sent to a URL stays unread on the way.
func isPrivate(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "https" {
		return err == nil
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

func isWord(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, isSpace)
}

func isSpace(r rune) bool { return r <= ' ' || r == 0x7f }

// parseSpan reads Go's durations, and days before them: "1d12h".
func parseSpan(s string) (time.Duration, bool) {
	var days uint64
	if n, rest, ok := strings.Cut(s, "d"); ok {
		var err error
		if days, err = strconv.ParseUint(n, 10, 16); err != nil {
			return 0, false
		}
		s = cmp.Or(rest, "0s")
	}
	d, err := time.ParseDuration(s)
	return time.Duration(days)*24*time.Hour + d, err == nil && d >= 0
}

// Rate is at most N times Per; the zero Rate is no limit.
type Rate struct {
	N   int
	Per time.Duration
}

// Above reports whether r allows more than n times per.
func (r Rate) Above(n int, per time.Duration) bool {
	return r.N == 0 || int64(r.N)*int64(per) > int64(n)*int64(r.Per)
}

func parseRate(s string) (Rate, bool) {
	if s == "off" {
		return Rate{}, true
	}
	n, unit, _ := strings.Cut(s, "/")
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	count, err := strconv.ParseUint(n, 10, 20)
	return Rate{int(count), per}, err == nil && count > 0 && per > 0
}
