package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeCalls makes the calls the README shows with curl, in order, against
// a gateway; $accessToken, $id and the like are what the calls before gave.
func TestReadmeCalls(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "### Accounts and tokens")
	section, _, _ = strings.Cut(section, "\n## ")
	known := map[string]string{"key": "the-master-key-of-this-test-0123456789"}
	known["desk"] = serveForTest(t, "DESKBELL_SECURITY_MASTER_KEY="+known["key"])
	calls := regexp.MustCompile(`(?m)^curl (.+)$`).FindAllStringSubmatch(section, -1)
	if len(calls) < 15 {
		t.Fatalf("the README shows %d calls", len(calls))
	}
	for _, call := range calls {
		body := curl(t, os.Expand(call[1], func(name string) string { return known[name] }))
		for _, field := range []string{"accessToken", "id", "uuid", "token"} {
			if m := regexp.MustCompile(`"` + field + `":"([^"]+)"`).FindStringSubmatch(body); m != nil {
				known[field] = m[1]
			}
		}
		if strings.Contains(call[1], "introspect") && !strings.Contains(body, `"active":true`) {
			t.Errorf("introspection says %s", body)
		}
	}
}

// curl makes a call as curl would, of the few options the README uses.
func curl(t *testing.T, arguments string) string {
	t.Helper()
	method, body, url := "", "", ""
	header := http.Header{}
	words := regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(arguments, -1)
	for i := 0; i < len(words); i++ {
		word := strings.Trim(words[i], `'"`)
		if !strings.HasPrefix(word, "-") {
			url = word
			continue
		}
		i++
		switch value := strings.Trim(words[i], `'"`); word {
		case "-X":
			method = value
		case "-d":
			body = words[i][1 : len(words[i])-1]
			header.Set("Content-Type", "application/x-www-form-urlencoded")
		case "-H":
			name, value, _ := strings.Cut(value, ": ")
			header.Set(name, value)
		default:
			t.Fatalf("curl %s: what does %s mean?", arguments, word)
		}
	}
	if method == "" && body != "" {
		method = http.MethodPost
	}
	q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header = header
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		t.Errorf("curl %s: %d %s %v", arguments, answer.StatusCode, text, err)
	}
	return string(text)
}

// serveForTest runs serve until the test ends and returns its origin.
func serveForTest(t *testing.T, environ ...string) string {
	t.Helper()
	environ = append(environ, "DESKBELL_STORE_URL=sqlite:"+filepath.Join(t.TempDir(), "desk.db"))
	ctx, stop := context.WithCancel(t.Context())
	out, said := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--config", complete, "--listen", "127.0.0.1:0"}, environ, strings.NewReader(""), said, io.Discard)
		said.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("serve ended with %d", code)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		t.Fatalf("serve said %q, %v", line, err)
	}
	return url
}
