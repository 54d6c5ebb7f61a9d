package api

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store"

	"github.com/pquerna/otp/totp"
)

// office is a rig whose administrator is signed in.
type office struct {
	*rig
	boss with
}

func newOffice(t *testing.T) office {
	r := newRig(t)
	return office{r, r.signedIn("boss")}
}

// open is a page, as the administrator sees it.
func (o office) open(path string, parts ...string) string {
	o.Helper()
	got := o.do("GET", path, "", o.boss)
	o.want(got, 200, parts...)
	return string(got.Body())
}

// post sends a form of a page and gives the page it leads to, which must say all of parts.
func (o office) post(path string, fields string, parts ...string) string {
	o.Helper()
	f, err := url.ParseQuery(fields)
	o.ok(err)
	got := o.form(path, f, o.boss)
	back := strings.Replace(path, "/do", "", 1)
	o.leadsTo(got, 303, back)
	flash := cookieOf(o, got, o.flashes.name)
	seen := o.do("GET", back, "", with{"Cookie", o.boss.value + "; " + flash.value})
	o.want(seen, 200, parts...)
	return string(seen.Body())
}

// trail is what was audited last.
func (o office) trail() string {
	o.Helper()
	page, err := o.o.Store.FindAudit(o.Context(), store.AuditQuery{Limit: 1})
	o.ok(err)
	e := page.Entries[0]
	return strings.TrimSpace(e.Actor + " " + e.Action + " " + e.Target + " " + e.Detail)
}

func lacks(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(page, part) {
			t.Errorf("the page has %q", part)
		}
	}
}

func TestAdminWelcome(t *testing.T) {
	o := newOffice(t)
	o.ok(o.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.EnsureAgent(t.Context(), bot.User{ID: "lilei", Name: "李雷", Level: bot.Agent, Roles: []string{"agent"}})
	}))
	o.open("/admin/welcome", "Ma Boss", "<strong>1</strong>位坐席离线", "现在没有在线的坐席", "/admin/audit", "谁在什么时候做了什么")

	weak := newRig(t, func(o *Options) { o.RequireAdminOTP = true })
	got := weak.do("GET", "/admin/welcome", "", weak.signedIn("boss"))
	weak.want(got, 200, "/otp bind")
	lacks(t, string(got.Body()), "位坐席离线", "/admin/audit")
	weak.want(weak.do("GET", "/admin/agents", "", weak.signedIn("boss")), 403, "需要动态验证码", "/otp bind", "退出登录")
}

func TestAdminAgents(t *testing.T) {
	o := newOffice(t)
	for i := range 60 {
		id := fmt.Sprintf("agent%02d", i)
		o.ok(o.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
			return tx.EnsureAgent(t.Context(), bot.User{ID: id, Name: "N" + id, Level: bot.Agent, Roles: []string{"agent"}})
		}))
	}
	first := o.open("/admin/agents", "Nagent00", "Nagent49", "/admin/agents?after=50")
	lacks(t, first, "Nagent50", "回到第一页")
	lacks(t, o.open("/admin/agents?after=50", "Nagent50", "Nagent59", "回到第一页"), "Nagent49", "下一页")
	lacks(t, o.open("/admin/agents?q=AGENT07", "Nagent07"), "Nagent08")
	o.open("/admin/agents?q=%22%3E%3Cscript%3E", "没有这样的坐席", `value="&#34;&gt;&lt;script&gt;"`)
	o.open("/admin/agents?status=online&after=x", "没有这样的坐席")

	o.post("/admin/agents/do?q=agent07", "do=load&id=agent07&load=9", "Nagent07的接待上限已保存", "0 / 9")
	if got := o.trail(); got != "boss agent.load agent07 9" {
		t.Errorf("trail %q", got)
	}
	for _, load := range []string{"-1", "1001", "x", ""} {
		o.post("/admin/agents/do?q=agent07", "do=load&id=agent07&load="+load, "没有保存", "0 / 9")
	}
	o.post("/admin/agents/do", "do=load&id=ghost&load=1", "ghost 已经不在了")

	o.ok(o.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SetStatus(t.Context(), "agent07", store.Online, "", 0)
		return err
	}))
	o.open("/admin/agents?q=agent07", "设为离线")
	lacks(t, o.post("/admin/agents/do?q=agent07", "do=offline&id=agent07", "Nagent07已设为离线"), `pill online`)
	if got := o.trail(); got != "boss status.set agent07 offline" {
		t.Errorf("trail %q", got)
	}
	if told := o.told("agent07", "status.sentoff"); len(told) != 1 || !strings.Contains(told[0], "boss") {
		t.Errorf("told %q", told)
	}
	o.want(o.form("/admin/agents/do", url.Values{"do": {"fire"}, "id": {"agent07"}}, o.boss), 400)
	o.want(o.do("POST", "/admin/agents/do", "do=offline&id=agent07", o.boss, with{"Sec-Fetch-Site", "cross-site"}), 403)
}

// bound gives somebody a one-time password, and what makes its codes.
func (o office) bound(userID string) (code func() string) {
	o.Helper()
	var key store.OTPKey
	o.ok(o.o.Store.Tx(o.Context(), func(tx *store.Tx) (err error) {
		key, err = tx.BindOTP(o.Context(), userID)
		return err
	}))
	code = func() string {
		o.now = o.now.Add(time.Minute)
		c, err := totp.GenerateCode(key.Secret, o.now)
		o.ok(err)
		return c
	}
	first := code()
	o.ok(o.o.Store.Tx(o.Context(), func(tx *store.Tx) error {
		result, _, err := tx.ConfirmOTP(o.Context(), userID, first, "", store.Client{})
		if err == nil && !result.OK {
			err = errors.New("refused")
		}
		return err
	}))
	return code
}

func TestAdminResetsOTP(t *testing.T) {
	o := newOffice(t)
	o.ok(o.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.EnsureAgent(t.Context(), bot.User{ID: "lilei", Name: "李雷", Level: bot.Agent, Roles: []string{"agent"}})
	}))
	o.post("/admin/agents/do", "do=otp&id=lilei&otp_code=123456", "lilei 已经不在了") // there is nothing to reset
	o.bound("lilei")
	o.post("/admin/agents/do", "do=otp&id=lilei&otp_code=123456", "您自己没有绑定")
	code := o.bound("boss")
	o.boss = o.signedIn("boss") // binding ended the others
	page := o.open("/admin/agents", "已绑定", "重置验证码")
	if !strings.Contains(page, "autocomplete=\"one-time-code\"") {
		t.Error("no field for the code")
	}
	o.post("/admin/agents/do", "do=otp&id=lilei&otp_code=000000", "您的验证码不对", "已绑定")
	o.post("/admin/agents/do", "do=otp&id=lilei&otp_code="+code(), "lilei 的动态验证码已重置", "未绑定")
	if told := o.told("boss", "otp.reset"); len(told) != 1 {
		t.Errorf("told %q", told)
	}
}

var secret = regexp.MustCompile(`<code>([^<]{20,})</code>`)

func TestAdminTokens(t *testing.T) {
	o := newOffice(t)
	o.open("/admin/tokens", "您现在用的", "聊天链接")
	got := o.form("/admin/tokens/do?q=", url.Values{"do": {"make"}, "user": {"lilei"}, "name": {"夜间任务"}, "ttl": {"24"}}, o.boss)
	o.want(got, 200, "只显示这一次", "夜间任务")
	token := secret.FindStringSubmatch(string(got.Body()))[1]
	o.want(o.do("GET", "/api/agents/me", "", bearer(token)), 200, "lilei")
	page := o.open("/admin/tokens?q=夜间", "夜间任务")
	lacks(t, page, token, "聊天链接")
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page)[1]
	lacks(t, o.post("/admin/tokens/do?q=lilei", "do=revoke&id="+id, "令牌 "+id[:8]+" 已撤销"), "夜间任务")
	o.want(o.do("GET", "/api/agents/me", "", bearer(token)), 401)
	o.post("/admin/tokens/do", "do=revoke&id="+id, "已经不在了")
	o.post("/admin/tokens/do", "do=revoke&id="+id[:8], "已经不在了") // in the chat it would do
	o.post("/admin/tokens/do", "do=make&user=&ttl=1", "请填写给谁")
	o.post("/admin/tokens/do", "do=make&user=ghost&ttl=1", "找不到 ghost")
	for _, ttl := range []string{"", "2", "-1", "1.5", "99999999"} {
		o.post("/admin/tokens/do", "do=make&user=lilei&ttl="+ttl, "没有签发")
	}
	o.want(o.form("/admin/tokens/do", url.Values{"do": {"steal"}}, o.boss), 400)
}

func TestAdminShares(t *testing.T) {
	o := newOffice(t)
	o.open("/admin/shares", "没有这样的分享", "新机器人的名称")
	page := o.post("/admin/shares/do", "do=bot&name=售后助手", "机器人“售后助手”已新建", "<option value=")
	botID := regexp.MustCompile(`<option value="([0-9a-f-]{36})">售后助手`).FindStringSubmatch(page)[1]
	got := o.form("/admin/shares/do", url.Values{"do": {"share"}, "bot": {botID}, "name": {"展会"}, "ttl": {"1"}}, o.boss)
	o.want(got, 200, "data:image/png;base64,", "展会")
	link := secret.FindStringSubmatch(string(got.Body()))[1]
	path := strings.TrimPrefix(link, "https://desk.example.com")
	o.want(o.do("GET", path, ""), 200, "登录后查看")
	page = o.open("/admin/shares?q=展会", "售后助手", "链接", "延长")
	lacks(t, page, path)
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page)[1]
	o.want(o.form("/admin/shares/do", url.Values{"do": {"show"}, "id": {id}}, o.boss), 200, link)
	o.post("/admin/shares/do", "do=extend&ttl=720&id="+id, "“展会”已延长", "4月3日")
	o.post("/admin/shares/do", "do=extend&ttl=0&id="+id, "请选择一个有效期")
	o.post("/admin/shares/do", "do=extend&ttl=1&id=x", "已经不在了")
	o.post("/admin/shares/do", "do=share&ttl=1&bot=nothing", "已经不在了")
	o.post("/admin/shares/do", "do=bot&name=", "没有完成")
	lacks(t, o.post("/admin/shares/do", "do=revoke&id="+id, "“展会”已撤销", "没有这样的分享"), "延长</summary>")
	o.want(o.do("GET", path, ""), 404)
	o.post("/admin/shares/do?ended=1", "do=show&id="+id, "已经撤销或过期")
	o.open("/admin/shares?ended=1", "已撤销", "展会")

	// Of somebody else's share one learns nothing.
	var theirs store.Share
	o.ok(o.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		b, err := tx.NewBot(t.Context(), "别人的", nil, store.Asker{Master: true})
		if err != nil {
			return err
		}
		_, theirs, err = tx.CreateShare(t.Context(), store.NewShare{Bot: b.ID, Name: "秘密"}, store.Asker{Master: true})
		return err
	}))
	lacks(t, o.open("/admin/shares?ended=1"), "别人的", "秘密")
	for _, do := range []string{"show", "revoke", "extend"} {
		lacks(t, o.post("/admin/shares/do", "ttl=1&do="+do+"&id="+theirs.ID, "已经不在了，或者不归您管"), "秘密")
	}
}

func TestAdminUsers(t *testing.T) {
	o := newOffice(t)
	o.account(store.NewAccount{Email: "ada@example.com"})
	o.post("/admin/users/do", "do=new&username=kim", "客户账号 kim 已新建", "发到您的企业微信")
	if cards := o.told("boss", "user"); len(cards) != 1 || !strings.Contains(cards[0], "/newpassword?accessToken=") {
		t.Errorf("told %q", cards)
	}
	o.post("/admin/users/do", "do=new&username=KIM", "KIM 已经有人用了")
	o.post("/admin/users/do", "do=new&username=", "用户名不能为空")
	page := o.open("/admin/users?kind=enduser", "kim")
	lacks(t, page, "ada@example.com", "newpassword")
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page)[1]
	lacks(t, o.open("/admin/users?kind=account&q=ADA", "ada@example.com"), "重置密码")
	o.post("/admin/users/do", "do=reset&id="+id, "kim 的旧密码已失效")
	if cards := o.told("boss", "user"); len(cards) != 2 {
		t.Errorf("told %q", cards)
	}
	lacks(t, o.post("/admin/users/do", "do=remove&id="+id, "客户账号 kim 已删除"), "<th scope=\"row\">kim")
	o.post("/admin/users/do", "do=reset&id="+id, "已经不在了")
	ada, err := o.o.Store.AccountNamed(t.Context(), "ada@example.com")
	o.ok(err)
	o.post("/admin/users/do", "do=remove&id="+ada.UID, "已经不在了") // it is no end user
}

func TestAdminAudit(t *testing.T) {
	o := newOffice(t)
	for i := range 120 {
		o.ok(o.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
			tx.Audit(store.AuditEntry{Actor: "boss", Action: "role.grant", Target: "lilei", Detail: fmt.Sprintf("<b>entry%03d", i)})
			return nil
		}))
	}
	page := o.open("/admin/audit?action=role.", "&lt;b&gt;entry119", "entry070", "下一页")
	lacks(t, page, "entry069", "<b>entry")
	next := regexp.MustCompile(`href="([^"]+)" hx-get="[^"]+" rel="next"`).FindStringSubmatch(page)[1]
	page = o.open(strings.ReplaceAll(next, "&amp;", "&"), "entry069", "entry020", "action=role.")
	lacks(t, page, "entry070", "entry019")
	o.open("/admin/audit?q=hanmeimei", "没有这样的记录")
	o.open("/admin/audit?q=LiLei&from=2026-03-04&to=2026-03-04", "entry119")
	o.open("/admin/audit?from=2026-03-05", "没有这样的记录")
	o.open("/admin/audit?to=2026-03-03&after=-7", "没有这样的记录")
}

func TestAdminOutbox(t *testing.T) {
	o := newOffice(t)
	o.open("/admin/outbox", "一切正常")
	o.ok(o.o.Store.Tx(t.Context(), func(tx *store.Tx) error {
		return tx.Push(t.Context(), bot.Outgoing{To: "lilei", Text: "not for everybody's eyes"})
	}))
	ctx, stop := context.WithCancel(t.Context())
	outbox := &store.Outbox{Store: o.o.Store, Sender: refuses{stop}, Poll: time.Hour}
	outbox.Run(ctx)
	page := o.open("/admin/outbox", "放弃发送 1 条", "nobody of that name", "再发一次")
	lacks(t, page, "not for everybody")
	id := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page)[1]
	o.post("/admin/outbox/do", "do=resend&id="+id, "给 lilei 的消息会再发一次")
	if got := o.trail(); got != "boss push.resend lilei "+id {
		t.Errorf("trail %q", got)
	}
	o.open("/admin/outbox?state=pending&q=LILEI", "lilei")
	o.post("/admin/outbox/do", "do=resend&id="+id, "已经不在了")
	o.post("/admin/outbox/do", "do=resend&id=x", "已经不在了")
	o.want(o.form("/admin/outbox/do", url.Values{"do": {"read"}}, o.boss), 400)
}

// refuses is a WeCom that takes nothing for lilei; it ends the outbox when it was
// asked.
type refuses struct{ stop func() }

func (s refuses) Send(_ context.Context, o bot.Outgoing) (bot.Receipt, error) {
	if o.To != "lilei" {
		return bot.Receipt{}, nil
	}
	s.stop()
	return bot.Receipt{}, bot.Fail(bot.Internal, "error.internal", nil, errors.New("nobody of that name"))
}
