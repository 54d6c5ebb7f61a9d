package templates

import (
	"strings"
	"unicode/utf8"
)

// maxText is how many bytes of a text WeCom delivers; it cuts the rest without
// an error, in the middle of a character if need be (document 90236).
const maxText = 2048

// shorten cuts s to limit bytes, on a character's edge and not inside a link,
// whose half would show as markup.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const more = "…"
	end := limit - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	if open := strings.LastIndex(s[:end], "<a"); open >= 0 && !strings.Contains(s[open:end], "</a>") {
		end = open
	}
	return strings.TrimRight(s[:end], " \n") + more
}
