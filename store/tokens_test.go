package store

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// link gives a person a link and returns its token.
func (f fixture) link(userID string) string {
	f.t.Helper()
	var link Link
	f.tx(func(tx *Tx) (err error) {
		link, err = tx.NewLink(f.t.Context(), bot.User{ID: userID}, "/chat")
		return err
	})
	_, token, _ := strings.Cut(link.URL, tokenParam+"=")
	return token
}

// exchange uses a link token that must be good.
func (f fixture) exchange(link string) string {
	f.t.Helper()
	token, _, err := f.Exchange(f.t.Context(), link, "", Client{})
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// refused checks that nothing can be done with a token.
func (f fixture) refused(why, token string) {
	f.t.Helper()
	_, access := f.Session(f.t.Context(), token)
	_, peek := f.PeekLink(f.t.Context(), token)
	got, sess, exchange := f.Exchange(f.t.Context(), token, "", Client{})
	for _, err := range []error{access, peek, exchange} {
		if !errors.Is(err, ErrNotFound) || err.Error() != ErrNotFound.Error() {
			f.t.Errorf("%s: %v", why, err)
		}
	}
	if got != "" || sess != (Session{}) {
		f.t.Errorf("%s: got %q, %+v", why, got, sess)
	}
}

// trail lists what was audited as actor action result, oldest first.
func (f fixture) trail(userID string) []string {
	f.t.Helper()
	var list []string
	f.tx(func(tx *Tx) error {
		entries, err := tx.AuditTrail(f.t.Context(), userID, 100)
		for _, e := range slices.Backward(entries) {
			list = append(list, e.Actor+" "+e.Action+" "+e.Result)
		}
		return err
	})
	return list
}

// texts lists what waits to be sent, oldest first.
func (f fixture) texts() []string {
	f.t.Helper()
	var rows []outboxRow
	if err := f.reads.NewSelect().Model(&rows).Where("state = ?", Pending).Order("id").Scan(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	list := []string{}
	for _, row := range rows {
		p := parcel{outboxRow: row}
		f.tx(func(tx *Tx) error { return tx.unwrap(f.t.Context(), &p) })
		list = append(list, p.out.To+": "+p.out.Text)
	}
	return list
}

func TestLinkIsExchangedOnce(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		link := f.link("LiLei")
		for range 20 { // looking does not use it up
			if sess, err := f.PeekLink(t.Context(), link); err != nil || sess.UserID != "lilei" {
				t.Fatalf("%+v, %v", sess, err)
			}
		}
		token, sess, err := f.Exchange(t.Context(), link, "", Client{})
		if err != nil {
			t.Fatal(err)
		}
		want := Session{TokenID: sess.TokenID, UserID: "lilei", ExpiresAt: f.now().Add(8 * time.Hour)}
		if d := cmp.Diff(want, sess); d != "" {
			t.Error(d)
		}
		got, err := f.Session(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"lilei link.make ok", "lilei link.use ok"}, f.trail("lilei")); d != "" {
			t.Error(d)
		}

		f.refused("second use", link)
		f.refused("what the first use got", token)
		f.refused("third use", link)
		if d := cmp.Diff([]string{"lilei link.make ok", "lilei link.use ok", "lilei link.reuse refused", "lilei link.reuse refused"}, f.trail("lilei")); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"lilei: zh token.reused"}, f.alarms()); d != "" {
			t.Error(d)
		}
	})
}

func TestManyExchangesGetOneToken(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		link := f.link("lilei")
		var wg sync.WaitGroup
		tokens := make(chan string, 8)
		for range 8 {
			wg.Go(func() {
				switch token, _, err := f.Exchange(t.Context(), link, "", Client{}); {
				case err == nil:
					tokens <- token
				case !errors.Is(err, ErrNotFound):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(tokens)
		if len(tokens) != 1 {
			t.Fatalf("%d tokens", len(tokens))
		}
		f.refused("the token of the fastest", <-tokens)
		if d := cmp.Diff([]string{"lilei: zh token.reused"}, f.alarms()); d != "" {
			t.Error(d)
		}
	})
}

func TestBadTokensAreRefusedAlike(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		good := f.link("lilei")
		access := f.exchange(f.link("lilei"))
		wrongEnd := good[:len(good)-1] + string(good[len(good)-1]^1)
		for why, token := range map[string]string{
			"nothing": "", "short": "dbl_x", "words": "not a token", "newline": good + "\n", "wrong checksum": wrongEnd,
			"unknown link": newToken(kindLink), "unknown access": newToken(kindAccess), "no kind": newToken("xyz"),
		} {
			f.refused(why, token)
		}
		if _, err := f.Session(t.Context(), good); !errors.Is(err, ErrNotFound) {
			t.Errorf("a link token as access token: %v", err)
		}
		if _, _, err := f.Exchange(t.Context(), access, "", Client{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("an access token as link token: %v", err)
		}
		f.pass(10 * time.Minute)
		f.refused("expired link", good)
		if _, err := f.Session(t.Context(), access); err != nil {
			t.Errorf("access token after 10 minutes: %v", err)
		}
		f.pass(8*time.Hour - 10*time.Minute)
		f.refused("expired access", access)
		if texts := f.alarms(); len(texts) > 0 {
			t.Errorf("told %v", texts)
		}
	})
}

func TestReuseOfAnExpiredLinkIsNoticed(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		link := f.link("lilei")
		token := f.exchange(link)
		f.pass(time.Hour)
		f.refused("second use, late", link)
		f.refused("what it was exchanged for", token)
		if texts := f.alarms(); len(texts) != 1 {
			t.Errorf("told %v", texts)
		}
	})
}

func TestRevokeTokens(t *testing.T) {
	for _, all := range []bool{false, true} {
		each(t, func(t *testing.T, f fixture) {
			link, access, others := f.link("LiLei"), f.exchange(f.link("lilei")), f.exchange(f.link("hanmeimei"))
			var elsewhere string
			f.tx(func(tx *Tx) (err error) {
				elsewhere, err = tx.mint(t.Context(), &tokenRow{Kind: kindAccess, Person: "lilei", Source: "api", ExpiresAt: tx.Now.Add(time.Hour)})
				return err
			})
			live := 0
			f.tx(func(tx *Tx) (err error) {
				live, err = tx.RevokeTokens(t.Context(), "LILEI", all)
				return err
			})
			want := map[bool]int{false: 2, true: 3}[all]
			if live != want {
				t.Errorf("all=%v: %d were good, want %d", all, live, want)
			}
			f.refused("link", link)
			f.refused("access", access)
			if _, err := f.Session(t.Context(), elsewhere); (err != nil) != all {
				t.Errorf("all=%v: a token from elsewhere: %v", all, err)
			}
			if _, err := f.Session(t.Context(), others); err != nil {
				t.Errorf("somebody else's: %v", err)
			}
			if texts := f.alarms(); len(texts) > 0 {
				t.Errorf("told %v", texts)
			}
		})
	}
}

func TestRevokeToken(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		token := f.exchange(f.link("lilei"))
		sess, err := f.Session(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []error{nil, ErrNotFound} {
			if err := f.Tx(t.Context(), func(tx *Tx) error { return tx.RevokeToken(t.Context(), sess.TokenID) }); !errors.Is(err, want) {
				t.Errorf("time %d: %v", i, err)
			}
		}
		f.refused("revoked", token)
	})
}

func TestDirectLinks(t *testing.T) {
	for ttl, want := range map[time.Duration]time.Duration{8 * time.Hour: time.Hour, 20 * time.Minute: 20 * time.Minute} {
		storetest.Each(t, func(t *testing.T, url string) {
			f := open(t, url, func(o *Options) { o.Direct, o.TokenTTL = true, ttl })
			token := f.link("boss")
			sess, err := f.Session(t.Context(), token)
			if err != nil || !sess.Plain || !sess.Unused || sess.OTP || sess.ExpiresAt.Sub(f.now()) != want {
				t.Errorf("%+v, %v", sess, err)
			}
			first := sess
			sess.Unused = false
			if peek, err := f.PeekLink(t.Context(), token); err != nil || peek != sess {
				t.Errorf("%+v, %v", peek, err)
			}
			for range 2 { // at once, on two instances
				if err := f.LinkUsed(t.Context(), first, Client{}); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff([]string{"boss link.make ok", "boss link.use ok"}, f.trail("boss")); d != "" {
				t.Error(d)
			}
			if again, err := f.Session(t.Context(), token); err != nil || again != sess {
				t.Errorf("used: %+v, %v", again, err)
			}
			if _, _, err := f.Exchange(t.Context(), token, "", Client{}); !errors.Is(err, ErrNotFound) {
				t.Errorf("exchanged: %v", err)
			}
		})
	}
}

func TestTokensOutliveARotationOfKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		f := open(t, url, nil)
		link, used := f.link("lilei"), f.link("lilei")
		access := f.exchange(used)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		rotated := open(t, url, func(o *Options) { o.Keys = [][]byte{otherKey, testKey} })
		if _, err := rotated.Session(t.Context(), access); err != nil {
			t.Errorf("access token: %v", err)
		}
		if _, err := rotated.Session(t.Context(), rotated.exchange(link)); err != nil {
			t.Errorf("link token: %v", err)
		}
		rotated.refused("second use across the rotation", used)
		rotated.refused("what the first use got", access)
	})
}

func TestTokensAreUnlikeEachOther(t *testing.T) {
	shape := regexp.MustCompile(`^[A-Za-z0-9_-]{32,128}$`)
	seen := make(map[string]bool, 100_000)
	for i := range 100_000 {
		kind := []string{kindAccess, kindLink}[i%2]
		token := newToken(kind)
		if seen[token] || !shape.MatchString(token) || tokenKind(token) != kind {
			t.Fatalf("token %d: %q", i, token)
		}
		seen[token] = true
	}
}
