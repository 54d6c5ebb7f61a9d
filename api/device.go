package api

import (
	"strings"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// programs and systems are what a User-Agent is searched for, the first that
// fits: browsers name the ones they descend from too, so the particular stand
// before the general.
var (
	programs = []struct{ mark, name string }{
		{"wxwork", "WeCom"}, {"micromessenger", "WeChat"}, {"dingtalk", "DingTalk"},
		{"edg/", "Edge"}, {"edga/", "Edge"}, {"edgios/", "Edge"}, {"opr/", "Opera"}, {"firefox/", "Firefox"}, {"fxios/", "Firefox"},
		{"qqbrowser", "QQ"}, {"ucbrowser", "UC"}, {"huaweibrowser", "Huawei"}, {"miuibrowser", "Mi"}, {"samsungbrowser", "Samsung"},
		{"crios/", "Chrome"}, {"chrome/", "Chrome"}, {"version/", "Safari"}, {"trident/", "Internet Explorer"},
		{"curl/", "curl"}, {"wget/", "wget"}, {"python", "Python"}, {"go-http-client", "Go"}, {"okhttp", "OkHttp"}, {"postman", "Postman"},
	}
	systems = []struct{ mark, name string }{
		{"iphone", "iPhone"}, {"ipad", "iPad"}, {"openharmony", "HarmonyOS"}, {"android", "Android"},
		{"windows", "Windows"}, {"macintosh", "Mac"}, {"cros ", "ChromeOS"}, {"linux", "Linux"},
	}
)

// device is a User-Agent in words: "WeCom · iPhone". What it does not know it
// leaves out: nothing of the header itself reaches a person.
func device(userAgent string) string {
	userAgent = strings.ToLower(userAgent)
	find := func(list []struct{ mark, name string }) string {
		for _, entry := range list {
			if strings.Contains(userAgent, entry.mark) {
				return entry.name
			}
		}
		return ""
	}
	program, system := find(programs), find(systems)
	if program == "" || system == "" {
		return program + system
	}
	return program + " · " + system
}

// client is where the request came from, for the person it concerns.
func (r *req) client() store.Client {
	return store.Client{
		Device:  device(string(r.ctx.Request.Header.Peek(fasthttp.HeaderUserAgent))),
		Address: clientAddr(r.ctx, r.s.o.TrustedProxies).String(),
	}
}
