package commands

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestWords(t *testing.T) {
	for line, want := range map[string][]string{
		`/status busy 30m lunch`:        {"status", "busy", "30m", "lunch"},
		"／状态　busy 30m \"in a meeting\"": {"状态", "busy", "30m", "in a meeting"},
		"  /STATUS\tBusy\n30M ":         {"status", "Busy", "30M"},
		"／ＳＴＡＴＵＳ　ｂｕｓｙ":                  {"status", "ｂｕｓｙ"},
		"/ help":                        {"help"},
		"/":                             {},
		"/note 'it is' “two words” 「三 个」 ‘a b’": {"note", "it is", "two words", "三 个", "a b"},
		`/note ”wrong way round“`:               {"note", "wrong way round"},
		`/note "" x`:                            {"note", "", "x"},
		`/note don't "stop`:                     {"note", "don't", `"stop`},
		`/note "a"b c"`:                         {"note", `a"b c`},
		`/note 5" 6"`:                           {"note", `5"`, `6"`},
		`/new name="my bot" x`:                  {"new", "name=my bot", "x"},
		"/st\u200Ba\u202Etus\x00 b\u200Dc":      {"status", "bc"},
		"/bad \xff byte":                        {"bad", "\uFFFD", "byte"},
	} {
		got, err := words(line)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("words(%q) = %q, %v, want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"", "  ", "hello", "、help", "\u200B", `"/help"`} {
		if got, err := words(line); !errors.Is(err, errNoSlash) {
			t.Errorf("words(%q) = %q, %v, want no command", line, got, err)
		}
	}
}

// A line of quotes must not cost the square of its length.
func TestWordsStayLinear(t *testing.T) {
	line := "/" + strings.Repeat(`"a 'b 「c `, 20_000)
	got, err := words(line)
	if err != nil || len(got) != 60_000 {
		t.Errorf("%d words, %v", len(got), err)
	}
}

func TestDuration(t *testing.T) {
	for word, want := range map[string]time.Duration{
		"30m": 30 * time.Minute, "12h": 12 * time.Hour, "7d": 7 * 24 * time.Hour, "1h30m": 90 * time.Minute, "45s": 45 * time.Second,
		"30分钟": 30 * time.Minute, "2小时": 2 * time.Hour, "2个小时": 2 * time.Hour, "1天": 24 * time.Hour, "1小时30分": 90 * time.Minute,
		"30M": 30 * time.Minute, "３０ｍ": 30 * time.Minute, "90min": 90 * time.Minute, "365d": maxDuration,
		// Meant as durations, and refused.
		"0m": 0, "1.5h": 0, "0,5小时": 0, "366d": 0, "-5m": 0, "365d1s": 0, "99999999999999999999h": 0, "9223372036854775807s": 0,
	} {
		if got, meant := duration(word); got != want || !meant {
			t.Errorf("duration(%q) = %v, %v, want %v", word, got, meant, want)
		}
	}
	for _, word := range []string{"", "-", "30", "m", "30m1h", "1.5", "lunch", "30mm", "5 m", "1h 30m"} {
		if got, meant := duration(word); meant || got != 0 {
			t.Errorf("duration(%q) = %v, taken for a duration", word, got)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, line := range []string{"/status busy 30m lunch", "／状态　“在 开会”", `/a b="c d" 'e`, "/\u200B\"", "", "hello", "/x=\"\" 「」"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := words(line)
		if err != nil && got != nil {
			t.Fatalf("%q with %v", got, err)
		}
		for i, w := range got {
			if !utf8.ValidString(w) || strings.ContainsFunc(w, func(r rune) bool { return !unicode.IsSpace(r) && unicode.In(r, unicode.Cc, unicode.Cf) }) {
				t.Fatalf("word %d of %q is %q", i, line, w)
			}
		}
		if len(got) > 0 && got[0] != fold(got[0]) {
			t.Fatalf("%q is not folded", got[0])
		}
	})
}
