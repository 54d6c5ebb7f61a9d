package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// playPatience is how long a line of a script waits for its answer.
const playPatience = 15 * time.Second

// Line is a line of a script: somebody says something.
type Line struct {
	Number     int
	User, Text string
}

// ReadScript reads lines "userid: text". Empty lines and those that begin with #
// are left out.
func ReadScript(r io.Reader) ([]Line, error) {
	var script []Line
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff")) // some editors begin a file with it
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.IndexAny(line, ":：") // the second is what Chinese keyboards type
		if at < 0 {
			return nil, notALine(n, line)
		}
		_, wide := utf8.DecodeRuneInString(line[at:])
		user, text := line[:at], line[at+wide:]
		user, text = strings.TrimSpace(user), strings.TrimSpace(text)
		if user == "" || text == "" || strings.ContainsAny(user, " \t/") {
			return nil, notALine(n, line)
		}
		script = append(script, Line{n, user, text})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read script: %w", err)
	}
	return script, nil
}

func notALine(n int, line string) error {
	return fmt.Errorf("script line %d: want \"userid: text\", got %q", n, line)
}

// Play says the lines of a script, each after the one before was answered, and
// writes what people see; card words a card's JSON, and settled waits until the
// gateway has nothing more to send. It reports whether every line got an answer.
func (s *Sim) Play(ctx context.Context, script []Line, out io.Writer, card func([]byte) string, settled func(context.Context)) bool {
	answered := true
	for _, line := range script {
		fmt.Fprintf(out, "%s> %s\n", line.User, line.Text)
		if _, ok := s.Person(line.User); !ok {
			answered = false
			fmt.Fprintf(out, "  (line %d: nobody here is called %s)\n", line.Number, line.User)
		} else if got := s.ask(ctx, line, card, settled); got == "" {
			answered = false
			fmt.Fprintf(out, "  (line %d got no answer)\n", line.Number)
		} else {
			fmt.Fprintf(out, "  %s\n", strings.ReplaceAll(got, "\n", "\n  "))
		}
	}
	return answered
}

func (s *Sim) ask(ctx context.Context, line Line, card func([]byte) string, settled func(context.Context)) string {
	ctx, cancel := context.WithTimeout(ctx, playPatience)
	defer cancel()
	var last int64
	if seen := s.Inbox(line.User); len(seen) > 0 {
		last = seen[len(seen)-1].Seq
	}
	if d := s.Say(line.User, line.Text); !d.OK() {
		return ""
	}
	isNew := func(list []Received) (fresh []Received) {
		for _, r := range list {
			if r.Seq > last && (r.Via == Passive || r.Via == Push) {
				fresh = append(fresh, r)
			}
		}
		return fresh
	}
	if _, err := s.WaitFor(ctx, line.User, func(list []Received) bool { return len(isNew(list)) > 0 }); err != nil {
		return ""
	}
	settled(ctx) // one line may be answered with several messages
	var parts []string
	for _, r := range isNew(s.Inbox(line.User)) {
		parts = append(parts, r.words(card))
	}
	return strings.Join(parts, "\n")
}

func (r Received) words(card func([]byte) string) string {
	switch {
	case r.Card != nil:
	case r.MediaID != "":
		return "[" + r.Type + "]"
	default:
		return r.Text
	}
	raw, err := json.Marshal(r.Card)
	if err != nil {
		return err.Error()
	}
	return "[card] " + card(raw)
}
