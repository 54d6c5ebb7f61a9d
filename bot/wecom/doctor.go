package wecom

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Finding is the result of one check, on one line.
type Finding struct {
	Level         Health
	Name, Message string
	Fix, Page     string // what to do, and on which page of the admin console
}

// Health is how bad a finding is.
type Health string

// The degrees of health.
const (
	Well Health = "ok"
	Warn Health = "warn"
	Sick Health = "FAIL"
)

func (f Finding) String() string {
	s := fmt.Sprintf("%-4s  %-14s  %s", f.Level, f.Name, f.Message)
	if f.Fix != "" {
		s += " → " + f.Fix
	}
	if f.Page != "" {
		s += " [" + f.Page + "]"
	}
	return s
}

// Doctor examines the WeCom half of an installation, from the outside.
type Doctor struct {
	Client   *Client
	Keys     *Keys  // of the callback
	Callback string // its address on the internet
	Menu     Menu   // the menu the app should have
	FixMenu  bool   // write it where it differs
}

// Examine makes every check and never stops at the first that fails.
func (d Doctor) Examine(ctx context.Context) []Finding {
	all := d.app(ctx)
	reached := !slices.ContainsFunc(all, func(f Finding) bool { return f.Level == Sick })
	all = append(all, d.callback(ctx))
	if reached {
		all = append(all, d.menu(ctx))
	} else {
		all = append(all, unchecked("menu"))
	}
	return append(all, d.clock())
}

func unchecked(name string) Finding {
	return Finding{Level: Warn, Name: name, Message: "not checked", Fix: "mend what failed above first"}
}

// app learns from one call whether the secret, the agent id and the address of
// this host are right.
func (d Doctor) app(ctx context.Context) []Finding {
	token := Finding{Level: Well, Name: "token", Message: "WeCom gave an access token"}
	agent := Finding{Level: Well, Name: "agent id"}
	egress := Finding{Level: Well, Name: "egress IP", Message: "WeCom takes calls from this host"}
	info, err := d.Client.App(ctx)
	refusal, refused := errors.AsType[*APIError](err)
	switch {
	case err == nil && info.Closed:
		agent = Finding{Sick, agent.Name, "the app " + info.Name + " is disabled", "enable it", pageApp}
	case err == nil && !info.ReportsEnter:
		agent = Finding{Warn, agent.Name, "the app " + info.Name + " does not report who opens it: nobody is welcomed", "switch on 上报进入应用事件", pageCallback}
	case err == nil:
		agent.Message = "the app is called " + info.Name
	case !refused:
		token = Finding{Sick, token.Name, err.Error(), "check wecom.api_base, and that DNS and firewall let this host reach it", ""}
		agent, egress = unchecked(agent.Name), unchecked(egress.Name)
	case refusal.Code == codeUntrustedIP:
		fix, page := Advice(refusal.Code)
		ip := cmp.Or(refusal.EgressIP(), "an address it does not name")
		egress = Finding{Sick, egress.Name, "WeCom sees this host as " + ip + " and does not trust it", fix, page}
		agent = unchecked(agent.Name)
		if refusal.Call == callToken {
			token = unchecked(token.Name)
		}
	case refusal.Call == callToken:
		fix, page := Advice(refusal.Code)
		token = Finding{Sick, token.Name, refusal.Error(), fix, page}
		agent, egress = unchecked(agent.Name), unchecked(egress.Name)
	default:
		fix, page := Advice(refusal.Code)
		agent = Finding{Sick, agent.Name, refusal.Error(), fix, page}
	}
	return []Finding{token, agent, egress}
}

const (
	codeUntrustedIP = 60020
	callToken       = "gettoken"
	echoPatience    = time.Second // WeCom's, for the verification of an address
)

// callback does what WeCom does when the callback URL is saved: it sends an
// encrypted echo and expects the bare plaintext, fast.
func (d Doctor) callback(ctx context.Context) Finding {
	sick := func(message, fix, page string) Finding {
		return Finding{Sick, "callback URL", d.Callback + " " + message, fix, page}
	}
	echo := strconv.FormatInt(time.Now().UnixNano(), 10)
	ctx, cancel := context.WithTimeout(ctx, 5*echoPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Callback+"?"+d.verification(echo), nil)
	if err != nil {
		return sick("is not an address", "correct server.public_url", "")
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	start := time.Now()
	resp, err := transport.RoundTrip(req) // and no further: WeCom does not follow redirects either
	if err != nil {
		return sick(unreachable(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	took := time.Since(start).Round(time.Millisecond)
	switch {
	case err != nil:
		return sick("breaks off its answer", "look at the proxy in front of the server", "")
	case resp.StatusCode == http.StatusForbidden:
		return sick("refuses the verification", "run check with the configuration serve runs with, look at its clock, and let no proxy change the query", pageCallback)
	case resp.StatusCode != http.StatusOK:
		return sick("answers with status "+strconv.Itoa(resp.StatusCode), "start serve, and make the proxy pass /callbacks/wecom on to it unchanged", "")
	case string(body) != echo:
		return sick("answers something else than the plaintext", "let no proxy or page in front of the server change answers", "")
	case took > echoPatience:
		return Finding{Warn, "callback URL", fmt.Sprintf("%s answers after %v, and WeCom waits %v", d.Callback, took, echoPatience), "look for what is slow in front of the server", ""}
	}
	return Finding{Level: Well, Name: "callback URL", Message: fmt.Sprintf("%s answers WeCom's verification in %v", d.Callback, took)}
}

// verification is the query WeCom would verify the address with.
func (d Doctor) verification(echo string) string {
	encrypted := d.Keys.Encrypt(nil, []byte(echo))
	timestamp, nonce := strconv.FormatInt(d.Client.now().Unix(), 10), rand.Text()
	sum := d.Keys.Sign([]byte(timestamp), []byte(nonce), encrypted)
	return url.Values{
		"msg_signature": {hex.EncodeToString(sum[:])},
		"timestamp":     {timestamp},
		"nonce":         {nonce},
		"echostr":       {string(encrypted)},
	}.Encode()
}

// unreachable explains why nobody answered.
func unreachable(err error) (message, fix, page string) {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return "has no address: " + e.Err, "create the DNS record of server.public_url", ""
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "has a certificate WeCom will not trust: " + e.Err.Error(), "install one for this name with its whole chain", ""
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "does not answer", "open the firewall for it; from inside some networks the public address cannot be reached, then check from outside", ""
	}
	if strings.Contains(err.Error(), "tls: ") {
		return "speaks no TLS: " + err.Error(), "put a TLS-terminating proxy there", ""
	}
	return "cannot be reached: " + err.Error(), "start serve and the proxy in front of it", ""
}

func (d Doctor) menu(ctx context.Context) Finding {
	has, err := d.Client.Menu(ctx)
	fix, page := "write it with: deskbell check --fix-menu", pageApp
	switch {
	case err == nil && slices.EqualFunc(has.Buttons, d.Menu.Buttons, Button.equal):
		return Finding{Level: Well, Name: "menu", Message: "is as it should be"}
	case err == nil && d.FixMenu:
		if err = d.Client.SetMenu(ctx, d.Menu); err == nil {
			return Finding{Level: Well, Name: "menu", Message: "written; people see it within a day, or after opening the app again"}
		}
	case err == nil && len(has.Buttons) == 0:
		return Finding{Warn, "menu", "the app has none", fix, page}
	case err == nil:
		return Finding{Warn, "menu", "differs from Deskbell's", fix, page}
	}
	if e, ok := errors.AsType[*APIError](err); ok {
		fix, page = Advice(e.Code)
	}
	return Finding{Sick, "menu", err.Error(), fix, page}
}

func (b Button) equal(other Button) bool {
	return b.Type == other.Type && b.Name == other.Name && b.Key == other.Key && b.URL == other.URL &&
		slices.EqualFunc(b.Sub, other.Sub, Button.equal)
}

// clock compares this host's clock with WeCom's. Callbacks and one-time codes
// depend on it.
func (d Doctor) clock() Finding {
	skew, ok := d.Client.Skew()
	off := (skew - time.Second/2).Abs().Round(time.Second) // WeCom's Date is cut to the second
	fix := "keep the clock right with NTP (timedatectl set-ntp true)"
	switch {
	case !ok:
		return unchecked("clock")
	case off > 15*time.Second:
		return Finding{Sick, "clock", fmt.Sprintf("is %v off WeCom's", off), fix, ""}
	case off > 2*time.Second:
		return Finding{Warn, "clock", fmt.Sprintf("is %v off WeCom's", off), fix, ""}
	}
	return Finding{Level: Well, Name: "clock", Message: "agrees with WeCom's"}
}
