package templates

import (
	"bytes"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var langs = []string{"zh", "en"}

func newSet(t testing.TB) *Set {
	t.Helper()
	s, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	s.Zone, s.Now = sampleZone, func() time.Time { return sampleNow }
	return s
}

// Every key that is defined renders with its sample, and every sample has a key.
func TestEverythingRenders(t *testing.T) {
	s := newSet(t)
	for _, lang := range langs {
		texts := sampleTexts("李雷")
		for _, d := range s.langs[lang].texts.Templates() {
			text, err := s.Text(lang, d.Name(), texts[d.Name()])
			if err != nil {
				t.Error(err)
			}
			if strings.Contains(text, "\n\n\n") || strings.Contains(text, "<no value>") {
				t.Errorf("%s %s: %q", lang, d.Name(), text)
			}
			delete(texts, d.Name())
		}
		cards := sampleCards("李雷")
		for key := range s.langs[lang].cards {
			if _, err := s.Card(lang, key, "task-1", cards[key]); err != nil {
				t.Error(err)
			}
			delete(cards, key)
		}
		pages := samplePages("李雷")
		for _, d := range s.langs[lang].pages.Templates() {
			name, ok := strings.CutSuffix(d.Name(), ".html")
			if !ok || name == "layout" {
				continue
			}
			if err := s.Page(&bytes.Buffer{}, lang, name, pages[name]); err != nil {
				t.Error(err)
			}
			delete(pages, name)
		}
		for _, left := range []map[string]any{texts, cards, pages} {
			for key := range left {
				t.Errorf("%s: sample %s has no template", lang, key)
			}
		}
	}
}

func TestTexts(t *testing.T) {
	s := newSet(t)
	agent := sampleAgent("<a href=x>")
	agent["ID"], agent["Name"] = "lilei", "李雷"
	for _, c := range []struct {
		lang, key string
		data      any
		want      string
	}{
		{"zh", "agents", m{"Agents": []m{agent, agent}, "Status": ""}, "李雷（lilei） 忙碌 2/5\n李雷（lilei） 忙碌 2/5"},
		{"en", "agents", m{"Agents": []m{agent}, "Status": ""}, "李雷 (lilei) busy 2/5"},
		{"zh", "agents", m{"Agents": []m{}, "Status": "online"}, "现在没有在线的坐席。"},
		{"en", "agents", m{"Agents": []m{}, "Status": ""}, "There are no agents yet."},
		{"zh", "error.unknown", m{"Word": "stauts", "Suggestion": "status"}, "没有 /stauts 这个命令。您要找的是 /status 吗？"},
		{"en", "error.unknown", m{"Word": "xyz", "Suggestion": ""}, "There is no command /xyz. Send /help to see what you can use."},
		{"zh", "error.usage", m{"Usage": "/lang <zh|en>", "Durations": false}, "用法：/lang <zh|en>"},
		{"en", "error.limited", m{"Wait": 90 * time.Second}, "That was a bit fast. Please try again in 1 minute 30 seconds."},
		{"zh", "whoami", m{"ID": "lilei", "Name": "李雷", "Departments": []int{1, 3}, "Roles": []string{"agent"}, "Agent": agent},
			"账号：lilei\n姓名：李雷\n部门：1、3\n角色：坐席（agent）\n状态：忙碌，20:30 恢复为在线（＜a href=x>）"},
		{"en", "whoami", m{"ID": "eve", "Name": "Eve", "Departments": []int(nil), "Roles": []string{"user"}, "Agent": nil},
			"Account: eve\nName: Eve\nRoles: user"},
		{"zh", "audit", m{"Entries": []m{
			{"At": sampleNow, "Actor": "boss", "Action": "status", "Target": "boss", "Result": "ok", "Detail": "busy 30m"},
			{"At": sampleNow.AddDate(0, 0, -1), "Actor": "boss", "Action": "logout", "Target": "lilei", "Result": "denied", "Detail": ""},
		}, "UserID": ""}, "20:00 boss status busy 30m\n3月4日 20:00 boss logout → lilei [denied]"},
		{"xx", "lang", nil, "好的，以后用中文回复您。"},
	} {
		got, err := s.Text(c.lang, c.key, c.data)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s %s:\n%s", c.lang, c.key, diff)
		}
	}
}

func TestUnknownKeysAndMissingFields(t *testing.T) {
	s := newSet(t)
	if _, err := s.Text("zh", "nothing", nil); err == nil {
		t.Error("an unknown text was rendered")
	}
	if _, err := s.Card("zh", "nothing", "1", nil); err == nil {
		t.Error("an unknown card was rendered")
	}
	if _, err := s.Text("zh", "error.limited", m{}); err == nil {
		t.Error("a text was rendered without its data")
	}
	var w bytes.Buffer
	if err := s.Page(&w, "zh", "notfound", m{}); err == nil || w.Len() > 0 {
		t.Errorf("a page without its data: error %v, wrote %q", err, w.String())
	}
}

func TestWord(t *testing.T) {
	s := newSet(t)
	for word, want := range map[string]string{"在线": "online", "忙": "busy", "离线": "offline", "AWAY": "busy", "全部": "all", "中文": "zh", "English": "en", "午饭": ""} {
		if got := s.Word(word); got != want {
			t.Errorf("Word(%q) = %q, want %q", word, got, want)
		}
	}
}

// Faults that must stop the program at start.
func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		file, body, want string
	}{
		"a key in one language only": {"zh/x.md", `{{define "x"}}x{{end}}`, "text x is missing in en"},
		"a card in one language":     {"en/x.card.json", `{}`, "card x is missing in zh"},
		"a page in one language":     {"en/x.html", `x`, "page x.html is missing in zh"},
		"an empty text":              {"zh/x.md", `{{define "x"}} {{end}}`, "text x is empty in zh"},
		"a key defined twice":        {"zh/x.md", `{{define "status.about"}}x{{end}}`, "status.about is defined twice"},
		"broken syntax":              {"zh/x.md", `{{define "x"}}`, "x.md"},
		"an unknown function":        {"zh/x.html", `{{shout .}}`, "shout"},
		"a stray file":               {"zh/notes.txt", `hello`, "notes.txt"},
		"a word with two meanings":   {"zh/words.md", "online: 在线\nbusy: 在线", "stands for both"},
	} {
		t.Run(name, func(t *testing.T) {
			all := fstest.MapFS{}
			err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					body, _ := fs.ReadFile(files, path)
					all[path] = &fstest.MapFile{Data: body}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			all[c.file] = &fstest.MapFile{Data: []byte(c.body)}
			if _, err := load(all); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

// Pages must live under a policy without inline scripts and styles, and link to
// nothing but what Static holds.
func TestPagesAreSelfContained(t *testing.T) {
	s := newSet(t)
	var static []string
	err := fs.WalkDir(Static(), ".", func(path string, d fs.DirEntry, err error) error {
		static = append(static, "/static/"+path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range langs {
		for name, data := range samplePages(`"><script>alert(1)</script>`) {
			var w bytes.Buffer
			if err := s.Page(&w, lang, name, data); err != nil {
				t.Error(err)
			}
			page := w.String()
			// Scripts of our own may be there, when they do not keep the page from being painted.
			page = regexp.MustCompile(`<script (src="/static/[A-Za-z./-]+") defer></script>`).ReplaceAllString(page, "$1")
			if name == "exporthead" { // a file on its own, which brings its looks
				page = regexp.MustCompile(`(?s)<style>[^<]*</style>`).ReplaceAllString(page, "")
			}
			for _, bad := range []string{"<script", "<style", " style=", "onclick", "//cdn", "http://", "https://"} {
				if strings.Contains(page, bad) {
					t.Errorf("%s %s holds %q", lang, name, bad)
				}
			}
			for _, link := range regexp.MustCompile(`"/static/[^"]*"`).FindAllString(page, -1) {
				if !slices.Contains(static, strings.Trim(link, `"`)) {
					t.Errorf("%s %s links to %s", lang, name, link)
				}
			}
		}
	}
}

func TestRedeemPostsTheTokenToItsOwnPath(t *testing.T) {
	s := newSet(t)
	var w bytes.Buffer
	data := m{"Name": "李雷", "UserID": "lilei", "Expires": sampleNow.Add(10 * time.Minute), "Action": "/agent/chat?tab=2", "Token": "tok_1-2", "Named": false, "OTP": false, "Need": false, "Wrong": false, "Wait": time.Duration(0)}
	if err := s.Page(&w, "zh", "redeem", data); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<form method="post" action="/agent/chat?tab=2"`, `name="accessToken" value="tok_1-2"`, "李雷", "20:10", "继续"} {
		if !strings.Contains(w.String(), want) {
			t.Errorf("%q is missing in\n%s", want, w.String())
		}
	}
}
