package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// TestDocs reads the document of the API as a person does: the groups are there,
// an operation opens and says what it takes and answers, and the browser has
// nothing to complain of, our Content-Security-Policy least of all.
func TestDocs(t *testing.T) {
	gateway, _ := startDemo(t)
	b := newBrowser(t)
	heard := b.complaints()

	b.do("the page opens", looks("light", 1180, 860), chromedp.Navigate(gateway+"/api/docs"), chromedp.WaitVisible(`.opblock-tag-section`))
	groups := strings.Fields(b.eval(`[...document.querySelectorAll(".opblock-tag")].map(g => g.dataset.tag).join(" ")`))
	if want := []string{"Agents", "Tokens", "Bots", "Devices", "Values", "Sessions", "WeCom", "Operations"}; !slices.Equal(groups, want) {
		t.Errorf("groups %q, want %q", groups, want)
	}
	b.do("a group opens", chromedp.Click(`.opblock-tag[data-tag="Agents"]`), chromedp.WaitVisible(`#operations-Agents-agentLogin`))
	b.do("and an operation", chromedp.Click(`#operations-Agents-agentLogin .opblock-summary-control`), chromedp.WaitVisible(`#operations-Agents-agentLogin .responses-table`))
	b.until(`document.querySelector("#operations-Agents-agentLogin .opblock-body").innerText.includes("wecom_code")`)
	opened := b.eval(`document.querySelector("#operations-Agents-agentLogin").innerText`)
	for _, want := range []string{"/api/agents/login", "202", "require_approval", "429", "503"} {
		if !strings.Contains(opened, want) {
			t.Errorf("the operation lacks %q:\n%s", want, opened)
		}
	}
	if tries := b.eval(`String(document.querySelectorAll(".try-out, .authorize").length)`); tries != "0" {
		t.Errorf("%s places to type a token into", tries)
	}
	b.picture("docs.png")
	if list := heard(); len(list) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(list, "\n"))
	}

	if colour := b.eval(`document.body.insertAdjacentHTML("beforeend", "<p style='color:red'>x</p>"), getComputedStyle(document.body.lastElementChild).color`); colour == "rgb(255, 0, 0)" {
		t.Error("the policy lets a page have inline styles")
	}
	if list := heard(); len(list) != 1 || !strings.Contains(list[0], "Content Security Policy") {
		t.Errorf("of an inline style the browser says %q: complaints would not be heard", list)
	}
}

// complaints gives what the browser has found wrong since: errors and warnings
// of scripts, requests and policies.
func (b tab) complaints() func() []string {
	b.t.Helper()
	var mu sync.Mutex
	var list []string
	err := chromedp.Listen(b.ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *cdplog.EventEntryAdded:
			if ev.Entry.Level == cdplog.EntryLevelError || ev.Entry.Level == cdplog.EntryLevelWarning {
				list = append(list, ev.Entry.Text+" "+ev.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			list = append(list, fmt.Sprintf("%s %s", ev.ExceptionDetails.Text, ev.ExceptionDetails.URL))
		case *runtime.EventConsoleAPICalled:
			if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
				said := string(ev.Type)
				for _, a := range ev.Args {
					said += fmt.Sprintf(" %s%s", a.Value, a.Description)
				}
				list = append(list, said)
			}
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}
