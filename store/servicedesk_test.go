package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"deskbell/bot"
	"deskbell/store/storetest"
)

// reader is the existing service desk: it knows the layout and nothing of us.
type reader struct {
	*redis.Client
	t *testing.T
}

// employee is what its documentation says it finds.
type readerEmployee struct {
	EmployeeID  string   `json:"employee_id"`
	Name        string   `json:"name"`
	Roles       []string `json:"roles"`
	LoginSource string   `json:"login_source"`
}

// who asks whose token this is, and how long it is good.
func (r reader) who(token string) (e readerEmployee, left time.Duration, ok bool) {
	r.t.Helper()
	text, err := r.Get(r.t.Context(), "user:token:"+token).Result()
	if errors.Is(err, redis.Nil) {
		return e, 0, false
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	return e, r.PTTL(r.t.Context(), "user:token:"+token).Val(), true
}

// line is the way to Redis, which can be cut.
type line struct {
	mu  sync.Mutex
	cut bool
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, errors.New("the line is cut")
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return cuttable{conn, l}, err
}

func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

type cuttable struct {
	net.Conn
	line *line
}

func (c cuttable) Write(b []byte) (int, error) {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.line.cut {
		return 0, errors.New("the line is cut")
	}
	return c.Conn.Write(b)
}

// withDesk runs fn on each engine beside a service desk with the real Redis.
func withDesk(t *testing.T, fn func(t *testing.T, f fixture, desk reader, way *line)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, url string) {
		options, err := redis.ParseURL(storetest.Redis(t))
		if err != nil {
			t.Fatal(err)
		}
		desk := reader{redis.NewClient(options), t}
		way := &line{}
		ours := *options
		ours.Dialer, ours.MaxRetries = way.dial, -1
		client := redis.NewClient(&ours)
		t.Cleanup(func() { _, _ = client.Close(), desk.Close() })
		f := open(t, url, func(o *Options) {
			o.Now = time.Now // Redis has a clock of its own
			o.ServiceDesk = &ServiceDesk{Redis: &Redis{client: client}, AdminOTP: true}
		})
		for _, id := range []string{"LiLei", "boss"} {
			f.know(id)
		}
		fn(t, f, desk, way)
	})
}

func TestServiceDeskReadsOurTokens(t *testing.T) {
	withDesk(t, func(t *testing.T, f fixture, desk reader, _ *line) {
		token, sess := f.minted(TokenSpec{UserID: "lilei", Source: "password", TTL: time.Hour})
		e, left, ok := desk.who(token)
		if !ok || e.EmployeeID != "LiLei" || e.Name != "N LiLei" || !slices.Equal(e.Roles, []string{"user"}) || e.LoginSource != "password" {
			t.Errorf("%+v %v", e, ok)
		}
		if left > time.Hour || left < 59*time.Minute {
			t.Errorf("good for %v", left)
		}
		f.tx(func(tx *Tx) error { return tx.RevokeToken(t.Context(), sess.TokenID) })
		if _, _, ok := desk.who(token); ok {
			t.Error("revoked, and the service desk still takes it")
		}
		// What is revoked by another way goes too.
		other, _ := f.minted(TokenSpec{UserID: "lilei"})
		f.tx(func(tx *Tx) error { _, err := tx.RevokeTokens(t.Context(), "lilei", true); return err })
		if _, _, ok := desk.who(other); ok {
			t.Error("logged out, and the service desk still takes it")
		}
	})
}

// A role reaches the service desk only as far as it does here.
func TestServiceDeskAndAdministrators(t *testing.T) {
	withDesk(t, func(t *testing.T, f fixture, desk reader, _ *line) {
		for want, spec := range map[string]TokenSpec{
			"admin": {UserID: "boss", OTP: true}, "agent": {UserID: "boss"}, "agent ": {UserID: "boss", OTP: true, Plain: true},
		} {
			token, _ := f.minted(spec)
			if e, _, _ := desk.who(token); strings.Join(e.Roles, " ") != strings.TrimSpace(want) {
				t.Errorf("%+v has %q", spec, e.Roles)
			}
		}
	})
}

// Accounts are nobody's employees, and a link is no access token.
func TestServiceDeskIsForEmployees(t *testing.T) {
	withDesk(t, func(t *testing.T, f fixture, desk reader, _ *line) {
		a := f.account(NewAccount{Email: "ada@example.com"})
		token, _ := f.minted(TokenSpec{Account: a.UID})
		if _, _, ok := desk.who(token); ok {
			t.Error("an account's token is shared")
		}
		var link Link
		f.tx(func(tx *Tx) (err error) {
			link, err = tx.NewLink(t.Context(), bot.User{ID: "LiLei"}, "/chat")
			return err
		})
		_, ticket, _ := strings.Cut(link.URL, "accessToken=")
		if _, _, ok := desk.who(ticket); ok {
			t.Error("a link's token is shared")
		}
	})
}

// Nothing waits for Redis, and nothing is forgotten.
func TestServiceDeskWhileRedisIsGone(t *testing.T) {
	withDesk(t, func(t *testing.T, f fixture, desk reader, way *line) {
		old, sess := f.minted(TokenSpec{UserID: "lilei"})
		way.set(true)
		began := time.Now()
		late, _ := f.minted(TokenSpec{UserID: "lilei"})
		f.tx(func(tx *Tx) error { return tx.RevokeToken(t.Context(), sess.TokenID) })
		if took := time.Since(began); took > 4*shareTime {
			t.Errorf("took %v", took)
		}
		if _, err := f.Session(t.Context(), late); err != nil {
			t.Errorf("a token of ours needs Redis: %v", err)
		}
		if _, err := f.Session(t.Context(), old); !errors.Is(err, ErrNotFound) {
			t.Errorf("a revoked token: %v", err)
		}
		if _, err := f.Session(t.Context(), strings.Repeat("f", 40)); bot.Explain(err).Kind != bot.Unavailable {
			t.Errorf("a token of theirs: %v", err)
		}
		if err := f.ShareDue(t.Context()); err == nil {
			t.Error("told over a cut line")
		}
		way.set(false)
		if err := f.ShareDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := desk.who(late); !ok {
			t.Error("the token made meanwhile is missing")
		}
		if _, _, ok := desk.who(old); ok {
			t.Error("the token revoked meanwhile is still taken")
		}
	})
}

// Redis lost everything, or came back with what it had long ago.
func TestServiceDeskAfterRedisForgot(t *testing.T) {
	withDesk(t, func(t *testing.T, f fixture, desk reader, _ *line) {
		gone, sess := f.minted(TokenSpec{UserID: "lilei"})
		live, _ := f.minted(TokenSpec{UserID: "lilei"})
		f.tx(func(tx *Tx) error { return tx.RevokeToken(t.Context(), sess.TokenID) })
		desk.Del(t.Context(), "user:token:"+live)
		desk.Set(t.Context(), "user:token:"+gone, `{"employee_id":"LiLei"}`, time.Hour)
		if _, err := f.Session(t.Context(), gone); !errors.Is(err, ErrNotFound) {
			t.Errorf("Redis revived a token here: %v", err)
		}
		if err := f.ShareAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := desk.who(gone); ok {
			t.Error("the revoked token is back")
		}
		if _, _, ok := desk.who(live); !ok {
			t.Error("the good token is not")
		}
	})
}

// A revocation that commits between reading the row and telling Redis wins.
func TestServiceDeskRace(t *testing.T) {
	withDesk(t, func(t *testing.T, f fixture, desk reader, _ *line) {
		tokens, ids := make([]string, 20), make([]string, 20)
		for i := range tokens {
			var sess Session
			tokens[i], sess = f.minted(TokenSpec{UserID: "lilei"})
			ids[i] = sess.TokenID
		}
		var all sync.WaitGroup
		all.Go(func() {
			for range 20 {
				if err := f.ShareAll(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
		for _, id := range ids {
			all.Go(func() {
				if err := f.Tx(t.Context(), func(tx *Tx) error { return tx.RevokeToken(t.Context(), id) }); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := f.ShareDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens {
			if _, _, ok := desk.who(token); ok {
				t.Error("a revoked token is still taken")
			}
		}
	})
}

func TestServiceDesksTokensAreGoodHere(t *testing.T) {
	withDesk(t, func(t *testing.T, f fixture, desk reader, _ *line) {
		token := rand.Text() + rand.Text()
		desk.Set(t.Context(), "agent:token:"+token, "LiLei", time.Hour)
		sess, err := f.Session(t.Context(), token)
		if err != nil || sess.UserID != "lilei" || !sess.Foreign || sess.OTP || sess.TokenID != "" || time.Until(sess.ExpiresAt) > time.Hour {
			t.Errorf("%+v %v", sess, err)
		}
		for key, value := range map[string]string{
			rand.Text():               "LiLei", // too short to be a token
			rand.Text() + rand.Text(): "not a userid", rand.Text() + rand.Text() + "!": "LiLei", newToken(kindAccess): "LiLei",
		} {
			desk.Set(t.Context(), "agent:token:"+key, value, time.Minute)
			if _, err := f.Session(t.Context(), key); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", key, err)
			}
		}
		if err := f.EndForeign(t.Context(), token, "lilei"); err != nil {
			t.Error(err)
		}
		if _, err := f.Session(t.Context(), token); !errors.Is(err, ErrNotFound) {
			t.Errorf("ended, and still good: %v", err)
		}
	})
}

// At rest, a shared token is as unreadable as the others.
func TestSharedTokenIsSealed(t *testing.T) {
	withDesk(t, func(t *testing.T, f fixture, _ reader, _ *line) {
		token, sess := f.minted(TokenSpec{UserID: "lilei"})
		var row tokenRow
		if err := f.reads.NewSelect().Model(&row).Where("id = ?", sess.TokenID).Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if row.Shared == "" || strings.Contains(row.Shared, token[4:]) || row.ShareDue {
			t.Errorf("%+v", row)
		}
		if _, err := f.keys.open(sharedPlace("another row"), row.Shared); err == nil {
			t.Error("it opens elsewhere")
		}
	})
}
