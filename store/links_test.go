package store

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"deskbell/bot"
	"deskbell/store/storetest"
)

// The columns of the table: what becomes of a path for a user, an agent and an
// administrator. "" is refused as not theirs, "!" as wrong for anybody, and "="
// goes into the link as it is.
func TestLinkPath(t *testing.T) {
	for _, c := range []struct{ path, user, agent, admin string }{
		{"", "/chat", "/agent/chat", "/admin/welcome"},
		{"/chat", "=", "=", "="},
		{"/chat/", "=", "=", "="},
		{"/chat/42?tab=2&x=%2F..%2F", "=", "=", "="},
		{"/chat/a%20b/%E4%B8%AD", "=", "=", "="},
		{"/chat/中文", "=", "=", "="},
		{"/chat?next=https://evil.example", "=", "=", "="},
		{"/agent/chat", "", "=", "="},
		{"/agent/chat/42?tab=2", "", "=", "="},
		{"/%61gent/chat", "", "=", "="},
		{"/admin/welcome", "", "", "="},
		{"/admin/audit?who=lilei", "", "", "="},
		{"/admin%2Faudit", "", "", "="},
		{"/agent/auth/login", "/chat", "/agent/chat", "/admin/welcome"},
		{"/admin/auth/login", "/chat", "/agent/chat", "/admin/welcome"},
		{"/admin/auth/login/?next=/admin/x", "/chat", "/agent/chat", "/admin/welcome"},
		{"/admin/auth/login2", "", "", "="},
		{"/", "", "", ""},
		{"/chats", "", "", ""},
		{"/chatroom/1", "", "", ""},
		{"/agents", "", "", ""},
		{"/administrator/x", "", "", ""},
		{"/Admin/welcome", "", "", ""},
		{"/api/agents", "", "", ""},
		{"/healthz", "", "", ""},
		{"/chat/" + strings.Repeat("x", 1018), "=", "=", "="},
		{"/chat/" + strings.Repeat("x", 1019), "!", "!", "!"},
		{"/chat/" + strings.Repeat("中", 340), "!", "!", "!"},
		{"chat", "!", "!", "!"},
		{" /chat", "!", "!", "!"},
		{"／chat", "!", "!", "!"},
		{"//evil.example/chat", "!", "!", "!"},
		{"/chat//x", "!", "!", "!"},
		{"/chat/%2F/x", "!", "!", "!"},
		{`/\evil.example/chat`, "!", "!", "!"},
		{`/chat\..\admin`, "!", "!", "!"},
		{`/chat?x=\`, "!", "!", "!"},
		{"/chat/%5Cx", "!", "!", "!"},
		{"/chat/%255Cx", "!", "!", "!"},
		{"https://evil.example/chat", "!", "!", "!"},
		{"javascript:alert(1)", "!", "!", "!"},
		{"@evil.example/chat", "!", "!", "!"},
		{"/chat/../admin/welcome", "!", "!", "!"},
		{"/chat/..", "!", "!", "!"},
		{"/chat/./x", "!", "!", "!"},
		{"/chat/x..y", "!", "!", "!"},
		{"/chat/..;/admin", "!", "!", "!"},
		{"/chat/%2e%2e/admin", "!", "!", "!"},
		{"/chat/.%2E/admin", "!", "!", "!"},
		{"/chat/%252e%252e/admin", "!", "!", "!"},
		{"/chat/%25252e%25252e/admin", "!", "!", "!"},
		{"/chat%2f..%2fadmin", "!", "!", "!"},
		{"/chat/" + strings.Repeat("%25", 9) + "2525252525", "!", "!", "!"},
		{"/chat/100%25", "!", "!", "!"},
		{"/chat/%", "!", "!", "!"},
		{"/chat/%zz", "!", "!", "!"},
		{"/chat#x", "!", "!", "!"},
		{"/chat?x#accessToken=y", "!", "!", "!"},
		{`/chat/"><script>`, "!", "!", "!"},
		{"/chat?x=`y`", "!", "!", "!"},
		{"/chat/a b", "!", "!", "!"},
		{"/chat/\u3000", "!", "!", "!"},
		{"/chat/\t", "!", "!", "!"},
		{"/chat\r\nSet-Cookie: a=b", "!", "!", "!"},
		{"/chat/%0d%0aSet-Cookie:%20a=b", "!", "!", "!"},
		{"/chat/%00", "!", "!", "!"},
		{"/chat/%7f", "!", "!", "!"},
		{"/chat/\x7f", "!", "!", "!"},
		{"/chat/\u0085", "!", "!", "!"},
		{"/chat/\u202egnp", "!", "!", "!"},
		{"/chat/\u200b", "!", "!", "!"},
		{"/chat/\xff", "!", "!", "!"},
		{"/chat?accessToken=x", "!", "!", "!"},
		{"/chat?a=b&accesstoken=x", "!", "!", "!"},
		{"/chat?a=b&ACCESSTOKEN", "!", "!", "!"},
		{"/chat?access%54oken=x", "!", "!", "!"},
		{"/chat?a=b;accessToken=x", "!", "!", "!"},
		{"/chat?a=%zz", "!", "!", "!"},
	} {
		for level, want := range []string{c.user, c.agent, c.admin} {
			got, err := LinkPath(c.path, bot.Level(level))
			switch e, _ := errors.AsType[*bot.Error](err); {
			case want == "=" && (err != nil || got != c.path), strings.HasPrefix(want, "/") && (err != nil || got != want):
				t.Errorf("%s %q: %q, %v", bot.Level(level), c.path, got, err)
			case want == "" && (got != "" || e == nil || e.Kind != bot.Denied), want == "!" && (got != "" || e == nil || e.Kind != bot.Invalid):
				t.Errorf("%s %q: %q, %v, want refused (%q)", bot.Level(level), c.path, got, err, want)
			}
		}
	}
}

func TestLinksLeadToTheRightServer(t *testing.T) {
	for _, c := range []struct{ path, url string }{
		{"/chat", "https://desk.example.com/chat?accessToken="},
		{"/chat?a=b", "https://desk.example.com/chat?a=b&accessToken="},
		{"/agent/chat", "https://agents.example.com/help/agent/chat?accessToken="},
		{"/admin/welcome?a", "https://admins.example.com/admin/welcome?a&accessToken="},
	} {
		f := open(t, "sqlite::memory:", func(o *Options) {
			o.PublicURL, o.AgentURL, o.AdminURL = "https://desk.example.com/", "https://agents.example.com/help/", "https://admins.example.com"
		})
		var link Link
		f.tx(func(tx *Tx) (err error) {
			link, err = tx.NewLink(t.Context(), bot.User{ID: "boss"}, c.path)
			return err
		})
		if token, ok := strings.CutPrefix(link.URL, c.url); !ok || tokenKind(token) != kindLink {
			t.Errorf("%s: %s", c.path, link.URL)
		}
		if want := f.now().Add(f.LinkTTL); !link.Expires.Equal(want) {
			t.Errorf("expires %v, want %v", link.Expires, want)
		}
	}
}

// Wherever a person says a link should lead, it leads to this origin, into an
// area of theirs, with one token: ours.
func FuzzLinkPath(f *testing.F) {
	for _, seed := range []string{"", "/chat", "/chat/1?a=b", "/admin/x", "//e", `/\e`, "/chat/%2e%2e/x", "/chat?accessToken=a", "/chat/中?x=&&y", "/agent/auth/login"} {
		for level := range 3 {
			f.Add(seed, level)
		}
	}
	s, err := Open(f.Context(), Options{URL: "sqlite::memory:", Keys: [][]byte{testKey}, PublicURL: "https://desk.example.com"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, wanted string, level int) {
		l := bot.Level(uint(level) % 3)
		path, err := LinkPath(wanted, l)
		if err != nil {
			if e, ok := errors.AsType[*bot.Error](err); !ok || e.Kind != bot.Invalid && e.Kind != bot.Denied || path != "" {
				t.Fatalf("%q: %q, %v", wanted, path, err)
			}
			return
		}
		var link Link
		if err := s.Tx(t.Context(), func(tx *Tx) (err error) {
			link, err = tx.NewLink(t.Context(), bot.User{ID: "lilei"}, path)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(link.URL)
		if err != nil {
			t.Fatalf("%q: %v", wanted, err)
		}
		if u.Scheme != "https" || u.Host != "desk.example.com" || u.User != nil || u.Opaque != "" || u.Fragment != "" {
			t.Errorf("%q leads to %s", wanted, link.URL)
		}
		before, _, _ := strings.Cut(path, "?")
		if before, err = url.PathUnescape(before); err != nil || !strings.HasPrefix(link.URL, "https://desk.example.com"+path) || u.Path != before {
			t.Errorf("%q became %s", wanted, link.URL)
		}
		if strings.Contains(u.Path, "..") || strings.Contains(u.EscapedPath(), "..") || !mayOpen(u.Path, l) {
			t.Errorf("%q leads out of its area: %s", wanted, link.URL)
		}
		n := 0
		for name, values := range u.Query() {
			if strings.EqualFold(name, tokenParam) {
				n += len(values)
			}
		}
		if n != 1 || tokenKind(u.Query().Get(tokenParam)) != kindLink {
			t.Errorf("%q carries %d tokens: %s", wanted, n, link.URL)
		}
		if len(link.URL) > 2048 {
			t.Errorf("%d bytes", len(link.URL))
		}
	})
}

func TestLinkIsNotMadeWhenTheTransactionFails(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		var link Link
		boom := errors.New("boom")
		err := f.Tx(t.Context(), func(tx *Tx) (err error) {
			if link, err = tx.NewLink(t.Context(), bot.User{ID: "lilei"}, "/chat"); err != nil {
				return err
			}
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		_, token, _ := strings.Cut(link.URL, tokenParam+"=")
		f.refused("never committed", token)
	})
}
