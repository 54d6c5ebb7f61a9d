package api

import (
	"net/url"
	"strings"
	"testing"

	"deskbell/store"
)

func TestCustomerTalksToTheDesk(t *testing.T) {
	eachSharing(t, func(d *sharingDesk) {
		d.kim()
		id, token := d.shared("boss", d.bot("boss", helper), `{}`)
		page := "/s/" + token
		kim := d.guestCookie(d.form(page, signInAsKim))
		k := &talking{d.rig, map[string]with{"kim": kim, "lilei": d.signedIn("lilei")}}
		k.staff("lilei", store.Online)

		first := k.as("kim", "GET", page, nil)
		k.want(first, 200, "您好！", `data-fill="怎么退货？"`, `action="`+page+`/say"`)
		if strings.Contains(string(first.Body()), "sse-connect") {
			t.Error("it listens to a session there is not")
		}
		k.want(k.as("kim", "GET", page+"?part=bar&was=write", nil, byScript), 404)
		k.want(k.as("kim", "GET", page+"?text=%E4%BF%9D%E4%BF%AE", nil), 200, ">保修</textarea>")

		nonce := nonceOf.FindStringSubmatch(string(first.Body()))[1]
		words := url.Values{"content": {"怎么退货？"}, "nonce": {nonce}}
		began := k.as("kim", "POST", page+"/say", words, byScript)
		if to := string(began.Header.Peek("HX-Redirect")); began.StatusCode() != 204 || to != page {
			t.Errorf("%d to %q", began.StatusCode(), to)
		}
		k.leadsTo(k.as("kim", "POST", page+"/say", words), 303, page) // once more
		k.want(k.as("kim", "POST", page+"/say", url.Values{"content": {"在吗"}}, byScript), 200, `name="nonce"`)
		seen := k.as("kim", "GET", page, nil)
		k.want(seen, 200, "怎么退货？", "李雷 正在为您服务", `sse-connect="`+page+`/events?session=`, `data-seen="`+page+`/seen"`)
		if n := strings.Count(string(seen.Body()), `class="said own"`); n != 2 {
			t.Errorf("%d messages", n)
		}
		k.want(k.as("kim", "GET", page+"?part=bar&was=write", nil, byScript), 200, `id="bar"`)
		k.want(k.as("kim", "POST", page+"/seen", url.Values{"n": {"3"}}), 204)

		list, err := d.o.Store.Conversations(t.Context(), store.Conversations{All: true, Party: store.Party{Admin: true}})
		d.ok(err)
		if len(list) != 1 || list[0].Share != id || list[0].Agent != "lilei" {
			t.Fatalf("%+v", list)
		}
		chat := chatAt(list[0].ID)
		k.want(k.as("lilei", "GET", deskAt(list[0].ID), nil), 200, "<strong>kim</strong>", "<b>kim</b>") // who chose no nickname
		k.leadsTo(k.as("lilei", "POST", chat+"/say", url.Values{"content": {"七天内都可以"}}), 303, chat)
		k.want(k.as("kim", "GET", page, nil), 200, "七天内都可以", `class="said other"`)

		// Nobody else gets in: not without signing in, and not through another share.
		for _, act := range []string{"/say", "/seen", "/close"} {
			k.leadsTo(k.form(page+act, words), 303, page)
			k.want(k.do("POST", page+act, words.Encode(), kim, with{"Sec-Fetch-Site", "cross-site"}), 403)
		}
		_, other := d.shared("boss", d.bot("boss", strings.Replace(helper, "售后助手", "另一个", 1)), `{}`)
		strange := k.as("kim", "GET", "/s/"+other, nil)
		if strings.Contains(string(strange.Body()), "七天内都可以") {
			t.Error("another share shows the same session")
		}

		k.leadsTo(k.as("kim", "POST", page+"/close", nil), 303, page)
		k.want(k.as("kim", "GET", page, nil), 200, "再写消息就会开始新的会话", "七天内都可以")
		k.leadsTo(k.as("kim", "POST", page+"/say", url.Values{"content": {"还有一个问题"}}), 303, page)
		again := k.as("kim", "GET", page, nil)
		k.want(again, 200, "还有一个问题")
		if strings.Contains(string(again.Body()), "七天内都可以") {
			t.Error("a new session begins with the words of the one before")
		}

		// A share that is over takes no words, and shows what it always showed.
		d.ok(d.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.RevokeShare(t.Context(), id, store.Asker{Master: true})
			return err
		}))
		dead := string(d.do("GET", "/s/dbs_"+strings.Repeat("A", 49), "").Body())
		over := k.as("kim", "POST", page+"/say", url.Values{"content": {"喂"}})
		if k.want(over, 404); string(over.Body()) != dead {
			t.Errorf("after the end: %s", over.Body())
		}
		gone := k.as("kim", "POST", page+"/say", url.Values{"content": {"喂"}}, byScript)
		if to := string(gone.Header.Peek("HX-Redirect")); gone.StatusCode() != 204 || to != page {
			t.Errorf("%d to %q", gone.StatusCode(), to)
		}
	})
}
