package api

import (
	"context"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
	"deskbell/store/storetest"
)

// talking is a rig with somebody at the desk: lilei, who is online, and people
// with their cookies.
type talking struct {
	*rig
	cookies map[string]with
}

func eachTalking(t *testing.T, fn func(k *talking)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, url string) {
		k := &talking{newRigOn(t, url), map[string]with{}}
		for _, who := range []string{"boss", "lilei", "hanmeimei"} {
			k.cookies[who] = k.signedIn(who)
		}
		k.staff("lilei", store.Online)
		fn(k)
	})
}

// staff sets the status of an agent.
func (k *talking) staff(who, status string) {
	k.Helper()
	k.leadsTo(k.as(who, "POST", "/agent/chat/status", url.Values{"status": {status}}), 303, "/agent/chat")
}

// as asks for a page, or posts one of its forms.
func (k *talking) as(who, method, path string, fields url.Values, more ...with) *fasthttp.Response {
	k.Helper()
	k.now = k.now.Add(time.Second)
	if method == "POST" {
		return k.form(path, fields, append(more, k.cookies[who])...)
	}
	return k.do(method, path, "", append(more, k.cookies[who])...)
}

var nonceOf = regexp.MustCompile(`name="nonce" value="(\w+)"`)

// begins has hanmeimei ask, and gives the path of the session.
func (k *talking) begins(words string) string {
	k.Helper()
	page := k.as("hanmeimei", "GET", "/chat", nil)
	nonce := nonceOf.FindStringSubmatch(string(page.Body()))
	if nonce == nil {
		k.Fatalf("no form: %s", page.Body())
	}
	got := k.as("hanmeimei", "POST", "/chat/new", url.Values{"content": {words}, "nonce": {nonce[1]}})
	to := string(got.Header.Peek("Location"))
	if got.StatusCode() != 303 || !strings.HasPrefix(to, "/chat/") {
		k.Fatalf("%d to %q: %.300s", got.StatusCode(), to, got.Body())
	}
	return to
}

func (k *talking) said(path string) (list []string) {
	k.Helper()
	said, err := k.o.Store.Messages(k.Context(), strings.TrimPrefix(path, "/chat/"), 0, 1000)
	k.ok(err)
	for _, m := range said {
		if m.Role != store.ByDesk {
			list = append(list, m.Author+": "+m.Content)
		}
	}
	return list
}

var byScript = with{"HX-Request", "true"}

func TestChatPages(t *testing.T) {
	eachTalking(t, func(k *talking) {
		k.want(k.as("hanmeimei", "GET", "/chat", nil), 200, "向服务台提问", "还没有结束的会话", `action="/chat/new"`)
		chat := k.begins("打印机 <b>坏了</b>\n看 https://wiki.example.com/p?a=1&b=2.")
		home := k.as("hanmeimei", "GET", "/chat", nil)
		k.want(home, 200, `href="`+chat+`"`, "李雷 正在为您服务")
		if strings.Contains(string(home.Body()), `action="/chat/new"`) {
			t.Error("one can ask beside an open session")
		}
		page := k.as("hanmeimei", "GET", chat, nil)
		k.want(page, 200, "打印机 &lt;b&gt;坏了&lt;/b&gt;\n看 ", `<a href="https://wiki.example.com/p?a=1&amp;b=2" target="_blank" rel="noopener noreferrer">`, "李雷 正在为您服务",
			`role="log"`, `sse-connect="`+chat+`/events?after=2"`, `action="`+chat+`/say"`, `data-seen="`+chat+`/seen"`, chat+"/export")
		for _, m := range k.said(chat) {
			if !strings.HasPrefix(m, "hanmeimei: 打印机") {
				t.Errorf("said %q", m)
			}
		}

		// One message for each form and words, however often they are sent.
		nonce := nonceOf.FindStringSubmatch(string(page.Body()))[1]
		again := url.Values{"content": {"还是不行"}, "nonce": {nonce}}
		k.leadsTo(k.as("hanmeimei", "POST", chat+"/say", again), 303, chat)
		k.leadsTo(k.as("hanmeimei", "POST", chat+"/say", again), 303, chat)
		by := k.as("hanmeimei", "POST", chat+"/say", again, byScript)
		k.want(by, 200, `<input type="hidden" name="nonce" value="`)
		if fresh := nonceOf.FindStringSubmatch(string(by.Body()))[1]; fresh == nonce {
			t.Error("the form goes on with the nonce it had")
		}
		again.Set("content", "换了一台也不行")
		k.leadsTo(k.as("hanmeimei", "POST", chat+"/say", again), 303, chat)
		if said := k.said(chat); len(said) != 3 || said[2] != "hanmeimei: 换了一台也不行" {
			t.Errorf("said %q", said)
		}

		// The agent sees it from the other side, and answers.
		k.leadsTo(k.as("lilei", "POST", chat+"/say", url.Values{"content": {"马上来"}, "return": {"desk"}}), 303, "/agent/chat?session="+strings.TrimPrefix(chat, "/chat/"))
		k.want(k.as("hanmeimei", "GET", chat, nil), 200, `class="said other"`, "马上来", `class="said own"`)

		// Seeing takes back what the chat would have told.
		if n := len(k.told("hanmeimei", "session.said")); n != 1 {
			t.Errorf("the chat was to say %d messages", n)
		}
		k.want(k.as("hanmeimei", "POST", chat+"/seen", url.Values{"n": {"6"}}), 204)
		c, err := k.o.Store.Conversation(t.Context(), strings.TrimPrefix(chat, "/chat/"), store.Party{Admin: true})
		k.ok(err)
		if c.AskerSeen != c.Last {
			t.Errorf("seen %d of %d", c.AskerSeen, c.Last)
		}
		k.want(k.as("hanmeimei", "POST", chat+"/seen", url.Values{"n": {"x"}}), 400)

		k.leadsTo(k.as("hanmeimei", "POST", chat+"/close", nil), 303, chat)
		k.want(k.as("hanmeimei", "GET", chat, nil), 200, "会话已结束", "继续这个会话")
		k.want(k.as("hanmeimei", "POST", chat+"/say", url.Values{"content": {"还有"}}), 409, "会话已经结束", "<blockquote>还有</blockquote>")
		k.want(k.as("hanmeimei", "GET", "/chat", nil), 200, "向服务台提问", `action="`+chat+`/reopen"`, "打印机")
		k.leadsTo(k.as("hanmeimei", "POST", chat+"/reopen", nil), 303, chat)
		k.leadsTo(k.as("hanmeimei", "POST", chat+"/close", nil), 303, chat)
		k.now = k.now.Add(25 * time.Hour)
		k.cookies["hanmeimei"] = k.signedIn("hanmeimei")
		page = k.as("hanmeimei", "GET", chat, nil)
		k.want(page, 200, "超过一天的会话不能再继续")
		if strings.Contains(string(page.Body()), "/reopen") {
			t.Error("it can be reopened after a day")
		}
		k.leadsTo(k.as("hanmeimei", "POST", chat+"/reopen", nil), 303, chat)
		told := k.as("hanmeimei", "POST", chat+"/reopen", nil)
		cookie := k.cookies["hanmeimei"]
		cookie.value += "; " + cookieOf(t, told, k.flashes.name).value
		k.want(k.do("GET", chat, "", cookie), 200, `role="alert">会话结束已超过一天`)
	})
}

// Words that are refused stay in the form, with the reason beside it.
func TestRefusedWordsAreKept(t *testing.T) {
	wait := time.Duration(0)
	k := &talking{newRig(t, func(o *Options) {
		o.Limit = func(_ context.Context, name, key string) time.Duration {
			if name == "commands_per_person" {
				return wait
			}
			return 0
		}
	}), map[string]with{}}
	k.cookies["hanmeimei"], k.cookies["lilei"] = k.signedIn("hanmeimei"), k.signedIn("lilei")
	k.staff("lilei", store.Online)
	chat := k.begins("打印机坏了")
	long := strings.Repeat("长", store.MaxSaid/3+1)
	for _, c := range []struct {
		words, why string
		status     int
		wait       time.Duration
	}{{"  ", "请先写点什么", 400, 0}, {long, "太长了", 400, 0}, {"快", "发得太快", 429, 1500 * time.Millisecond}} {
		wait = c.wait
		fields := url.Values{"content": {c.words}}
		got := k.as("hanmeimei", "POST", chat+"/say", fields)
		k.want(got, c.status, c.why, ">"+c.words+"</textarea>", "打印机坏了")
		if after := string(got.Header.Peek("Retry-After")); (c.status == 429) != (after == "2") {
			t.Errorf("Retry-After %q", after)
		}
		k.want(k.as("hanmeimei", "POST", chat+"/say", fields, byScript), c.status, `<p id="unsent" class="bad" role="alert">`+c.why)
	}
	k.leadsTo(k.as("lilei", "POST", chat+"/say", url.Values{"content": {"稍等"}}), 303, chat) // who answers is not counted
	wait = 0
	k.leadsTo(k.as("hanmeimei", "POST", chat+"/close", nil), 303, chat)
	wait = time.Second
	got := k.as("hanmeimei", "POST", "/chat/new", url.Values{"topic": {"网络"}, "content": {"断网了"}})
	k.want(got, 429, "发得太快", `value="网络"`, ">断网了</textarea>")
}

func TestChatIsForItsParties(t *testing.T) {
	eachTalking(t, func(k *talking) {
		_, err := k.dir.Person(t.Context(), "ma")
		k.ok(err)
		k.cookies["ma"] = k.signedIn("ma")
		chat := k.begins("打印机坏了")
		for _, path := range []string{chat, "/chat/nothing", "/chat/1b4e28ba-2fa1-11d2-883f-0016d3cca427"} {
			k.want(k.as("ma", "GET", path, nil), 404, "没有这个页面", "Ma")
		}
		for _, act := range []string{"say", "seen", "close", "reopen"} {
			k.want(k.as("ma", "POST", chat+"/"+act, url.Values{"content": {"x"}, "n": {"1"}}), 404)
		}
		k.want(k.as("hanmeimei", "POST", chat+"/transfer", url.Values{"agent": {"boss"}}), 403)
		k.want(k.do("POST", chat+"/say", "content=x", k.cookies["hanmeimei"], with{"Sec-Fetch-Site", "cross-site"}), 403)

		// An administrator looks on, unseen until they join.
		look := k.as("boss", "GET", chat, nil)
		k.want(look, 200, "管理员身份旁观", "打印机坏了", chat+"?join=1", "转交")
		if strings.Contains(string(look.Body()), "<textarea") {
			t.Error("whoever looks on has something to write with")
		}
		k.want(k.as("boss", "GET", chat+"?join=1", nil), 200, "<textarea", `name="return" value="join"`)
		k.leadsTo(k.as("boss", "POST", chat+"/say", url.Values{"content": {"我来看看"}, "return": {"join"}}), 303, chat+"?join=1")
		k.want(k.as("hanmeimei", "GET", chat, nil), 200, "<b>Ma Boss</b>", "我来看看")
		if said := k.said(chat); len(said) != 2 {
			t.Errorf("said %q", said)
		}
	})
}

// A page that is open fetches what changed of itself.
func TestPartsOfAChat(t *testing.T) {
	eachTalking(t, func(k *talking) {
		chat := k.begins("第一条")
		for i := range 60 {
			k.leadsTo(k.as("hanmeimei", "POST", chat+"/say", url.Values{"content": {"第 " + string(rune('0'+i%10)) + " 次"}}), 303, chat)
		}
		page := k.as("hanmeimei", "GET", chat, nil)
		if body := string(page.Body()); strings.Count(body, `class="said `) != shownAtOnce || strings.Contains(body, `bubble">第一条<`) {
			t.Errorf("%d messages at once", strings.Count(body, `class="said `))
		}
		k.want(page, 200, `hx-get="`+chat+`?part=log&amp;before=13"`)
		log := k.as("hanmeimei", "GET", chat+"?part=log&before=13", nil, byScript)
		k.want(log, 200, "第一条", `id="m12"`)
		if body := string(log.Body()); strings.Contains(body, "<html") || strings.Contains(body, `id="earlier"`) || strings.Count(body, `class="said `) != 12 {
			t.Errorf("the part is %s", body)
		}
		k.want(k.as("hanmeimei", "GET", chat+"?part=log&before=x", nil, byScript), 400)
		k.want(k.as("hanmeimei", "GET", chat+"?part=log&before=13", nil), 200, "<html") // by hand

		bar := k.as("hanmeimei", "GET", chat+"?part=bar&was=write", nil, byScript)
		k.want(bar, 200, `id="bar"`, "李雷 正在为您服务")
		if strings.Contains(string(bar.Body()), "<textarea") {
			t.Error("what is being typed is replaced")
		}
		k.leadsTo(k.as("lilei", "POST", chat+"/close", nil), 303, chat)
		k.want(k.as("hanmeimei", "GET", chat+"?part=bar&was=write", nil, byScript), 200, `id="foot" class="talkfoot" hx-swap-oob="true"`, "继续这个会话")
	})
}

func TestPieces(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"没有":                                  "没有",
		"看https://a.example/x?y=1。好":          "看[https://a.example/x?y=1]。好",
		"(http://a.example/), http://":        "([http://a.example/]), http://",
		"javascript:alert(1) https:///x":      "javascript:alert(1) https:///x",
		"https://a.example https://b.example": "[https://a.example] [https://b.example]",
	} {
		got := ""
		for _, p := range pieces(text) {
			if p.Link != "" {
				got += "[" + p.Link + "]"
			} else {
				got += p.Text
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// What was sent without a name, as a picture, is called what it is: on the pages,
// and in the file, which refers to nothing.
func TestNamelessMediaOnPages(t *testing.T) {
	eachTalking(t, func(k *talking) {
		chat := k.begins("打印机坏了")
		id := strings.TrimPrefix(chat, "/chat/")
		mei := store.Party{Key: "hanmeimei", ID: "hanmeimei"}
		c, err := k.o.Store.Conversation(t.Context(), id, mei)
		k.ok(err)
		k.ok(k.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
			_, _, err := tx.Say(t.Context(), c, mei, store.Words{Media: "the-picture", Kind: "image"})
			return err
		}))
		k.want(k.as("lilei", "GET", "/agent/chat?session="+id, nil), 200, `<span class="sent">📎 图片</span>`, `<span class="words">📎 图片</span>`)
		k.want(k.as("hanmeimei", "GET", chat+"/export", nil), 200, "<p>📎 图片</p>")
	})
}
