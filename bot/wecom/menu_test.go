package wecom

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var cliMenu = Menu{Buttons: []Button{
	{Type: "click", Name: "状态", Key: "/status busy"},
	{Name: "更多", Sub: []Button{{Type: "view", Name: "官网", URL: "https://desk.example/?a=1&b=2"}}},
}}

const cliMenuJSON = `{"button":[{"type":"click","name":"状态","key":"/status busy"},{"name":"更多","sub_button":[{"type":"view","name":"官网","url":"https://desk.example/?a=1&b=2"}]}]}`

func TestMenu(t *testing.T) {
	f, c := cliStart(t, nil, map[string]func(*http.Request) string{
		"menu/create": func(r *http.Request) string {
			if r.URL.Query().Get("agentid") != "1000002" {
				return cliFails(40056)(r)
			}
			return `{"errcode":0,"errmsg":"ok"}`
		},
		"menu/get": cliSays(cliMenuJSON), // as documented, without an errcode
	})
	if err := c.SetMenu(t.Context(), cliMenu); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(f.body("menu/create", 0)); got != cliMenuJSON {
		t.Errorf("sent %s", got)
	}
	if got, err := c.Menu(t.Context()); err != nil || !reflect.DeepEqual(got, cliMenu) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNoMenu(t *testing.T) {
	_, c := cliStart(t, nil, map[string]func(*http.Request) string{"menu/get": cliFails(46003)})
	if got, err := c.Menu(t.Context()); err != nil || len(got.Buttons) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMenuLimits(t *testing.T) {
	click := func(name, key string) Button { return Button{Type: "click", Name: name, Key: key} }
	drawer := func(n int) Button { return Button{Name: "more", Sub: slices.Repeat([]Button{click("a", "a")}, n)} }
	for name, m := range map[string]Menu{
		"empty":       {},
		"too many":    {slices.Repeat([]Button{click("a", "a")}, 4)},
		"full drawer": {[]Button{drawer(6)}},
		"long name":   {[]Button{click(strings.Repeat("状", 6), "a")}},
		"long sub":    {[]Button{{Name: "m", Sub: []Button{click(strings.Repeat("x", 41), "a")}}}},
		"no name":     {[]Button{click("", "a")}},
		"no key":      {[]Button{click("a", "")}},
		"long key":    {[]Button{click("a", strings.Repeat("k", 129))}},
		"no type":     {[]Button{{Name: "a", Key: "a"}}},
		"odd type":    {[]Button{{Type: "media", Name: "a", Key: "a"}}},
		"odd url":     {[]Button{{Type: "view", Name: "a", URL: "javascript:x"}}},
		"deep":        {[]Button{{Name: "m", Sub: []Button{drawer(1)}}}},
		"typed":       {[]Button{{Type: "click", Name: "m", Sub: []Button{click("a", "a")}}}},
	} {
		if m.check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := (Menu{[]Button{click(strings.Repeat("x", 16), strings.Repeat("k", 128)), drawer(5), drawer(1)}}).check(); err != nil {
		t.Error(err)
	}
}

func TestApp(t *testing.T) {
	_, c := cliStart(t, nil, map[string]func(*http.Request) string{
		"agent/get":     cliSays(`{"errcode":0,"agentid":1000002,"name":"IT支持","close":1,"redirect_domain":"desk.example","isreportenter":1}`),
		"getcallbackip": cliSays(`{"ip_list":["1.2.3.4","101.226.103.*"]}`),
	})
	got, err := c.App(t.Context())
	if want := (AppInfo{"IT支持", true, "desk.example", true}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.CallbackIPs(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestUserInfo(t *testing.T) {
	for answer, want := range map[string]string{
		`{"errcode":0,"userid":"LiLei"}`:                       "LiLei",
		`{"errcode":0,"openid":"o1","external_userid":"wmXX"}`: "",
		`{"errcode":0,"userid":"ww1/LiLei"}`:                   "",
		`{"errcode":40029}`:                                    "",
	} {
		_, c := cliStart(t, nil, map[string]func(*http.Request) string{"auth/getuserinfo": cliSays(answer)})
		got, err := c.UserInfo(t.Context(), "code&access_token=x")
		if got != want || errors.Is(err, ErrNotMember) != (want == "") {
			t.Errorf("%s: %q, %v", answer, got, err)
		}
	}
	_, c := cliStart(t, nil, map[string]func(*http.Request) string{"auth/getuserinfo": cliFails(-1)})
	if _, err := c.UserInfo(t.Context(), "code"); errors.Is(err, ErrNotMember) || !Temporary(err) {
		t.Errorf("got %v", err)
	}
}
