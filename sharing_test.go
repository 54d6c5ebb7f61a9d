package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"
)

// post calls the API with JSON and gives its answer, unwrapped if it is wrapped.
func post(t *testing.T, address, token, body string) map[string]any {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		t.Fatalf("%s: %s %s %v", address, res.Status, text, err)
	}
	got := map[string]any{}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if data, ok := got["data"].(map[string]any); ok {
		return data
	}
	return got
}

// count is how many elements of a kind the page has.
func (b tab) count(selector string) string {
	b.t.Helper()
	return b.eval("String(document.querySelectorAll(`" + selector + "`).length)")
}

// fits holds the page against a phone, and against words nobody can break: it is
// never wider than the window, and what is to be pressed is large enough. The
// page is spoilt after that.
func (b tab) fits(page string) {
	b.t.Helper()
	const wide = `document.documentElement.scrollWidth > window.innerWidth`
	b.do(page+" on a phone", looks("light", 360, 640))
	if b.eval(`String(`+wide+` || [...document.querySelectorAll("button, input:not([type=hidden])")].some(e => e.checkVisibility() && e.offsetHeight < 44))`) != "false" {
		b.t.Errorf("%s does not fit on a phone", page)
	}
	b.eval(`String([...document.querySelectorAll("main *")].filter(e => e.childElementCount == 0 && e.innerText).forEach(e => e.innerText = "W".repeat(254)))`)
	if b.eval(`String(`+wide+`)`) != "false" {
		b.t.Errorf("%s is too wide for long words", page)
	}
	b.do("as before", looks("light", 720, 620))
}

// TestSharingInBrowser goes through sharing a bot as it happens: the administrator
// makes it, shares it and makes an account in the chat; the customer takes the
// password, opens the link and signs in; the administrator sees it and revokes.
func TestSharingInBrowser(t *testing.T) {
	gateway, sandbox := startDemo(t)
	b := newBrowser(t)
	const link = `[...document.querySelectorAll("a")].map(a => a.href).filter(h => h.includes("%")).at(-1) ?? ""`
	find := func(part string) string {
		b.until(`(` + strings.ReplaceAll(link, "%", part) + `) != ""`)
		return b.eval(strings.ReplaceAll(link, "%", part))
	}
	page := func() string { return b.eval(`document.body.innerText`) }

	b.do("the administrator asks for a link", looks("light", 720, 620), chromedp.Navigate(sandbox), chromedp.Click(`[data-person="boss"]`), say("/login"))
	_, ticket, _ := strings.Cut(find("accessToken=dbl"), "accessToken=")
	token := post(t, gateway+"/api/v1/tokens/exchange", "", `{"access_token":"`+ticket+`"}`)["accessToken"].(string)
	secret := post(t, gateway+"/api/agents/otp-bind", token, `{}`)["secret"].(string)
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	post(t, gateway+"/api/agents/otp-verify", token, `{"otp_code":"`+code+`"}`)
	post(t, gateway+"/api/v1/bots", token, `{"name":"helper","settings":{"avatar_url":"/static/icon.svg","welcome":"Good day! Ask me about returns, warranty and invoices.",`+
		`"suggested_questions":["How do I return something?","How long is the warranty?","Can I have an invoice?"],"language":"en","enable_thinking":false,"enable_memori":true,"system_prompt":"not for customers"}}`)

	b.do("shares it", say("/share new helper fair 7d"))
	share := find("/s/dbs_")
	b.do("makes an account", say("/user new kim"))
	handOver := find("/newpassword?")

	b.do("an agent is there", chromedp.Navigate(sandbox), chromedp.Click(`[data-person="lilei"]`), say("/status online"))
	b.until(`document.querySelector("#talk").innerText.includes("您的状态：在线")`)

	b.do("the customer opens the link to their password", chromedp.Navigate(handOver), chromedp.WaitVisible(`form button`))
	if b.count(".secret") != "0" {
		t.Errorf("without a press the page shows\n%s", page())
	}
	b.do("presses", chromedp.Click(`form button`), chromedp.WaitVisible(`.secret code`))
	password := b.eval(`document.querySelector(".secret code").innerText`)
	// What the picture shows is no password of anybody's.
	b.eval(`document.querySelector(".secret code").innerText = "k7qm-x3fw-9acd-h2pt"`)
	b.picture("password.png")
	b.fits("the password")
	b.do("opens it again", chromedp.Navigate(handOver))
	if again := page(); strings.Contains(again, password) || !strings.Contains(again, "/user reset") {
		t.Errorf("once more it shows\n%s", again)
	}

	b.do("opens the share", chromedp.Navigate(share), chromedp.WaitVisible(`input[name="password"]`))
	if strings.Contains(page(), "Good day") {
		t.Errorf("a stranger sees\n%s", page())
	}
	b.fits("the sign-in")
	b.do("signs in with a wrong password", chromedp.Navigate(share), chromedp.SendKeys(`input[name="username"]`, "kim"), chromedp.SendKeys(`input[name="password"]`, "wrong password"), chromedp.Click(`form button`), chromedp.WaitVisible(`[role="alert"]`))
	b.do("and with the right one", chromedp.SendKeys(`input[name="password"]`, password), chromedp.Click(`form button`), chromedp.WaitVisible(`.hello`))
	if seen := page(); !strings.Contains(seen, "Good day!") || !strings.Contains(seen, "How long is the warranty?") || strings.Contains(seen, "not for customers") {
		t.Errorf("the customer sees\n%s", seen)
	}
	b.until(`document.querySelector(".face").naturalWidth > 0`) // the page may show the picture
	customer := walk{b, gateway, sandbox}
	customer.asks()
	b.eval(`document.querySelector(".asks ul").scrollLeft = 0, ""`)
	customer.picture("customer.png")
	customer.pictures("share-page")
	b.fits("the share")

	b.do("the administrator looks at the shares", chromedp.Navigate(sandbox), chromedp.Click(`[data-person="boss"]`), say("/share list"))
	b.until(`[...document.querySelectorAll("[data-card]")].some(c => c.innerText.includes("1 次"))`)
	b.do("and revokes", chromedp.Click(`[data-card] [data-key^="/share revoke"]`))
	b.until(`[...document.querySelectorAll("[data-card]")].some(c => c.innerText.includes("已撤销"))`)
	b.do("the customer is out", chromedp.Navigate(share))
	if gone := page(); b.count("main") != "1" || b.count("form") != "0" || strings.Contains(gone, "Good day") {
		t.Errorf("after it was revoked the page shows\n%s", gone)
	}
}

// asks has a customer talk to the desk, on the page of a share.
func (w walk) asks() {
	w.t.Helper()
	w.do("like a phone", looks("light", 390, 844))
	w.do("take a question that is suggested", chromedp.Click(`.asks li:nth-child(2) a`))
	w.until(`document.getElementById("say").value === "How long is the warranty?"`)
	w.do("send it", chromedp.SendKeys(`#say`, "\r"))
	w.until(`document.querySelector("#log .own")?.innerText.includes("How long is the warranty?") && document.querySelector("#bar")?.innerText.includes("is helping you")`)
	agent, _, _ := strings.Cut(w.eval(`document.querySelector("#bar").innerText.trim()`), " is helping")
	desk := walk{newBrowser(w.t), w.gateway, w.sandbox}
	desk.do("an agent comes to the desk", looks("light", 1180, 800), as(desktop))
	desk.enters(map[string]string{"李雷": "lilei", "Lucy Green": "lucy"}[agent], "/agent/chat")
	desk.opens("How long is the warranty?")
	desk.write("Two years from the day you bought it.")
	w.heard("Two years from the day you bought it.")
	w.write("Thank you!")
	desk.heard("Thank you!")
	w.sound("customer", 390, 844)
}

// TestDevicePasswordInBrowser sets the password of a device as its owner does.
func TestDevicePasswordInBrowser(t *testing.T) {
	gateway, sandbox := startDemo(t)
	b := newBrowser(t)
	const link = `[...document.querySelectorAll("a")].map(a => a.href).find(h => h.includes("/password?accessToken=dbd")) ?? ""`
	b.do("a member makes a device", looks("light", 720, 620), chromedp.Navigate(sandbox), chromedp.Click(`[data-person="hanmeimei"]`), say("/device new class-3a"), say("/device auth add class-3a student readonly"))
	b.until(`(` + link + `) != ""`)
	address := b.eval(link)
	b.do("opens the link", chromedp.Navigate(address), chromedp.WaitVisible(`input[name="again"]`))
	b.fits("the password of a device")
	b.do("types it twice", chromedp.Navigate(address), chromedp.SendKeys(`input[name="password"]`, "rainbow"), chromedp.SendKeys(`input[name="again"]`, "rainbow"), chromedp.Click(`form button`))
	b.until(`document.querySelectorAll("form").length == 0`)
	b.do("opens it again", chromedp.Navigate(address))
	if b.count("form") != "0" {
		t.Errorf("once more it shows\n%s", b.eval(`document.body.innerText`))
	}
	if app := post(t, gateway+"/apps/auth/token", "", `{"namespace":"class-3a","password":"rainbow","appId":"board"}`); app["deviceType"] != "student" || app["isReadOnly"] != true {
		t.Errorf("%v", app)
	}
}
