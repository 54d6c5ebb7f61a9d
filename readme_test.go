package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeWalkthrough plays the script the README shows, so that it cannot go
// stale.
func TestReadmeWalkthrough(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`printf '(.+)' \| go run \. demo --script -`).FindSubmatch(readme)
	if found == nil {
		t.Fatal("the README shows no script for the demo")
	}
	script := strings.ReplaceAll(string(found[1]), `\n`, "\n")
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"demo", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0", "--script", "-"}, nil, strings.NewReader(script), &out, &errOut)
	if code != 0 || errOut.Len() > 0 {
		t.Fatalf("exit %d\n%s\n%s", code, &out, &errOut)
	}
	for _, want := range []string{"lilei> /status busy 30m lunch", "忙碌", "lunch", "boss> /agents", "李雷（lilei） 忙碌"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the transcript lacks %q:\n%s", want, &out)
		}
	}
}

func TestScriptWithoutAnswer(t *testing.T) {
	var out, errOut bytes.Buffer
	args := []string{"demo", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0", "--script", "-"}
	if code := run(t.Context(), args, nil, strings.NewReader("nobody: /help\n"), &out, &errOut); code != exitFailed {
		t.Errorf("somebody the sandbox does not know: exit %d\n%s", code, &out)
	}
	if code := run(t.Context(), args, nil, strings.NewReader("what is this\n"), &out, &errOut); code != exitUsage {
		t.Errorf("a line that is none: exit %d\n%s", code, &errOut)
	}
}
