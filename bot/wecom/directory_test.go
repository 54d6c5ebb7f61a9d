package wecom

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot"
)

func TestPersonStates(t *testing.T) {
	for _, c := range []struct {
		answer func(*http.Request) string
		state  bot.State
		kind   bot.Kind // with Unreachable
	}{
		{cliSays(`{"errcode":0,"userid":"LiLei","name":"李雷","department":[1,2],"status":1}`), bot.Active, 0},
		{cliSays(`{"errcode":0,"userid":"LiLei","status":2}`), bot.Disabled, 0},
		{cliSays(`{"errcode":0,"userid":"LiLei","status":4}`), bot.Inactive, 0},
		{cliSays(`{"errcode":0,"userid":"LiLei","status":5}`), bot.Left, 0},
		{cliFails(60111), bot.Unknown, 0},
		{cliFails(40003), bot.Unknown, 0},
		{cliFails(46004), bot.Unknown, 0},
		{cliFails(60011), bot.Hidden, 0},
		{cliFails(60021), bot.Hidden, 0},
		{cliFails(50002), bot.Hidden, 0},
		{cliFails(-1), bot.Unreachable, bot.Unavailable},
		{cliFails(45009), bot.Unreachable, bot.Unavailable},
		{cliFails(45033), bot.Unreachable, bot.Unavailable},
		{cliSays("HTTP 502"), bot.Unreachable, bot.Unavailable},
		{cliFails(40001), bot.Unreachable, bot.Internal},
		{cliFails(60020), bot.Unreachable, bot.Internal},
		{cliFails(48002), bot.Unreachable, bot.Internal},
		{cliFails(301002), bot.Unreachable, bot.Internal},
		{cliFails(40058), bot.Unreachable, bot.Internal},
		{cliSays(`{"errcode":0,"userid":"LiLei","status":3}`), bot.Unreachable, bot.Internal},
		{cliSays(`{"errcode":0,"userid":"LiLei"}`), bot.Unreachable, bot.Internal},
		{cliSays(`{"errcode":0,"userid":"boss","status":1}`), bot.Unreachable, bot.Unavailable},
		{cliSays(`{"errcode":0,"status":1}`), bot.Unreachable, bot.Unavailable},
	} {
		_, client := cliStart(t, nil, map[string]func(*http.Request) string{"user/get": c.answer})
		p, err := client.Person(t.Context(), "lilei", nil)
		if p.State != c.state || (err != nil) != (c.state == bot.Unreachable) {
			t.Errorf("%s: %+v, %v, want %s", c.answer(nil), p, err, c.state)
		}
		if e, ok := errors.AsType[*bot.Error](err); ok && e.Kind != c.kind {
			t.Errorf("%s: kind %d, want %d", c.answer(nil), e.Kind, c.kind)
		}
		if c.state == bot.Active && (p.ID != "LiLei" || p.Name != "李雷" || !slices.Equal(p.Departments, []int{1, 2})) {
			t.Errorf("got %+v", p)
		}
	}
}

func TestPersonOfNoUserIDIsNotAskedFor(t *testing.T) {
	f, c := cliStart(t, nil, nil)
	for _, id := range []string{"", "@all", "a|b", "a&userid=boss", "corp/user", "李雷", strings.Repeat("a", 65)} {
		if p, err := c.Person(t.Context(), id, []int{1}); p.State != bot.Unknown || err != nil {
			t.Errorf("%q: %+v, %v", id, p, err)
		}
	}
	if len(f.calls) != 0 {
		t.Errorf("asked %v", f.calls)
	}
}

func TestTags(t *testing.T) {
	clock := cliNewClock()
	f, c := cliStart(t, func(o *ClientOptions) { o.Now = clock.Now }, map[string]func(*http.Request) string{
		"user/get": func(r *http.Request) string {
			return fmt.Sprintf(`{"errcode":0,"userid":%q,"department":[7],"status":1}`, r.URL.Query().Get("userid"))
		},
		"tag/get": func(r *http.Request) string {
			switch r.URL.Query().Get("tagid") {
			case "1":
				return `{"errcode":0,"tagname":"agents","userlist":[{"userid":"lilei"},{"userid":"mei"}],"partylist":[]}`
			case "2":
				return `{"errcode":0,"tagname":"desk","userlist":[],"partylist":[6,7]}`
			case "3":
				return `{"errcode":0,"userlist":[{"userid":"boss"}],"partylist":[8]}`
			}
			return cliFails(40068)(r)
		},
	})
	for range 3 {
		p, err := c.Person(t.Context(), "LiLei", []int{3, 2, 1, 1, 4})
		if err != nil || !slices.Equal(p.Tags, []int{2, 1}) {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if n := f.count("tag/get"); n != 4 {
		t.Errorf("%d tag/get calls, want one per tag", n)
	}
	clock.move(time.Minute)
	if _, err := c.Person(t.Context(), "LiLei", []int{1}); err != nil {
		t.Fatal(err)
	}
	if n := f.count("tag/get"); n != 5 {
		t.Errorf("%d tag/get calls, want the tag fetched again after its time", n)
	}
}

func TestTagsOfManyAreFetchedOnce(t *testing.T) {
	f, c := cliStart(t, nil, map[string]func(*http.Request) string{
		"user/get": cliSays(`{"errcode":0,"userid":"lilei","status":1}`),
		"tag/get":  cliSays(`{"errcode":0,"userlist":[{"userid":"LILEI"}]}`),
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if p, err := c.Person(t.Context(), "lilei", []int{1}); err != nil || len(p.Tags) != 1 {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
	wg.Wait()
	if n := f.count("tag/get"); n != 1 {
		t.Errorf("%d tag/get calls", n)
	}
}

func TestPersonWhoseTagsAreUnknownIsNotActive(t *testing.T) {
	for _, answer := range []string{"HTTP 500", `{"errcode":-1}`, `{"errcode":60020}`} {
		_, c := cliStart(t, nil, map[string]func(*http.Request) string{
			"user/get": cliSays(`{"errcode":0,"userid":"lilei","status":1}`),
			"tag/get":  cliSays(answer),
		})
		if p, err := c.Person(t.Context(), "lilei", []int{1}); p.State != bot.Unreachable || err == nil {
			t.Errorf("%s: %+v, %v", answer, p, err)
		}
	}
}
