package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

func TestFindAgents(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		for _, u := range []struct{ id, name string }{{"LiLei", "李雷"}, {"mei", "Han Mei"}, {"a_b", "100% Bob"}, {"axb", "Ann"}} {
			f.employ(bot.User{ID: u.id, Name: u.name, Level: bot.Agent, Roles: []string{"agent"}})
		}
		f.employ(bot.User{ID: "gone", Name: "Gone", Level: bot.Agent, Roles: []string{"agent"}})
		f.tx(func(tx *Tx) error { return tx.dismissAgent(t.Context(), bot.User{ID: "gone", Level: bot.Anyone}) })
		f.setStatus("mei", Online, "", 0)
		f.setStatus("axb", Online, "", 0)
		f.setStatus("axb", Busy, "", time.Minute)
		check := func(q AgentQuery, want string) {
			t.Helper()
			list, err := f.FindAgents(t.Context(), q)
			got := ""
			for _, a := range list {
				got += " " + a.ID
			}
			if err != nil || strings.TrimSpace(got) != want {
				t.Errorf("%+v: %s, %v; want %s", q, got, err, want)
			}
		}
		check(AgentQuery{}, "mei axb a_b LiLei")
		check(AgentQuery{Limit: 2, Skip: 1}, "axb a_b")
		check(AgentQuery{Text: "LILEI"}, "LiLei")
		check(AgentQuery{Text: "雷"}, "LiLei")
		check(AgentQuery{Text: "a_b"}, "a_b")
		check(AgentQuery{Text: "0%"}, "a_b")
		check(AgentQuery{Text: "!"}, "")
		check(AgentQuery{Status: Online}, "mei")
		check(AgentQuery{Status: Busy}, "axb")
		counts, err := f.AgentCounts(t.Context())
		if err != nil || counts[Online] != 1 || counts[Busy] != 1 || counts[Offline] != 2 {
			t.Errorf("%v %v", counts, err)
		}
		f.pass(2 * time.Minute) // her time is up, whoever tidies it away
		check(AgentQuery{Status: Busy}, "")
		check(AgentQuery{Status: Online}, "axb mei")
		counts, err = f.AgentCounts(t.Context())
		if err != nil || counts[Online] != 2 || counts[Busy] != 0 {
			t.Errorf("%v %v", counts, err)
		}
	})
}

func TestSetMaxLoad(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.employ(lilei)
		f.tx(func(tx *Tx) error {
			if _, err := tx.SetStatus(t.Context(), "lilei", Online, "", 0); err != nil { // not lost with it
				return err
			}
			a, err := tx.SetMaxLoad(t.Context(), "LILEI", 9, "boss")
			if a.MaxLoad != 9 || a.Status != Online {
				t.Errorf("%+v", a)
			}
			return err
		})
		if got := f.events("lilei"); !slices.Contains(got, "agent.load ok") {
			t.Errorf("trail %q", got)
		}
		f.employ(lilei) // what the directory says of them again
		for id, c := range map[string]struct {
			n    int
			want error
		}{"lilei": {MostLoad + 1, ErrLoad}, "LiLei": {-1, ErrLoad}, "nobody": {3, ErrNotFound}} {
			err := f.Tx(t.Context(), func(tx *Tx) error {
				_, err := tx.SetMaxLoad(t.Context(), id, c.n, "boss")
				return err
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%s %d: %v", id, c.n, err)
			}
		}
		f.tx(func(tx *Tx) error {
			a, err := tx.Agent(t.Context(), "lilei")
			if a.MaxLoad != 9 || a.Status != Online {
				t.Errorf("%+v", a)
			}
			return err
		})
	})
}

// What the configuration says reaches the agents who are there already, but for
// those about whom an administrator said otherwise.
func TestConfiguredLoad(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		first, err := Open(t.Context(), Options{URL: url, Keys: [][]byte{testKey}})
		if err != nil {
			t.Fatal(err)
		}
		err = first.Tx(t.Context(), func(tx *Tx) error {
			for _, id := range []string{"lilei", "lucy"} {
				if err := tx.EnsureAgent(t.Context(), bot.User{ID: id, Level: bot.Agent, Roles: []string{"agent"}}); err != nil {
					return err
				}
			}
			_, err := tx.SetMaxLoad(t.Context(), "lucy", 3, "boss")
			return err
		})
		if err := errors.Join(err, first.Close()); err != nil {
			t.Fatal(err)
		}
		f := open(t, url, func(o *Options) { o.MaxLoad = 8 })
		f.tx(func(tx *Tx) error {
			list, err := tx.Agents(t.Context(), "")
			got := map[string]int{}
			for _, a := range list {
				got[a.ID] = a.MaxLoad
			}
			if d := cmp.Diff(map[string]int{"lilei": 8, "lucy": 3}, got); d != "" {
				t.Error(d)
			}
			return err
		})
	})
}

func TestSendOff(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.employ(lilei, bot.User{ID: "boss", Level: bot.Admin, Roles: []string{"admin"}})
		f.setStatus("lilei", Online, "", 0)
		for _, id := range []string{"lilei", "boss"} {
			f.tx(func(tx *Tx) error {
				_, err := tx.SendOff(t.Context(), id, "boss")
				return err
			})
			f.checkStatus(id, Offline, 0)
		}
		list, err := f.Deliveries(t.Context(), Pending, 10)
		if err != nil || len(list) != 1 || list[0].To != "lilei" {
			t.Errorf("told: %+v, %v", list, err)
		}
	})
}

func TestFindTokens(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		var ids []string
		for i, name := range []string{"Night job", "backup_1", "backupx1"} {
			_, sess, err := f.MakeToken(t.Context(), TokenSpec{UserID: []string{"lilei", "mei", "mei"}[i], Name: name}, "boss")
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, sess.TokenID)
			f.pass(time.Second)
		}
		for text, want := range map[string][]int{"": {2, 1, 0}, "night": {0}, "LILEI": {0}, "backup_": {1}, ids[2][:8]: {2}, "%": {}} {
			list, err := f.Tokens(t.Context(), TokenQuery{Text: text})
			got := []int{}
			for _, tok := range list {
				got = append(got, slices.Index(ids, tok.ID))
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: %v, %v; want %v", text, got, err, want)
			}
		}
	})
}

func TestFindAccounts(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		f.customer("kim")
		f.pass(time.Second)
		f.customer("Kim_2")
		f.pass(time.Second)
		f.account(NewAccount{Email: "ada@example.com", Nickname: "Ada"})
		check := func(q AccountQuery, want string) (last string) {
			t.Helper()
			list, err := f.FindAccounts(t.Context(), q)
			got := ""
			for _, a := range list {
				got, last = got+" "+a.Username, a.UID
			}
			if err != nil || strings.TrimSpace(got) != want {
				t.Errorf("%+v: %s, %v; want %s", q, got, err, want)
			}
			return last
		}
		check(AccountQuery{}, "ada@example.com Kim_2 kim")
		check(AccountQuery{Kind: KindEndUser}, "Kim_2 kim")
		check(AccountQuery{Kind: KindAccount}, "ada@example.com")
		check(AccountQuery{Text: "KIM"}, "Kim_2 kim")
		check(AccountQuery{Text: "m_"}, "Kim_2")
		after := check(AccountQuery{Limit: 2}, "ada@example.com Kim_2")
		check(AccountQuery{After: after}, "kim")
		check(AccountQuery{After: after, Text: "ada"}, "")
	})
}

func TestFindShares(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.administrators("boss", "other")
		boss, other := Asker{UserID: "boss"}, Asker{UserID: "other"}
		names := map[string]string{}
		var last4 string
		share := func(by Asker, botName, name string, ttl time.Duration) {
			t.Helper()
			f.tx(func(tx *Tx) error {
				b, err := tx.NewBot(t.Context(), botName, nil, by)
				if err != nil {
					return err
				}
				n := NewShare{Bot: b.ID, Name: name}
				if ttl > 0 {
					n.ExpiresAt = new(tx.Now.Add(ttl))
				}
				_, sh, err := tx.CreateShare(t.Context(), n, by)
				names[sh.ID], last4 = name, sh.Last4
				return err
			})
			f.pass(time.Second)
		}
		share(boss, "Helper", "short", time.Minute)
		share(other, "Helper", "theirs", 0)
		share(boss, "Shop", "for ever", 0)
		share(boss, "Helper", "100%", time.Hour)
		f.pass(2 * time.Minute)
		check := func(q ShareQuery, want string) (last string) {
			t.Helper()
			list, err := f.FindShares(t.Context(), q)
			got := []string{}
			for _, sh := range list {
				got, last = append(got, names[sh.ID]), sh.ID
			}
			if err != nil || strings.Join(got, ", ") != want {
				t.Errorf("%+v: %q, %v; want %s", q, got, err, want)
			}
			return last
		}
		check(ShareQuery{Owner: boss}, "100%, for ever")
		check(ShareQuery{Owner: boss, Ended: true}, "100%, for ever, short")
		check(ShareQuery{Owner: other}, "theirs")
		check(ShareQuery{Owner: Asker{Master: true}}, "100%, for ever, theirs")
		check(ShareQuery{Owner: boss, Text: "shop"}, "for ever")
		check(ShareQuery{Owner: boss, Text: "0%"}, "100%")
		check(ShareQuery{Owner: boss, Text: last4}, "100%")
		after := check(ShareQuery{Owner: boss, Limit: 1}, "100%")
		check(ShareQuery{Owner: boss, After: after}, "for ever")
	})
}

func TestFindAudit(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		began := f.now()
		for i := range 60 {
			f.tx(func(tx *Tx) error {
				tx.Audit(AuditEntry{Actor: "boss", Action: []string{"otp.use", "otp.reset", "status.set"}[i%3], Target: fmt.Sprintf("p%d", i%2), Detail: fmt.Sprint(i)})
				return nil
			})
			f.pass(time.Hour)
		}
		// all goes from page to page and gives the details of what it finds.
		all := func(q AuditQuery) (details []string, pages int) {
			t.Helper()
			for {
				page, err := f.FindAudit(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				pages++
				for _, e := range page.Entries {
					details = append(details, e.Detail)
				}
				if page.Next == 0 {
					return details, pages
				}
				if q.Before > 0 && page.Next >= q.Before || pages > 100 {
					t.Fatalf("no progress behind %d: %d", q.Before, page.Next)
				}
				q.Before = page.Next
			}
		}
		for _, c := range []struct {
			q           AuditQuery
			n           int
			first, last string
		}{
			{AuditQuery{Limit: 7}, 60, "59", "0"},
			{AuditQuery{Limit: 7, Action: "otp"}, 40, "58", "0"},
			{AuditQuery{Limit: 7, Action: "otp.reset"}, 20, "58", "1"},
			{AuditQuery{Limit: 7, Action: "otp_"}, 0, "", ""},
			{AuditQuery{Limit: 7, Person: "P1"}, 30, "59", "1"},
			{AuditQuery{Limit: 7, Person: "boss", Action: "status.set"}, 20, "59", "2"},
			{AuditQuery{Limit: 50, From: began.Add(10 * time.Hour)}, 50, "59", "10"},
			{AuditQuery{Limit: 50, To: began.Add(10 * time.Hour)}, 10, "9", "0"},
			{AuditQuery{Limit: 3, From: began.Add(10 * time.Hour), To: began.Add(20 * time.Hour)}, 10, "19", "10"},
			{AuditQuery{Limit: 3, From: began.Add(1000 * time.Hour)}, 0, "", ""},
			{AuditQuery{Limit: 3, From: began.Add(20 * time.Hour), To: began.Add(10 * time.Hour)}, 0, "", ""},
		} {
			got, _ := all(c.q)
			if len(got) != c.n || c.n > 0 && (got[0] != c.first || got[c.n-1] != c.last) {
				t.Errorf("%+v: %d %q", c.q, len(got), got)
			}
		}
		if page, err := f.FindAudit(t.Context(), AuditQuery{Limit: 3, Action: "nothing"}); err != nil || len(page.Entries) > 0 || page.Next != 0 {
			t.Errorf("%+v %v", page, err)
		}
	})
}

func TestAuditOfNothing(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		page, err := f.FindAudit(t.Context(), AuditQuery{Limit: 3, From: f.now().Add(-time.Hour), To: f.now()})
		if err != nil || len(page.Entries) > 0 || page.Next != 0 {
			t.Errorf("%+v %v", page, err)
		}
	})
}

func TestResend(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		fails := true
		o, p := f.outbox(func(bot.Outgoing, int) error {
			if fails {
				return final
			}
			return nil
		})
		push := func(text string) int64 {
			t.Helper()
			f.push("lilei", text)
			f.goRound(o)
			list, err := f.FindDeliveries(t.Context(), DeliveryQuery{State: Dead, Text: "LEI", Limit: 1})
			if err != nil || len(list) != 1 {
				t.Fatalf("given up: %+v, %v", list, err)
			}
			return list[0].ID
		}
		id := push("hello")
		resend := func() (to string, err error) {
			err = f.Tx(t.Context(), func(tx *Tx) error {
				to, err = tx.Resend(t.Context(), id, "boss")
				return err
			})
			return to, err
		}
		fails = false
		if to, err := resend(); err != nil || to != "lilei" {
			t.Fatal(to, err)
		}
		f.goRound(o)
		if got := p.texts(); !slices.Equal(got, []string{"lilei: hello"}) {
			t.Errorf("shown %q", got)
		}
		if _, err := resend(); !errors.Is(err, ErrNotFound) {
			t.Errorf("once more: %v", err)
		}
		// Long after WeCom would take another try for a new message, it is one.
		fails = true
		id = push("old")
		f.pass(5 * time.Hour)
		fails = false
		if _, err := resend(); err != nil {
			t.Fatal(err)
		}
		f.goRound(o)
		if got := p.texts(); !slices.Equal(got, []string{"lilei: hello", "lilei: old"}) {
			t.Errorf("shown %q", got)
		}
		if got := f.events("lilei"); !slices.Equal(got, []string{"push.resend ok", "push.resend ok"}) {
			t.Errorf("trail %q", got)
		}
		list, err := f.FindDeliveries(t.Context(), DeliveryQuery{})
		if err != nil || len(list) != 2 || list[0].State != Sent {
			t.Errorf("%+v %v", list, err)
		}
		if list, err = f.FindDeliveries(t.Context(), DeliveryQuery{Before: list[0].ID}); err != nil || len(list) != 1 {
			t.Errorf("%+v %v", list, err)
		}
	})
}
