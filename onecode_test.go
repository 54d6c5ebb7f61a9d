package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store"
	"deskbell/store/storetest"

	"github.com/pquerna/otp/totp"
)

// A codeRoute is a way into the product that takes a one-time password. prepare
// brings about what the route wants first; what it returns submits the code and
// reports whether it was accepted.
type codeRoute struct {
	name    string
	most    int // as many at once as what it wants first can be had
	prepare func(f *fleet, at desk, code string, slot int) (submit func() bool)
}

const bossPassword = "correct horse battery"

// codeRoutes are all of them.
var codeRoutes = []codeRoute{
	{"login, with a password", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		return func() bool {
			status, answer := f.send("POST", at.url+"/api/agents/login", fmt.Sprintf(`{"user_id":"boss","password":%q,"otp_code":%q}`, bossPassword, code))
			return status == 200 && strings.Contains(answer, `"otp_enabled":true`)
		}
	}},
	{"login, with WeCom's code", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		proof := f.box.LoginCode("boss")
		return func() bool {
			status, answer := f.send("POST", at.url+"/api/agents/login", fmt.Sprintf(`{"user_id":"boss","wecom_code":%q,"otp_code":%q}`, proof, code))
			return status == 200 && strings.Contains(answer, `"otp_enabled":true`)
		}
	}},
	// Nobody is asked more than three times in ten minutes.
	{"login approved in the chat, code in the header", 2, func(f *fleet, at desk, code string, _ int) func() bool {
		id := f.approved(at, "boss", "")
		return func() bool {
			status, answer := f.send("GET", at.url+"/api/agents/login/"+id, "", "X-OTP-Code", code)
			return status == 200 && strings.Contains(answer, `"otp_enabled":true`)
		}
	}},
	{"login approved in the chat, code with the question", 1, func(f *fleet, at desk, code string, _ int) func() bool {
		id := f.approved(at, "boss", code)
		return func() bool {
			status, answer := f.send("GET", at.url+"/api/agents/login/"+id, "")
			return status == 200 && strings.Contains(answer, `"otp_enabled":true`)
		}
	}},
	{"otp-verify", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		token := f.token("boss", false)
		return f.bears(at, "otp-verify", token, code)
	}},
	{"otp-unbind", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		token := f.token("boss", true)
		return f.bears(at, "otp-unbind", token, code)
	}},
	{"otp-reset", 8, func(f *fleet, at desk, code string, slot int) func() bool {
		f.pend(agent(slot))
		return f.bears(at, agent(slot)+"/otp-reset", f.token("boss", true), code)
	}},
	{"tokens/exchange", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		link := f.link("boss")
		return func() bool {
			status, answer := f.send("POST", at.url+"/api/v1/tokens/exchange", fmt.Sprintf(`{"access_token":%q,"otp_code":%q}`, link, code))
			return status == 200 && strings.Contains(answer, `"accessToken":"`)
		}
	}},
	{"the page of a link", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		fields := url.Values{"accessToken": {f.link("boss")}, "otp_code": {code}}
		return func() bool {
			status, _ := f.send("POST", at.url+"/chat", fields.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
			return status == 303
		}
	}},
	{"auth/wecom/login", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		proof := f.box.LoginCode("boss")
		return func() bool {
			status, answer := f.send("POST", at.url+"/api/auth/wecom/login", fmt.Sprintf(`{"code":%q,"otp_code":%q}`, proof, code))
			return status == 200 && strings.Contains(answer, `"token":"`)
		}
	}},
	{"/otp verify", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		return f.command(at, "/otp verify "+code)
	}},
	{"/otp unbind", 8, func(f *fleet, at desk, code string, _ int) func() bool {
		return f.command(at, "/otp unbind "+code)
	}},
	{"/otp reset", 8, func(f *fleet, at desk, code string, slot int) func() bool {
		f.pend(guest(slot))
		return f.command(at, "/otp reset "+guest(slot)+" "+code)
	}},
}

// bears is a call of the Agents API with a token and a code.
func (f *fleet) bears(at desk, call, token, code string) func() bool {
	return func() bool {
		status, _ := f.send("POST", at.url+"/api/agents/"+call, fmt.Sprintf(`{"otp_code":%q}`, code), "Authorization", "Bearer "+token)
		return status == 200
	}
}

// What the chat says to a code: the first three when it accepts it. Resets in the
// chat are of guests, since those over HTTP are told to boss as well.
var (
	chatAccepts = regexp.MustCompile(`验证码正确|恢复码全部作废，您在别处|已重置 guest`)
	chatRefuses = regexp.MustCompile(`验证码不对或已经用过|再试。|您还没有启用动态验证码|不用重置`)
)

// command is a line of boss's. Whichever instance runs it answers the callback
// that waits there, or pushes: then one of the answers pushed is this one's.
func (f *fleet) command(at desk, line string) func() bool {
	id, before := f.number(), len(f.box.Inbox("boss"))
	f.pushed.Store(0)
	return func() bool {
		reply := f.tell(at, "boss", line, id)
		if reply == "" {
			reply = f.answer(before, int(f.pushed.Add(1)))
		}
		if chatAccepts.MatchString(reply) == chatRefuses.MatchString(reply) {
			f.Errorf("%s was answered %q", line, reply)
		}
		return chatAccepts.MatchString(reply)
	}
}

// answer is the n-th answer to a code that was pushed to boss since.
func (f *fleet) answer(since, n int) (text string) {
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	_, err := f.box.WaitFor(ctx, "boss", func(all []sim.Received) bool {
		left := n
		for _, r := range all[since:] {
			if r.Via == sim.Push && (chatAccepts.MatchString(r.Text) || chatRefuses.MatchString(r.Text)) {
				if left--; left == 0 {
					text = r.Text
				}
			}
		}
		return left <= 0
	})
	if err != nil {
		f.Error(err)
	}
	return text
}

// pend gives somebody a one-time password to be reset.
func (f *fleet) pend(userID string) {
	f.Helper()
	f.tx(func(tx *store.Tx) error {
		_, err := tx.BindOTP(f.Context(), userID)
		return err
	})
}

func (f *fleet) database() *sql.DB {
	if f.db == nil {
		f.db = storetest.Open(f.T, f.url)
	}
	return f.db
}

// nextCode moves the clock beyond any lock, has boss use one-time passwords, and
// returns a code that nobody has used.
func (f *fleet) nextCode(secret *string) string {
	f.Helper()
	f.pass(time.Hour)
	st := f.gates[0].store
	enabled, err := st.OTPEnabled(f.Context(), "boss")
	f.must(err)
	if !enabled {
		*secret = f.enrol("boss")
	}
	code, err := totp.GenerateCode(*secret, f.now())
	f.must(err)
	return code
}

// enrol gives somebody a one-time password, whose next code is good.
func (f *fleet) enrol(userID string) (secret string) {
	f.Helper()
	f.tx(func(tx *store.Tx) error {
		key, err := tx.BindOTP(f.Context(), userID)
		secret = key.Secret
		return err
	})
	code, err := totp.GenerateCode(secret, f.now())
	f.must(err)
	f.tx(func(tx *store.Tx) error {
		r, _, err := tx.ConfirmOTP(f.Context(), userID, code, "", store.Client{})
		if !r.OK {
			f.Errorf("enrol: %+v", r)
		}
		return err
	})
	f.pass(time.Minute)
	return secret
}

// Two hundred codes, each submitted eight times at once to four instances, in all
// the ways there are of submitting one: they are accepted two hundred times.
// Every other code is for one route in particular, so that it also races itself.
func TestOneCodeOverEveryRoute(t *testing.T) {
	storetest.Each(t, func(t *testing.T, storeURL string) {
		const codes, tries = 200, 8
		instances := 4
		if strings.HasPrefix(storeURL, "sqlite:") {
			instances = 1 // a file has one
		}
		f := newFleet(t, storeURL, instances)
		f.must(f.gates[0].store.SetPassword(t.Context(), store.PasswordChange{UserID: "boss", New: bossPassword}))
		var secret string
		accepted, won := 0, map[string]int{}
		for n := range codes {
			code := f.nextCode(&secret)
			var names []string
			var submit []func() bool
			taken := map[int]int{}
			for slot := range tries {
				r := (n*5 + slot) % len(codeRoutes)
				if focus := n / 2 % len(codeRoutes); n%2 == 1 && taken[focus] < codeRoutes[focus].most {
					r = focus
				}
				for taken[r] == codeRoutes[r].most {
					r = (r + 1) % len(codeRoutes)
				}
				taken[r]++
				names = append(names, codeRoutes[r].name)
				submit = append(submit, codeRoutes[r].prepare(f, f.desks[slot%instances], code, slot))
			}
			for _, i := range at(submit) {
				accepted++
				won[names[i]]++
				names[i] += " (accepted)"
			}
			if accepted != n+1 {
				t.Fatalf("after %d codes, %d were accepted; the last was brought by %q", n+1, accepted, names)
			}
		}
		t.Logf("accepted by: %v", won)
	})
}

// at calls all at once, and lists those that reported true.
func at(all []func() bool) (accepted []int) {
	results := make([]bool, len(all))
	start := make(chan struct{})
	var running sync.WaitGroup
	for i, fn := range all {
		running.Go(func() {
			<-start
			results[i] = fn()
		})
	}
	close(start)
	running.Wait()
	for i, ok := range results {
		if ok {
			accepted = append(accepted, i)
		}
	}
	return accepted
}

// Whichever route a code was accepted by, every other refuses it from then on,
// for as long as its time lasts. In few tries at a time, so that it is not the
// lock that refuses.
func TestCodeIsUsedUpForEveryRoute(t *testing.T) {
	f := newFleet(t, storetest.Postgres(t), 4)
	f.must(f.gates[0].store.SetPassword(t.Context(), store.PasswordChange{UserID: "boss", New: bossPassword}))
	var secret string
	const atOnce = 4 // below the five that lock
	for _, first := range codeRoutes {
		for from := 0; from < len(codeRoutes); from += atOnce {
			code := f.nextCode(&secret)
			submit := first.prepare(f, f.desks[0], code, 7)
			then, prompts := map[string]func() bool{}, 2
			for slot, r := range codeRoutes[from:min(from+atOnce, len(codeRoutes))] {
				if strings.Contains(r.name, "approved") && strings.Contains(first.name, "approved") {
					if prompts--; prompts < 0 {
						continue
					}
				}
				then[r.name] = r.prepare(f, f.desks[1+slot%3], code, slot)
			}
			if !submit() {
				t.Fatalf("%s: not accepted", first.name)
			}
			for name, again := range then {
				if again() {
					t.Errorf("%s, then %s: accepted twice", first.name, name)
				}
			}
		}
	}
}
