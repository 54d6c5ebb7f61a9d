package wecom

import (
	"net/url"
	"strconv"
	"strings"
)

// SignInPages are WeCom's pages at which a member proves who they are.
type SignInPages struct {
	CorpID    string
	AgentID   int
	Authorize string // wecom.oauth_authorize_url: inside WeCom, without a click (document 91022); "" does without
	QR        string // wecom.qr_login_url: in a browser, by a QR code (document 98152)
}

// URL is the page for a browser, by its User-Agent. It leads back to redirect
// with the state, which is letters and digits, and a code.
func (p SignInPages) URL(userAgent, redirect, state string) string {
	q := url.Values{"appid": {p.CorpID}, "agentid": {strconv.Itoa(p.AgentID)}, "redirect_uri": {redirect}, "state": {state}}
	if p.Authorize != "" && InApp(userAgent) {
		q.Set("response_type", "code")
		q.Set("scope", "snsapi_base")
		return join(p.Authorize, q) + "#wechat_redirect"
	}
	q.Set("login_type", "CorpApp")
	return join(p.QR, q)
}

func join(page string, q url.Values) string {
	if strings.Contains(page, "?") {
		return page + "&" + q.Encode()
	}
	return page + "?" + q.Encode()
}

// Silent reports whether a User-Agent is WeCom's own, whose member URL's page
// names without a question.
func (p SignInPages) Silent(userAgent string) bool {
	return p.Authorize != "" && strings.Contains(userAgent, "wxwork")
}

// InApp reports whether a User-Agent is the web view of WeCom or WeChat, where a
// member is known without a click (document 90457).
func InApp(userAgent string) bool {
	return strings.Contains(userAgent, "wxwork") || strings.Contains(userAgent, "MicroMessenger/")
}
