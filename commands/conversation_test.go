package commands

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// TestConversations replays testdata/*.txt, each on a fresh store. A line "as
// USERID LEVEL LANG" says who talks, "> …" what they say, "< …" what they see,
// "wait 30m" lets time pass, and "open" signs in with the last link. "press KEY"
// presses the button of the last card whose key begins so. {id} is the
// id that was last seen at the beginning of a line. "look" shows what was pushed
// to them meanwhile; "app NAMESPACE PASSWORD" lets an app get a token, and "set PASSWORD"
// sets one with the link seen last; {code} is what the person's authenticator shows, {recovery} a
// recovery code seen last.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want := readFile(t, file)
			got := replay(t, want)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s reads now:\n%s", file, got)
			}
		})
	}
}

var levels = map[string]bot.Level{"anyone": bot.Anyone, "agent": bot.Agent, "admin": bot.Admin}

// secrets differ in each run; a conversation shows their shape.
var secrets = regexp.MustCompile(`db[a-z]_[0-9A-Za-z]{49}`)

// recoveryCodes differ too.
var recoveryCodes = regexp.MustCompile(`[A-Z2-7]{4}(-[A-Z2-7]{4}){5}`)

// ids differ too.
var (
	ids   = regexp.MustCompile(`(?m)^[0-9a-f]{8} `)
	uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
)

func replay(t *testing.T, script string) string {
	d := newDesk(t, deskOptions{})
	var out strings.Builder
	who, answer, id, recovery := "", "", "", ""
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "<") {
			continue
		}
		out.WriteString(line)
		line = strings.TrimSuffix(line, "\n")
		switch f := strings.Fields(line); {
		case len(f) == 4 && f[0] == "as":
			who = f[1]
			d.hire(who, names[who], levels[f[2]])
			d.Directory.Forget(who)
			if f[3] != "zh" {
				d.say(who, "/lang "+f[3])
			}
		case len(f) == 2 && f[0] == "wait":
			dur, err := time.ParseDuration(f[1])
			if err != nil {
				t.Fatal(err)
			}
			d.pass(dur)
			d.serve()
			if err := d.store.ReturnStatuses(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := d.store.ExpireOTP(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := d.store.RemindShares(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, text := range d.pushed(who) {
				write(&out, text)
			}
		case len(f) > 1 && f[0] == "press":
			answer = d.press(who, strings.TrimPrefix(line, "press "))
			write(&out, answer)
		case line == "look":
			d.serve()
			for _, text := range d.pushed(who) {
				write(&out, text)
			}
		case line == "open":
			if _, _, err := d.store.Exchange(t.Context(), secrets.FindString(answer), "", store.Client{}); err != nil {
				t.Fatal(err)
			}
			d.pushed(who) // whether it was them
		case len(f) == 3 && f[0] == "app":
			_, _, err := d.store.OpenNamespace(t.Context(), f[1], f[2], "board", store.Client{})
			write(&out, became(err))
		case len(f) == 2 && f[0] == "set":
			write(&out, became(d.store.UseDeviceLink(t.Context(), secrets.FindString(answer), f[1])))
		case strings.HasPrefix(line, "> "):
			answer = d.say(who, d.fill(who, strings.NewReplacer("{id}", id, "{recovery}", recovery).Replace(line[2:])))
			if seen := recoveryCodes.FindString(answer); seen != "" {
				recovery = seen
			}
			if seen := ids.FindString(answer); seen != "" {
				id = strings.TrimSpace(seen)
			}
			write(&out, answer)
		}
	}
	return out.String()
}

// became is what became of something that is not said in the chat.
func became(err error) string {
	switch {
	case err == nil:
		return "(ok)"
	case errors.Is(err, store.ErrNotFound):
		return "(not found)"
	}
	return "(" + bot.Explain(err).Key + ")"
}

// fill puts in the code a person reads off their phone.
func (d *desk) fill(who, line string) string {
	if strings.Contains(line, "{code}") {
		line = strings.ReplaceAll(line, "{code}", d.code(who))
	}
	return line
}

func write(out *strings.Builder, answer string) {
	answer = recoveryCodes.ReplaceAllString(answer, "ABCD-…")
	answer = uuids.ReplaceAllString(ids.ReplaceAllString(answer, "1a2b3c4d "), "1a2b3c4d-…")
	for line := range strings.SplitSeq(secrets.ReplaceAllStringFunc(answer, func(s string) string { return s[:4] + "…" }), "\n") {
		out.WriteString(strings.TrimRight("< "+line, " ") + "\n")
	}
}

var names = map[string]string{"mei": "韩梅梅", "lilei": "李雷", "eve": "Eve", "boss": "王总"}

// serve does what the desk does by itself.
func (d *desk) serve() {
	d.t.Helper()
	d.cry()
	if err := errors.Join(d.store.CloseIdle(d.t.Context()), d.store.Dispatch(d.t.Context())); err != nil {
		d.t.Fatal(err)
	}
}
