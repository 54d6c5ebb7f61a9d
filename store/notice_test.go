package store

import (
	"slices"
	"strings"
	"testing"

	"deskbell/bot"
	"deskbell/store/storetest"
)

// linkFor gives the token of a chat link for somebody.
func (f fixture) linkFor(userID string) string {
	f.t.Helper()
	var link Link
	f.tx(func(tx *Tx) (err error) {
		link, err = tx.NewLink(f.t.Context(), bot.User{ID: userID}, "/chat")
		return err
	})
	_, token, _ := strings.Cut(link.URL, "accessToken=")
	return token
}

// Whoever owns a link is asked whether it was them who used it, in the
// transaction that used it.
func TestUsedLinkAsksItsOwner(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		var told []bot.Reply
		f := open(t, url, func(o *Options) {
			o.Render = func(to, _, _ string, r bot.Reply) (bot.Outgoing, error) {
				told = append(told, r)
				return bot.Outgoing{To: to, Text: r.Key}, nil
			}
		})
		if _, _, err := f.Exchange(t.Context(), f.linkFor("LiLei"), "", Client{Device: "WeCom · iPhone", Address: "203.0.113.9"}); err != nil {
			t.Fatal(err)
		}
		want := notice{What: NoticeLink, At: f.now(), App: "WeCom", System: "iPhone", Address: "203.0.113.9"}
		if len(told) != 1 || told[0].Data != want {
			t.Errorf("said %+v, want %+v", told, want)
		}
	})
}

// alarms is what people are told, besides being asked whether it was them.
func (f fixture) alarms() []string {
	f.t.Helper()
	return slices.DeleteFunc(f.texts(), func(text string) bool { return strings.HasSuffix(text, " security.notice") })
}
