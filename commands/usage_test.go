package commands

import (
	"slices"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
)

// synonyms stands in for templates.
func synonyms(word string) string {
	return map[string]string{"在线": "online", "忙碌": "busy", "全部": "all"}[word]
}

func grammar(t testing.TB, name, text string) usage {
	t.Helper()
	u, err := (&Command{Name: name, Usage: text}).usage()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUsageLine(t *testing.T) {
	for text, want := range map[string]string{
		"": "/x",
		"[status:online|busy|offline] [for:duration] [note...]": "/x [online|busy|offline] [duration] [note]",
		"<lang:zh|en>": "/x <zh|en>",
		"<bot> [name] [ttl:duration] [ttl=duration]":       "/x <bot> [name] [duration]",
		"<bot> [ttl=duration] [label=text] [kind=one|two]": "/x <bot> [ttl=duration] [label=text] [kind=one|two]",
		"<userid> <text...>":                               "/x <userid> <text>",
	} {
		if got := grammar(t, "x", text).line(); got != want {
			t.Errorf("%s reads %q, want %q", text, got, want)
		}
	}
}

func TestUsageParse(t *testing.T) {
	const (
		status = "[status:online|busy|offline] [for:duration] [note...]"
		share  = "<bot> [name] [ttl:duration] [ttl=duration] [label=text]"
	)
	for _, c := range []struct {
		usage string
		line  string
		want  string // name=value in order of name, or "wrong"
	}{
		{"", "", ""},
		{"", "x", "wrong"},
		{status, "", ""},
		{status, "busy", "status=busy"},
		{status, "BUSY", "status=busy"},
		{status, "ｂｕｓｙ", "status=busy"},
		{status, "在线", "status=online"},
		{status, "busy 30m lunch at noon", "for=30m note=lunch at noon status=busy"},
		{status, "busy lunch", "note=lunch status=busy"},
		{status, "busy lunch 30m", "note=lunch 30m status=busy"},
		{status, "busy 30m", "for=30m status=busy"},
		{status, `busy ""`, "status=busy"},
		{status, "busy 0m", "wrong"},
		{status, "busy 999d lunch", "wrong"},
		{status, "sleepy", "wrong"},
		{status, "30m", "wrong"},
		{status, "all", "wrong"},
		{"[all:all]", "全部", "all=all"},
		{"[all:all]", "all all", "wrong"},
		{"[for:duration]", "lunch", "wrong"},
		{"<lang:zh|en>", "", "wrong"},
		{"<lang:zh|en>", "zh en", "wrong"},
		{"<code>", `""`, "wrong"},
		{"<code>", "a=b", "code=a=b"},
		{"<userid> <text...>", "mei", "wrong"},
		{"<userid> <text...>", `mei ""`, "wrong"},
		{"<userid> <text...>", "mei hello there", "text=hello there userid=mei"},
		{share, "helper", "bot=helper"},
		{share, "helper 7d", "bot=helper ttl=7d"},
		{share, "helper front 7d", "bot=helper name=front ttl=7d"},
		{share, "helper front ttl=7d", "bot=helper name=front ttl=7d"},
		{share, "TTL=7d helper front", "bot=helper name=front ttl=7d"},
		{share, "helper 7d ttl=7d", "wrong"},
		{share, "helper ttl=soon", "wrong"},
		{share, "helper ttl=", "wrong"},
		{share, "helper label=a label=b", "wrong"},
		{share, `helper label="front desk"`, "bot=helper label=front desk"},
		{share, "7d", "bot=7d"},
		{share, "a b 7d d", "wrong"},
	} {
		args, err := words("/x " + c.line)
		if err != nil {
			t.Fatal(err)
		}
		got, err := grammar(t, "x", c.usage).parse(args[1:], synonyms)
		if shown := show(got, err); shown != c.want {
			t.Errorf("%s: %q gives %q, want %q", c.usage, c.line, shown, c.want)
		}
	}
}

func show(a arguments, err error) string {
	if err != nil {
		return "wrong"
	}
	var list []string
	for name, value := range a.words {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestUsageDurations(t *testing.T) {
	got, err := grammar(t, "x", "[for:duration]").parse([]string{"1小时"}, synonyms)
	if err != nil || !got.Has("for") || got.Duration("for") != time.Hour || got.Arg("for") != "1小时" {
		t.Errorf("%+v, %v", got, err)
	}
	var none arguments
	if none.Has("x") || none.Arg("x") != "" || none.Duration("x") != 0 {
		t.Error("no arguments hold something")
	}
}

func TestUsageErrorIsForThePerson(t *testing.T) {
	u := grammar(t, "status", "[status:online|busy] [for:duration]")
	_, err := u.parse([]string{"sleepy"}, synonyms)
	e := bot.Explain(err)
	if e.Kind != bot.Invalid || e.Key != "error.usage" || e.Data != (misuse{Usage: "/status [online|busy] [duration]", Durations: true}) {
		t.Errorf("%+v", e)
	}
}

// Mistakes in a Usage are found when the table is made.
func TestUsageRefuses(t *testing.T) {
	for _, text := range []string{
		"name", "<name", "[name>", "<>", "[]", "[Name]", "[a:]", "[a:x||y]", "[a:X]", "[a...] [b]", "[a] <b>", "<a> [a]",
		"<a=text>", "[a=text] [a=text]", "[a:b:c d]", "[a....]",
	} {
		if _, err := (&Command{Name: "x", Usage: text}).usage(); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func FuzzUsage(f *testing.F) {
	for _, seed := range [][2]string{
		{"[status:online|busy|offline] [for:duration] [note...]", "busy 30m lunch"},
		{"<bot> [name] [ttl:duration] [ttl=duration]", "helper ttl=7d"},
		{"<a> <b...>", `x "y z" “”`},
		{"[all:all]", "全部"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, line string) {
		u, err := (&Command{Name: "x", Usage: text}).usage()
		if err != nil {
			return
		}
		args, err := words("/x " + line)
		if err != nil || len(args) == 0 {
			t.Fatalf("%q: %q, %v", line, args, err)
		}
		got, err := u.parse(args[1:], synonyms)
		if err != nil {
			if len(got.words) > 0 || bot.Explain(err).Key != "error.usage" {
				t.Fatalf("%v with %v", got, err)
			}
			return
		}
		for _, p := range append(u.places, u.options...) {
			if p.required && !got.Has(p.name) {
				t.Fatalf("%s is required and missing", p.name)
			}
		}
		for name, value := range got.words {
			is := func(p param) bool { return p.name == name }
			if value == "" || !slices.ContainsFunc(u.places, is) && !slices.ContainsFunc(u.options, is) {
				t.Fatalf("%s=%q came from nowhere", name, value)
			}
		}
		for name, d := range got.durations {
			if d <= 0 || d > maxDuration || !got.Has(name) {
				t.Fatalf("%s lasts %v", name, d)
			}
		}
	})
}
