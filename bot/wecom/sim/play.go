package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
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

// isTalk reports whether a line is no command. Talk may have no answer: it goes to
// somebody else.
func (l Line) isTalk() bool {
	return !strings.HasPrefix(l.Text, "/") && !strings.HasPrefix(l.Text, "／")
}

func (s *Sim) ask(ctx context.Context, line Line, card func([]byte) string, settled func(context.Context)) string {
	ctx, cancel := context.WithTimeout(ctx, playPatience)
	defer cancel()
	s.mu.Lock()
	before := s.lines
	s.mu.Unlock()
	if d := s.Say(line.User, line.Text); !d.OK() {
		return ""
	}
	news := func(list []Received) bool {
		return slices.ContainsFunc(list, func(r Received) bool { return r.Seq > before })
	}
	if line.isTalk() {
		settled(ctx)
		return s.heard(line.User, before, card)
	}
	if _, err := s.WaitFor(ctx, line.User, news); err != nil {
		return ""
	}
	settled(ctx) // one line may be answered with several messages
	return strings.Join(s.newsOf(line.User, before, card), "\n")
}

// newsOf words what somebody got behind a line.
func (s *Sim) newsOf(user string, before int64, card func([]byte) string) (parts []string) {
	for _, r := range s.Inbox(user) {
		if r.Seq > before {
			parts = append(parts, r.words(card))
		}
	}
	return parts
}

// heard words what everybody got of somebody's talk, themselves first.
func (s *Sim) heard(user string, before int64, card func([]byte) string) string {
	parts := s.newsOf(user, before, card)
	for _, p := range s.People() {
		if canonical(p.ID) == canonical(user) {
			continue
		}
		for _, text := range s.newsOf(p.ID, before, card) {
			parts = append(parts, p.ID+" < "+strings.ReplaceAll(text, "\n", "\n  "))
		}
	}
	if len(parts) == 0 {
		return "(received)"
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
