package wecom

import (
	"regexp"
	"strings"
	"unicode"
)

const (
	redacted    = "[redacted]"
	maxScrubbed = 4096 // bytes
	maxMsg      = 200
)

// WeCom's credentials travel in query strings, so they turn up wherever somebody
// prints an address: errors of net/http, of proxies, of the SDK.
var (
	addresses = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^\s"'<>]*`)

	// A value follows its name in a query, a query inside a query, JSON, or JSON
	// inside a quoted string.
	credentials = regexp.MustCompile(`(?i)((?:access_?token|(?:corp|suite|provider|permanent|app)?_?secret|suite_ticket|user_ticket|response_code|auth_code|encoding_?aes_?key|(?:\b|%[0-9a-f]{2})(?:code|key|token))` +
		`[\\"']*\s*(?:=|:|%3d|%3a)\s*[\\"']*)[^\s&"',;<>\\]+`)
)

// scrub removes addresses and credentials from a text that is going to be
// logged or shown, and what is too long for either.
func scrub(s string) string {
	if len(s) > maxScrubbed {
		s = s[:maxScrubbed]
	}
	s = addresses.ReplaceAllString(s, "[address]")
	return credentials.ReplaceAllString(s, "${1}"+redacted)
}

// cleanMsg makes WeCom's errmsg fit for a log line: the pointer to WeCom's error
// page goes, the hint and the caller's IP stay.
func cleanMsg(s string) string {
	s, _, _ = strings.Cut(s, ", more info at")
	s = strings.ToValidUTF8(scrub(s), "?")
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) > maxMsg {
		s = strings.ToValidUTF8(s[:maxMsg], "") + "…"
	}
	return strings.TrimSpace(s)
}
