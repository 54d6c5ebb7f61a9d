package commands

import (
	"errors"
	"strings"
	"unicode"
)

// errNoSlash says that a line is talk, not a command.
var errNoSlash = errors.New("no slash")

// words splits a command line. The first word comes without its slash and
// folded, the others as they were typed: white space of any width separates
// them, quotes around a word or an option's value keep spaces, a quote that is
// never closed is a character like any other, and characters nobody can see are
// dropped.
//
//	／状态　busy "in a meeting" → 状态, busy, in a meeting
func words(line string) ([]string, error) {
	line = strings.TrimSpace(visible(line))
	rest, ok := strings.CutPrefix(line, "/")
	if !ok {
		if rest, ok = strings.CutPrefix(line, "／"); !ok {
			return nil, errNoSlash
		}
	}
	list := cutWords([]rune(rest))
	if len(list) > 0 {
		list[0] = fold(list[0])
	}
	return list, nil
}

// visible drops what does not show, except that white space stays.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsSpace(r) && unicode.In(r, unicode.Cc, unicode.Cf) {
			return -1
		}
		return r
	}, s)
}

// fold makes words comparable: lower case, and ASCII where a Chinese input
// method wrote the full-width form.
func fold(word string) string {
	return strings.Map(func(r rune) rune {
		if r >= '！' && r <= '～' {
			r -= '！' - '!'
		}
		return unicode.ToLower(r)
	}, word)
}

// cutWords cuts at white space outside quotes.
func cutWords(line []rune) []string {
	var list []string
	unclosed := map[rune]bool{} // quotes known not to close in what is left
	for i := 0; i < len(line); {
		if unicode.IsSpace(line[i]) {
			i++
			continue
		}
		start := i
		for i < len(line) && !unicode.IsSpace(line[i]) {
			if i == start || line[i-1] == '=' {
				if end := closing(line, i, unclosed); end > 0 {
					list = append(list, string(line[start:i])+string(line[i+1:end]))
					start, i = end+1, end+1
					break
				}
			}
			i++
		}
		if i > start {
			list = append(list, string(line[start:i]))
		}
	}
	return list
}

// quotes maps a quote that opens to the kind that closes it. Phones turn them
// round as they please, so a pair counts as one kind.
var quotes = map[rune]rune{
	'"': '"', '“': '"', '”': '"', '＂': '"',
	'\'': '\'', '‘': '\'', '’': '\'', '＇': '\'',
	'「': '」', '『': '』',
}

// closing finds the quote that closes the one at i: the next of its kind with
// white space or nothing behind it. It is 0 when there is none.
func closing(line []rune, i int, unclosed map[rune]bool) int {
	kind, ok := quotes[line[i]]
	if !ok || unclosed[kind] {
		return 0
	}
	for j := i + 1; j < len(line); j++ {
		last := j+1 == len(line) || unicode.IsSpace(line[j+1])
		if last && (line[j] == kind || quotes[line[j]] == kind) {
			return j
		}
	}
	unclosed[kind] = true
	return 0
}
