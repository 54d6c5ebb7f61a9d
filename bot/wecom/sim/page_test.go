package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// page calls an endpoint of the chat page; headers come in pairs, Host included.
func (b *bench) page(method, path, body string, headers ...string) (int, map[string]any) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.URL()+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			b.t.Fatalf("%s: %v", path, err)
		}
	}
	return resp.StatusCode, out
}

func TestPageConversation(t *testing.T) {
	b := newBench(t)
	b.answers(func(in inbound) (int, string) {
		if in.Content == "" {
			return 200, ""
		}
		return 200, textReply(in, "echo "+in.Content)
	})
	if status, a := b.page("GET", "/people", ""); status != 200 || len(a["items"].([]any)) != 4 {
		t.Errorf("people: %d %v", status, a)
	}
	if _, a := b.page("POST", "/say", `{"user":"lilei","text":"hi"}`); a["status"] != 200.0 || a["reply"] != "echo hi" {
		t.Errorf("say: %v", a)
	}
	b.post("message/send", b.cardTo("lilei", "t"))
	if _, a := b.page("POST", "/press", `{"user":"lilei","task_id":"t","key":"/status busy"}`); a["status"] != 200.0 {
		t.Errorf("press: %v", a)
	}
	if _, a := b.page("POST", "/click", `{"user":"lilei","key":"/help"}`); a["status"] != 200.0 {
		t.Errorf("click: %v", a)
	}
	if _, a := b.page("POST", "/event", `{"user":"lilei","event":"enter_agent"}`); a["status"] != 200.0 {
		t.Errorf("event: %v", a)
	}
	_, a := b.page("GET", "/inbox?user=lilei", "")
	var via []string
	for _, item := range a["items"].([]any) {
		via = append(via, item.(map[string]any)["via"].(string))
	}
	if got := strings.Join(via, " "); got != "own passive push own own" {
		t.Errorf("conversation %s", got)
	}
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/say", `{"user":"nobody","text":"x"}`, 404},
		{"/say", `{"user":"lilei","words":"x"}`, 400},
		{"/say", `{}{}`, 400},
		{"/faults", `{"outage":"strike"}`, 400},
		{"/faults", `{"lateness":1}`, 400},
		{"/status", `{"user":"lilei","status":3}`, 400},
		{"/status", `{"user":"lilei","status":2}`, 200},
		{"/verify", ``, 200},
		{"/expire-tokens", ``, 200},
	} {
		if status, a := b.page("POST", c.path, c.body); status != c.want {
			t.Errorf("%s %s: %d %v, want %d", c.path, c.body, status, a, c.want)
		}
	}
	if p, _ := b.Person("lilei"); p.Status != StatusDisabled {
		t.Errorf("person %+v", p)
	}
	if status, _ := b.page("GET", "/inbox?user=nobody", ""); status != 404 {
		t.Errorf("inbox of nobody: %d", status)
	}
	b.clean()
}

func TestFaultsAndResetOverHTTP(t *testing.T) {
	b := newBench(t)
	b.page("POST", "/faults", `{"latency_ms":5,"errcode":{"gettoken":{"code":-1,"times":1}},"reorder":false}`)
	_, a := b.page("GET", "/faults", "")
	if a["latency_ms"] != 5.0 || a["errcode"].(map[string]any)["gettoken"].(map[string]any)["code"] != -1.0 {
		t.Errorf("faults %v", a)
	}
	b.Say("lilei", "hi")
	b.page("POST", "/reset", "")
	if _, a := b.page("GET", "/inbox?user=lilei", ""); len(a["items"].([]any)) != 0 || b.Faults().LatencyMS != 0 || len(b.Log()) != 0 {
		t.Errorf("after the reset %v %+v", a, b.Faults())
	}
}

func TestForeignPagesAreKeptOut(t *testing.T) {
	b := newBench(t)
	port := b.URL()[strings.LastIndex(b.URL(), ":"):]
	for _, c := range []struct {
		name    string
		want    int
		headers []string
	}{
		{"own", 200, []string{"Origin", b.URL()}},
		{"no origin", 200, nil},
		{"localhost", 200, []string{"Host", "localhost" + port}},
		{"foreign origin", 403, []string{"Origin", "https://evil.example"}},
		{"null origin", 403, []string{"Origin", "null"}},
		{"other port", 403, []string{"Origin", "http://127.0.0.1:1"}},
		{"rebound name", 403, []string{"Host", "evil.example" + port}},
		{"rebound name and origin", 403, []string{"Host", "evil.example" + port, "Origin", "http://evil.example" + port}},
		{"cross-site fetch", 403, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"/people", "/inbox?user=lilei", "/faults"} {
				if status, _ := b.page("GET", path, "", c.headers...); status != c.want {
					t.Errorf("GET %s: %d, want %d", path, status, c.want)
				}
			}
			if status, _ := b.page("POST", "/say", `{"user":"lilei","text":"x"}`, c.headers...); status != c.want {
				t.Errorf("POST /say: %d, want %d", status, c.want)
			}
		})
	}
}

func TestPageFilesAreServedAndLoadNothingFromElsewhere(t *testing.T) {
	b := newBench(t)
	for _, path := range append([]string{""}, assets()...) {
		if path != "" {
			path = "page/" + path
		}
		resp, err := http.Get(b.URL() + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("/%s: %d, %v", path, resp.StatusCode, err)
		}
		if bytes.Contains(data, []byte("innerHTML")) || bytes.Contains(data, []byte("src=\"http")) {
			t.Errorf("/%s has markup from strangers or files from elsewhere", path)
		}
	}
}

func TestEventsStreamWhatChanges(t *testing.T) {
	b := newBench(t)
	resp, err := http.Get(b.URL() + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // the greeting: from here on nothing is missed
	b.Say("lilei", "hi")
	kinds := map[string]bool{}
	for !kinds["inbox"] || !kinds["wire"] {
		if !lines.Scan() {
			t.Fatal("the stream ended")
		}
		var e pageEvent
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			kinds[e.Kind] = true
		}
	}
}
