package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deskbell/bot/wecom"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, `expected one of "demo"`},
		{"frobnicate", 2, "frobnicate"},
		{"serve --colour", 2, "--colour"},
		{"serve extra", 2, "extra"},
		{"serve --listen 8080", 2, "--listen is not host:port"},
		{"demo --listen localhost", 2, "--listen is not host:port"},
		{"demo --sandbox-listen :x", 2, "--sandbox-listen is not host:port"},
		{"check --fix", 2, "--fix"},
		{"--help", 0, "Usage: deskbell"},
		{"demo --help", 0, "deskbell demo --script -"},
		{"serve --help", 0, "DESKBELL_WECOM_SECRET_FILE"},
		{"check --help", 0, "--fix-menu"},
		{"migrate --help", 0, "deskbell migrate --config config.toml"},
		{"keys", 2, "rotate"},
		{"keys rotate --help", 0, "deskbell keys rotate --config config.toml"},
		{"keys status --help", 0, "deskbell keys status --config config.toml"},
		{"otp-reset", 2, "<userid>"},
		{"otp-reset --help", 0, "deskbell otp-reset --config config.toml boss"},
		{"version", 0, "deskbell "},
	} {
		code, out, errOut := shell(t, nil, strings.Fields(c.args)...)
		where, other := out, errOut
		if c.code != 0 {
			where, other = errOut, out
		}
		if code != c.code || !strings.Contains(where, c.says) || other != "" {
			t.Errorf("deskbell %s: exit %d, out %q, err %q", c.args, code, out, errOut)
		}
	}
}

func TestVersionNamesTheCommit(t *testing.T) {
	defer func(before string) { commit = before }(commit)
	commit = "0123abc"
	if _, out, _ := shell(t, nil, "version"); !strings.HasSuffix(out, ", commit 0123abc\n") {
		t.Error(out)
	}
}

// installation is a configured server and the WeCom it talks to.
func installation(t *testing.T, gettoken string) (config string, environ []string) {
	t.Helper()
	cfg, err := LoadConfig(complete, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	app, err := wecom.NewApp(wecom.Config{
		CorpID: cfg.WeCom.CorpID, AgentID: cfg.WeCom.AgentID, Token: cfg.WeCom.Token.Reveal(), EncodingAESKey: cfg.WeCom.EncodingAESKey.Reveal(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"errcode":0}`
		switch r.URL.Path {
		case "/callbacks/wecom":
			echo, err := app.Echo([]byte(r.URL.RawQuery), time.Now())
			if err != nil {
				w.WriteHeader(http.StatusForbidden)
			}
			answer = string(echo)
		case "/cgi-bin/gettoken":
			answer = gettoken
		case "/cgi-bin/agent/get":
			answer = `{"errcode":0,"name":"服务台","isreportenter":1}`
		case "/cgi-bin/menu/get":
			answer = `{"errcode":46003,"errmsg":"no menu"}`
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	text, err := os.ReadFile(complete)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config = filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return config, []string{
		"DESKBELL_SERVER_PUBLIC_URL=" + server.URL, "DESKBELL_WECOM_API_BASE=" + server.URL,
		"DESKBELL_STORE_URL=sqlite:" + filepath.Join(dir, "desk.db"),
	}
}

const goodToken = `{"errcode":0,"access_token":"t","expires_in":7200}`

func TestCheck(t *testing.T) {
	config, environ := installation(t, goodToken)
	code, out, errOut := shell(t, environ, "check", "--config", config, "--fix-menu")
	if code != 0 || errOut != "" {
		t.Errorf("exit %d: %s", code, errOut)
	}
	for _, line := range []string{
		"ok    configuration", "warn  configuration   server.public_url is plain http", "store", "ok    token", "ok    agent id", "ok    egress IP",
		"ok    callback URL", "ok    menu            written", "ok    clock",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	if strings.Contains(out, "FAIL") || strings.Contains(out, "Redis") || strings.Contains(out, "MARK") {
		t.Error(out)
	}
}

func TestCheckFails(t *testing.T) {
	config, environ := installation(t, `{"errcode":40001,"errmsg":"invalid credential"}`)
	if err := os.Chmod(config, 0o644); err != nil {
		t.Fatal(err)
	}
	environ = append(environ, "DESKBELL_REDIS_URL=redis://:MARK@127.0.0.1:1", "DESKBELL_TOKENS_LINK_MODE=direct", "DESKBELL_SECURITY_REQUIRE_ADMIN_OTP=false")
	code, out, _ := shell(t, environ, "check", "--config", config)
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	for _, line := range []string{
		"can be read by everybody on this host → chmod 600", "tokens.link_mode puts full access tokens", "security.require_admin_otp is off",
		"FAIL  Redis", "FAIL  token", "→ wecom.secret is wrong", "warn  menu            not checked", "ok    callback URL",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	if strings.Contains(out, "MARK") {
		t.Errorf("shows a secret:\n%s", out)
	}
}

// The menu WeCom is given says what the bot understands.
func TestMenuFitsWeCom(t *testing.T) {
	for _, b := range menu.Buttons {
		for _, entry := range append([]wecom.Button{b}, b.Sub...) {
			if len(entry.Name) > 16 || entry.Key != "" && !strings.HasPrefix(entry.Key, "/") {
				t.Errorf("%+v", entry)
			}
		}
	}
}
