package main

import (
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"

	"github.com/chromedp/chromedp"
)

// What a page must be for everybody is computed in the browser: what it weighs,
// whom it calls, whether its words can be read and its controls be reached.

// heaviest is what a page may weigh with all it brings, as it is transferred.
const heaviest = 100 << 10

// sound checks the page the browser is at, by day and by night.
func (w walk) sound(name string, width, height int64) {
	w.t.Helper()
	w.until(`document.readyState === "complete"`)
	if strange := w.eval(foreign); strange != "" {
		w.t.Errorf("%s calls %s", name, strange)
	}
	if scripts := w.eval(`[...document.scripts].filter((s) => !s.defer || !s.src).map((s) => s.outerHTML).join(" ")`); scripts != "" {
		w.t.Errorf("%s waits for %s", name, scripts)
	}
	weight := w.weighs()
	if weight > heaviest {
		w.t.Errorf("%s weighs %d bytes", name, weight)
	}
	w.t.Logf("%s: %d bytes", name, weight)
	for _, scheme := range []string{"light", "dark"} {
		w.do(scheme, looks(scheme, width, height))
		if pale := w.eval(contrast); pale != "" {
			w.t.Errorf("%s, %s: too little contrast:\n%s", name, scheme, pale)
		}
		if wide := w.eval(`document.documentElement.scrollWidth > innerWidth ? String(document.documentElement.scrollWidth) : ""`); wide != "" {
			w.t.Errorf("%s is %s wide on a screen of %d", name, wide, width)
		}
	}
	w.do("by day", looks("light", width, height))
	w.reachable(name)
}

// foreign lists what a page called that is not this server.
const foreign = `performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith(location.origin + "/") && !n.startsWith("data:")).join(" ")`

// weighs is what the page is with all it brings, for somebody who was never here.
func (w walk) weighs() (bytes int) {
	w.t.Helper()
	bytes, err := strconv.Atoi(w.eval(`String(performance.getEntriesByType("navigation")[0].transferSize)`))
	if err != nil || bytes == 0 {
		w.t.Fatalf("the page itself weighs %d, %v", bytes, err)
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	brought := strings.Fields(w.eval(`[...document.querySelectorAll("link[href], script[src], img[src]")].map((e) => e.href || e.src).join(" ")`))
	if len(brought) < 6 {
		w.t.Errorf("the page brings only %q", brought)
	}
	slices.Sort(brought)
	for _, address := range slices.Compact(brought) {
		q, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, address, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		q.Header.Set("Accept-Encoding", "gzip")
		answer, err := client.Do(q)
		if err != nil {
			w.t.Fatal(err)
		}
		head, _ := httputil.DumpResponse(answer, false)
		n, err := io.Copy(io.Discard, answer.Body)
		if answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
			w.t.Errorf("%s: %s %v", address, answer.Status, err)
		}
		bytes += len(head) + int(n)
	}
	return bytes
}

// contrast lists the words whose ink is too much like their ground (WCAG 1.4.3).
const contrast = `(() => {
	const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
	const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
	const ground = (e) => {
		const layers = [];
		for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((below, top) => over(top, below), matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0, 1] : [255, 255, 255, 1]);
	};
	const light = (c) => {
		const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const pale = new Set(), words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const judge = (e, text, color) => {
		const below = ground(e), a = light(over(parse(color), below)), b = light(below), ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) pale.add(ratio.toFixed(2) + " " + text.trim().slice(0, 30));
	};
	while (words.nextNode()) {
		const e = words.currentNode.parentElement;
		if (words.currentNode.data.trim() && e.checkVisibility({ visibilityProperty: true }) && !e.closest("script, style, .sr")) judge(e, words.currentNode.data, getComputedStyle(e).color);
	}
	for (const e of document.querySelectorAll("[placeholder]")) if (e.checkVisibility()) judge(e, e.placeholder, getComputedStyle(e, "::placeholder").color);
	return [...pale].join("\n");
})()`

// controls are what a person can do something with on a page, as it stands.
const controls = `[...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
	.filter((e) => e.type !== "hidden" && !e.disabled && !e.classList.contains("skip") && e.checkVisibility({ visibilityProperty: true }))`

// reachable goes through the page by the Tab key: it must come to each control,
// which must show that it is there.
func (w walk) reachable(name string) {
	w.t.Helper()
	n, err := strconv.Atoi(w.eval(`document.activeElement?.blur(), window.reached = new Map(), String(` + controls + `.length)`))
	if err != nil || n == 0 {
		w.t.Fatalf("%s has %d controls, %v", name, n, err)
	}
	for range n + 3 {
		w.do("Tab", chromedp.KeyEvent("\t"))
		w.eval(`(() => { const e = document.activeElement, s = getComputedStyle(e); reached.set(e, s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== "none"); return ""; })()`)
	}
	missed := w.eval(controls + `.filter((e) => !reached.get(e)).map((e) => (reached.has(e) ? "unseen " : "missed ") + e.outerHTML.slice(0, 120)).join("\n")`)
	if missed != "" {
		w.t.Errorf("%s, by keyboard:\n%s", name, missed)
	}
}
