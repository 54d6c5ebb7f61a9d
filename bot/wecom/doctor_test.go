package wecom

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// clinic is a WeCom and a gateway for the doctor to look at. An answer that is
// missing is a success.
type clinic struct {
	answers map[string]string // by call
	gateway http.HandlerFunc  // nil: answers as it should
	ahead   time.Duration     // of this host's clock
	written []string          // menus
}

var clinicMenu = Menu{Buttons: []Button{
	{Type: "click", Name: "帮助", Key: "/help"},
	{Name: "状态", Sub: []Button{{Type: "click", Name: "在线", Key: "/status online"}}},
}}

// examine runs the doctor and returns its findings by name.
func (c *clinic) examine(t *testing.T, fix bool) map[string]Finding {
	t.Helper()
	if c.answers == nil {
		c.answers = map[string]string{}
	}
	if c.answers["menu/get"] == "" {
		menu, err := json.Marshal(clinicMenu)
		if err != nil {
			t.Fatal(err)
		}
		c.answers["menu/get"] = string(menu)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/cgi-bin/")
		if name == "menu/create" {
			body, _ := io.ReadAll(r.Body)
			c.written = append(c.written, string(body))
		}
		switch answer := c.answers[name]; {
		case answer != "":
			io.WriteString(w, answer)
		case name == "gettoken":
			io.WriteString(w, `{"errcode":0,"access_token":"t0ken","expires_in":7200}`)
		case name == "agent/get":
			io.WriteString(w, `{"errcode":0,"name":"服务台","isreportenter":1}`)
		default:
			io.WriteString(w, `{"errcode":0}`)
		}
	}))
	defer api.Close()
	now := func() time.Time { return time.Now().Add(c.ahead) }
	app := envApp(t, Config{})
	if c.gateway == nil {
		c.gateway = func(w http.ResponseWriter, r *http.Request) {
			echo, err := app.Echo([]byte(r.URL.RawQuery), now())
			if err != nil {
				w.WriteHeader(http.StatusForbidden)
			}
			w.Write(echo)
		}
	}
	gateway := httptest.NewServer(c.gateway)
	defer gateway.Close()

	client := NewClient(ClientOptions{CorpID: envCorp, AgentID: envAgent, Secret: "s3cret", APIBase: api.URL, Now: now})
	defer client.Close()
	findings := map[string]Finding{}
	doctor := Doctor{Client: client, Keys: envKeys(t, envToken, envKey, envCorp), Callback: gateway.URL + "/callbacks/wecom", Menu: clinicMenu, FixMenu: fix}
	for _, f := range doctor.Examine(t.Context()) {
		if _, twice := findings[f.Name]; twice {
			t.Errorf("%s is checked twice", f.Name)
		}
		if f.Level != Well && f.Fix == "" {
			t.Errorf("%s: no fix", f)
		}
		if strings.Contains(f.String(), "s3cret") || strings.Contains(f.String(), "t0ken") {
			t.Errorf("tells a secret: %s", f)
		}
		findings[f.Name] = f
	}
	return findings
}

func TestDoctorWell(t *testing.T) {
	findings := new(clinic).examine(t, false)
	for _, name := range []string{"token", "agent id", "egress IP", "callback URL", "menu", "clock"} {
		if findings[name].Level != Well {
			t.Errorf("%s: %s", name, findings[name])
		}
	}
	if len(findings) != 6 {
		t.Errorf("findings: %v", findings)
	}
}

func TestDoctorFinds(t *testing.T) {
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		clinic
		at    string
		level Health
		says  string // found in the line
	}{
		"wrong secret":     {clinic{answers: map[string]string{"gettoken": `{"errcode":40001,"errmsg":"invalid credential"}`}}, "token", Sick, "wecom.secret"},
		"wrong corp":       {clinic{answers: map[string]string{"gettoken": `{"errcode":40013,"errmsg":"invalid corpid"}`}}, "token", Sick, "wecom.corp_id"},
		"not WeCom":        {clinic{answers: map[string]string{"gettoken": `<html>`}}, "token", Sick, "wecom.api_base"},
		"untrusted IP":     {clinic{answers: map[string]string{"agent/get": `{"errcode":60020,"errmsg":"not allow to access from your ip, hint: [1_2_3], from ip: 203.0.113.7, more info"}`}}, "egress IP", Sick, "203.0.113.7"},
		"IP, the page":     {clinic{answers: map[string]string{"agent/get": `{"errcode":60020,"errmsg":"from ip: 203.0.113.7"}`}}, "egress IP", Sick, "企业可信IP"},
		"other app":        {clinic{answers: map[string]string{"agent/get": `{"errcode":301002,"errmsg":"no permission"}`}}, "agent id", Sick, "wecom.agent_id"},
		"app disabled":     {clinic{answers: map[string]string{"agent/get": `{"errcode":0,"name":"x","close":1}`}}, "agent id", Sick, "disabled"},
		"enter not told":   {clinic{answers: map[string]string{"agent/get": `{"errcode":0,"name":"x"}`}}, "agent id", Warn, "上报进入应用事件"},
		"other keys":       {clinic{gateway: status(403, "")}, "callback URL", Sick, "refuses"},
		"no route":         {clinic{gateway: status(404, "")}, "callback URL", Sick, "404"},
		"redirect":         {clinic{gateway: status(302, "")}, "callback URL", Sick, "302"},
		"a page in front":  {clinic{gateway: status(200, "<html>hello")}, "callback URL", Sick, "plaintext"},
		"clock a bit off":  {clinic{ahead: 6 * time.Second}, "clock", Warn, "off WeCom's"},
		"clock far off":    {clinic{ahead: -time.Minute}, "clock", Sick, "off WeCom's"},
		"no menu":          {clinic{answers: map[string]string{"menu/get": `{"errcode":46003,"errmsg":"no menu"}`}}, "menu", Warn, "--fix-menu"},
		"another menu":     {clinic{answers: map[string]string{"menu/get": `{"button":[{"type":"click","name":"帮助","key":"/hilfe"}]}`}}, "menu", Warn, "--fix-menu"},
		"menu not allowed": {clinic{answers: map[string]string{"menu/get": `{"errcode":48002,"errmsg":"api forbidden"}`}}, "menu", Sick, "permissions"},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.examine(t, false)[c.at]
			if f.Level != c.level || !strings.Contains(f.String(), c.says) {
				t.Errorf("got %q, want %s and %q", f, c.level, c.says)
			}
			if c.written != nil {
				t.Error("wrote a menu unasked")
			}
		})
	}
}

// What cannot be checked is said, not passed over.
func TestDoctorUnchecked(t *testing.T) {
	c := clinic{answers: map[string]string{"gettoken": `{"errcode":40001,"errmsg":"invalid credential"}`}}
	findings := c.examine(t, false)
	for _, name := range []string{"agent id", "egress IP", "menu"} {
		if f := findings[name]; f.Level != Warn || f.Message != "not checked" {
			t.Errorf("%s: %s", name, f)
		}
	}
	if findings["callback URL"].Level != Well {
		t.Error("the callback URL needs no access token, and was not checked")
	}
}

func TestDoctorWritesTheMenu(t *testing.T) {
	c := clinic{answers: map[string]string{"menu/get": `{"errcode":46003,"errmsg":"no menu"}`}}
	if f := c.examine(t, true)["menu"]; f.Level != Well {
		t.Error(f)
	}
	want, _ := json.Marshal(clinicMenu)
	if len(c.written) != 1 || strings.TrimSpace(c.written[0]) != string(want) {
		t.Errorf("wrote %q, want %s", c.written, want)
	}
	c = clinic{}
	if c.examine(t, true); c.written != nil {
		t.Error("wrote a menu that was right")
	}
}

// Nobody there, and nobody WeCom would trust.
func TestDoctorUnreachable(t *testing.T) {
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct{ url, says string }{
		{gone.URL, "start serve"},
		{untrusted.URL, "certificate"},
		{strings.Replace(plain.URL, "http:", "https:", 1), "TLS"},
	} {
		client := NewClient(ClientOptions{CorpID: envCorp, AgentID: envAgent, Secret: "s", APIBase: gone.URL})
		d := Doctor{Client: client, Keys: envKeys(t, envToken, envKey, envCorp), Callback: c.url}
		if f := d.callback(t.Context()); f.Level != Sick || !strings.Contains(fmt.Sprint(f), c.says) || strings.Contains(fmt.Sprint(f), "echostr") {
			t.Errorf("%s: %s", c.url, f)
		}
	}
}
