package settings

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// However a secret is printed, it is not.
func TestSecret(t *testing.T) {
	s := Secret("hunter2")
	if s.Reveal() != "hunter2" {
		t.Error("Reveal does not reveal")
	}
	var out strings.Builder
	for _, verb := range "vsqxXdtUcbeg" {
		fmt.Fprintf(&out, "%"+string(verb)+" ", s)
		fmt.Fprintf(&out, "%+"+string(verb)+" ", []Secret{s})
		fmt.Fprintf(&out, "%#"+string(verb)+" ", struct{ S Secret }{s})
	}
	fmt.Fprint(&out, s, s.String(), fmt.Errorf("with %w and %s", fmt.Errorf("%v", s), s))
	slog.New(slog.NewTextHandler(&out, nil)).Info("text", "s", s, "list", []Secret{s})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "s", s, "list", []Secret{s})
	if err := json.NewEncoder(&out).Encode(map[string]Secret{"s": s}); err != nil {
		t.Fatal(err)
	}
	for _, spelt := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
		if strings.Contains(out.String(), spelt) {
			t.Errorf("found %s in %s", spelt, out.String())
		}
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute,
		"365d": 365 * 24 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0,
	} {
		if got, ok := parseSpan(text); !ok || got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "d", "5", "-1s", "-1d", "1d-12h", "1.5d", "1w", "5 m", "70000d", "65535d2000000h", "9999999999h", "1dd", "²d"} {
		if got, ok := parseSpan(text); ok && got >= 0 {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"off": {}, "20/m": {20, time.Minute}, "1/s": {1, time.Second}, "1000/h": {1000, time.Hour},
	} {
		if got, ok := parseRate(text); !ok || got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "0/m", "-1/m", "20", "/m", "20/", "20/d", "20/minute", "1.5/s", "20 /m", "OFF", "99999999/s"} {
		if got, ok := parseRate(text); ok {
			t.Errorf("%q was read as %v", text, got)
		}
	}
	for text, above := range map[string]bool{"25/m": false, "26/m": true, "1/s": true, "1500/h": false, "1501/h": true, "off": true} {
		if r, _ := parseRate(text); r.Above(25, time.Minute) != above {
			t.Errorf("%s above 25/m: want %v", text, above)
		}
	}
}

func TestPrivate(t *testing.T) {
	for url, want := range map[string]bool{
		"https://desk.example.com": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost": true,
		"http://desk.example.com": false, "http://127.0.0.1.example.com": false, "http://localhost.example.com": false,
		"http://10.0.0.1": false, "//desk.example.com": false, "https:desk": false, "https://a b": false,
	} {
		if _, got := Private.Read(url); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}

// Whatever the file and the environment hold, Load neither panics nor repeats
// a value.
func FuzzLoad(f *testing.F) {
	f.Add("secret", "5m")
	f.Add("12345678901234567890123", "a,b")
	f.Fuzz(func(t *testing.T, value, env string) {
		var secret Secret
		var wait time.Duration
		all := []Setting{Hidden("a.secret", &secret, Word), Key("a.wait", &wait, Span(0, time.Hour))}
		problems := Load("testdata/empty.toml", []string{"X_A_SECRET=" + value, "X_A_WAIT=" + env}, "X_", all, true)
		if len(value) > 20 && strings.Contains(problems.Error(), value) {
			t.Errorf("repeats %q: %v", value, problems)
		}
		if wait < 0 || wait > time.Hour {
			t.Errorf("%q became %v", env, wait)
		}
	})
}

// A file that begins with a byte order mark is read like any other, and what
// cannot be read is not called missing as well.
func TestMarkedFileAndUnreadableSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marked.toml")
	if err := os.WriteFile(path, []byte("\ufeff[desk]\nmax_load = 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var load int
	var secret Secret
	keys := []Setting{Key("desk.max_load", &load, Number(1, 1000)), Hidden("wecom.secret", &secret, Word).OrElse("copy it")}
	problems := Load(path, []string{"DESKBELL_WECOM_SECRET_FILE=" + path + ".none"}, "DESKBELL_", keys, true)
	if load != 7 || len(problems) != 1 || problems[0].Key != "wecom.secret" || !strings.Contains(problems[0].Reason, "cannot be read") {
		t.Errorf("max_load %d, %v", load, problems)
	}
}
