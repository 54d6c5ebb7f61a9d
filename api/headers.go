package api

import (
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// securityHeaders are on every answer, except that mounted handlers bring their
// own and static files may be cached.
func securityHeaders(https bool, ancestors []string) [][2]string {
	frames := "'none'"
	if len(ancestors) > 0 {
		frames = strings.Join(ancestors, " ")
	}
	h := [][2]string{
		{"Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors " + frames},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cache-Control", "no-store"},
	}
	if len(ancestors) == 0 {
		h = append(h, [2]string{"X-Frame-Options", "DENY"})
	}
	if https {
		h = append(h, [2]string{"Strict-Transport-Security", "max-age=31536000"})
	}
	return h
}

// sameOrigin tells whether one of our own pages sent a form. Browsers say so in
// Sec-Fetch-Site; those that do not (and all of them over plain http) send
// Origin, which our own no-referrer policy turns into "null". Then the cookie's
// SameSite=Lax has to do, and where pages may be framed it is not Lax.
func (s *Server) sameOrigin(h *fasthttp.RequestHeader) bool {
	if site := h.Peek("Sec-Fetch-Site"); len(site) > 0 {
		return string(site) == "same-origin" || string(site) == "none"
	}
	origin := string(h.Peek(fasthttp.HeaderOrigin))
	switch origin {
	case "", s.origin:
		return true
	case "null":
		return !s.cookie.framed || len(h.Cookie(s.cookie.name))+len(h.Cookie(s.guest.name)) == 0
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && u.Host == string(h.Host())
}
