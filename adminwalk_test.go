package main

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"

	"deskbell/store"
)

// adminPages are the administrator's.
var adminPages = []string{"welcome", "dashboard", "agents", "shares", "users", "tokens", "outbox", "audit"}

// office is the administrator's browser, signed in with a one-time password.
type office struct{ walk }

// newOffice runs a demo with a month behind it and some things to administer.
func newOffice(t *testing.T) office {
	t.Helper()
	gateway, sandbox := startDemo(t, "--data", aMonth(t))
	o := office{walk{newBrowser(t), gateway, sandbox}}
	o.do("look like a desktop", looks("light", 1180, 860), as(desktop))
	o.chat("boss")
	o.do("bind", say("/otp bind"), chromedp.WaitVisible(`img.picture`))
	o.until(`document.querySelector("img.picture").complete`)
	secret := o.scan(o.eval(`document.querySelector("img.picture").src`)).Secret()
	now := time.Now()
	code := func(ahead time.Duration) string {
		c, err := totp.GenerateCode(secret, now.Add(ahead))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	o.do("verify", say("/otp verify "+code(-30*time.Second)))
	o.until(`document.querySelector("#talk").innerText.includes("恢复码")`)
	for _, line := range []string{"/bot new 售后助手", "/share new 售后助手 展会 7d", "/share new 售后助手 前台", "/user new kim@example.com", "/user new lucy"} {
		o.answered(line)
	}
	o.chat("lilei")
	o.answered("/status busy 30m 午饭")
	o.chat("hanmeimei")
	o.answered("/session 打印机不工作")
	link := o.newLink("boss", "/login /admin/welcome")
	o.do("open a link", chromedp.Navigate(link), chromedp.WaitVisible(`input[name="otp_code"]`), chromedp.SendKeys(`input[name="otp_code"]`, code(0)),
		chromedp.Click(`main button`), chromedp.WaitNotPresent(`input[name="otp_code"]`))
	o.at("/admin/welcome")
	return o
}

// answered says something in the chat and waits for what comes back.
func (o office) answered(line string) {
	o.t.Helper()
	const said = `document.querySelectorAll("#talk [data-msg]").length`
	before := o.eval(`String(` + said + `)`)
	o.do(line, say(line))
	o.until(said + ` > ` + before + ` + 1`)
}

// aMonth is the data of a demo that has been used for a month.
func aMonth(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	key := []byte("0123456789abcdef0123456789abcdef")
	if err := os.WriteFile(filepath.Join(dir, "encryption_key"), []byte(base64.StdEncoding.EncodeToString(key)), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().AddDate(0, 0, -29)
	st, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + filepath.Join(dir, "deskbell.db"), Keys: [][]byte{key}, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	tally := store.Tally{Store: st}
	for day := range 29 {
		busy := 40 + 31*day%57
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
			busy /= 5
		}
		for n := range busy {
			tally.Command("status", map[bool]string{true: "failed", false: "ok"}[n%29 == 28])
			tally.Delivery(map[bool]string{true: "dead", false: "sent"}[n%53 == 52])
		}
		if err := tally.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		at = at.AddDate(0, 0, 1)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	asked(t, filepath.Join(dir, "deskbell.db"))
	return dir
}

// asked puts a month of sessions into a store that nobody has open.
func asked(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const form = "2006-01-02 15:04:05-07:00"
	for day := range 30 {
		at := time.Now().UTC().AddDate(0, 0, day-30).Add(time.Hour)
		for n := range 3 + 7*day%11 {
			begun, first := at.Add(time.Duration(n)*20*time.Minute), time.Duration(30+(day*37+n*53)%240)*time.Second
			answered, closed := begun.Add(first).Format(form), begun.Add(first+10*time.Minute).Format(form)
			if _, err := db.ExecContext(t.Context(), `INSERT INTO conversations (id, title, status, asker, asker_id, asker_name, agent, agent_id, agent_name,
				created_at, queued_at, assigned_at, answered_at, said_at, updated_at, closed_at)
				VALUES (?1, '打印机', 'closed', 'hanmeimei', 'hanmeimei', '韩梅梅', 'lilei', 'lilei', '李雷', ?2, ?2, ?2, ?3, ?3, ?4, ?4)`,
				uuid.NewString(), begun.Format(form), answered, closed); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// contrasts lists the texts one cannot read: those with less than 4.5:1 to what
// is behind them. Grounds that let something through are laid over each other.
const contrasts = `(() => {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return c.startsWith("color(srgb") ? [m[0]*255, m[1]*255, m[2]*255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const bad = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest("script, .skip, datalist, option")) continue;
    const layers = [];
    for (let p = e; p; p = p.parentElement) layers.push(parse(getComputedStyle(p).backgroundColor));
    let ground = [255, 255, 255, 1];
    for (const l of layers.reverse()) ground = over(l, ground);
    const ink = over(parse(getComputedStyle(e).color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) bad.add(ratio.toFixed(2) + " " + e.tagName + "." + e.className + " " + walker.currentNode.data.trim().slice(0, 30));
  }
  return [...bad].join("\n");
})()`

// unreachable lists the controls that one who has only a keyboard, or a screen
// reader, does not get to or cannot tell what they are for.
const unreachable = `[...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea, summary")]
  .filter((e) => e.checkVisibility())
  .filter((e) => e.tabIndex < 0 || e.disabled || e.tagName == "A" && !e.href || !(e.innerText || e.labels?.[0]?.innerText || e.ariaLabel)?.trim())
  .map((e) => e.outerHTML.slice(0, 120)).join("\n")`

// TestAdminPages looks at every page of the administrator's on a phone and a
// desktop, by day and night: they fit, can be read, reached and understood, weigh
// little and come from here alone, and the browser has nothing to complain of.
func TestAdminPages(t *testing.T) {
	o := newOffice(t)
	heard := o.complaints()
	for _, page := range adminPages {
		for _, l := range fourLooks {
			what := page + l.name
			o.do(what, looks(l.scheme, l.width, l.height), chromedp.Navigate(o.gateway+"/admin/"+page))
			o.at("/admin/" + page)
			if page == "dashboard" {
				o.until(`document.querySelectorAll("figure.plot canvas").length == document.querySelectorAll("figure.plot").length`)
			}
			if wide := o.eval(`String(document.scrollingElement.scrollWidth - innerWidth)`); wide != "0" {
				t.Errorf("%s is %s pixels wider than the window", what, wide)
			}
			if current := o.eval(`document.querySelector(".menu [aria-current]")?.getAttribute("href") ?? ""`); current != "/admin/"+page {
				t.Errorf("%s: the menu says one is at %q", what, current)
			}
			o.eval(`document.querySelectorAll("details").forEach((d) => d.open = true), ""`)
			if list := o.eval(contrasts); list != "" {
				t.Errorf("%s: hard to read:\n%s", what, list)
			}
			if list := o.eval(unreachable); list != "" {
				t.Errorf("%s: out of reach:\n%s", what, list)
			}
			o.eval(`document.querySelectorAll("details").forEach((d) => d.open = false), ""`)
			o.picture("admin-" + what + ".png")
		}
		o.weighs(page)
	}
	if list := heard(); len(list) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(list, "\n"))
	}
	// The finders themselves must find.
	o.eval(`document.querySelector("h1").className = "pill", document.querySelector(".menu a").tabIndex = -1, ""`)
	o.eval(`document.documentElement.style.setProperty("--still-ink", "#777777"), document.documentElement.style.setProperty("--still-ground", "#888888"), ""`)
	if o.eval(contrasts) == "" || o.eval(unreachable) == "" {
		t.Error("nothing is found where there is something")
	}
}

// weighs checks what a page and all it needs weigh to a browser that has nothing
// of it yet, and where that comes from.
func (o office) weighs(page string) {
	o.t.Helper()
	sum := 0
	fmt.Sscan(o.eval(`String(performance.getEntriesByType("navigation")[0].encodedBodySize)`), &sum)
	all := strings.Fields(o.eval(`[...new Set(performance.getEntriesByType("resource").map((r) => r.name))].join(" ")`))
	for _, address := range all {
		if !strings.HasPrefix(address, o.gateway+"/static/") {
			o.t.Errorf("%s fetches %s", page, address)
			continue
		}
		sum += len(o.fetch(address, "Accept-Encoding", "gzip"))
	}
	o.t.Logf("%s: %d bytes in %d files", page, sum, 1+len(all))
	if sum < 30<<10 || sum > 100<<10 {
		o.t.Errorf("%s weighs %d bytes", page, sum)
	}
	if blocking := o.eval(`[...document.scripts].filter((s) => !s.defer || !s.src).map((s) => s.outerHTML).join()`); blocking != "" {
		o.t.Errorf("%s waits for %s", page, blocking)
	}
}

// TestAdminActs changes things on the pages, with scripts and without.
func TestAdminActs(t *testing.T) {
	o := newOffice(t)
	const flash, row = `document.querySelector("#flash").innerText`, `tr:has(form input[name="id"][value="lilei"])`
	load := func(n string) {
		o.until(`!document.querySelector(".htmx-settling, .htmx-swapping, .htmx-request")`) // it takes a moment until a new list is htmx's
		o.eval(`document.querySelector('` + row + ` details').open = true, document.querySelector('` + row + ` input[name="load"]').value = ""`)
		o.do("set the load to "+n, chromedp.SendKeys(row+` input[name="load"]`, n), chromedp.Click(row+` .fields button`))
	}
	o.do("the agents", chromedp.Navigate(o.gateway+"/admin/agents"))
	o.eval(`window.stays = true, ""`)
	o.do("search while typing", chromedp.SendKeys(`input[name="q"]`, "LILEI"))
	o.until(`location.search.includes("q=LILEI") && document.querySelectorAll("#list tbody tr").length == 1`)
	load("7")
	o.until(flash + `.includes("李雷的接待上限已保存")`)
	o.until(`document.querySelector("#list").innerText.includes("/ 7") && window.stays`)
	o.until(`document.activeElement.id == "list"`) // the button that was pressed is gone

	o.do("without scripts", scripts(false), chromedp.Navigate(o.gateway+"/admin/agents?q=lilei"))
	load("8")
	o.until(flash + `.includes("李雷的接待上限已保存") && document.querySelector("#list").innerText.includes("/ 8")`)
	o.at("/admin/agents?q=lilei")
	o.do("look for somebody", chromedp.SetValue(`input[name="q"]`, "boss"), chromedp.Click(`.search button`))
	o.until(`location.search.includes("q=boss") && document.querySelectorAll("#list tbody tr").length == 1`)
	o.do("with scripts again", scripts(true), chromedp.Navigate(o.gateway+"/admin/tokens"))

	o.do("a token", chromedp.Click(`details.panel summary`), chromedp.SendKeys(`input[name="user"]`, "lilei"), chromedp.Click(`details.panel button`), chromedp.WaitVisible(`.secret code`))
	token := o.eval(`document.querySelector(".secret code").innerText`)
	o.do("is shown once", chromedp.Navigate(o.gateway+"/admin/tokens"))
	if strings.Contains(o.eval(`document.documentElement.outerHTML`), token) || strings.Contains(o.eval(`JSON.stringify({...localStorage, ...sessionStorage})`), token) {
		t.Error("the token is still there")
	}
	if me := o.fetch(o.gateway+"/api/agents/me", "Authorization", "Bearer "+token); !strings.Contains(string(me), `"lilei"`) {
		t.Errorf("the token is good for %s", me)
	}

	// Somebody signed this browser out elsewhere: a part of a page leads to the
	// sign-in as the whole would.
	o.do("the accounts", chromedp.Navigate(o.gateway+"/admin/users"))
	o.eval(`fetch("/logout", {method: "POST"}).then(() => document.title = "out"), ""`)
	o.until(`document.title == "out"`)
	o.do("search", chromedp.SendKeys(`input[name="q"]`, "kim"))
	o.until(`location.origin == "` + o.sandbox + `"`)
}

// fetch gets what is at an address, as it comes.
func (o office) fetch(address, header, value string) []byte {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), "GET", address, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set(header, value)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		o.t.Errorf("%s: %s, %v", address, res.Status, err)
	}
	return body
}

// scripts switches JavaScript of pages on or off; ours in them goes on.
func scripts(on bool) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	})
}
