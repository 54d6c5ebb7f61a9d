package store

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

func (f fixture) begin(in SignIn) (state, browser string) {
	f.t.Helper()
	state, browser, err := f.BeginSignIn(f.t.Context(), in)
	if err != nil {
		f.t.Fatal(err)
	}
	return state, browser
}

func TestSignInComesBackOnce(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		for _, want := range []SignIn{{Next: "/chat?a=b", Link: f.link("lilei")}, {Next: "/"}} {
			state, browser := f.begin(want)
			got, err := f.EndSignIn(t.Context(), state, browser)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Error(d, err)
			}
			if got, err := f.EndSignIn(t.Context(), state, browser); !errors.Is(err, ErrNotFound) || got != (SignIn{}) {
				t.Errorf("a second time: %+v, %v", got, err)
			}
		}
	})
}

func TestSignInOfAnother(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		in := SignIn{Next: "/chat", Link: f.link("lilei")}
		mine, myBrowser := f.begin(in)
		theirs, theirBrowser := f.begin(in)
		late, lateBrowser := f.begin(in)
		for _, c := range []struct{ why, state, browser string }{
			{"another browser", mine, theirBrowser},
			{"and then its own: the state is used up", mine, myBrowser},
			{"no browser", theirs, ""},
			{"an invented state", strings.Repeat("A", 26), theirBrowser},
			{"no state", "", theirBrowser},
		} {
			if got, err := f.EndSignIn(t.Context(), c.state, c.browser); !errors.Is(err, ErrNotFound) || got != (SignIn{}) {
				t.Errorf("%s: %+v, %v", c.why, got, err)
			}
		}
		f.pass(signInTime)
		if got, err := f.EndSignIn(t.Context(), late, lateBrowser); !errors.Is(err, ErrNotFound) || got != (SignIn{}) {
			t.Errorf("too late: %+v, %v", got, err)
		}
	})
}

func TestManyReturnsAreOne(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		state, browser := f.begin(SignIn{Link: f.link("lilei")})
		links := make(chan string, 8)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				switch in, err := f.EndSignIn(t.Context(), state, browser); {
				case err == nil:
					links <- in.Link
				case !errors.Is(err, ErrNotFound):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(links) != 1 {
			t.Errorf("%d got the link", len(links))
		}
	})
}

// The token of a link waits for its browser where nobody who reads the database
// can use it, nor move it to a sign-in of their own.
func TestSignInHidesTheLink(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		link := f.link("lilei")
		f.begin(SignIn{Link: link})
		mine, myBrowser := f.begin(SignIn{Link: f.link("boss")})
		var rows []signInRow
		if err := f.reads.NewSelect().Model(&rows).Scan(t.Context()); err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
		of := map[bool]signInRow{}
		for _, row := range rows {
			if row.Link == "" || strings.Contains(row.Link, link) || row.State == mine {
				t.Errorf("%+v", row)
			}
			of[row.State == f.keys.digest("state", mine)] = row
		}
		if _, err := f.db.NewUpdate().Model((*signInRow)(nil)).Set("link = ?", of[false].Link).Where("state = ?", of[true].State).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := f.EndSignIn(t.Context(), mine, myBrowser); err == nil || got != (SignIn{}) {
			t.Errorf("a link moved here opened: %+v, %v", got, err)
		}
	})
}

// Whoever opens somebody else's link changes nothing for its owner, who is told
// of it once.
func TestLinkIsRefusedToOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		var told []bot.Reply
		f := open(t, url, func(o *Options) {
			o.Render = func(to, _, _ string, r bot.Reply) (bot.Outgoing, error) {
				told = append(told, r)
				return bot.Outgoing{To: to, Text: r.Key}, nil
			}
		})
		link := f.link("LiLei")
		for _, by := range []string{"HanMeimei", "", "HanMeimei"} {
			if err := f.RefuseLink(t.Context(), link, by, Client{Device: "WeCom · iPhone", Address: "203.0.113.9"}); err != nil {
				t.Fatal(err)
			}
		}
		want := opened{At: f.now(), App: "WeCom", System: "iPhone", Address: "203.0.113.9"}
		if len(told) != 1 || told[0].Key != "link.opened" || told[0].Data != want || !slices.Equal(f.texts(), []string{"lilei: link.opened"}) {
			t.Errorf("said %+v to %q", told, f.texts())
		}
		if d := cmp.Diff([]string{"lilei link.make ok", "hanmeimei link.refuse refused", "? link.refuse refused", "hanmeimei link.refuse refused"}, f.trail("lilei")); d != "" {
			t.Error(d)
		}
		f.exchange(link)
		if err := f.RefuseLink(t.Context(), link, "hanmeimei", Client{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("a used link: %v", err)
		}
	})
}

// A direct link is an access token: when somebody else is known to have it, it
// ends. No other access token is touched.
func TestDirectLinkEndsWithOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		var told []bot.Reply
		f := open(t, url, func(o *Options) {
			o.Direct = true
			o.Render = func(to, _, _ string, r bot.Reply) (bot.Outgoing, error) {
				told = append(told, r)
				return bot.Outgoing{To: to, Text: r.Key}, nil
			}
		})
		link, kept := f.link("lilei"), f.link("lilei")
		f.Direct = false
		full := f.exchange(f.link("lilei"))
		told = nil
		if err := f.RefuseLink(t.Context(), link, "hanmeimei", Client{}); err != nil {
			t.Fatal(err)
		}
		f.refused("seen by somebody else", link)
		if err := f.RefuseLink(t.Context(), link, "hanmeimei", Client{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("once more: %v", err)
		}
		if err := f.RefuseLink(t.Context(), full, "hanmeimei", Client{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("not a link: %v", err)
		}
		for _, good := range []string{kept, full} {
			if _, err := f.Session(t.Context(), good); err != nil {
				t.Error(err)
			}
		}
		if want := (opened{At: f.now(), Ended: true}); len(told) != 1 || told[0].Data != want {
			t.Errorf("said %+v", told)
		}
	})
}

func TestRefusedLinkHasToBeGood(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		old, gone := f.link("lilei"), f.link("boss")
		f.pass(f.LinkTTL / 2)
		f.tx(func(tx *Tx) error {
			_, err := tx.RevokeTokens(t.Context(), "boss", false)
			return err
		})
		f.pass(f.LinkTTL/2 + time.Second)
		for _, link := range []string{old, gone, newToken(kindLink), "", "dbl_x"} {
			if err := f.RefuseLink(t.Context(), link, "hanmeimei", Client{}); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", link, err)
			}
		}
		if said := f.alarms(); len(said) != 0 {
			t.Errorf("told %q", said)
		}
	})
}
