package wecom

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestScrub(t *testing.T) {
	for in, want := range map[string]string{
		`Get "https://qyapi.weixin.qq.com/cgi-bin/gettoken?corpid=ww&corpsecret=CANARY": EOF`: `Get "[address]": EOF`,
		"http get error : uri=https://x/y?access_token=CANARY , statusCode=500":               "http get error : uri=[address] , statusCode=500",
		`x/cgi-bin/gettoken?corpid=ww&corpsecret=CANARY&debug=1`:                              `x/cgi-bin/gettoken?corpid=ww&corpsecret=[redacted]&debug=1`,
		`{"access_token":"CANARY","expires_in":7200}`:                                         `{"access_token":"[redacted]","expires_in":7200}`,
		`"{\"access_token\": \"CANARY\"}"`:                                                    `"{\"access_token\": \"[redacted]\"}"`,
		"next=%2Fa%3Fcode%3DCANARY":                                                           "next=%2Fa%3Fcode%3D[redacted]",
		"response_code: CANARY, then":                                                         "response_code: [redacted], then",
		"redis://:CANARY@host:6379 is down":                                                   "[address] is down",
		"dial tcp 127.0.0.1:1: connect: connection refused":                                   "dial tcp 127.0.0.1:1: connect: connection refused",
		"invalid credential, hint: [17_1_ab], errcode 40014":                                  "invalid credential, hint: [17_1_ab], errcode 40014",
	} {
		if got := scrub(in); got != want {
			t.Errorf("scrub(%s)\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestCleanMsg(t *testing.T) {
	got := cleanMsg("not allow to access from your ip, hint: [1], from ip: 203.0.113.7, more info at https://x/devtool?e=60020")
	if want := "not allow to access from your ip, hint: [1], from ip: 203.0.113.7"; got != want {
		t.Errorf("got %q", got)
	}
	if got := cleanMsg("a\nb\x00\xff" + strings.Repeat("错", 200)); len(got) > maxMsg+len("…") || strings.ContainsAny(got, "\n\x00") || !utf8.ValidString(got) {
		t.Errorf("got %q", got)
	}
}

// FuzzScrub puts a credential behind its name, in the ways it is written, into
// any surroundings.
func FuzzScrub(f *testing.F) {
	f.Add("Get \"https://x/cgi-bin/gettoken?", "&debug=1\": EOF")
	f.Add(`code="`, "")
	f.Add("key=%3d", "\xff")
	f.Fuzz(func(t *testing.T, before, after string) {
		const canary = "CaNaRy0123456789"
		if strings.Contains(before+after, canary[:4]) || strings.Contains(strings.ToLower(after), "canary") {
			return
		}
		for _, form := range []string{"corpsecret=%s", "access_token=%s", `"access_token": "%s"`, `\"access_token\":\"%s\"`, "code%%3D%s", "ACCESS_TOKEN=%s"} {
			// A name must begin somewhere: "xcode" is not "code".
			s := before + " " + fmt.Sprintf(form, canary) + " " + after
			if got := scrub(s); strings.Contains(got, canary) {
				t.Errorf("scrub(%q) = %q", s, got)
			}
		}
	})
}

// TestNoErrorHoldsACredential breaks calls in every way and reads all that comes
// out: errors and logs.
func TestNoErrorHoldsACredential(t *testing.T) {
	echo := func(r *http.Request) string {
		return fmt.Sprintf(`{"errcode":40058,"errmsg":%q}`, "refused "+r.URL.String()+" "+r.URL.Query().Get("access_token"))
	}
	ways := map[string]func(*http.Request) string{
		"echo": echo, "status": cliSays("HTTP 500"), "html": cliSays("<html>"), "no errcode": cliSays("{}"),
		"type":    cliSays(`{"errcode":0,"userid":{},"msgid":{},"name":{},"userlist":{},"invaliduser":{}}`),
		"hang up": func(r *http.Request) string { panic(http.ErrAbortHandler) },
	}
	for name, way := range ways {
		f, c := cliStart(t, nil, map[string]func(*http.Request) string{
			"user/get": way, "message/send": way, "agent/get": way, "message/update_template_card": way, "auth/getuserinfo": way,
		})
		var errs []error
		add := func(err error) { errs = append(errs, err) }
		_, err := c.Person(t.Context(), "lilei", nil)
		add(err)
		_, err = c.Send(t.Context(), cliText)
		add(err)
		_, err = c.Send(t.Context(), cliUpdate)
		add(err)
		_, err = c.App(t.Context())
		add(err)
		_, err = c.UserInfo(t.Context(), "CODE-CANARY")
		add(err)
		for _, err := range errs {
			if err == nil {
				t.Errorf("%s: no error", name)
				continue
			}
			cliNoCanary(t, name, err.Error())
		}
		cliNoCanary(t, name, f.log.String())
	}
}

func TestNoGetTokenErrorHoldsTheSecret(t *testing.T) {
	for name, way := range map[string]func(*http.Request) string{
		"echo": func(r *http.Request) string {
			return fmt.Sprintf(`{"errcode":40001,"errmsg":%q}`, "refused "+r.URL.String()+" and "+cliSecret)
		},
		"status": cliSays("HTTP 500"), "hang up": func(r *http.Request) string { panic(http.ErrAbortHandler) },
	} {
		f, c := cliStart(t, nil, map[string]func(*http.Request) string{"gettoken": way})
		_, err := c.App(t.Context())
		cliNoCanary(t, name, err.Error())
		cliNoCanary(t, name, f.log.String())
	}
	for _, base := range []string{"http://127.0.0.1:1", "ftp://nowhere", "http://[::1", "http://host.invalid/x"} {
		var log strings.Builder
		c := NewClient(ClientOptions{CorpID: cliCorp, Secret: cliSecret, APIBase: base, Log: slog.New(slog.NewTextHandler(&log, nil))})
		_, err := c.App(t.Context())
		if err == nil {
			t.Fatalf("%s: no error", base)
		}
		cliNoCanary(t, base, err.Error())
		cliNoCanary(t, base, log.String())
	}
}

func cliNoCanary(t *testing.T, name, s string) {
	t.Helper()
	if strings.Contains(s, "CANARY") || strings.Contains(s, url.QueryEscape(cliSecret)) || strings.Contains(s, "://") {
		t.Errorf("%s: %s", name, s)
	}
}
