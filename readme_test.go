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

// The session that the README has people play goes from the question to the end.
func TestReadmeHelpdesk(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const script = "testdata/helpdesk.txt"
	if !bytes.Contains(readme, []byte("go run . demo --script "+script)) {
		t.Errorf("the README does not play %s", script)
	}
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"demo", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0", "--script", script}, nil, nil, &out, &errOut); code != 0 || errOut.Len() > 0 {
		t.Fatalf("exit %d\n%s\n%s", code, &out, &errOut)
	}
	rest := out.String()
	for _, want := range []string{
		"[card] 李雷 接待您\n  打印机卡纸了", "lilei < 韩梅梅 · 打印机卡纸了：\n    二楼东边那台", "→ 韩梅梅 · 打印机卡纸了\n  hanmeimei < 李雷：\n    马上来",
		"已转给Lucy Green（lucy）", "hanmeimei < Lucy Green：\n    我带一个新的过来", "lucy < 韩梅梅 · 打印机卡纸了：\n    谢谢",
		"打印机卡纸了（Lucy Green接待）", "Lucy Green（lucy） 在线 1/5", "已结束：韩梅梅 · 打印机卡纸了", "您没有进行中的会话",
	} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("the transcript lacks %q, or has it too early:\n%s", want, &out)
		}
		rest = after
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
