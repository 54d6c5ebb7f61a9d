package api

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"deskbell/bot"
	"deskbell/store"
)

var onePixel = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00")

// sends adds a medium to a session, as its asker.
func (k *talking) sends(path, medium string, kind bot.MediaKind, name string) {
	k.Helper()
	k.ok(k.o.Store.Tx(k.Context(), func(tx *store.Tx) error {
		c, err := tx.Conversation(k.Context(), strings.TrimPrefix(path, "/chat/"), store.Party{Admin: true})
		if err != nil {
			return err
		}
		_, _, err = tx.Say(k.Context(), c, store.Party{Key: c.Asker, ID: c.AskerID, Name: c.AskerName}, store.Words{Content: name, Media: medium, Kind: string(kind)})
		return err
	}))
}

// What is sent in a session is a picture or a link, once it is here; until then
// the page asks for it by itself.
func TestSentInASession(t *testing.T) {
	eachTalking(t, func(k *talking) {
		chat := k.begins("看这里")
		k.sends(chat, k.keep("屏幕.png", onePixel), bot.Image, "屏幕.png")
		k.sends(chat, k.keep("<b>.html", []byte("<script>alert(1)</script>")), bot.File, "b.html")
		var waits string
		k.ok(k.o.Store.Tx(k.Context(), func(tx *store.Tx) (err error) {
			waits, err = tx.WantMedia(k.Context(), bot.Message{Key: "m:waits", From: "hanmeimei", Media: bot.Media{Kind: bot.Voice, ID: "v"}})
			return err
		}))
		k.sends(chat, waits, bot.Voice, "")
		page := k.as("lilei", "GET", chat, nil)
		k.want(page, 200, `<img src="`+chat+`/media/`, `alt="屏幕.png"`, `📎 b.html</a>`, `📎 语音 <small>正在取回`)
		again := regexp.MustCompile(`hx-get="(/chat/[^"]+part=said[^"]+)"`).FindStringSubmatch(string(page.Body()))
		if again == nil {
			t.Fatalf("the page does not ask for what it waits for: %s", page.Body())
		}
		at := strings.ReplaceAll(again[1], "&amp;", "&")
		k.want(k.as("lilei", "GET", at, nil, byScript), 200, "正在取回")
		k.want(k.as("lilei", "GET", strings.Replace(at, "&n=", "&n=9", 1), nil, byScript), 404)
		k.want(k.as("lilei", "GET", strings.Replace(at, "&n=", "&n=x", 1), nil, byScript), 400)
		for _, src := range regexp.MustCompile(`(?:src|href)="(/chat/[^"]+/media/[^"]+)"`).FindAllStringSubmatch(string(page.Body()), -1) {
			k.want(k.as("lilei", "GET", src[1], nil), 200)
			k.want(k.as("hanmeimei", "GET", src[1], nil), 200)
		}
		k.want(k.as("hanmeimei", "GET", chat+"/media/"+waits, nil), 404)
		k.want(k.as("hanmeimei", "GET", chat+"/export", nil), 200, "📎 屏幕.png", "📎 语音")
		k.leadsTo(k.as("hanmeimei", "POST", chat+"/close", url.Values{}), 303, chat)
	})
}
