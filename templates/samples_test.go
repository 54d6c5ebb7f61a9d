package templates

import (
	"strings"
	"time"
)

// The samples hold one set of data per text, card and page, in the shape the
// callers hand over. word stands wherever a person's own words can come in.

var (
	sampleNow  = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	sampleZone = time.FixedZone("CST", 8*3600)
)

type m = map[string]any

func sampleAgent(word string) m {
	until := sampleNow.Add(30 * time.Minute)
	return m{
		"ID": word, "Name": word, "Status": "busy", "Note": word, "Back": "online",
		"Until": &until, "Load": 2, "MaxLoad": 5,
	}
}

func sampleTexts(word string) map[string]any {
	commands := []m{{"Name": "status"}, {"Name": "login"}}
	entry := m{"At": sampleNow, "Actor": word, "Action": "status", "Target": "lilei", "Result": "denied", "Detail": word}
	return map[string]any{
		"time.days": 1, "time.hours": 2, "time.minutes": 3, "time.seconds": 4,
		"time.ago":        word,
		"agents":          m{"Agents": []m{sampleAgent(word), sampleAgent(word)}, "Status": ""},
		"audit":           m{"Entries": []m{entry, entry}, "UserID": ""},
		"error.usage":     m{"Usage": "/status [online|busy|offline] [duration] [note]", "Durations": true},
		"error.unknown":   m{"Word": word, "Suggestion": "status"},
		"error.limited":   m{"Wait": 3 * time.Second},
		"error.internal":  m{"Ref": "ABCD2345"},
		"error.timeout":   m{"Ref": "ABCD2345"},
		"help.list":       commands,
		"help":            m{"Commands": commands},
		"help.one":        m{"Name": "status", "Usage": "/status [online]", "Alias": []string{"状态"}},
		"welcome":         m{"Name": word, "Commands": commands},
		"logout":          m{"All": false, "Count": 2},
		"outbox.dead":     m{"To": word, "CreatedAt": sampleNow, "Tries": 9, "LastError": word},
		"status.returned": m{"Status": "online"},
		"whoami":          m{"ID": word, "Name": word, "Departments": []int{1, 3}, "Roles": []string{"admin", "agent"}, "Agent": sampleAgent(word)},
	}
}

func sampleCards(word string) map[string]any {
	return map[string]any{
		"status": sampleAgent(word),
		"login": m{
			"ID": word, "Name": word, "Path": word, "For": 10 * time.Minute,
			"URL": "https://desk.example.com/chat?a=1&accessToken=" + strings.Repeat("x", 43),
		},
	}
}

func samplePages(word string) map[string]any {
	delivery := m{"ID": 7, "To": word, "CreatedAt": sampleNow.Add(-5 * time.Hour), "Attempts": 9, "LastError": word}
	return map[string]any{
		"redeem":   m{"Name": word, "UserID": word, "Expires": sampleNow.Add(10 * time.Minute), "Action": "/chat?a=1", "Token": word},
		"home":     m{"Name": word, "UserID": word, "Role": "admin", "Area": "admin", "Home": "/admin/welcome", "Outbox": "/admin/outbox", "SignOut": "/sign-out"},
		"notfound": m{"Name": word, "Home": "/chat"},
		"linkdead": nil,
		"signin":   nil,
		"outbox":   m{"Name": word, "Home": "/admin/welcome", "SignOut": "/sign-out", "Pending": 1, "Dead": 1, "Items": []m{delivery}},
		"error":    m{"Status": 500, "Ref": "ABCD2345"},
	}
}
