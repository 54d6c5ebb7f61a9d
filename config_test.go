package main

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"deskbell/bot/settings"
	"deskbell/store"
)

const complete = "testdata/config/complete.toml"

// variable is how a key is spelt in the environment.
func variable(key string) string {
	return "DESKBELL_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// shell runs the program and returns its exit code and both outputs.
func shell(t *testing.T, environ []string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr strings.Builder
	code = run(t.Context(), args, environ, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// The file in the repository is the documentation: it names every key, with
// its default, under a comment.
func TestConfigFileIsTheDefaults(t *testing.T) {
	c, err := LoadConfig("config.toml", nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := Defaults(); !reflect.DeepEqual(c, want) {
		t.Errorf("config.toml and Defaults differ:\n%#v\n%#v", c, want)
	}
	text, err := os.ReadFile("config.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.settings() {
		section, key, _ := strings.Cut(s.Name(), ".")
		_, part, _ := strings.Cut(string(text), "\n["+section+"]\n")
		part, _, _ = strings.Cut(part, "\n[")
		if !strings.Contains("\n"+part, "\n"+key+" = ") {
			t.Errorf("config.toml does not have %s", s.Name())
		}
	}
}

// As it stands the file lacks what only the owner knows, and serve names it.
func TestServeNamesWhatIsMissing(t *testing.T) {
	code, out, errOut := shell(t, nil, "serve", "--config", "config.toml")
	if code != 2 || out != "" {
		t.Errorf("exit %d, out %q", code, out)
	}
	for _, key := range []string{
		"server.public_url", "wecom.corp_id", "wecom.agent_id", "wecom.secret", "wecom.token", "wecom.encoding_aes_key", "security.encryption_key",
	} {
		if !strings.Contains(errOut, "config: "+key+": is missing; ") {
			t.Errorf("%s is not named in:\n%s", key, errOut)
		}
	}
	if n := strings.Count(errOut, "\n"); n != 7 {
		t.Errorf("%d lines:\n%s", n, errOut)
	}
}

// Each of these spoils one key of a complete configuration, from the file (a
// TOML value) or from the environment (bare text).
var brokenKeys = []struct{ key, toml, env string }{
	{"server.listen", `"8080"`, "localhost"},
	{"server.listen", `"127.0.0.1:http"`, ":70000"},
	{"server.listen", `8080`, ""},
	{"server.public_url", `"desk.example.com"`, "ftp://desk.example.com"},
	{"server.public_url", `"http://desk.example.com"`, "http://10.0.0.7:8080"},
	{"server.public_url", `"https://desk.example.com/desk"`, "https://user:MARK@desk.example.com"},
	{"server.public_url", `"https://"`, "https://desk.example.com?x=1"},
	{"server.metrics_listen", `"9090"`, "127.0.0.1:8080"},
	{"server.trusted_proxies", `["10.0.0.1"]`, "10.0.0.0/8,proxy"},
	{"server.trusted_proxies", `"10.0.0.0/8"`, "10.0.0.0/33"},
	{"server.frame_ancestors", `["app.example.com"]`, "https://app.example.com/path"},
	{"server.frame_ancestors", `[1]`, "*"},
	{"wecom.corp_id", `"ww 123"`, strings.Repeat("w", 300)},
	{"wecom.agent_id", `"1000002"`, "ten"},
	{"wecom.agent_id", `-1`, "-1"},
	{"wecom.agent_id", `1000002.5`, "1e6"},
	{"wecom.secret", `"MARK\n"`, "MARK MARK"},
	{"wecom.secret", `12345678`, "\tMARK"},
	{"wecom.token", `"MARK-token"`, strings.Repeat("M", 33)},
	{"wecom.encoding_aes_key", `"MARK"`, "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6qMARK="},
	{"wecom.encoding_aes_key", `"jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6$MARK"`, "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6qMARKM"},
	{"wecom.previous_token", `"MARK token"`, "MARK_"},
	{"wecom.previous_encoding_aes_key", `"MARK"`, "MARK"},
	{"wecom.api_base", `"qyapi.weixin.qq.com"`, "https://qyapi.weixin.qq.com?access_token=MARK"},
	{"wecom.api_base", `""`, "tcp://qyapi.weixin.qq.com"},
	{"wecom.oauth_authorize_url", `"/connect"`, "x"},
	{"wecom.qr_login_url", `"/login"`, "x"},
	{"wecom.clock_window", `"5"`, "5 minutes"},
	{"wecom.clock_window", `300`, "-5m"},
	{"wecom.passive_wait", `"5s"`, "1h"},
	{"store.url", `"deskbell.db"`, "mysql://user:MARK@host/db"},
	{"store.url", `"sqlite:"`, "postgres:///"},
	{"redis.url", `"localhost:6379"`, "http://:MARK@host"},
	{"redis.url", `"redis://"`, "redis://:MARK@host/cache"},
	{"redis.url", `"redis://127.0.0.1:6379/0?foo=bar"`, "redis://:MARK@host:99999"},
	{"redis.url", `"redis://127.0.0.1:6379/0?master_name="`, "redis://:MARK@host:0"},
	{"store.url", `"sqlite::memory:"`, "postgres://u:MARK@h:99999/x"},
	{"store.url", `"postgres://h/x?sslmode=foo"`, "postgres://u:MARK@h/x?sslmode=foo"},
	{"wecom.corp_id", `"ww]]><x>"`, "MARK!"},
	{"server.public_url", `"https://desk.example.com:99999"`, "https://desk.example.com:0"},
	{"security.encryption_key", `"MARK"`, "TUFSS01BUks="},
	{"security.encryption_key", `"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`, "change-me-please-change-me-please-MARK"},
	{"security.old_encryption_keys", `["MARK"]`, "MARK"},
	{"security.master_key", `"MARK"`, "MARK MARK MARK MARK MARK MARK MARK MARK"},
	{"security.require_admin_otp", `"yes"`, "yes"},
	{"security.otp_issuer", `""`, "Desk: bell"},
	{"tokens.ttl", `"0s"`, "forever"},
	{"tokens.ttl", `"99999999999h"`, "106751d24h"},
	{"tokens.link_ttl", `"2d"`, "0"},
	{"tokens.link_mode", `"rotate"`, "Ticket"},
	{"tokens.servicedesk_compat", `1`, "true"}, // without redis.url
	{"desk.agent_url", `"http://helpdesk.example.com"`, "helpdesk"},
	{"desk.admin_url", `"ftp://helpdesk.example.com"`, "https://helpdesk.example.com/#admin"},
	{"desk.max_load", `0`, "many"},
	{"desk.answer_within", `"soon"`, "0"},
	{"desk.idle_close", `""`, "1w"},
	{"desk.keep", `"-1d"`, "year"},
	{"directory.cache_ttl", `"25h"`, "10"},
	{"roles.admin", `["boss"]`, "group:1"},
	{"roles.admin", `["user:"]`, "user:corp/boss"},
	{"roles.agent", `["tag:x"]`, "tag:0"},
	{"roles.agent", `["department:1", "department:-1"]`, "department:"},
	{"limits.commands_per_person", `"20"`, "20/d"},
	{"limits.links_per_person", `"0/m"`, "-5/m"},
	{"limits.login_per_address", `10`, "unlimited"},
	{"limits.login_per_account", `""`, "10/"},
	{"limits.pushes_per_person", `"a/m"`, "99999999/s"},
	{"log.level", `"verbose"`, "INFO"},
	{"log.format", `"xml"`, "JSON"},
	{"wecom.tokn", `"MARK"`, ""},
	{"wecom.Token", `"MARK"`, ""},
	{"mail.host", `"MARK"`, ""},
}

func TestBrokenConfigurations(t *testing.T) {
	base, err := os.ReadFile(complete)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range brokenKeys {
		t.Run(b.key+"="+b.toml, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(path, []byte(withKey(string(base), b.key, b.toml)), 0o600); err != nil {
				t.Fatal(err)
			}
			wantOneProblem(t, b.key, nil, path)
		})
		if b.env != "" {
			t.Run(b.key+"="+b.env, func(t *testing.T) {
				wantOneProblem(t, b.key, []string{variable(b.key) + "=" + b.env}, complete)
			})
		}
	}
}

// withKey sets key, section.name, in a TOML text.
func withKey(text, key, value string) string {
	section, name, _ := strings.Cut(key, ".")
	lines := strings.Split(text, "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, name+" = ") })
	if at := slices.Index(lines, "["+section+"]"); at >= 0 {
		return strings.Join(slices.Insert(lines, at+1, name+" = "+value), "\n")
	}
	return strings.Join(lines, "\n") + "\n[" + section + "]\n" + name + " = " + value + "\n"
}

// wantOneProblem runs serve: it must end with 2 and name the key, nothing else
// and no value.
func wantOneProblem(t *testing.T, key string, environ []string, path string) {
	t.Helper()
	code, out, errOut := shell(t, environ, "serve", "--config", path)
	if code != 2 || out != "" {
		t.Errorf("exit %d, out %q, err %q", code, out, errOut)
	}
	reason, fix, _ := strings.Cut(errOut, "; ")
	if !strings.HasPrefix(reason, "config: "+key+": ") || len(fix) < 10 || strings.Count(errOut, "\n") != 1 {
		t.Errorf("want one line about %s, got:\n%s", key, errOut)
	}
	if strings.Contains(errOut, "MARK") {
		t.Errorf("shows a value: %s", errOut)
	}
}

// Everything wrong is said in one go.
func TestBrokenFile(t *testing.T) {
	code, _, errOut := shell(t, nil, "serve", "--config", "testdata/config/broken.toml")
	if code != 2 {
		t.Errorf("exit %d", code)
	}
	var keys []string
	for line := range strings.Lines(errOut) {
		keys = append(keys, strings.Split(line, ": ")[1])
	}
	want := []string{
		"logs.level", "server.listen", "server.public_url", "server.trusted_proxies", "wecom.corp_id", "wecom.agent_id", "wecom.secret",
		"wecom.token", "wecom.encoding_aes_key", "wecom.passive_wait", "security.encryption_key", "tokens.link_mode", "tokens.servicedesk_compat",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("named %v\nwant  %v", keys, want)
	}
	if strings.Contains(errOut, "MARK") {
		t.Error("shows a value")
	}
}

func TestUnreadableFiles(t *testing.T) {
	for file, says := range map[string]string{
		"testdata/config/syntax.toml": "syntax.toml:2:",
		"testdata/config/number.toml": "number.toml:2:",
		"testdata/config/twice.toml":  "secret",
		"testdata/config/none.toml":   "no such file",
	} {
		for _, command := range []string{"serve", "check", "migrate"} {
			code, out, errOut := shell(t, nil, command, "--config", file)
			if code != 2 || out != "" || !strings.Contains(errOut, says) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%s %s: exit %d: %s", command, file, code, errOut)
			}
			if strings.Contains(errOut, "MARK") || strings.Contains(errOut, "123456") {
				t.Errorf("%s shows a value: %s", file, errOut)
			}
		}
	}
}

func TestEnvironmentRefused(t *testing.T) {
	dir := t.TempDir()
	for name, environ := range map[string][]string{
		"DESKBELL_WECOM_TOKN":          {"DESKBELL_WECOM_TOKN=MARK"},
		"DESKBELL_LOG_LEVEL_FILE":      {"DESKBELL_LOG_LEVEL_FILE=" + dir},
		"wecom.secret":                 {"DESKBELL_WECOM_SECRET=MARK", "DESKBELL_WECOM_SECRET_FILE=" + dir},
		"security.master_key":          {"DESKBELL_SECURITY_MASTER_KEY_FILE=" + filepath.Join(dir, "MARK")},
		"security.old_encryption_keys": {"DESKBELL_SECURITY_OLD_ENCRYPTION_KEYS_FILE=" + dir},
	} {
		t.Run(name, func(t *testing.T) { wantOneProblem(t, name, environ, complete) })
	}
}

// Every key can come from the environment alone, secrets from files, and
// variables of the same prefix that others set are nobody's business.
func TestEnvironment(t *testing.T) {
	secret := func(value string) string {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const key1, key2 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA"
	c, err := LoadConfig("config.toml", []string{
		"HOME=/", "DESKBELL_TEST_POSTGRES=x", "DESKBELL_PORT=tcp://10.0.0.1:8080", "DESKBELL_SERVICE_HOST=10.0.0.1",
		"DESKBELL_SERVER_PUBLIC_URL=https://desk.example.com/",
		"DESKBELL_SERVER_TRUSTED_PROXIES=10.0.0.0/8, fd00::/8",
		"DESKBELL_WECOM_CORP_ID=ww1", "DESKBELL_WECOM_AGENT_ID=7",
		"DESKBELL_WECOM_SECRET_FILE=" + secret("s3cret\r\n"), "DESKBELL_WECOM_TOKEN=tok",
		"DESKBELL_WECOM_ENCODING_AES_KEY_FILE=" + secret(strings.Repeat("k", 43)),
		"DESKBELL_SECURITY_ENCRYPTION_KEY=" + key1,
		"DESKBELL_SECURITY_OLD_ENCRYPTION_KEYS_FILE=" + secret(key2+"\n"+key1+"\n"),
		"DESKBELL_SECURITY_REQUIRE_ADMIN_OTP=false",
		"DESKBELL_DESK_KEEP=1d12h", "DESKBELL_LIMITS_LINKS_PER_PERSON=off", "DESKBELL_LIMITS_LOGIN_PER_ACCOUNT=3/h",
		"DESKBELL_ROLES_ADMIN=user:Boss,tag:3,department:12",
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, c.Server.PublicURL, "https://desk.example.com")
	equal(t, c.Server.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")})
	equal(t, c.WeCom.AgentID, 7)
	equal(t, c.WeCom.Secret.Reveal(), "s3cret")
	equal(t, c.WeCom.EncodingAESKey.Reveal(), strings.Repeat("k", 43))
	equal(t, c.EncryptionKeys(), [][]byte{[]byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210fedcba9876543210"), []byte("0123456789abcdef0123456789abcdef")})
	equal(t, c.Security.RequireAdminOTP, false)
	equal(t, c.Desk.Keep, 36*time.Hour)
	equal(t, c.Limits.LinksPerPerson, settings.Rate{})
	equal(t, c.Limits.LoginPerAccount, settings.Rate{N: 3, Per: time.Hour})
	equal(t, c.RoleRules(), store.Rules{Admin: store.Rule{Users: []string{"boss"}, Tags: []int{3}, Departments: []int{12}}})
	if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "s3cret") || strings.Contains(s, key1) || strings.Contains(s, "kkkk") {
		t.Errorf("printing the configuration shows secrets: %s", s)
	}
}

func TestWarnings(t *testing.T) {
	c, err := LoadConfig(complete, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, len(c.Warnings()), 0)
	c, err = LoadConfig(complete, []string{
		"DESKBELL_SERVER_PUBLIC_URL=http://127.0.0.1:8080", "DESKBELL_SERVER_TRUSTED_PROXIES=0.0.0.0/0", "DESKBELL_WECOM_CLOCK_WINDOW=9000d",
		"DESKBELL_SECURITY_REQUIRE_ADMIN_OTP=false", "DESKBELL_TOKENS_LINK_MODE=direct", "DESKBELL_TOKENS_SERVICEDESK_COMPAT=true", "DESKBELL_REDIS_URL=redis://127.0.0.1:6379/0", "DESKBELL_LIMITS_PUSHES_PER_PERSON=1/s",
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, w := range c.Warnings() {
		keys = append(keys, w.Key)
	}
	equal(t, keys, []string{"server.public_url", "server.trusted_proxies", "wecom.clock_window", "security.require_admin_otp", "tokens.link_mode", "tokens.servicedesk_compat", "limits.pushes_per_person"})
}

func equal[T any](t *testing.T, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What is limited is what config.toml names, and nothing beside it.
func TestThereAreNoOtherLimits(t *testing.T) {
	names := slices.Sorted(maps.Keys(newLimits(Defaults(), nil).Rates))
	if got := strings.Join(names, " "); got != "commands_per_person links_per_person login_per_account login_per_address" {
		t.Error(got)
	}
}
