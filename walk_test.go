package main

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"deskbell/bot/wecom/sim"
)

const (
	desktop   = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	weComsOwn = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 wxwork/4.1.30 MicroMessenger/7.0.1 Language/zh"
)

// TestSignInWalk goes every way in that a person has a page for, as they would,
// and reads what they would read.
func TestSignInWalk(t *testing.T) {
	gateway, sandbox := startDemo(t)
	b := newBrowser(t)
	w := walk{b, gateway, sandbox}
	b.do("look like a desktop", looks("light", 1180, 860), as(desktop))
	t.Run("link", w.link)
	t.Run("WeCom", w.weCom)
	t.Run("own link in WeCom", w.ownLink)
	t.Run("somebody else's link in WeCom", w.othersLink)
	t.Run("one-time password", w.otp)
}

type walk struct {
	tab
	gateway, sandbox string
}

// as sets the User-Agent.
func as(userAgent string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: userAgent, AcceptLanguage: "zh-CN"})
		return err
	})
}

// chat opens the chat of a person.
func (w walk) chat(person string) {
	w.t.Helper()
	w.do("open the chat of "+person, chromedp.Navigate(w.sandbox), chromedp.Click(`[data-person="`+person+`"]`))
	w.until(`location.hash == "#` + person + `"`)
}

// newLink asks for a link in a person's chat.
func (w walk) newLink(person, line string) string {
	w.t.Helper()
	const links = `[...document.querySelectorAll('#talk h3 a[href*="accessToken="]')].map(a => a.href)`
	w.chat(person)
	w.do("wait for the chat", chromedp.WaitVisible(`#talk > *`))
	before := w.eval(`String(` + links + `.length)`)
	w.do("ask for a link", say(line))
	w.until(links + `.length > ` + before)
	return w.eval(links + `.at(-1)`)
}

// reads fails unless the page says all of it, and returns what it says.
func (w walk) reads(parts ...string) string {
	w.t.Helper()
	text := w.eval(`document.body.innerText`)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			w.t.Errorf("%s does not say %q:\n%s", w.eval(`location.pathname`), part, text)
		}
	}
	return text
}

// at waits until the browser is at a path of the gateway, without a token.
func (w walk) at(path string) {
	w.t.Helper()
	w.until(`location.origin + location.pathname + location.search == "` + w.gateway + path + `" && document.readyState == "complete"`)
}

// out ends whatever the browser is signed in as.
func (w walk) out() {
	w.t.Helper()
	w.do("sign out", chromedp.Click(`form[action="/logout"] button`))
	w.at("/logout")
	w.reads("已退出登录")
	w.do("nothing opens any more", chromedp.Navigate(w.gateway+"/chat"))
	w.until(`location.origin == "` + w.sandbox + `"`) // one is asked at WeCom's who one is
}

// in is w with the test that reports; where one fails, the next begin anew.
func (w walk) in(t *testing.T) walk {
	w.t = t
	w.do("begin on a desktop, as nobody", chromedp.Navigate(w.gateway+"/auth/wecom"), as(desktop), looks("light", 1180, 860))
	return w
}

func (w walk) link(t *testing.T) {
	w = w.in(t)
	link := w.newLink("lilei", "/login")
	w.do("open the link", chromedp.Navigate(link), chromedp.WaitVisible(`main button`))
	w.reads("以 李雷 的身份登录？", "lilei", "如果不是您本人，请关闭本页")
	w.do("press the button", chromedp.Click(`main button`))
	w.at("/agent/chat")
	w.reads("李雷", "坐席工作台", "退出登录")
	w.do("look at it closely", looks("light", 620, 760))
	w.picture("login.png")
	w.out()
	w.do("open the link again", chromedp.Navigate(link))
	w.reads("这个链接已失效", "/login")
}

func (w walk) weCom(t *testing.T) {
	w = w.in(t)
	w.do("sign in with WeCom", chromedp.Navigate(w.gateway+"/auth/wecom?next=/agent/chat%3Ftab%3D2"), chromedp.WaitVisible(`[data-as="hanmeimei"]`))
	w.reads("您是谁？", "李雷", "韩梅梅", "外部人员")
	w.do("say who one is", chromedp.Click(`[data-as="lilei"]`))
	w.at("/agent/chat?tab=2")
	w.reads("李雷", "坐席工作台")
	w.out()

	w.do("refuse to say", chromedp.Navigate(w.gateway+"/auth/wecom?next=/chat"), chromedp.WaitVisible(`a.refuse`), chromedp.Click(`a.refuse`))
	w.until(`location.pathname == "/auth/wecom/callback"`)
	w.reads("请先登录", "/login")
	again := w.eval(`location.href`)
	w.do("come back once more", chromedp.Navigate(again))
	w.reads("这次登录已经失效", "重新登录")
	w.do("begin again", chromedp.Click(`a.button`), chromedp.WaitVisible(`[data-as="hanmeimei"]`), chromedp.Click(`[data-as="hanmeimei"]`))
	w.at("/chat") // the front page leads there
	w.reads("韩梅梅")
	w.out()
}

func (w walk) ownLink(t *testing.T) {
	w = w.in(t)
	link := w.newLink("lilei", "/login /agent/chat?tab=3")
	w.do("open it in WeCom", as(weComsOwn), chromedp.Navigate(link))
	w.at("/agent/chat?tab=3") // nobody pressed anything
	w.reads("李雷", "坐席工作台")
	w.do("sign out: WeCom does not sign one in again by itself", chromedp.Click(`form[action="/logout"] button`))
	w.at("/logout")
	w.reads("已退出登录")
}

func (w walk) othersLink(t *testing.T) {
	w = w.in(t)
	link := w.newLink("lilei", "/login")
	w.chat("hanmeimei")
	w.do("somebody else opens it in WeCom", looks("light", 390, 620), as(weComsOwn), chromedp.Navigate(link), chromedp.WaitVisible(`a.button`))
	if page := w.reads("这个链接不是发给您的", "您没有登录", "用我自己的身份登录"); strings.Contains(page, "李雷") {
		t.Errorf("it says whose it is:\n%s", page)
	}
	w.do("and signs in as themselves", chromedp.Click(`a.button`))
	w.at("/chat")
	w.reads("韩梅梅")
	w.do("and out", chromedp.Click(`form[action="/logout"] button`))
	w.at("/logout")
	w.do("the owner looks into the chat", as(desktop), looks("light", 1180, 860))

	w.chat("lilei")
	const warning = `[...document.querySelectorAll("[data-card]")].find(c => c.innerText.includes("别人打开了您的登录链接"))`
	w.until(`!!` + warning)
	card := w.eval(warning + `.innerText`)
	for _, part := range []string{"对方没有登录，链接也没有被用掉", "127.0.0.1", "企业微信 · iPhone", "作废链接，全部退出"} {
		if !strings.Contains(card, part) {
			t.Errorf("the card does not say %q:\n%s", part, card)
		}
	}
	w.picture("signin.png")

	w.do("the owner opens it still", as(weComsOwn), chromedp.Navigate(link))
	w.at("/agent/chat")
	w.reads("李雷")
	w.do("and goes back to the chat", as(desktop))
	w.chat("lilei")
	w.until(`!!` + warning)
	w.eval(warning + `.querySelector('[data-key="/logout all"]').click(), ""`)
	w.until(`document.querySelector("#talk").innerText.includes("已退出您的全部登录")`)
	w.do("which ends the session", chromedp.Navigate(w.gateway+"/agent/chat"))
	w.until(`location.origin == "` + w.sandbox + `"`)
}

var recoveryCode = regexp.MustCompile(`(?m)^[A-Z2-7]{4}(?:-[A-Z2-7]{4}){5}$`)

func (w walk) otp(t *testing.T) {
	w = w.in(t)
	w.chat("boss")
	w.do("bind", say("/otp bind"), chromedp.WaitVisible(`img.picture`))
	w.until(`document.querySelector("img.picture").complete`)
	w.reads("请用验证器应用", "二维码就是密码本身")
	w.picture("otp.png")
	key := w.scan(w.eval(`document.querySelector("img.picture").src`))
	if key.Issuer() == "" || !strings.Contains(key.AccountName(), "boss") {
		t.Errorf("an authenticator would show %s", key)
	}
	now := time.Now()
	code := func(ahead time.Duration) string {
		c, err := totp.GenerateCode(key.Secret(), now.Add(ahead))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w.do("verify", say("/otp verify "+code(-30*time.Second))) // so that the next one is good at once
	w.until(`document.querySelector("#talk").innerText.includes("恢复码")`)
	if codes := recoveryCode.FindAllString(w.eval(`[...document.querySelectorAll(".bubble")].find(b => b.innerText.includes("这是您的恢复码")).innerText`), -1); len(codes) != 10 {
		t.Errorf("%d recovery codes", len(codes))
	}
	w.until(`!document.querySelector("img.picture")`) // recalled

	link := w.newLink("boss", "/login /admin/outbox")
	w.do("open a link", chromedp.Navigate(link), chromedp.WaitVisible(`input[name="otp_code"]`))
	w.reads("动态验证码（六位数字，管理页面需要它）")
	wrong := string('0'+(code(0)[0]-'0'+5)%10) + code(0)[1:]
	w.do("mistype the code", chromedp.SendKeys(`input[name="otp_code"]`, wrong), chromedp.Click(`main button`), chromedp.WaitVisible(`.warn`))
	w.until(`document.body.innerText.includes("验证码不对或已经用过")`)
	w.do("type it rightly", chromedp.SendKeys(`input[name="otp_code"]`, code(0)), chromedp.Click(`main button`), chromedp.WaitNotPresent(`input[name="otp_code"]`))
	w.at("/admin/outbox")
	w.reads("未送达的消息")
	w.out()

	// In WeCom, being named is not enough either.
	link = w.newLink("boss", "/login /admin/outbox")
	w.do("open a link in WeCom", as(weComsOwn), chromedp.Navigate(link), chromedp.WaitVisible(`input[name="otp_code"]`))
	w.until(`location.pathname == "/auth/wecom/callback"`)
	w.reads("王芳，还差一步", "企业微信已确认您是 王芳（boss）", "管理页面需要它")
	w.do("type the next code", chromedp.SendKeys(`input[name="otp_code"]`, code(30*time.Second)), chromedp.Click(`main button`))
	w.at("/admin/outbox")
	w.do("leave WeCom", as(desktop))
}

// scan reads the QR code that the chat shows, as a phone's camera does.
func (w walk) scan(address string) *otp.Key {
	w.t.Helper()
	var picture []byte
	if data, ok := strings.CutPrefix(address, "data:image/png;base64,"); ok {
		picture, _ = base64.StdEncoding.DecodeString(data)
	} else {
		res, err := http.Get(address)
		if err != nil {
			w.t.Fatal(err)
		}
		defer res.Body.Close()
		if picture, err = io.ReadAll(res.Body); err != nil {
			w.t.Fatal(err)
		}
	}
	text, err := sim.Scan(picture)
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := otp.NewKeyFromURL(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}
