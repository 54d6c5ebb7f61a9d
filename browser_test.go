package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// pictures, when set, is the folder the pictures of the README are written to.
var pictures = os.Getenv("DESKBELL_TEST_PICTURES")

// TestBrowser goes through the demo as a newcomer does: pick a person, type,
// press a button of the card, see it change, open a link and be signed in.
func TestBrowser(t *testing.T) {
	gateway, sandbox := startDemo(t)
	b := newBrowser(t)
	const card = `document.querySelector("[data-card]").innerText`

	b.do("an agent says who they are and sets a status", looks("light", 1180, 860), chromedp.Navigate(sandbox),
		chromedp.Click(`[data-person="lilei"]`), say("/whoami"), chromedp.WaitVisible(`[data-msg]:nth-of-type(2)`), say("/status busy 30m 午饭"),
		chromedp.WaitVisible(`[data-card] [data-key="/status online"]`))
	if asked := b.eval(card); !strings.Contains(asked, "您的状态：忙碌") || !strings.Contains(asked, "午饭") {
		t.Errorf("the card reads\n%s", asked)
	}
	b.do("and presses a button of the card", chromedp.Click(`[data-card] [data-key="/status online"]`))
	b.until(card + `.includes("您的状态：在线")`)
	if pressed, cards := b.eval(card), b.eval(`String(document.querySelectorAll("[data-card]").length)`); strings.Contains(pressed, "午饭") || cards != "1" {
		t.Errorf("%s cards; after the press it reads\n%s", cards, pressed)
	}
	b.picture("demo.png")
	b.do("asks for a link", say("/login"), chromedp.WaitVisible(`a[href*="accessToken="]`))
	b.do("and for help", say("/help"))
	b.until(`[...document.querySelectorAll("[data-msg]")].some(m => m.innerText.includes("/whoami"))`)

	const reached = `[...document.querySelectorAll("#form button, #form input, #form textarea")].filter(e => e.offsetParent && e.tabIndex >= 0)
		.map(e => (e.getAttribute("aria-label") || e.textContent).trim()).join(", ")`
	controls := []string{b.eval(reached)}
	for range 2 { // and back to the first language
		b.do("reads the page in the other language", chromedp.Click(`#lang`))
		controls = append(controls, b.eval(reached))
	}
	if zh, en := "发送图片或文件, 输入消息或 /命令, 发送", "Send an image or a file, Message or /command, Send"; !slices.Contains(controls, zh) || !slices.Contains(controls, en) {
		t.Errorf("by keyboard one gets to %q", controls)
	}
	b.eval(`(() => { const held = new DataTransfer(), field = document.querySelector("#file");
		held.items.add(new File(["a,b"], "报价.csv", { type: "text/csv" }));
		held.items.add(new File([Uint8Array.from(atob("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="), c => c.charCodeAt(0))], "点.png", { type: "image/png" }));
		field.files = held.files; field.dispatchEvent(new Event("change")); return ""; })()`)
	b.until(`!!document.querySelector('.mine[data-type="file"] a[download="报价.csv"]') && document.querySelector('.mine[data-type="image"] img')?.naturalWidth === 1`)
	b.until(`[...document.querySelectorAll(".theirs")].filter(m => m.innerText.includes("命令要以 / 开头")).length === 2`)

	link := b.eval(`document.querySelector('a[href*="accessToken="]').href`)
	b.do("opens the link", chromedp.Navigate(link), chromedp.WaitVisible(`form button`))
	if page := b.eval(`document.body.innerText`); !strings.Contains(page, "李雷") {
		t.Errorf("the page behind the link does not say whose it is:\n%s", page)
	}
	b.picture("link.png")
	b.do("and goes on", chromedp.Click(`form button`), chromedp.WaitNotPresent(`input[name="accessToken"]`))
	b.until(`location.href == "` + gateway + `/agent/chat"`)
	if page := b.eval(`document.body.innerText`); !strings.Contains(page, "李雷") {
		t.Errorf("the page does not say who is signed in:\n%s", page)
	}
	b.do("opens the same link again", chromedp.Navigate(link))
	if page := b.eval(`document.body.innerText`); !strings.Contains(page, "/login") {
		t.Errorf("the used link shows:\n%s", page)
	}
	b.do("goes back to the chat, on a phone and in the dark", looks("dark", 390, 800), chromedp.Navigate(sandbox),
		chromedp.Click(`[data-person="lilei"]`), chromedp.WaitVisible(`[data-card]`))
	b.picture("demo-phone.png")
}

func say(text string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(chromedp.SendKeys(`#say`, text), chromedp.Click(`#send`))
}

// looks sets the colour scheme and the size of the window.
func looks(scheme string, width, height int64) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	}))
}

// startDemo runs the demo, with more arguments if there are any, and returns its
// two addresses.
func startDemo(t *testing.T, more ...string) (gateway, sandbox string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	var errOut bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"demo", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0"}, more...), nil, strings.NewReader(""), in, &errOut)
		in.Close()
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 || errOut.Len() > 0 {
			t.Errorf("the demo ended with %d\n%s", code, &errOut)
		}
	})
	var seen bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf)
		seen.Write(buf[:n])
		if m := regexp.MustCompile(`listening on (\S+)\nsandbox on (\S+)\n`).FindStringSubmatch(seen.String()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return m[1], m[2]
		}
		if err != nil {
			t.Fatalf("the demo did not start: %s", &seen)
		}
	}
}

// tab is a page of a Chromium without a window.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func newBrowser(t *testing.T) tab {
	t.Helper()
	path := os.Getenv("DESKBELL_TEST_CHROMIUM")
	if path == "" {
		t.Fatal("this test needs Chromium: run ./test.sh, which finds or installs it, or set DESKBELL_TEST_CHROMIUM to its path")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("lang", "zh-CN"))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeTab := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Log("close the browser:", err)
		}
		closeTab()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return tab{t, ctx}
}

// do runs steps, and keeps a picture of the page when they do not succeed.
func (b tab) do(name string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		file := filepath.Join(os.TempDir(), "deskbell-browser.png")
		if shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot()); err == nil {
			_ = os.WriteFile(file, shot, 0o600)
		}
		b.t.Fatalf("%s: %v; the page is in %s", name, err, file)
	}
}

// until waits for a JavaScript expression to become true, on whatever page the
// browser comes to meanwhile.
func (b tab) until(expression string) {
	b.t.Helper()
	b.do(expression, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for {
			_, err := chromedp.Poll[bool](expression)(ctx, t)
			if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "(-32000)") { // which is: that page is gone
				return err
			}
		}
	}))
}

func (b tab) eval(expression string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return text
}

// fourLooks are a desktop and a phone, by day and by night.
var fourLooks = []struct {
	name          string
	scheme        string
	width, height int64
}{{"", "light", 1180, 860}, {"-dark", "dark", 1180, 860}, {"-phone", "light", 390, 844}, {"-phone-dark", "dark", 390, 844}}

// pictures takes a picture of each look of a page, and leaves it as it was on a
// desktop.
func (b tab) pictures(name string) {
	b.t.Helper()
	if pictures == "" {
		return
	}
	b.eval(`document.activeElement.blur(), ""`)
	for _, l := range fourLooks {
		b.do(name+l.name, looks(l.scheme, l.width, l.height))
		b.picture(name + l.name + ".png")
	}
	b.do("as before", looks("light", 1180, 860))
}

func (b tab) picture(name string) {
	b.t.Helper()
	if pictures == "" {
		return
	}
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pictures, name), shot, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// TestThreeWindows plays an employee and an agent in a window each, as the links
// of the first page open them.
func TestThreeWindows(t *testing.T) {
	_, sandbox := startDemo(t)
	b := newBrowser(t)
	b.do("the first page offers a window for each role", looks("light", 1180, 860), chromedp.Navigate(sandbox), chromedp.WaitVisible(`[data-window="boss"]`))
	if got := b.eval(`[...document.querySelectorAll("[data-window]")].map(a => a.dataset.window).join(" ")`); got != "lilei hanmeimei boss" {
		t.Errorf("windows for %q", got)
	}
	b.do("somebody was here before", chromedp.Click(`[data-person="lucy"]`), chromedp.WaitVisible(`[data-card]`))
	if seeded := b.eval(`document.querySelector("#talk").innerText`); !strings.Contains(seeded, "换线就好了") || !strings.Contains(seeded, "会话已结束") {
		t.Errorf("the sample reads\n%s", seeded)
	}
	b.do("an agent comes", chromedp.Navigate(sandbox+"/?as=lilei"), chromedp.WaitVisible(`#hints button`), say("/status online"), chromedp.WaitVisible(`[data-card]`))
	b.do("an employee asks", chromedp.Navigate(sandbox+"/?as=hanmeimei"), chromedp.WaitVisible(`#hints button`), say("/session 打印机卡纸了"), chromedp.WaitVisible(`[data-card]`))
	b.do("and says more", say("二楼那台"))
	b.until(`document.title.includes("韩梅梅")`)
	b.until(`!!document.querySelector('[data-person="lilei"] .dot')`) // unread
	b.do("the agent reads and answers", chromedp.Navigate(sandbox+"/?as=lilei"))
	b.until(`[...document.querySelectorAll("[data-card]")].some(c => c.innerText.includes("韩梅梅 请您帮忙"))`)
	b.do("with the card's button", chromedp.Click(`[data-key^="/session use"]`))
	b.until(`[...document.querySelectorAll("[data-card]")].some(c => c.innerText.includes("→ 韩梅梅"))`)
	b.do("and words", say("马上来"))
	b.until(`document.querySelector("#talk").innerText.includes("→ 韩梅梅 · 打印机卡纸了")`)
	b.picture("helpdesk.png")
	b.do("which the employee reads", chromedp.Navigate(sandbox+"/?as=hanmeimei"))
	b.until(`document.querySelector("#talk").innerText.includes("马上来")`)
}
