package templates

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// anyWords draws what a person may type, with a liking for what does harm.
func anyWords() *rapid.Generator[string] {
	harm := rapid.SampledFrom([]string{
		`<a href="https://evil.example">`, "</a>", "<", "<<a", "<\u200Ba href=x>", "\u202E", "\u2066", "\u200D", "\uFEFF", "\u3164",
		"\n", "\r\n", "\x00", "\x1b[2J", `"`, `\`, `","key":"x`, "{{.}}", "😀", "午饭", "\xff", "e\u0301",
	})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.String(), harm), 0, 8).Draw(t, "parts"), "")
	})
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"午饭 lunch":                   "午饭 lunch",
		`<a href="x">点我</a>`:         `＜a href="x">点我＜/a>`,
		"two\nlines\tand\u00A0space": "two lines and space",
		"abc\u202Edcb\u200B":         "abcdcb",
		"\u3164\u200B":               "",
		"bad\xffbyte":                "bad\uFFFDbyte",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
	if got := plain(7); got != "7" {
		t.Errorf("plain(7) = %q", got)
	}
}

func TestPlainLeavesNoMarkup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Two holes side by side must not make markup together either.
		got := plain(anyWords().Draw(t, "first")) + plain(anyWords().Draw(t, "second"))
		if strings.Contains(got, "<") || !utf8.ValidString(got) {
			t.Fatalf("%q", got)
		}
		for _, r := range got {
			if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Fatalf("%U is left in %q", r, got)
			}
		}
		if again := plain(got); again != strings.TrimSpace(got) {
			t.Fatalf("plain twice differs: %q, %q", got, again)
		}
	})
}

// Whatever people are called and write: texts keep their lines and their
// markup, and stay within the limit.
func TestTextsKeepTheirShape(t *testing.T) {
	s := newSet(t)
	tag := regexp.MustCompile(`<[a-z/!]`)
	rapid.Check(t, func(rt *rapid.T) {
		lang := rapid.SampledFrom(langs).Draw(rt, "lang")
		word := anyWords().Draw(rt, "word")
		tame := sampleTexts("x")
		for key, data := range sampleTexts(word) {
			if strings.HasPrefix(key, "time.") {
				continue
			}
			got, err := s.Text(lang, key, data)
			if err != nil {
				rt.Fatal(err)
			}
			want, err := s.Text(lang, key, tame[key])
			if err != nil {
				rt.Fatal(err)
			}
			if len(got) > maxText || !utf8.ValidString(got) || len(tag.FindAllString(got, -1)) != len(tag.FindAllString(want, -1)) {
				rt.Fatalf("%s %s: %q", lang, key, got)
			}
			if key == "session.said" || key == "broadcast.message" { // people's own lines, behind one of ours
				got, _, _ = strings.Cut(got, "\n")
				want, _, _ = strings.Cut(want, "\n")
			}
			if !strings.HasSuffix(got, "…") && strings.Count(got, "\n") != strings.Count(want, "\n") {
				rt.Fatalf("%s %s has other lines:\n%s\nthan\n%s", lang, key, got, want)
			}
		}
	})
}

// And cards keep their buttons and links, and pass WeCom's checks.
func TestCardsKeepTheirShape(t *testing.T) {
	s := newSet(t)
	rapid.Check(t, func(rt *rapid.T) {
		lang := rapid.SampledFrom(langs).Draw(rt, "lang")
		word := "x" + anyWords().Draw(rt, "word")
		for key, data := range sampleCards(word) {
			raw, err := s.Card(lang, key, "task-1", data)
			if err != nil {
				rt.Fatal(err)
			}
			tame, err := s.Card(lang, key, "task-1", sampleCards("x")[key])
			if err != nil {
				rt.Fatal(err)
			}
			var got, want card
			if err := json.Unmarshal(raw, &got); err != nil {
				rt.Fatal(err)
			}
			if err := json.Unmarshal(tame, &want); err != nil {
				rt.Fatal(err)
			}
			if len(got.Rows) != len(want.Rows) || len(got.Buttons) != len(want.Buttons) || len(got.Jumps) != len(want.Jumps) {
				rt.Fatalf("%s %s: %s", lang, key, raw)
			}
			for i := range got.Buttons {
				if key == "session.choose" { // its buttons are people's names
					got.Buttons[i].Text, want.Buttons[i].Text = "", ""
				}
				if got.Buttons[i] != want.Buttons[i] {
					rt.Fatalf("%s %s: button %v", lang, key, got.Buttons[i])
				}
			}
		}
	})
}

func TestQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "in")
		inner, err := quote(in)
		if err != nil {
			t.Fatal(err)
		}
		var out string
		if err := json.Unmarshal([]byte(`"`+inner+`"`), &out); err != nil || out != in {
			t.Fatalf("%q became %q: %v", in, out, err)
		}
	})
}

func TestLines(t *testing.T) {
	for _, c := range []struct {
		n        int
		in, want string
	}{
		{100, "one\r\n two <a>\n\n\n\u202Ethree\n", "one\ntwo ＜a>\n\nthree"},
		{9, "午饭时间", "午饭…"},
		{100, "\u200B\n\n", ""},
	} {
		if got := lines(c.n, c.in); got != c.want {
			t.Errorf("lines(%d, %q) = %q, want %q", c.n, c.in, got, c.want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		n        int
		in, want string
	}{{5, "午饭", "午饭"}, {2, "午饭", "午饭"}, {3, "午饭时间", "午饭…"}, {1, "ab", "…"}} {
		if got := cut(c.n, c.in); got != c.want {
			t.Errorf("cut(%d, %q) = %q, want %q", c.n, c.in, got, c.want)
		}
	}
}

func TestShorten(t *testing.T) {
	link := `<a href="https://desk.example.com/">打开</a>`
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"short", 5, "short"},
		{"longer", 5, "lo…"},
		{"午饭时间", 11, "午饭…"},
		{"午饭时间", 10, "午饭…"},
		{"见 " + link + " 谢谢", len("见 "+link) - 2, "见…"},
		{"见 " + link + " 谢谢您", len("见 "+link) + 4, "见 " + link + "…"},
	} {
		if got := shorten(c.in, c.limit); got != c.want || len(got) > c.limit {
			t.Errorf("shorten(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	s := newSet(t)
	for _, c := range []struct {
		at     time.Time
		zh, en string
	}{
		{sampleNow, "20:00", "20:00"},
		{sampleNow.Add(4 * time.Hour), "3月6日 00:00", "6 Mar 00:00"}, // tomorrow in the zone, today in UTC
		{sampleNow.AddDate(1, 0, 0), "2027年3月5日 20:00", "5 Mar 2027 20:00"},
	} {
		for lang, want := range map[string]string{"zh": c.zh, "en": c.en} {
			got, err := s.langs[lang].when(c.at.In(sampleZone), sampleNow.In(sampleZone))
			if err != nil || got != want {
				t.Errorf("%s when(%v) = %q, %v, want %q", lang, c.at, got, err, want)
			}
		}
	}
}

func TestDurations(t *testing.T) {
	s := newSet(t)
	for d, want := range map[time.Duration]string{
		0:                           "1 second",
		1500 * time.Millisecond:     "2 seconds",
		59*time.Second + 1:          "1 minute",
		10 * time.Minute:            "10 minutes",
		90 * time.Second:            "1 minute 30 seconds",
		time.Hour - time.Nanosecond: "1 hour",
		90 * time.Minute:            "1 hour 30 minutes",
		24*time.Hour + time.Minute:  "1 day 1 hour",
		365 * 24 * time.Hour:        "365 days",
	} {
		if got, err := s.langs["en"].dur(d); err != nil || got != want {
			t.Errorf("dur(%v) = %q, %v, want %q", d, got, err, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "刚刚", 59 * time.Second: "刚刚", 5*time.Minute + 30*time.Second: "5 分钟前", 25 * time.Hour: "1 天 1 小时前",
	} {
		if got, err := s.langs["zh"].ago(d); err != nil || got != want {
			t.Errorf("ago(%v) = %q, %v, want %q", d, got, err, want)
		}
	}
}
