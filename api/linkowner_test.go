package api

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
	"deskbell/store/storetest"
)

// inWeCom is WeCom's own browser.
var inWeCom = with{"User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 MicroMessenger/7.0.1 wxwork/4.1.30 Language/zh"}

// silently is a WeCom that knows who holds its browser. The code is the userid,
// as often as one likes; "down" and "outsider" are what they say.
func silently(o *Options) {
	atWeCom(o)
	o.SignIn.Silent = func(userAgent string) bool { return strings.Contains(userAgent, "wxwork") }
	o.SignIn.Who = func(_ context.Context, code string) (string, error) {
		switch code {
		case "down":
			return "", errors.New("no route to host")
		case "outsider":
			return "", bot.Fail(bot.Denied, "error.denied", nil, nil)
		}
		return code, nil
	}
}

// eachRig runs a case on every engine.
func eachRig(t *testing.T, fn func(*testing.T, *rig), change ...func(*Options)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, url string) {
		fn(t, newRigOn(t, url, append([]func(*Options){silently}, change...)...))
	})
}

var stateForm = regexp.MustCompile(`^[a-zA-Z0-9]{20,128}$`)

// open opens a link in WeCom, up to where WeCom gets to know of it.
func (r *rig) open(target, link string) (state string, cookie with) {
	r.Helper()
	got := r.do("GET", target, "", inWeCom)
	to, err := url.Parse(string(got.Header.Peek("Location")))
	r.ok(err)
	state = to.Query().Get("state")
	if got.StatusCode() != 302 || to.Host != "wecom.example" || to.Query().Get("redirect_uri") != "https://desk.example.com/auth/wecom/callback" || !stateForm.MatchString(state) {
		r.Fatalf("%d to %s: %s", got.StatusCode(), to, got.Body())
	}
	if strings.Contains(got.Header.String()+string(got.Body()), link) {
		r.Errorf("the link's token leaves: %s%s", &got.Header, got.Body())
	}
	if len(got.Header.PeekCookie(r.cookie.name)) > 0 {
		r.Error("a GET signed somebody in")
	}
	return state, cookieOf(r, got, r.state.name)
}

// back is the browser coming back from WeCom.
func (r *rig) back(state, code string, cookies ...with) *fasthttp.Response {
	r.Helper()
	return r.do("GET", "/auth/wecom/callback?"+url.Values{"code": {code}, "state": {state}}.Encode(), "", append(cookies, inWeCom)...)
}

// nobodyIn fails when an answer signed somebody in.
func (r *rig) nobodyIn(got *fasthttp.Response) {
	r.Helper()
	if len(got.Header.PeekCookie(r.cookie.name)) > 0 || len(got.Header.Peek("Location")) > 0 {
		r.Errorf("signed in: %s", &got.Header)
	}
}

// stillGood fails when a link cannot be used any more.
func (r *rig) stillGood(link string) {
	r.Helper()
	if _, _, err := r.o.Store.Exchange(r.Context(), link, "", store.Client{}); err != nil {
		r.Errorf("the link was used up: %v", err)
	}
}

func TestOwnLinkInWeCom(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		link := r.link("lilei")
		state, cookie := r.open("/agent/chat?tab=2&accessToken="+link+"&x=%E4%BD%A0", link)
		got := r.back(state, "LiLei", cookie) // userids compare without case
		r.leadsTo(got, 303, "/agent/chat?tab=2&x=%E4%BD%A0")
		mine := cookieOf(t, got, r.cookie.name)
		if strings.Contains(mine.value, link) {
			t.Error("the link itself became the cookie")
		}
		r.want(r.do("GET", "/agent/chat?tab=2", "", mine, inWeCom), 200, "李雷")
		if cards := r.told("lilei", "security.notice"); len(cards) != 1 || !strings.Contains(cards[0], "企业微信 · iPhone") || !strings.Contains(cards[0], "203.0.113.9") {
			t.Errorf("the owner was told %q", cards)
		}
		if cards := r.told("lilei", "link.opened"); len(cards) > 0 {
			t.Errorf("an alarm: %q", cards)
		}
		// It was used, and once.
		r.want(r.do("GET", "/agent/chat?accessToken="+link, "", inWeCom), 401, "/login")
		r.want(r.do("GET", "/agent/chat", "", mine), 200)
		if strings.Contains(r.logs.String(), link) || strings.Contains(r.logs.String(), state) {
			t.Error("the log has the token or the state")
		}
	})
}

func TestOthersLinkInWeCom(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		link := r.link("lilei")
		for _, who := range []string{"hanmeimei", "boss", "outsider", "hanmeimei"} {
			state, cookie := r.open("/agent/chat?accessToken="+link, link)
			got := r.back(state, who, cookie)
			r.want(got, 403, "这个链接不是发给您的", signInPath)
			r.nobodyIn(got)
			if strings.Contains(string(got.Body()), link) || strings.Contains(string(got.Body()), "李雷") {
				t.Errorf("%s learns whose it is, or more: %s", who, got.Body())
			}
		}
		cards := r.told("lilei", "link.opened")
		if len(cards) != 1 || !strings.Contains(cards[0], "企业微信 · iPhone") || !strings.Contains(cards[0], "203.0.113.9") ||
			!strings.Contains(cards[0], `"/logout all"`) || !strings.Contains(cards[0], r.now.Local().Format("15:04")) {
			t.Errorf("the owner was told %q", cards)
		}
		if r.told("hanmeimei", "link.opened") != nil || r.told("lilei", "security.notice") != nil {
			t.Error("told the wrong thing")
		}
		// Nothing was used up: the owner opens it still.
		state, cookie := r.open("/agent/chat?accessToken="+link, link)
		r.leadsTo(r.back(state, "lilei", cookie), 303, "/agent/chat")
	})
}

func TestStateOfALink(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		link := r.link("lilei")
		target := "/chat?accessToken=" + link
		mine, myCookie := r.open(target, link)
		theirs, theirCookie := r.open(target, link)
		plain, plainCookie := r.begin("/chat")
		for _, c := range []struct {
			why    string
			state  string
			cookie []with
		}{
			{"no cookie", mine, nil},
			{"a state tried without its cookie", mine, []with{myCookie}},
			{"another browser's", theirs, []with{myCookie}},
			{"another sign-in's", theirs, []with{plainCookie}},
			{"an invented one", strings.Repeat("A", 26), []with{theirCookie}},
			{"none", "", []with{theirCookie}},
		} {
			got := r.back(c.state, "lilei", c.cookie...)
			r.want(got, 403, "这次登录已经失效")
			r.nobodyIn(got)
		}
		// A sign-in without a link redeems none.
		r.leadsTo(r.back(plain, "lilei", plainCookie), 303, "/chat")
		late, lateCookie := r.open(target, link)
		r.now = r.now.Add(signInTime)
		got := r.back(late, "lilei", lateCookie)
		r.want(got, 403)
		r.nobodyIn(got)
		r.now = r.now.Add(-signInTime)

		state, cookie := r.open(target, link)
		r.leadsTo(r.back(state, "lilei", cookie), 303, "/chat")
		got = r.back(state, "lilei", cookie)
		r.want(got, 403)
		r.nobodyIn(got)
	})
}

func TestLinkEndsMeanwhile(t *testing.T) {
	for why, end := range map[string]func(r *rig, link string){
		"revoked": func(r *rig, _ string) {
			r.ok(r.o.Store.Tx(r.Context(), func(tx *store.Tx) error {
				_, err := tx.RevokeTokens(r.Context(), "lilei", true)
				return err
			}))
		},
		"expired": func(r *rig, _ string) { r.now = r.now.Add(r.o.Store.LinkTTL - time.Second) },
		"used":    func(r *rig, link string) { r.stillGood(link) },
	} {
		t.Run(why, func(t *testing.T) {
			eachRig(t, func(t *testing.T, r *rig) {
				link := r.link("lilei")
				r.now = r.now.Add(2 * time.Second) // so that the link ends before the state
				mine, myCookie := r.open("/chat?accessToken="+link, link)
				theirs, theirCookie := r.open("/chat?accessToken="+link, link)
				end(r, link)
				for _, got := range []*fasthttp.Response{r.back(theirs, "hanmeimei", theirCookie), r.back(mine, "lilei", myCookie), r.do("GET", "/chat?accessToken="+link, "", inWeCom)} {
					r.want(got, 401, "/login")
					r.nobodyIn(got)
				}
				if cards := r.told("lilei", "link.opened"); len(cards) > 0 {
					t.Errorf("an alarm about a dead link: %q", cards)
				}
			})
		})
	}
}

func TestWeComIsSilentAboutALink(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		link := r.link("lilei")
		for _, c := range []struct {
			code   string
			status int
			part   string
		}{{"down", 503, "企业微信暂时没有响应"}, {"", 403, "企业微信没有告诉我们您是谁"}} {
			state, cookie := r.open("/chat?accessToken="+link, link)
			got := r.back(state, c.code, cookie)
			r.want(got, c.status, c.part, "链接没有被用掉")
			r.nobodyIn(got)
		}
		if !strings.Contains(r.logs.String(), "no route to host") {
			t.Error("the log does not say why")
		}
		if cards := r.told("lilei", "link.opened"); len(cards) > 0 {
			t.Errorf("an alarm about nobody: %q", cards)
		}
		r.stillGood(link)
		// Without a link it says the same, and where to begin again.
		state, cookie := r.begin("/chat")
		got := r.back(state, "down", cookie)
		r.want(got, 503, "企业微信暂时没有响应", signInPath)
		if got.Header.Peek("Retry-After") == nil {
			t.Error("no Retry-After")
		}
	})
}

// Whoever left the directory is nobody, also with a link made before.
func TestLinkOfALeaverInWeCom(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		link := r.link("lilei")
		r.o.SignIn.Person = func(context.Context, string) (bot.Person, error) {
			return bot.Person{ID: "lilei", State: bot.Left}, nil
		}
		state, cookie := r.open("/chat?accessToken="+link, link)
		got := r.back(state, "lilei", cookie)
		r.want(got, 401, "没有确认您是本公司的成员")
		r.nobodyIn(got)
	})
}

// WeCom's own page cannot be shown in a frame, ours can where that is configured.
func TestFramedLinkInWeCom(t *testing.T) {
	inFrame := with{"Sec-Fetch-Dest", "iframe"}
	for framed, status := range map[bool]int{true: 200, false: 302} {
		r := newRig(t, silently, func(o *Options) {
			if framed {
				o.FrameAncestors = []string{"https://portal.example.com"}
			}
		})
		link := r.link("lilei")
		if got := r.do("GET", "/chat?accessToken="+link, "", inWeCom, inFrame); got.StatusCode() != status {
			t.Errorf("framed %v: %d", framed, got.StatusCode())
		}
		r.open("/chat?accessToken="+link, link)
	}
}

// Scanners and previews fetch the link, whoever they say they are, and get
// nothing that is worth anything.
func TestPreviewsInWeCom(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		link := r.link("lilei")
		for i := range 20 {
			got := r.do([]string{"GET", "HEAD"}[i%2], "/chat?accessToken="+link, "", inWeCom)
			if got.StatusCode() != 302 || len(got.Body()) > 0 || len(got.Header.PeekCookie(r.cookie.name)) > 0 || strings.Contains(got.Header.String(), link) {
				t.Fatalf("%s%s", &got.Header, got.Body())
			}
			if policy := string(got.Header.Peek("Referrer-Policy")); policy != "no-referrer" {
				t.Errorf("Referrer-Policy %q", policy)
			}
		}
		if len(r.told("lilei", "security.notice"))+len(r.told("lilei", "link.opened")) > 0 {
			t.Error("told of a preview")
		}
		r.stillGood(link)
	})
}

func TestManyCallbacksGetOneToken(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		link := r.link("lilei")
		state, cookie := r.open("/chat?accessToken="+link, link)
		answers := make(chan *fasthttp.Response, 8)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { answers <- r.back(state, "lilei", cookie) })
		}
		wg.Wait()
		close(answers)
		var statuses []int
		for got := range answers {
			if statuses = append(statuses, got.StatusCode()); got.StatusCode() == 303 {
				mine := cookieOf(t, got, r.cookie.name)
				r.want(r.do("GET", "/chat", "", mine), 200, "李雷")
			} else {
				r.nobodyIn(got)
			}
		}
		slices.Sort(statuses)
		if !slices.Equal(statuses, []int{303, 403, 403, 403, 403, 403, 403, 403}) {
			t.Errorf("statuses %v", statuses)
		}
	})
}

// One link, opened eight times at once: at most one of them gets in.
func TestManyOpeningsGetOneToken(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		link := r.link("lilei")
		answers := make(chan *fasthttp.Response, 8)
		var wg sync.WaitGroup
		begun := map[string]with{}
		for range 8 {
			state, cookie := r.open("/chat?accessToken="+link, link)
			begun[state] = cookie
		}
		for state, cookie := range begun {
			wg.Go(func() { answers <- r.back(state, "lilei", cookie) })
		}
		wg.Wait()
		close(answers)
		in := 0
		for got := range answers {
			if got.StatusCode() == 303 {
				in++
			} else {
				r.want(got, 401, "/login")
				r.nobodyIn(got)
			}
		}
		if in != 1 {
			t.Errorf("%d got in", in)
		}
	})
}

// What WeCom says is one proof. Where a one-time password is wanted as well, it
// is asked for, and the link waits.
func TestLinkInWeComAsksForOTP(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		phone, _ := r.enrol(r.token("boss"))
		link := r.link("boss")
		state, cookie := r.open("/admin/outbox?accessToken="+link, link)
		got := r.back(state, "boss", cookie)
		r.want(got, 200, "Ma Boss", `action="/admin/outbox"`, `name="otp_code"`, "管理页面需要它", "企业微信已确认您是")
		r.nobodyIn(got)
		wrong := r.form("/admin/outbox", url.Values{"accessToken": {link}, "otp_code": {"000000"}}, inWeCom)
		r.want(wrong, 401, "验证码不对")
		r.nobodyIn(wrong)
		got = r.form("/admin/outbox", url.Values{"accessToken": {link}, "otp_code": {phone.code()}}, inWeCom)
		r.leadsTo(got, 303, "/admin/outbox")
		r.want(r.do("GET", "/admin/outbox", "", cookieOf(t, got, r.cookie.name)), 200)

		// An agent's is not wanted by any page.
		r.enrol(r.token("lilei"))
		link = r.link("lilei")
		state, cookie = r.open("/agent/chat?accessToken="+link, link)
		r.leadsTo(r.back(state, "lilei", cookie), 303, "/agent/chat")
	}, func(o *Options) { o.RequireAdminOTP = true })
}

// A direct link is an access token. Its owner goes on with it; when somebody else
// is seen to have it, it ends.
func TestDirectLinkInWeCom(t *testing.T) {
	eachRig(t, func(t *testing.T, r *rig) {
		r.o.Store.Direct = true
		link := r.link("boss")
		for range 2 { // it is good for an hour, not once
			state, cookie := r.open("/agent/chat?accessToken="+link, link)
			got := r.back(state, "boss", cookie)
			r.leadsTo(got, 303, "/agent/chat")
			mine := cookieOf(t, got, r.cookie.name)
			r.want(r.do("GET", "/agent/chat", "", mine), 200, "Ma Boss")
			r.want(r.do("GET", "/admin/welcome", "", mine), 403)
		}
		state, cookie := r.open("/agent/chat?accessToken="+link, link)
		got := r.back(state, "hanmeimei", cookie)
		r.want(got, 403, "这个链接不是发给您的")
		r.nobodyIn(got)
		r.want(r.do("GET", "/api/v1/user/me", "", bearer(link)), 401)
		if cards := r.told("boss", "link.opened"); len(cards) != 1 || !strings.Contains(cards[0], "链接已自动作废") {
			t.Errorf("the owner was told %q", cards)
		}
	}, func(o *Options) { o.RequireAdminOTP = true })
}

// No other access token is a link, wherever it is opened.
func TestAccessTokenIsNoLinkInWeCom(t *testing.T) {
	r := newRig(t, silently)
	account := r.minted(store.TokenSpec{Account: r.account(store.NewAccount{Email: "ada@example.com"})})
	for _, token := range []string{r.token("lilei"), account} {
		for _, who := range []string{"lilei", "outsider", "hanmeimei"} {
			state, cookie := r.open("/chat?accessToken="+token, token)
			got := r.back(state, who, cookie)
			r.want(got, 401, "/login")
			r.nobodyIn(got)
		}
		r.want(r.do("GET", "/api/v1/user/me", "", bearer(token)), 200)
	}
}

// Elsewhere, and where WeCom's sign-in is not configured, the link's own form
// signs in.
func TestLinkOutsideWeCom(t *testing.T) {
	browser := with{"User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/140.0.0.0 Safari/537.36"}
	for _, c := range []struct {
		change func(*Options)
		in     with
	}{{silently, browser}, {func(*Options) {}, inWeCom}, {atWeCom, inWeCom}} {
		r := newRig(t, c.change)
		link := r.link("lilei")
		r.want(r.do("GET", "/chat?accessToken="+link, "", c.in), 200, "李雷", `value="`+link+`"`)
		r.leadsTo(r.form("/chat", url.Values{"accessToken": {link}}, c.in), 303, "/chat")
	}
}
