package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/bot/wecom/sim"
	"deskbell/store"
	"deskbell/store/storetest"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"
)

// A cause is something that is done, from outside where that is possible, and
// all that the audit trail has of it.
type cause struct {
	what  string
	do    func(f *fleet)
	trail string // "actor action target result", in their order, joined by "; "
}

// causes are in an order: some build on what earlier ones left.
func causes() []cause {
	var secret, bearer, link, accountToken, boss, device, config, app string
	var recovery []string
	var broadcastCard *sim.Card
	// code is one nobody has used; beyond any lock.
	code := func(f *fleet) string {
		f.pass(25 * time.Hour)
		c, err := totp.GenerateCode(secret, f.now())
		f.must(err)
		return c
	}
	wrong := func(f *fleet) string {
		f.pass(25 * time.Hour)
		for n := 0; ; n++ {
			bad := fmt.Sprintf("%06d", n)
			good := false
			for ahead := -2; ahead <= 2; ahead++ {
				c, err := totp.GenerateCode(secret, f.now().Add(time.Duration(ahead)*30*time.Second))
				f.must(err)
				good = good || c == bad
			}
			if !good {
				return bad
			}
		}
	}
	say := func(userID, text string) func(f *fleet) {
		return func(f *fleet) { f.box.Say(userID, text) }
	}
	call := func(f *fleet, method, path, token, body string, want int) said {
		a := f.desks[0].call(method, path, token, body)
		if a.Status != want {
			f.Errorf("%s %s: %+v", method, path, a)
		}
		return a
	}
	// part is a field of the answer to a call.
	part := func(f *fleet, want int, field, method, path, body, token string) string {
		headers := []string{"Content-Type", "application/json"}
		if token != "" {
			headers = append(headers, "Authorization", "Bearer "+token)
		}
		status, answer := f.send(method, f.desks[0].url+path, body, headers...)
		m := regexp.MustCompile(`"` + field + `":"([^"]*)"`).FindStringSubmatch(answer)
		if status != want || field != "" && m == nil {
			f.Errorf("%s %s: %d %s", method, path, status, answer)
			return "????????"
		}
		if field == "" {
			return ""
		}
		return m[1]
	}
	press := func(f *fleet, number func(asked said, c *sim.Card) string) (loginID string) {
		f.pass(time.Hour) // nobody is asked too often
		before := len(f.box.Inbox("agent1"))
		asked := f.desks[0].login(`{"user_id":"agent1"}`)
		card := f.cardSince(before, "agent1", func(c *sim.Card) bool { return key(c, asked.Data.Number) != "" })
		f.box.Press("agent1", card.TaskID, number(asked, card))
		return asked.Data.LoginID
	}
	right := func(asked said, c *sim.Card) string { return key(c, asked.Data.Number) }
	return []cause{
		{"a role is granted", say("boss", "/role grant guest1 agent"), "boss role.grant guest1 ok"},
		{"and taken back", say("boss", "/role revoke guest1 agent"), "boss role.revoke guest1 ok"},
		{"a command beyond somebody's role", say("guest1", "/audit"), "guest1 command.refuse  refused"},
		{"a session is saved as a file", func(f *fleet) { // while nobody is at the desk
			id := part(f, 200, "id", "POST", "/api/sessions", `{"title":"the printer"}`, f.token("guest4", false))
			part(f, 200, "id", "GET", "/api/sessions/"+id+"/export?format=json", "", f.token("boss", true))
			part(f, 200, "id", "POST", "/api/sessions/"+id+"/close", "", f.token("guest4", false))
		}, "guest4 session.open # ok; boss session.export # ok; guest4 session.close # ok"},
		{"a status is set", say("agent1", "/status busy 30m"), "agent1 status.set agent1 ok"},
		{"its time is over", func(f *fleet) {
			f.pass(31 * time.Minute)
			f.must(f.gates[0].store.ReturnStatuses(f.Context()))
		}, "agent1 status.return agent1 ok"},
		{"a link is asked for", func(f *fleet) { link = f.chatLink("agent1", "/login") }, "agent1 link.make agent1 ok"},
		{"it is used", func(f *fleet) {
			bearer = call(f, "POST", "/api/v1/tokens/exchange", "", `{"access_token":"`+link+`"}`, 200).Data.AccessToken
		}, "agent1 link.use agent1 ok"},
		{"it is used again", func(f *fleet) {
			call(f, "POST", "/api/v1/tokens/exchange", "", `{"access_token":"`+link+`"}`, 401)
		}, "agent1 link.reuse agent1 refused"},
		{"a status is set by a program", func(f *fleet) {
			bearer = f.token("agent1", true)
			call(f, "PUT", "/api/agents/me/status", bearer, `{"status":"online"}`, 200)
		}, "agent1 status.set agent1 ok"},
		{"a password", func(f *fleet) {
			call(f, "POST", "/api/agents/password", bearer, `{"new_password":"correct horse battery"}`, 200)
		}, "agent1 password.set agent1 ok"},
		{"not the old password", func(f *fleet) {
			call(f, "POST", "/api/agents/password", bearer, `{"old_password":"wrong horse","new_password":"correct horse staple"}`, 401)
		}, "agent1 password.refuse agent1 refused"},
		{"a link for a password is asked for", func(f *fleet) { link = f.chatLink("agent1", "/password") }, "agent1 password.link agent1 ok"},
		{"it is used", func(f *fleet) {
			fields := url.Values{"accessToken": {link}, "password": {bossPassword}, "again": {bossPassword}}
			f.send("POST", f.desks[0].url+"/password", fields.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
		}, "agent1 password.set agent1 ok"},
		{"a login", func(f *fleet) {
			bearer = f.desks[0].login(`{"user_id":"agent1","password":"` + bossPassword + `"}`).Data.Token
		}, "agent1 login agent1 ok"},
		{"a login that proves nothing", func(f *fleet) {
			f.desks[0].login(`{"user_id":"agent1","password":"wrong horse"}`)
		}, "agent1 login agent1 refused"},
		{"a login of nobody", func(f *fleet) {
			f.desks[0].login(`{"user_id":"no one","password":"wrong horse"}`)
		}, "? login ? refused"},
		{"a login is asked for and approved", func(f *fleet) { link = press(f, right) },
			"agent1 login.ask agent1 ok; agent1 login.approved agent1 ok"},
		{"it is taken", func(f *fleet) { call(f, "GET", "/api/agents/login/"+link, "", "", 200) }, "agent1 login agent1 ok"},
		{"a login is asked for and denied", func(f *fleet) {
			press(f, func(_ said, c *sim.Card) string { return c.Buttons[len(c.Buttons)-1].Key })
		}, "agent1 login.ask agent1 ok; agent1 login.denied agent1 ok"},
		{"a login is asked for, and another number pressed", func(f *fleet) {
			press(f, func(asked said, c *sim.Card) string {
				for _, b := range c.Buttons {
					if b.Text != asked.Data.Number {
						return b.Key
					}
				}
				return ""
			})
		}, "agent1 login.ask agent1 ok; agent1 login.missed agent1 ok"},
		{"a sign-in at WeCom", func(f *fleet) {
			f.send("POST", f.desks[0].url+"/api/auth/wecom/login", `{"code":"`+f.box.LoginCode("guest1")+`"}`)
		}, "guest1 login.wecom guest1 ok"},
		{"a sign-in at WeCom, with nothing", func(f *fleet) {
			f.send("POST", f.desks[0].url+"/api/auth/wecom/login", `{"code":"made up"}`)
		}, "? login.wecom ? refused"},
		{"a one-time password is bound", func(f *fleet) {
			bearer = f.token("agent1", true)
			call(f, "POST", "/api/agents/otp-bind", bearer, "", 200)
		}, "agent1 otp.bind agent1 ok"},
		{"and given up", say("agent1", "/otp unbind"), "agent1 otp.cancel agent1 ok"},
		{"bound in the chat", say("agent1", "/otp bind"), "agent1 otp.bind agent1 ok"},
		{"and forgotten", func(f *fleet) {
			f.pass(11 * time.Minute)
			f.must(f.gates[0].store.ExpireOTP(f.Context()))
		}, "agent1 otp.expire agent1 ok"},
		{"bound and enabled", func(f *fleet) {
			f.tx(func(tx *store.Tx) error {
				key, err := tx.BindOTP(f.Context(), "agent1")
				secret = key.Secret
				return err
			})
			f.say("agent1", "/otp verify "+code1(f, secret))
		}, "agent1 otp.bind agent1 ok; agent1 otp.use agent1 ok; agent1 otp.enable agent1 ok"},
		{"a code", func(f *fleet) {
			bearer = f.token("agent1", false)
			call(f, "POST", "/api/agents/otp-verify", bearer, `{"otp_code":"`+code(f)+`"}`, 401) // the token's time is over
			bearer = f.token("agent1", false)
			call(f, "POST", "/api/agents/otp-verify", bearer, `{"otp_code":"`+code1(f, secret)+`"}`, 200)
		}, "agent1 otp.use agent1 ok"},
		{"a wrong code", func(f *fleet) { f.say("agent1", "/otp verify "+wrong(f)) }, "agent1 otp.refuse agent1 refused"},
		{"wrong codes, until they lock", func(f *fleet) {
			bad := wrong(f)
			for range 5 { // with the one before they are six, of which one is not looked at
				f.say("agent1", "/otp verify "+bad)
			}
		}, strings.Repeat("agent1 otp.refuse agent1 refused; ", 4) + "agent1 otp.lock agent1 ok"},
		{"turned off with a code", func(f *fleet) { f.say("agent1", "/otp unbind "+code(f)) },
			"agent1 otp.use agent1 ok; agent1 otp.disable agent1 ok"},
		{"turned off with a recovery code", func(f *fleet) {
			f.tx(func(tx *store.Tx) error {
				key, err := tx.BindOTP(f.Context(), "agent1")
				if err == nil {
					_, recovery, err = tx.ConfirmOTP(f.Context(), "agent1", code1(f, key.Secret), "", store.Client{})
				}
				return err
			})
			f.say("agent1", "/otp unbind "+recovery[0])
		}, "agent1 otp.bind agent1 ok; agent1 otp.use agent1 ok; agent1 otp.enable agent1 ok; agent1 otp.recover agent1 ok; agent1 otp.disable agent1 ok"},
		{"reset by whoever has the host", func(f *fleet) {
			f.pend("agent2")
			f.must(f.gates[0].store.ResetOTPOnHost(f.Context(), "agent2"))
		}, "agent2 otp.bind agent2 ok; host otp.reset agent2 ok"},
		{"a token is made", func(f *fleet) {
			_, sess, err := f.gates[0].store.MakeToken(f.Context(), store.TokenSpec{UserID: "agent1", Name: "ci"}, "boss")
			f.must(err)
			bearer = sess.TokenID
		}, "boss token.make agent1 ok"},
		{"and revoked", func(f *fleet) { f.say("boss", "/token revoke "+bearer[:8]) }, "boss token.revoke agent1 ok"},
		{"all of somebody's are", say("agent1", "/logout all"), "agent1 tokens.revoke agent1 ok"},
		{"an account is made", func(f *fleet) {
			call(f, "POST", "/api/v1/user/create", f.token("boss", true), `{"email":"ada@example.com","password":"`+bossPassword+`"}`, 200)
		}, "boss account.create account:# ok"},
		{"it signs in", func(f *fleet) {
			accountToken = call(f, "POST", "/auth/v1/login", "", `{"username":"ada@example.com","password":"`+bossPassword+`"}`, 200).Data.AccessToken
		}, "account:# account.login account:# ok"},
		{"it makes a device", func(f *fleet) {
			device = part(f, 201, "uuid", "POST", "/devices", `{"name":"room","namespace":"room"}`, accountToken)
		}, "account:# device.add # ok"},
		{"a way in", func(f *fleet) {
			config = part(f, 201, "id", "POST", "/auto-auth/devices/"+device+"/auth-configs", `{"password":"learn","deviceType":"student"}`, accountToken)
		}, "account:# device.open # ok"},
		{"an app comes in", func(f *fleet) {
			app = part(f, 201, "token", "POST", "/apps/auth/token", `{"namespace":"room","password":"learn","appId":"cw"}`, "")
		}, "app app.token # ok"},
		{"and cannot", func(f *fleet) {
			part(f, 401, "message", "POST", "/apps/auth/token", `{"namespace":"room","password":"wrong","appId":"cw"}`, "")
		}, "app app.token # refused"},
		{"a pupil takes a name", func(f *fleet) {
			config2 := part(f, 201, "id", "POST", "/auto-auth/devices/"+device+"/auth-configs", `{"password":"teach","deviceType":"teacher"}`, accountToken)
			teacher := part(f, 201, "token", "POST", "/apps/auth/token", `{"namespace":"room","password":"teach","appId":"cw"}`, "")
			part(f, 200, "key", "POST", "/kv/classworks-list-main", `[{"id":1,"name":"ming"}]`, teacher)
			part(f, 204, "", "DELETE", "/auto-auth/devices/"+device+"/auth-configs/"+config2, "", accountToken)
			part(f, 200, "name", "POST", "/apps/tokens/"+app+"/set-student-name", `{"name":"ming"}`, "")
		}, "account:# device.open # ok; app app.token # ok; account:# device.close # ok; app app.name # ok"},
		{"its token is revoked", func(f *fleet) {
			id := part(f, 200, "id", "GET", "/devices/"+device+"/tokens", "", accountToken)
			part(f, 204, "", "DELETE", "/devices/"+device+"/tokens/"+id, "", accountToken)
		}, "account:# app.revoke # ok"},
		{"the way in changes", func(f *fleet) {
			part(f, 200, "id", "PUT", "/auto-auth/devices/"+device+"/auth-configs/"+config, `{"isReadOnly":true}`, accountToken)
		}, "account:# device.reopen # ok"},
		{"the device goes", func(f *fleet) { part(f, 204, "", "DELETE", "/devices/"+device, "", accountToken) }, "account:# device.remove # ok"},
		{"a bot", func(f *fleet) {
			boss = f.token("boss", true)
			device = part(f, 201, "id", "POST", "/api/v1/bots", `{"name":"helper"}`, boss)
		}, "boss bot.create # ok"},
		{"is shared", func(f *fleet) {
			app = part(f, 200, "share_token", "POST", "/api/v1/bots/"+device+"/share-tokens", `{"expires_at":"7d"}`, boss)
			config = part(f, 200, "id", "GET", "/api/v1/bots/"+device+"/share-tokens", "", boss)
		}, "boss share.create # ok"},
		{"for longer", func(f *fleet) { f.say("boss", "/share extend "+config[:8]+" 9d") }, "boss share.extend # ok"},
		{"with an end user", func(f *fleet) {
			device = part(f, 200, "id", "POST", "/api/v1/end-users", `{"username":"kim","password":"`+bossPassword+`"}`, boss)
		}, "boss account.create account:# ok"},
		{"who sees it", func(f *fleet) {
			kim := call(f, "POST", "/auth/v1/login", "", `{"username":"kim","password":"`+bossPassword+`"}`, 200).Data.AccessToken
			part(f, 200, "bot_uuid", "GET", "/api/v1/public/bot-share/"+app, "", kim)
		}, "account:# account.login account:# ok; account:# share.open # ok"},
		{"and no more", func(f *fleet) {
			part(f, 200, "message", "DELETE", "/api/v1/bot-share-tokens/"+config, "", boss)
		}, "boss share.revoke # ok"},
		{"their password ends", func(f *fleet) { link = f.chatLink("boss", "/user reset kim") }, "boss enduser.reset account:# ok"},
		{"the next is shown", func(f *fleet) {
			fields := url.Values{"accessToken": {link}}
			f.send("POST", f.desks[0].url+"/newpassword", fields.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
		}, "account:# enduser.password account:# ok"},
		{"they go", func(f *fleet) { part(f, 200, "message", "DELETE", "/api/v1/end-users/"+device, "", boss) }, "boss enduser.delete account:# ok"},
		{"somebody else opens a link in WeCom", func(f *fleet) {
			link = f.chatLink("agent1", "/login")
			f.inWeCom("guest1", "/agent/chat?accessToken="+link)
		}, "agent1 link.make agent1 ok; guest1 link.refuse agent1 refused"},
		{"an agent is given less to do", func(f *fleet) {
			f.press("/admin/agents/do", url.Values{"do": {"load"}, "id": {"agent1"}, "load": {"2"}})
		}, "boss agent.load agent1 ok"},
		{"and sent home", func(f *fleet) {
			f.press("/admin/agents/do", url.Values{"do": {"offline"}, "id": {"agent1"}})
		}, "boss status.set agent1 ok"},
		{"what was given up is sent again", func(f *fleet) {
			f.press("/admin/outbox/do", url.Values{"do": {"resend"}, "id": {f.givenUp("agent1")}})
		}, "boss push.resend agent1 ok"},
		{"an account cannot sign in", func(f *fleet) {
			call(f, "POST", "/auth/v1/login", "", `{"username":"ada@example.com","password":"wrong horse"}`, 401)
		}, "account:# account.login account:# refused"},
		{"and out", func(f *fleet) {
			f.send("POST", f.desks[0].url+"/api/v1/user/logout", "", "Authorization", "Bearer "+accountToken)
		},
			"account:# token.revoke # ok"},
		{"somebody else is at the desk", say("agent2", "/status online"), "agent2 status.set agent2 ok"},
		{"and nobody else", say("agent1", "/status busy"), "agent1 status.set agent1 ok"},
		{"somebody asks for help", say("guest1", "/session help"),
			"guest1 session.open # ok; desk session.assign # ok; agent2 link.make agent2 ok; guest1 link.make guest1 ok"},
		{"somebody else is there again", say("agent1", "/status online"), "agent1 status.set agent1 ok"},
		{"it is given on", func(f *fleet) {
			f.tx(func(tx *store.Tx) error {
				c, err := tx.OpenConversation(f.Context(), "guest1", "")
				config = c.ID
				return err
			})
			f.say("boss", "/session transfer "+config[:8]+" agent1")
		}, "desk session.release # ok; boss session.transfer # ok; desk session.assign # ok; agent1 link.make agent1 ok"},
		{"and closed", say("guest1", "/session close"), "guest1 session.close # ok"},
		{"and opened again", func(f *fleet) {
			f.tx(func(tx *store.Tx) error {
				_, err := tx.Reopen(f.Context(), config, store.Party{Key: "guest1", ID: "guest1"})
				return err
			})
		}, "guest1 session.reopen # ok; desk session.assign # ok; agent1 link.make agent1 ok"},
		{"and closed for good", say("guest1", "/session close"), "guest1 session.close # ok"},
		{"everybody is to hear something", func(f *fleet) {
			before := len(f.box.Inbox("boss"))
			f.say("boss", "/broadcast the network is down")
			broadcastCard = f.cardSince(before, "boss", func(c *sim.Card) bool { return strings.HasPrefix(c.Buttons[0].Key, "/sendall ") })
		}, "boss broadcast.ask # ok"},
		{"and does", func(f *fleet) { f.box.Press("boss", broadcastCard.TaskID, broadcastCard.Buttons[0].Key) }, "boss broadcast.send # ok"},
		{"somebody leaves", func(f *fleet) {
			f.tx(func(tx *store.Tx) error { return tx.CutOff(f.Context(), "guest2", bot.Left) })
		}, "directory person.leave guest2 ok"},
		{"and is there again", func(f *fleet) {
			f.pass(time.Hour)
			if _, _, err := f.gates[0].leavers.Directory.Ask(f.Context(), "guest2"); err != nil {
				f.Error(err)
			}
		}, "directory person.return guest2 ok"},
		{"another key seals what there is", func(f *fleet) {
			f.pend("agent3")
			beside, err := store.Open(f.Context(), store.Options{URL: f.url, Beside: true, Keys: append([][]byte{[]byte(strings.Repeat("new!", 8))}, f.keys...)})
			f.must(err)
			_, err = beside.RotateKeys(f.Context())
			f.must(errors.Join(err, beside.Close()))
		}, "agent3 otp.bind agent3 ok; host keys.rotate # ok"},
	}
}

// press sends a form of one of the administrator's pages.
func (f *fleet) press(path string, fields url.Values) {
	f.Helper()
	if status, answer := f.send("POST", f.desks[0].url+path, fields.Encode(), "Content-Type", "application/x-www-form-urlencoded",
		"Sec-Fetch-Site", "same-origin", "Cookie", "deskbell="+f.token("boss", true)); status != http.StatusSeeOther {
		f.Errorf("%s: %d %s", path, status, answer)
	}
}

// givenUp is the id of a message to somebody that WeCom refused for good.
func (f *fleet) givenUp(userID string) string {
	f.Helper()
	f.box.SetFaults(sim.Faults{Errcode: map[string]sim.Failure{"message/send": {Code: 81013}}})
	defer f.box.SetFaults(sim.Faults{})
	f.tx(func(tx *store.Tx) error { return tx.Push(f.Context(), bot.Outgoing{To: userID, Text: "hello"}) })
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		list, err := f.gates[0].store.FindDeliveries(f.Context(), store.DeliveryQuery{State: store.Dead, Text: userID, Limit: 1})
		f.must(err)
		if len(list) == 1 {
			return fmt.Sprint(list[0].ID)
		}
	}
	f.Fatal("it was not given up")
	return ""
}

// code1 is what an authenticator shows for a secret now.
func code1(f *fleet, secret string) string {
	f.Helper()
	c, err := totp.GenerateCode(secret, f.now())
	f.must(err)
	return c
}

// say has somebody say something.
func (f *fleet) say(userID, text string) {
	f.Helper()
	if d := f.box.Say(userID, text); !d.OK() {
		f.Errorf("%s: %+v", text, d)
	}
}

// chatLink has somebody ask for a link, and returns its token.
func (f *fleet) chatLink(userID, line string) string {
	f.Helper()
	before := len(f.box.Inbox(userID))
	f.say(userID, line)
	card := f.cardSince(before, userID, func(c *sim.Card) bool { return c.Action != nil && strings.Contains(c.Action.URL, "accessToken=") })
	_, token, _ := strings.Cut(card.Action.URL, "accessToken=")
	return token
}

// inWeCom opens a path of ours in WeCom's own browser, as this person.
func (f *fleet) inWeCom(userID, path string) {
	f.Helper()
	get := func(to string, cookies ...*http.Cookie) *http.Response {
		req, err := http.NewRequestWithContext(f.Context(), "GET", to, nil)
		f.must(err)
		req.Header.Set("User-Agent", weComsOwn)
		for _, c := range cookies {
			req.AddCookie(c)
		}
		client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		res, err := client.Do(req)
		f.must(err)
		f.must(res.Body.Close())
		return res
	}
	asked := get(f.desks[0].url + path)
	where, err := url.Parse(asked.Header.Get("Location"))
	f.must(err)
	back := url.Values{"code": {f.box.LoginCode(userID)}, "state": {where.Query().Get("state")}}
	get(f.desks[0].url+"/auth/wecom/callback?"+back.Encode(), asked.Cookies()...)
}

var changingID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f-]{27})?`)

// entries are those of the trail behind the first n, in their order.
func (f *fleet) entries(n int) (all []string) {
	f.Helper()
	rows, err := f.database().Query("SELECT actor, action, target, result FROM audit ORDER BY id LIMIT 1000 OFFSET " + fmt.Sprint(n))
	f.must(err)
	defer rows.Close()
	for rows.Next() {
		var actor, action, target, result string
		f.must(rows.Scan(&actor, &action, &target, &result))
		all = append(all, changingID.ReplaceAllString(actor+" "+action+" "+target+" "+result, "#"))
	}
	f.must(rows.Err())
	return all
}

// Whatever is worth an entry in the audit trail makes one, once, and nothing
// else: every action there is has a cause here.
func TestEveryCauseIsInTheTrailOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		// Nobody is let go before what they asked for is done.
		f := newFleet(t, storeURL, 1, func(c *Config) { c.WeCom.PassiveWait = 4500 * time.Millisecond })
		seen := map[string]bool{}
		n := len(f.entries(0))
		for _, c := range causes() {
			c.do(f)
			got := f.entries(n)
			n += len(got)
			if d := gocmp.Diff(strings.Split(c.trail, "; "), got); d != "" {
				t.Fatalf("%s (-want +got)\n%s", c.what, d)
			}
			for _, entry := range got {
				seen[strings.Fields(entry)[1]] = true
			}
		}
		for _, a := range store.Actions {
			if !seen[a.Name] {
				t.Errorf("nothing here causes %s: %s", a.Name, a.Means)
			}
			delete(seen, a.Name)
		}
		if len(seen) > 0 || len(store.Actions) < 30 {
			t.Errorf("%d actions; not in the list: %v", len(store.Actions), seen)
		}
	})
}
