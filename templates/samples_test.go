package templates

import (
	"fmt"
	"maps"
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

func sampleQuestion(word string) m {
	return m{
		"ID": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "State": "denied", "Numbers": []string{"17", "42", "93"},
		"At": sampleNow, "App": "Chrome", "System": "Windows", "Address": "203.0.113.9",
		"UserID": word, "Name": word, "Within": 2 * time.Minute,
	}
}

func sampleTexts(word string) map[string]any {
	flashes := m{}
	for _, key := range []string{"agent.load", "agent.offline", "agent.otp", "token.revoked", "share.bot", "share.extend", "share.revoke", "user.new", "user.reset",
		"user.remove", "push.resend", "bad.gone", "bad.load", "bad.otp", "bad.otp.none", "bad.otp.locked", "bad.token", "bad.owner", "bad.span", "bad.ended",
		"bad.refused", "bad.taken", "bad.username"} {
		flashes["flash."+key] = m{"About": word}
	}
	commands := []m{{"Name": "status"}, {"Name": "login"}}
	entry := m{"At": sampleNow, "Actor": word, "Action": "status", "Target": "lilei", "Result": "denied", "Detail": word}
	reasons := []m{{"Role": "admin", "Rule": "user:boss"}, {"Role": "agent", "Rule": "", "By": "boss", "At": sampleNow}}
	change := m{"ID": "lilei", "Role": "agent", "By": "boss", "Known": false}
	texts := map[string]any{
		"role":         m{"Holders": []m{{"ID": "lilei", "Name": word, "Known": true, "Reasons": reasons}, {"ID": "mei", "Name": "", "Known": false, "Reasons": reasons}}},
		"role.reasons": reasons, "role.granted": change, "role.had": change, "role.revoked": change, "role.yours": change, "role.gone": change,
		"role.rule": m{"Rule": "department:8"},
		"role.why": m{"ID": "lilei", "Known": true, "State": "active", "Reasons": reasons, "Command": "audit", "Needs": "admin", "Has": "agent",
			"Anyone": false, "Active": true, "Allowed": false},
		"session.media":             m{"Kind": "image"},
		"flash.session.transferred": m{"About": word},
		"session.label":             sampleSession(word), "session.sent": sampleSession(word), "session.use": sampleSession(word), "session.ended.now": sampleSession(word),
		"session.waiting": sampleSession(word), "session.transferred": sampleSession(word), "session.assigned": sampleSession(word), "session.closed": sampleSession(word),
		"session.list":           sampleSessions(word),
		"session.said":           m{"Role": "user", "Name": word, "Content": word, "Media": "x", "Kind": "image", "URL": "https://desk.example.com/chat/1/media/x", "Session": sampleSession(word)},
		"session.event.assigned": m{"Content": word}, "session.event.transferred": m{"Name": word, "Content": word}, "session.event.closed": m{"Name": word}, "session.event.reopened": m{"Name": word}, "session.event.lost": m{"Content": word},
		"broadcast.message": sampleBroadcast(word),
		"bot":               m{"Bots": []m{{"ShortID": "1a2b3c4d", "Name": word, "Owner": word, "Own": false}}, "More": 2},
		"bot.made":          m{"ShortID": "1a2b3c4d", "Name": word},
		"share":             m{"Count": 9, "Shares": []m{sampleShare(word)}, "More": 3},
		"share.qr":          sampleShare(word),
		"user":              m{"Users": []m{{"Username": word, "Email": word, "LastLoginAt": &sampleNow}}, "More": true},
		"user.removed":      m{"Username": word},
		"time.days":         1, "time.hours": 2, "time.minutes": 3, "time.seconds": 4,
		"status.sentoff": m{"By": word},
		"time.ago":       word,
		"agents":         m{"Agents": []m{sampleAgent(word), sampleAgent(word)}, "Status": ""},
		"audit":          m{"Entries": []m{entry, entry}, "UserID": ""},
		"error.usage":    m{"Usage": "/status [online|busy|offline] [duration] [note]", "Durations": true},
		"error.unknown":  m{"Word": word, "Suggestion": "status"},
		"error.limited":  m{"Wait": 3 * time.Second},
		"error.internal": m{"Ref": "ABCD2345"},
		"error.timeout":  m{"Ref": "ABCD2345"},
		"help.list":      commands,
		"help":           m{"Commands": commands},
		"help.one":       m{"Name": "status", "Usage": "/status [online]", "Alias": []string{"状态"}},
		"welcome":        m{"Name": word, "Commands": commands},
		"logout":         m{"All": false, "Count": 2},
		"otp.bind":       m{"For": 10 * time.Minute},
		"otp.verified":   m{"Recovery": []string{"ABCD-EFGH-IJKL-MNOP-QRST-UVWX"}},
		"otp.wait":       m{"LockedFor": 15 * time.Minute, "Reset": false},
		"otp.locked":     m{"LockedFor": 15 * time.Minute, "Reset": true},
		"otp.status":     m{"State": "active", "Recovery": 9, "LockedFor": 15 * time.Minute, "Reset": false, "For": time.Minute},
		"otp.reset":      m{"UserID": word},
		"otp.nobody":     m{"UserID": word},
		"otp.taken":      m{"By": word},
		"outbox.dead":    m{"To": word, "CreatedAt": sampleNow, "Tries": 9, "LastError": word},
		"token":          m{"Tokens": []m{tokenOf(word), tokenOf(word)}, "All": true, "UserID": word, "Own": false, "More": true},
		"token.source":   "chat",
		"device":         m{"Devices": []m{{"Namespace": word, "Name": word, "Entries": 7}}, "More": true},
		"device.made":    m{"Namespace": word, "Name": word},
		"device.auth":    m{"Namespace": word, "Configs": []m{sampleConfig(word)}},
		"device.kind":    sampleConfig(word), "device.auth.open": m{"Namespace": word, "Config": sampleConfig(word)},
		"device.tokens":   m{"Namespace": word, "More": true, "Apps": []m{{"ShortID": "1a2b3c4d", "AppID": word, "Type": "student", "ReadOnly": true, "Note": word, "LastUsedAt": sampleNow}}},
		"token.made":      tokenOf(word),
		"status.returned": m{"Status": "online"},
		"login.alert":     sampleQuestion(word),
		"whoami":          m{"ID": word, "Name": word, "Departments": []int{1, 3}, "Roles": []string{"admin", "agent"}, "Agent": sampleAgent(word)},
	}
	maps.Copy(texts, flashes)
	return texts
}

func sampleCards(word string) map[string]any {
	return map[string]any{
		"session":         sampleSession(word),
		"session.offer":   sampleSession(word),
		"session.using":   sampleSession(word),
		"session.choose":  sampleSessions(word),
		"broadcast":       sampleBroadcast(word),
		"broadcast.done":  sampleBroadcast(word),
		"share":           sampleShare(word),
		"share.ending":    sampleShare(word),
		"share.new":       sampleShare(word),
		"user":            m{"Username": word, "URL": "https://desk.example.com/newpassword?accessToken=x", "For": 10 * time.Minute},
		"status":          sampleAgent(word),
		"person.left":     m{"ID": "lilei", "Name": word, "Why": "disabled", "Tokens": 3, "OTP": true, "Password": true, "Roles": []string{"admin", "agent"}, "Agent": true, "Shares": 2, "Sessions": 3},
		"security.notice": m{"What": "otp_off", "At": sampleNow, "App": word, "System": word, "Address": word},
		"link.opened":     m{"At": sampleNow, "App": word, "System": word, "Address": word, "Ended": true},
		"login.ask":       sampleQuestion(word),
		"login.answered":  sampleQuestion(word),
		"password":        m{"ID": word, "Name": word, "URL": "https://desk.example.com/password?accessToken=x", "For": 10 * time.Minute},
		"device.auth":     m{"Name": word, "Namespace": word, "Type": "student", "ReadOnly": true, "URL": "https://desk.example.com/password?accessToken=x", "For": 10 * time.Minute},
		"login": m{
			"ID": word, "Name": word, "Path": word, "For": 10 * time.Minute,
			"URL": "https://desk.example.com/chat?a=1&accessToken=" + strings.Repeat("x", 43),
		},
	}
}

func sampleFrame(word string) m {
	return m{
		"Name": word, "UserID": word, "Role": "admin", "Home": "/admin/welcome", "SignOut": "/logout",
		"Menu":  []m{{"Name": "welcome", "Path": "/admin/welcome", "Here": true, "Admin": false}, {"Name": "outbox", "Path": "/admin/outbox", "Here": false, "Admin": true}},
		"Flash": m{"Text": word, "Bad": true},
	}
}

func sampleSaid(word string) m {
	return m{"N": 7, "ID": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "Role": "user", "Name": word, "Content": word, "CreatedAt": sampleNow, "Own": false, "Text": "",
		"Named": true, "Sent": nil, "Kind": "image", "Pieces": []m{{"Text": word, "Link": ""}, {"Text": word, "Link": "/static/icon.svg"}}}
}

func sampleTalk(word string) m {
	desk := sampleSaid(word)
	desk["Text"] = word
	var lines []m
	for _, sent := range []m{
		{"Label": word, "Path": "/static/icon.svg", "Picture": true, "Waits": false, "Again": "", "Trouble": ""}, {"Label": word, "Path": "/static/icon.svg", "Picture": false, "Waits": false, "Again": "", "Trouble": ""},
		{"Label": word, "Path": "", "Picture": false, "Waits": true, "Again": "/chat/1?part=said&n=7", "Trouble": ""}, {"Label": word, "Path": "", "Picture": false, "Waits": false, "Again": "", "Trouble": word},
	} {
		l := sampleSaid(word)
		l["Sent"] = sent
		lines = append(lines, l)
	}
	return m{
		"ID": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "Title": word, "Status": "queued", "As": "agent", "With": word, "Waiting": true, "Position": 2, "Usual": 3 * time.Minute,
		"Created": sampleNow, "Closed": &sampleNow, "Mode": "write", "Reopens": true, "Guest": false, "Back": "/chat", "Export": "/chat/1/export", "Manage": "/chat/1",
		"Bar": "/chat/1?part=bar", "Earlier": "/chat/1?part=log&before=7", "Events": "/chat/1/events", "Lines": append(lines, sampleSaid(word), desk), "Last": 8,
		"Action": "/chat/1/say", "Return": "desk", "Nonce": "x", "Draft": word, "Trouble": word,
		"Transfer": []m{{"ID": word, "Name": "", "Load": 1, "MaxLoad": 5}}, "DropCanned": "/agent/chat/canned",
		"Canned": []m{{"ID": "1", "Title": word, "Text": word, "Fill": "/agent/chat?text=x"}},
	}
}

// sampleBar is a talk whose form is another one than it was.
func sampleBar(word string) m {
	t := sampleTalk(word)
	t["Changed"], t["Mode"], t["Status"] = true, "closed", "closed"
	return t
}

func sampleDesk(word string) m {
	list := []m{{"Path": "/agent/chat?session=1", "With": word, "Title": word, "Words": "", "Medium": false, "Unread": 3, "Waits": time.Minute, "Closed": &sampleNow, "Here": true}}
	return m{"Path": "/agent/chat?part=list", "Own": list, "Queue": list, "Past": list, "Unread": 1}
}

// sampleList is the data of a page with a list.
func sampleList(word string, more m) m {
	all := m{"Frame": sampleFrame(word), "Path": "/admin/x", "Do": "/admin/x/do?q=1", "Q": word, "Pager": m{"First": "/admin/x", "Next": "/admin/x?after=1", "Shown": 50}}
	maps.Copy(all, more)
	return all
}

var sampleFigures = m{"Open": 2, "Queued": 3, "Longest": 4 * time.Minute, "Online": 0, "Busy": 2, "Offline": 3, "Pending": 4, "Dead": 5}

var sampleSpans = []m{{"Hours": 0, "For": time.Duration(0)}, {"Hours": 168, "For": 7 * 24 * time.Hour}}

func samplePages(word string) map[string]any {
	return map[string]any{
		"redeem":   m{"Name": word, "UserID": word, "Expires": sampleNow.Add(10 * time.Minute), "Action": "/chat?a=1", "Token": word, "Named": false, "OTP": true, "Need": true, "Wrong": true, "Wait": time.Duration(0)},
		"password": m{"Name": word, "UserID": word, "Expires": sampleNow.Add(10 * time.Minute), "Action": "/password", "Token": word, "Problem": word},
		"chat": m{"Frame": sampleFrame(word), "Open": nil, "First": "/chat", "Next": "/chat?before=x", "Usual": time.Minute, "Topic": word,
			"Past": []m{{"Path": "/chat/1", "Title": word, "With": word, "Closed": &sampleNow, "Reopens": true}},
			"Form": m{"Action": "/chat/new", "Nonce": "x", "Draft": word, "Trouble": word}},
		"chatsession":  m{"Frame": sampleFrame(word), "Talk": sampleTalk(word)},
		"saidfragment": sampleSaid(word),
		"talkbar":      sampleBar(word),
		"talklog":      m{"Earlier": "", "Lines": []m{sampleSaid(word)}},
		"nonce":        m{"Nonce": "x"},
		"unsent":       m{"Trouble": word},
		"desk":         m{"Frame": sampleFrame(word), "Me": sampleAgent(word), "Choices": []time.Duration{time.Hour}, "List": sampleDesk(word), "Open": true, "Talk": sampleTalk(word)},
		"desklist":     sampleDesk(word),
		"home":         m{"Frame": sampleFrame(word), "Area": "agent"},
		"notfound":     m{"Frame": sampleFrame(word)},
		"linkdead":     nil,
		"exportsaid":   sampleSaid(word), "exportfoot": nil,
		"exporthead": m{"Title": word, "AskerName": word, "AgentName": word, "CreatedAt": sampleNow, "ClosedAt": &sampleNow, "SavedAt": sampleNow, "By": word},

		"signedout":   m{"Again": "/auth/wecom?next=%2F"},
		"notyours":    m{"Again": "/auth/wecom?next=%2F"},
		"notsignedin": m{"Why": "silence", "Again": "/auth/wecom?next=%2F"},
		"share": m{"Name": word, "Avatar": "/static/icon.svg", "Welcome": word, "Questions": []m{{"Text": word, "Fill": "/s/x?text=y"}}, "Username": word, "Begun": true, "Talk": sampleTalk(word),
			"Settings": []m{{"Name": "language", "Value": "zh", "Switch": false, "On": false}, {"Name": "enable_thinking", "Value": "", "Switch": true, "On": true}}},
		"sharesignin":     m{"Username": word, "Wrong": true, "Often": false},
		"sharedead":       nil,
		"newpassword":     m{"Username": word, "Password": "", "Expires": sampleNow.Add(10 * time.Minute), "Action": "/newpassword", "Token": "x"},
		"newpassworddead": nil,
		"devicepassword": m{"Name": word, "UserID": word, "Namespace": word, "Type": "student", "ReadOnly": true,
			"Expires": sampleNow.Add(10 * time.Minute), "Action": "/password", "Token": word, "Problem": word},
		"devicedone": nil,
		"devicedead": nil,

		"passworddone": nil,
		"passworddead": nil,
		"signin":       nil,
		"docs":         nil,
		"dashboard": m{"Frame": sampleFrame(word), "Now": sampleFigures,
			"Days": []m{{"Day": sampleNow, "Sessions": 9, "Answered": 7, "Answer": 90 * time.Second, "Minutes": "1.5", "Commands": 12, "Failed": 1, "Undelivered": 0}}},
		"adminwelcome": m{"Frame": sampleFrame(word), "Full": true, "Now": sampleFigures},
		"adminagents": sampleList(word, m{"Status": "busy", "Statuses": []string{"online", "busy", "offline"}, "Most": 1000,
			"Agents": []m{{"ID": word, "Name": word, "Status": "busy", "Until": &sampleNow, "Note": word, "Roles": []string{"admin", "agent"}, "Load": 1, "MaxLoad": 5, "OTP": true}}}),
		"admintokens": sampleList(word, m{"Made": m{"Token": "dba_x", "User": word, "Name": word, "ExpiresAt": sampleNow}, "Own": "x", "Spans": sampleSpans,
			"Tokens": []m{{"ID": "1a2b3c4d", "ShortID": "1a2b3c4d", "User": word, "Name": "", "Source": "chat", "CreatedAt": sampleNow, "ExpiresAt": sampleNow, "LastUsedAt": &sampleNow}}}),
		"adminshares": sampleList(word, m{"Ended": true, "Spans": sampleSpans, "Bots": []m{{"ID": "1", "Name": word}},
			"Shown": m{"Name": word, "BotName": word, "URL": "/s/x", "QR": "eA==", "ExpiresAt": &sampleNow},
			"Shares": []m{{"ID": "1", "BotName": word, "Name": word, "Last4": "abcd", "CreatedAt": sampleNow, "Opens": 3, "OpenedAt": &sampleNow,
				"ExpiresAt": &sampleNow, "RevokedAt": (*time.Time)(nil), "Live": true}}}),
		"adminusers": sampleList(word, m{"Kind": "enduser", "Kinds": []string{"enduser", "account"},
			"Accounts": []m{{"UID": "1", "Username": word, "Nickname": word, "IsEndUser": true, "Enabled": false, "Email": word, "Mobile": "1",
				"CreatedAt": sampleNow, "LastLoginAt": &sampleNow}}}),
		"adminaudit": sampleList(word, m{"Action": word, "From": "2026-03-01", "To": word, "Actions": []string{"otp.use"},
			"Entries": []m{{"ID": 7, "At": sampleNow, "Actor": word, "Action": "otp.use", "Target": word, "Result": "ok", "Detail": word}}}),
		"adminoutbox": sampleList(word, m{"Pending": 1, "Dead": 1, "State": "dead", "States": []string{"dead", "sent"},
			"Items": []m{{"ID": 7, "To": word, "State": "dead", "CreatedAt": sampleNow, "Tries": 9, "LastError": word}}}),
		"error": m{"Frame": sampleFrame(word), "Status": 500, "Ref": "ABCD2345", "Need": false},
	}
}

func sampleSession(word string) m {
	return m{
		"ID": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "Short": "1b4e28ba", "AskerID": "hanmeimei", "AskerName": word, "Title": word, "Status": "open", "AgentName": word, "AgentID": "lilei",
		"Position": 3, "ClosedBy": "lilei", "CreatedAt": sampleNow, "URL": "https://desk.example.com/chat/1?accessToken=x", "For": 10 * time.Minute,
		"To": "lilei", "Note": word, "Own": false, "New": 12, "Current": true, "Sent": 2,
	}
}

func sampleSessions(word string) m {
	six := make([]m, 6)
	for i := range six {
		six[i] = sampleSession(word)
		six[i]["ID"] = fmt.Sprint(i, six[i]["ID"])
	}
	return m{"Sessions": six, "Others": six[:1], "Held": 2, "For": 10 * time.Minute}
}

func sampleBroadcast(word string) m {
	return m{"ID": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "AuthorName": word, "Content": word, "Count": 12345, "Listed": false,
		"ConfirmedAt": (*time.Time)(nil), "Again": false, "For": 10 * time.Minute, "Arrived": 12300, "Failed": 45}
}

func sampleConfig(string) m {
	return m{"ShortID": "1a2b3c4d", "Type": "student", "ReadOnly": true, "Password": "sealed", "UsedAt": &sampleNow}
}

func tokenOf(word string) m {
	return m{"ShortID": "1a2b3c4d", "User": word, "Name": word, "Source": "chat", "ExpiresAt": sampleNow.Add(8 * time.Hour), "LastUsedAt": sampleNow}
}

func sampleShare(word string) m {
	until := sampleNow.Add(7 * 24 * time.Hour)
	return m{
		"ID": "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "ShortID": "1b4e28ba", "BotName": word, "Name": word, "URL": "https://desk.example.com/s/x",
		"Opens": 12, "OpenedAt": &sampleNow, "ExpiresAt": &until, "Left": 7 * 24 * time.Hour, "RevokedAt": (*time.Time)(nil),
	}
}
