package api

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"deskbell/store"
)

func TestDeskPage(t *testing.T) {
	eachTalking(t, func(k *talking) {
		k.want(k.as("lilei", "GET", "/agent/chat", nil), 200, "现在没有会话", "在线", "0/5", `sse-connect="/agent/chat/events"`)
		chat := k.begins("打印机坏了")
		desk := "/agent/chat?session=" + strings.TrimPrefix(chat, "/chat/")
		list := k.as("lilei", "GET", "/agent/chat?part=list", nil, byScript)
		k.want(list, 200, "韩梅梅", "打印机坏了", `data-unread="1"`, "等了 1 分钟", `href="`+desk+`"`)
		if strings.Contains(string(list.Body()), "<html") {
			t.Error("a part is a whole page")
		}
		page := k.as("lilei", "GET", desk, nil)
		k.want(page, 200, `aria-current="page"`, "韩梅梅 在等待回复", `name="return" value="desk"`, "常用回复", "您好，我是 IT 服务台", "现在没有其他在线且有余力的坐席")
		k.want(k.as("lilei", "POST", chat+"/say", url.Values{"content": {" "}, "return": {"desk"}}), 400, "请先写点什么", "我的会话")

		// Somebody else takes over; whoever had it learns so, and sees it no more.
		k.leadsTo(k.as("lilei", "POST", chat+"/transfer", url.Values{"agent": {"boss"}, "return": {"desk"}}), 303, desk)
		k.staff("boss", store.Online)
		k.want(k.as("lilei", "GET", desk, nil), 200, `<option value="boss">Ma Boss（0/5）</option>`)
		got := k.as("lilei", "POST", chat+"/transfer", url.Values{"agent": {"boss"}, "note": {"要换墨盒"}, "return": {"desk"}})
		k.leadsTo(got, 303, "/agent/chat")
		cookie := k.cookies["lilei"]
		cookie.value += "; " + cookieOf(t, got, k.flashes.name).value
		k.want(k.do("GET", "/agent/chat", "", cookie), 200, "已转交给 Ma Boss")
		for _, part := range []string{"", "&part=bar&was=write", "&part=list", "&part=log&before=2"} {
			k.leadsTo(k.as("lilei", "GET", desk+part, nil), 303, "/agent/chat")
			gone := k.as("lilei", "GET", desk+part, nil, byScript)
			if to := string(gone.Header.Peek("HX-Redirect")); gone.StatusCode() != 204 || to != "/agent/chat" {
				t.Errorf("%s: %d to %q", part, gone.StatusCode(), to)
			}
		}
		k.want(k.as("lilei", "POST", chat+"/say", url.Values{"content": {"还在吗"}}), 404)
		k.want(k.as("boss", "GET", desk, nil), 200, "要换墨盒", "<textarea")

		// What is closed can be looked at, and goes on, for a day.
		k.leadsTo(k.as("boss", "POST", chat+"/close", url.Values{"return": {"desk"}}), 303, desk)
		k.want(k.as("boss", "GET", desk, nil), 200, "最近一天结束", "继续这个会话", "会话已结束")
		k.leadsTo(k.as("boss", "POST", chat+"/reopen", url.Values{"return": {"desk"}}), 303, desk)
		k.want(k.as("hanmeimei", "GET", "/agent/chat", nil), 403)
		// One's own question is no work of one's own desk.
		got = k.as("boss", "POST", "/chat/new", url.Values{"content": {"我的键盘"}})
		own := string(got.Header.Peek("Location"))
		k.leadsTo(k.as("boss", "GET", "/agent/chat?session="+strings.TrimPrefix(own, "/chat/"), nil), 303, own)
	})
}

func TestDeskStatus(t *testing.T) {
	eachTalking(t, func(k *talking) {
		k.leadsTo(k.as("lilei", "POST", "/agent/chat/status", url.Values{"status": {"busy"}, "for": {"30m0s"}, "session": {"x"}}), 303, "/agent/chat?session=x")
		k.want(k.as("lilei", "GET", "/agent/chat", nil), 200, "忙碌", "恢复为在线", `<option value="30m0s">30 分钟</option>`)
		for _, wrong := range []url.Values{{"status": {"away"}}, {"status": {"busy"}, "for": {"31m"}}, {"status": {"busy"}, "for": {"x"}}} {
			k.want(k.as("lilei", "POST", "/agent/chat/status", wrong), 400)
		}
		k.now = k.now.Add(31 * time.Minute)
		k.want(k.as("lilei", "GET", "/agent/chat", nil), 200, `<span class="dot online"></span>`)
	})
}

func TestCannedReplies(t *testing.T) {
	eachTalking(t, func(k *talking) {
		chat := k.begins("打印机坏了")
		id := strings.TrimPrefix(chat, "/chat/")
		desk := "/agent/chat?session=" + id
		k.leadsTo(k.as("lilei", "POST", "/agent/chat/canned", url.Values{"text": {"请看 <wiki>"}, "session": {id}}), 303, desk)
		k.want(k.as("lilei", "GET", desk, nil), 200, `data-fill="请看 &lt;wiki&gt;"`, `name="drop"`)
		k.want(k.as("lilei", "GET", desk+"&text=%E8%AF%B7%E7%9C%8B", nil), 200, ">请看</textarea>") // without scripts
		own, err := k.o.Store.Canned(t.Context(), "lilei")
		if err != nil || len(own) != 1 || own[0].Title != "请看 <wiki>" {
			t.Fatalf("%v, %v", own, err)
		}
		k.leadsTo(k.as("boss", "POST", "/agent/chat/canned", url.Values{"drop": {own[0].ID}}), 303, "/agent/chat")
		if own, err := k.o.Store.Canned(t.Context(), "lilei"); err != nil || len(own) != 1 {
			t.Fatalf("another agent dropped it: %v, %v", own, err)
		}
		for range 2 {
			k.leadsTo(k.as("lilei", "POST", "/agent/chat/canned", url.Values{"drop": {own[0].ID}}), 303, "/agent/chat")
		}
		got := k.as("lilei", "POST", "/agent/chat/canned", url.Values{"text": {" "}})
		cookie := k.cookies["lilei"]
		cookie.value += "; " + cookieOf(t, got, k.flashes.name).value
		k.want(k.do("GET", desk, "", cookie), 200, "请先写点什么")
	})
}
