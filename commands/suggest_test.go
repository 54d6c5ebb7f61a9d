package commands

import (
	"strings"
	"testing"

	"deskbell/bot"
)

func TestSuggest(t *testing.T) {
	names := []string{"help", "帮助", "whoami", "我是谁", "login", "登录", "logout", "退出", "status", "状态", "agents", "坐席", "lang", "语言"}
	for word, want := range map[string]string{
		"hepl": "help", "halp": "help", "stauts": "status", "Status1": "status", "agent": "agents", "lag": "lang",
		"登陆": "登录", "状太": "状态", "st": "status", "log": "login", "whoim": "whoami",
		"xyzzy": "", "": "", "s": "", "hi": "", "关机": "", "restart": "",
		strings.Repeat("status", 1000): "",
	} {
		if got := suggest(word, names); got != want {
			t.Errorf("suggest(%.20q) = %q, want %q", word, got, want)
		}
	}
}

func TestSlips(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"help", "help", 0}, {"hepl", "help", 1}, {"helpp", "help", 1}, {"状太", "状态", 1}, {"kitten", "sitting", 3}} {
		if got := slips([]rune(c.a), []rune(c.b)); got != c.want {
			t.Errorf("slips(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := slips([]rune(c.b), []rune(c.a)); got != c.want {
			t.Errorf("slips(%q, %q) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

// A suggestion must not tell what others may run.
func TestUnknownNamesOnlyWhatThePersonMayRun(t *testing.T) {
	may := []*Command{{Name: "help"}, {Name: "login", Alias: []string{"登录"}}}
	for word, want := range map[string]string{"audt": "", "logi": "login", "登陆": "登录"} {
		e := unknown(word, may)
		if e.Kind != bot.NotFound || e.Data != (unheard{Word: word, Suggestion: want}) {
			t.Errorf("%s: %+v", word, e)
		}
	}
	if find("LOGIN", may) == nil || find("登录", may) == nil || find("audit", may) != nil {
		t.Error("find misses a command, or finds one that is not there")
	}
}
