package commands

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/templates"
)

var approveButton = regexp.MustCompile(`\[(.+) → (/approve \S+ \S+)\]`)

// question is a card that asks about a login: its task id, the number that is
// on the caller's screen, and the buttons by what is on them.
type question struct {
	task, number string
	buttons      map[string]string
}

// askAbout lets somebody try to sign in as mei.
func (d *desk) askAbout() (q question) {
	d.t.Helper()
	logins := &store.Logins{Store: d.store, Directory: d.Directory}
	got, err := logins.Login(d.t.Context(), store.LoginRequest{UserID: "mei", Client: store.Client{Device: "Chrome · Windows", Address: "203.0.113.9"}})
	if err != nil {
		d.t.Fatal(err)
	}
	logins.Wait()
	sent := d.outgoing()
	if len(sent) != 1 || sent[0].To != "mei" {
		d.t.Fatalf("sent: %+v", sent)
	}
	var card struct {
		TaskID string `json:"task_id"`
	}
	if err := json.Unmarshal(sent[0].Card, &card); err != nil {
		d.t.Fatal(err)
	}
	text := templates.Flatten(sent[0].Card)
	if !strings.Contains(text, "203.0.113.9") || !strings.Contains(text, "Chrome · Windows") {
		d.t.Errorf("the card says:\n%s", text)
	}
	q = question{card.TaskID, got.Approval.Number, map[string]string{}}
	for _, m := range approveButton.FindAllStringSubmatch(text, -1) {
		q.buttons[m[1]] = m[2]
	}
	if len(q.buttons) != 4 || q.buttons[q.number] == "" {
		d.t.Fatalf("want three numbers, %s among them, and a no:\n%s", q.number, text)
	}
	return q
}

// Somebody wants to sign in as mei: she is asked in her chat, and the card shows
// afterwards what she said. Typed, her answer is nothing.
func TestApproveInTheChat(t *testing.T) {
	for _, lang := range []string{"zh", "en"} {
		for answer, want := range map[string]map[string]string{
			"yes":   {"zh": "您已同意这次登录", "en": "You approved this sign-in"},
			"no":    {"zh": "您已拒绝这次登录", "en": "You refused this sign-in"},
			"guess": {"zh": "数字不对", "en": "Wrong number"},
		} {
			t.Run(lang+" "+answer, func(t *testing.T) {
				d := newDesk(t, deskOptions{})
				d.hire("mei", "韩梅梅", bot.Agent)
				d.hire("boss", "王总", bot.Admin)
				d.say("mei", "/lang "+lang)
				d.say("boss", "/lang "+lang)
				q := d.askAbout()
				key := q.buttons[q.number]
				for text, button := range q.buttons {
					if strings.HasSuffix(button, " no") && answer == "no" || answer == "guess" && len(text) == 2 && text != q.number {
						key = button
					}
				}
				if got := d.say("mei", key); !strings.Contains(got, "/approve") || strings.Contains(got, want[lang]) {
					t.Errorf("typed: %s", got)
				}
				clicked := d.message("mei", key)
				clicked.Event = bot.Clicked
				if got := d.deliver(clicked); strings.Contains(got, want[lang]) {
					t.Errorf("from a menu: %s", got)
				}
				pressed := d.message("mei", key)
				pressed.Event, pressed.Card = bot.Pressed, bot.Press{TaskID: q.task, ResponseCode: "code"}
				if text, err := d.Take(soon(), pressed); text != "" || err != nil {
					t.Fatalf("%q, %v", text, err)
				}
				sent := d.outgoing()
				if got := strings.Join(shown(sent, "mei"), "\n"); !strings.Contains(got, want[lang]) || !strings.Contains(got, "/logout all") {
					t.Errorf("pressed: %s", got)
				}
				alert := strings.Join(shown(sent, "boss"), "\n")
				if (answer == "no") != strings.Contains(alert, "203.0.113.9") || answer == "no" && !strings.Contains(alert, "韩梅梅") {
					t.Errorf("the administrator is told: %s", alert)
				}
			})
		}
	}
}
