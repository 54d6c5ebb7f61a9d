package api

import (
	"net/netip"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"
)

// cookie says how the pages remember who signed in. The cookie holds an access
// token and is accepted by pages only; the API takes bearers only.
type cookie struct {
	name   string
	secure bool
	framed bool // pages may be embedded elsewhere, so the cookie must work there
}

// newCookie decides by where the server is reached. Browsers believe in the
// __Host- prefix only on secure cookies: nobody else's page, not even on a
// sibling domain, can plant one.
func newCookie(public *url.URL, framed bool) cookie {
	if public.Scheme == "http" && loopback(public.Hostname()) && !framed {
		return cookie{name: "deskbell"}
	}
	return cookie{name: "__Host-deskbell", secure: true, framed: framed}
}

// as is a cookie of the same kind for another purpose.
func (c cookie) as(purpose string) cookie {
	c.name += "-" + purpose
	return c
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

func (c cookie) read(ctx *fasthttp.RequestCtx) string {
	return string(ctx.Request.Header.Cookie(c.name))
}

func (c cookie) set(ctx *fasthttp.RequestCtx, token string, until time.Time) {
	c.write(ctx, token, until)
}

func (c cookie) clear(ctx *fasthttp.RequestCtx) {
	c.write(ctx, "", fasthttp.CookieExpireDelete)
}

func (c cookie) write(ctx *fasthttp.RequestCtx, value string, until time.Time) {
	var k fasthttp.Cookie
	k.SetKey(c.name)
	k.SetValue(value)
	k.SetPath("/")
	k.SetExpire(until)
	k.SetHTTPOnly(true)
	k.SetSameSite(fasthttp.CookieSameSiteLaxMode)
	if c.framed {
		k.SetSameSite(fasthttp.CookieSameSiteNoneMode)
		k.SetPartitioned(true)
	}
	k.SetSecure(c.secure)
	ctx.Response.Header.SetCookie(&k)
}
