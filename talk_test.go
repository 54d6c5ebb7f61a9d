package main

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestTalk has an employee, two agents and a customer talk, each in a browser of
// their own, and reads what they would read.
func TestTalk(t *testing.T) {
	gateway, sandbox := startDemo(t)
	han, lilei := walk{newBrowser(t), gateway, sandbox}, walk{newBrowser(t), gateway, sandbox}
	for who, w := range map[string]walk{"hanmeimei": han, "lilei": lilei} {
		w.do("look like a desktop", looks("light", 1180, 800), as(desktop))
		w.enters(who, "/chat")
	}

	lilei.do("open the desk", chromedp.Navigate(gateway+"/agent/chat"))
	lilei.reads("您现在不接新会话")
	lilei.do("go online", chromedp.Click(`.switch summary`), chromedp.Click(`button[value="online"]`))
	lilei.until(`document.querySelector(".switch summary")?.innerText.includes("在线")`)

	han.do("ask the desk", chromedp.SendKeys(`textarea[name="content"]`, "打印机连不上，提示“脱机”"), chromedp.Click(`.askdesk button`))
	han.until(`location.pathname.startsWith("/chat/") && !!document.querySelector("#log .own")`)
	han.reads("打印机连不上", "李雷 正在为您服务")

	lilei.until(item("韩梅梅") + `?.innerText.includes("未读")`) // nobody loaded it anew
	lilei.until(`/^\(\d+\)/.test(document.title)`)
	lilei.opens("韩梅梅")
	lilei.write("您好，打印机是哪一台？")
	han.heard("您好，打印机是哪一台？")
	han.write("三楼茶水间旁边那台\nHP M404")
	lilei.heard("三楼茶水间旁边那台")
	lilei.until(item("韩梅梅") + `?.querySelector(".badge") === null`) // it was seen
	lilei.until(`document.querySelector("#bar")?.innerText.includes("在等待回复")`)

	lilei.sound("agent desk", 1180, 800)
	han.sound("chat", 390, 844)
	han.do("look like a desktop", looks("light", 1180, 800))

	// Off the page, the chat tells.
	han.chat("hanmeimei")
	lilei.write("已经重新连上了，请再打印一次试试 https://wiki.example.com/printer")
	han.until(`document.querySelector("#talk")?.innerText.includes("已经重新连上了")`)
	if talk := han.eval(`document.querySelector("#talk").innerText`); strings.Contains(talk, "打印机是哪一台") {
		t.Errorf("the chat tells what was seen on the page:\n%s", talk)
	}
	han.do("come back to the page", chromedp.Navigate(gateway+"/chat"), chromedp.Click(`a.opened`), chromedp.WaitVisible(`#log .bubble a`))
	han.write("好了，谢谢！")
	lilei.heard("好了，谢谢！")

	// Another agent takes over. The first one's page says so, and goes to the list.
	lucy := walk{newBrowser(t), gateway, sandbox}
	lucy.do("look like a phone", looks("light", 390, 844), as(weComsOwn))
	lucy.enters("lucy", "/agent/chat")
	lucy.do("go online", chromedp.Click(`.switch summary`), chromedp.Click(`button[value="online"]`))
	lucy.until(`document.querySelector(".switch summary .dot.online") !== null`)
	lilei.do("reload", chromedp.Reload(), chromedp.WaitVisible(`#acts summary`), chromedp.Click(`#acts details:first-child summary`), chromedp.WaitVisible(`#acts select`))
	lilei.do("transfer", chromedp.SendKeys(`#acts input[name="note"]`, "换了墨盒再看看"), chromedp.Click(`#acts details:first-child button`))
	lilei.until(`document.querySelector("#flash")?.innerText.includes("已转交给 Lucy Green")`)
	lucy.until(item("韩梅梅") + `?.innerText.includes("未读")`)
	han.until(`document.querySelector("#bar")?.innerText.includes("Lucy Green 正在为您服务")`)
	han.reads("换了墨盒再看看")
	lucy.opens("韩梅梅")
	lucy.write("墨盒明天到")
	han.heard("墨盒明天到")
	lucy.until(`!document.querySelector("#bar").innerText.includes("在等待回复")`)
	lucy.sound("agent desk phone", 390, 844)
	han.do("look like a phone", looks("light", 390, 844))
	han.picture("chat-phone.png")
	lucy.do("look like a desktop", looks("light", 1180, 760))
	lucy.until(`(() => { document.getElementById("say").focus(); const log = document.getElementById("log"); return log.scrollHeight - log.scrollTop - log.clientHeight < 2; })()`) // the end stays in view
	lucy.picture("agent-desk.png")
	lucy.do("by night", looks("dark", 1180, 760))
	lucy.picture("agent-desk-dark.png")
	lucy.do("and as before", looks("light", 1180, 760))

	han.pictures("chat")
	lucy.pictures("agent-desk")

	lucy.do("close it", chromedp.Click(`#acts details:nth-child(2) summary`), chromedp.WaitVisible(`#acts .danger`), chromedp.Click(`#acts .danger`))
	lucy.until(`!!document.querySelector("#foot")?.innerText.includes("会话已结束")`)
	han.until(`document.querySelector("#foot")?.innerText.includes("继续这个会话")`)
	han.reads("Lucy Green 结束了会话")
	han.do("look at what was", chromedp.Navigate(gateway+"/chat"), chromedp.WaitVisible(`.talks`))
	han.reads("打印机连不上", "Lucy Green")
	han.sound("chat home", 390, 844)
	han.pictures("chat-home")
	lucy.do("back to the list", chromedp.Navigate(gateway+"/agent/chat"))
	lucy.sound("agent list phone", 390, 844)
	lucy.pictures("agent-list")
}

// item is a session in an agent's list.
func item(name string) string {
	return `[...document.querySelectorAll("#list a")].find((a) => a.innerText.includes("` + name + `"))`
}

// opens goes to a session of the list.
func (w walk) opens(name string) {
	w.t.Helper()
	w.until(`!!` + item(name))
	w.eval(item(name) + `.click(), ""`)
	w.until(`location.search.startsWith("?session=") && !!document.querySelector("#log .other")`)
}

// enters signs somebody in at WeCom, to a page.
func (w walk) enters(who, path string) {
	w.t.Helper()
	w.do(who+" signs in", chromedp.Navigate(w.gateway+"/auth/wecom?next="+path), chromedp.WaitVisible(`[data-as="`+who+`"]`), chromedp.Click(`[data-as="`+who+`"]`))
	w.at(path)
}

// write sends a message by the keyboard.
func (w walk) write(text string) {
	w.t.Helper()
	first, rest, more := strings.Cut(text, "\n")
	w.do("write", chromedp.SendKeys(`#say`, first))
	if more {
		w.eval(`document.getElementById("say").value += "\n` + rest + `", ""`)
	}
	w.do("send", chromedp.SendKeys(`#say`, "\r"))
	w.until(`[...document.querySelectorAll("#log .own")].at(-1)?.innerText.includes("` + first + `") && document.getElementById("say").value === ""`)
}

// heard waits for a message of the other side.
func (w walk) heard(text string) {
	w.t.Helper()
	w.until(`[...document.querySelectorAll("#log .other")].at(-1)?.innerText.includes("` + text + `")`)
}
