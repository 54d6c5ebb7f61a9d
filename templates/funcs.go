package templates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// funcs are the functions templates may call. Their words come from the same
// language: the formats and units from time.md, the choices from words.md.
func (s *Set) funcs(l *language) map[string]any {
	return map[string]any{
		"plain": plain,
		"cut":   cut,
		"lines": lines,
		"json":  quote,
		"say":   l.say,
		"part":  l.part,
		"tell":  l.phrase,
		"when":  func(t time.Time) (string, error) { return l.when(t.In(s.Zone), s.Now().In(s.Zone)) },
		"day":   func(t time.Time) (string, error) { return l.day(t.In(s.Zone), s.Now().In(s.Zone)) },
		"clock": func(t time.Time) (string, error) { return l.written("time.day", t.In(s.Zone)) },
		"ago":   func(t time.Time) (string, error) { return l.ago(s.Now().Sub(t)) },
		"dur":   l.dur,
		"args":  args,
	}
}

// args are the values that a piece of a page takes, by name: html/template
// hands over one value only.
func args(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("args: a name without a value")
	}
	all := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("args: %v is no name", pairs[i])
		}
		all[name] = pairs[i+1]
	}
	return all, nil
}

// plain makes any value harmless in a text or card: one line, no markup (WeCom
// reads <a href> in texts), and nothing invisible that makes words look like
// other words.
func plain(value any) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '<':
			return '＜'
		case unicode.IsSpace(r):
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co), blank(r):
			return -1
		}
		return r
	}, fmt.Sprint(value))
	return strings.TrimSpace(clean)
}

// blank reports letters that print nothing, which Unicode does not count among
// its format characters.
func blank(r rune) bool {
	switch r {
	case '\u034F', '\u115F', '\u1160', '\u17B4', '\u17B5', '\u2800', '\u3164', '\uFFA0':
		return true
	}
	return false
}

// cut is plain for the fields of a card: at most n characters.
func cut(n int, value any) string {
	runes := []rune(plain(value))
	if len(runes) <= n {
		return string(runes)
	}
	return string(runes[:n-1]) + "…"
}

// lines is plain for words that stand at the end of a text: their lines stay, at
// most n bytes of them. What is longer is shown as that.
func lines(n int, value any) string {
	var kept []string
	for line := range strings.Lines(fmt.Sprint(value)) {
		if line = plain(line); line != "" || len(kept) > 0 && kept[len(kept)-1] != "" { // one empty line is as good as many
			kept = append(kept, line)
		}
	}
	return shorten(strings.TrimSpace(strings.Join(kept, "\n")), n)
}

// quote escapes a value for the inside of a JSON string.
func quote(s string) (string, error) {
	if !strings.ContainsFunc(s, needsQuoting) {
		return s, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return "", err
	}
	in := strings.TrimSuffix(b.String(), "\n")
	return in[1 : len(in)-1], nil
}

func needsQuoting(r rune) bool {
	return r < ' ' || r == '"' || r == '\\' || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
}

// say shows a choice in the reader's language; a word that is none, as it is.
func (l *language) say(choice string) string {
	if word, ok := l.words[choice]; ok {
		return word
	}
	return plain(choice)
}

// part renders the text whose key is the parts joined by dots, so that /help
// can list whatever commands there are.
func (l *language) part(keys ...any) (string, error) {
	parts := make([]string, len(keys))
	for i, key := range keys {
		parts[i] = fmt.Sprint(key) // a state or a role is a word, too
	}
	return l.phrase(strings.Join(parts, "."), nil)
}

func (l *language) phrase(key string, data any) (string, error) {
	var b strings.Builder
	if err := l.text(&b, key, data); err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return strings.TrimSpace(b.String()), nil
}

// when shows a moment as briefly as today allows.
func (l *language) when(t, now time.Time) (string, error) {
	key := "time.year"
	switch {
	case t.Year() == now.Year() && t.YearDay() == now.YearDay():
		key = "time.day"
	case t.Year() == now.Year():
		key = "time.date"
	}
	return l.written(key, t)
}

// day shows the day of a moment, not how far away it is: that changes.
func (l *language) day(t, now time.Time) (string, error) {
	if t.Year() != now.Year() {
		return l.written("time.fullday", t)
	}
	return l.written("time.monthday", t)
}

// written is a moment in the layout under a key.
func (l *language) written(key string, t time.Time) (string, error) {
	layout, err := l.phrase(key, nil)
	return t.Format(layout), err
}

// ago shows how long something has been past.
func (l *language) ago(d time.Duration) (string, error) {
	if d < time.Minute {
		return l.phrase("time.now", nil)
	}
	long, err := l.dur(d.Truncate(time.Minute))
	if err != nil {
		return "", err
	}
	return l.phrase("time.ago", long)
}

// units are what a duration is shown in, largest first.
var units = []struct {
	key  string
	size time.Duration
}{{"time.days", 24 * time.Hour}, {"time.hours", time.Hour}, {"time.minutes", time.Minute}, {"time.seconds", time.Second}}

// dur shows a duration in its two largest units, never as less than it is:
// whoever waits that long must not be early.
func (l *language) dur(d time.Duration) (string, error) {
	d = max(d, time.Second)
	small := units[min(largest(d)+1, len(units)-1)].size
	d = (d + small - 1).Truncate(small)
	var parts []string
	for _, u := range units[largest(d):] {
		if n := int64(d / u.size); n > 0 {
			word, err := l.phrase(u.key, n)
			if err != nil {
				return "", err
			}
			parts = append(parts, word)
		}
		d %= u.size
	}
	return strings.Join(parts, " "), nil
}

// largest is the index of the largest unit that fits into d, which is at least
// a second.
func largest(d time.Duration) int {
	i := 0
	for d < units[i].size {
		i++
	}
	return i
}
