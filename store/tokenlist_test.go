package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"deskbell/bot"
)

// know has the directory vouch for somebody.
func (f fixture) know(userID string) {
	f.t.Helper()
	if err := f.savePerson(f.t.Context(), bot.Canonical(userID), bot.Person{ID: userID, Name: "N " + userID, State: bot.Active}, f.now()); err != nil {
		f.t.Fatal(err)
	}
}

func (f fixture) minted(spec TokenSpec) (token string, sess Session) {
	f.t.Helper()
	f.tx(func(tx *Tx) (err error) {
		token, sess, err = tx.NewToken(f.t.Context(), spec)
		return err
	})
	return token, sess
}

func (f fixture) list(q TokenQuery) []string {
	f.t.Helper()
	list, err := f.Tokens(f.t.Context(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = t.User + "/" + t.Name
	}
	return names
}

func TestNewToken(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		spec := TokenSpec{UserID: "LiLei", Name: "ci", Source: "made", OTP: true, Plain: true, Degraded: true, TTL: time.Hour}
		token, sess := f.minted(spec)
		want := Session{TokenID: sess.TokenID, UserID: "lilei", OTP: true, Plain: true, Degraded: true, ExpiresAt: f.now().Add(time.Hour)}
		if got, err := f.Session(t.Context(), token); err != nil || cmp.Diff(want, got)+cmp.Diff(want, sess) != "" {
			t.Errorf("%+v, %+v, %v", got, sess, err)
		}
		for _, bad := range []TokenSpec{{}, {UserID: "lilei", Account: uuid.NewString()}} {
			if err := f.Tx(t.Context(), func(tx *Tx) error { _, _, err := tx.NewToken(t.Context(), bad); return err }); err == nil {
				t.Errorf("%+v makes a token", bad)
			}
		}
	})
}

func TestTokenLists(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.know("LiLei")
		a := f.account(NewAccount{Username: "ada", Email: "ada@example.com"})
		for i, spec := range []TokenSpec{{UserID: "lilei", Name: "1"}, {Account: a.UID, Name: "2"}, {UserID: "eve", Name: "3"}, {UserID: "lilei", Name: "4"}, {UserID: "lilei", Name: "short", TTL: time.Minute}} {
			f.pass(time.Second)
			if _, sess := f.minted(spec); i == 2 {
				f.tx(func(tx *Tx) error { return tx.RevokeToken(t.Context(), sess.TokenID) })
			}
		}
		f.pass(2 * time.Minute)
		for want, q := range map[string]TokenQuery{
			"LiLei/4 ada/2 LiLei/1": {}, "LiLei/4 LiLei/1": {Person: "LILEI"}, "ada/2": {Account: a.UID}, "LiLei/4 ada/2": {Limit: 2},
		} {
			if got := strings.Join(f.list(q), " "); got != want {
				t.Errorf("%+v: %s, want %s", q, got, want)
			}
		}
		first, err := f.Tokens(t.Context(), TokenQuery{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(f.list(TokenQuery{After: first[0].ID}), " "); got != "ada/2 LiLei/1" {
			t.Errorf("behind the first: %s", got)
		}
	})
}

func TestEndToken(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		end := func(id, owner string) error {
			return f.Tx(t.Context(), func(tx *Tx) error { return tx.EndToken(t.Context(), id, owner, "boss") })
		}
		token, sess := f.minted(TokenSpec{UserID: "lilei"})
		for _, c := range [][2]string{{sess.TokenID, "eve"}, {sess.TokenID[:7], ""}, {"", ""}, {"%%%%%%%%", ""}, {"________", ""}, {uuid.NewString(), ""}} {
			if err := end(c[0], c[1]); !errors.Is(err, ErrNotFound) {
				t.Errorf("%q: %v", c, err)
			}
		}
		if err := end(strings.ToUpper(sess.TokenID[:8]), "LILEI"); err != nil {
			t.Error(err)
		}
		if _, err := f.Session(t.Context(), token); !errors.Is(err, ErrNotFound) {
			t.Errorf("still good: %v", err)
		}
		if err := end(sess.TokenID, ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("ended twice: %v", err)
		}
		// The beginning of two ids names neither.
		f.tx(func(tx *Tx) error {
			for _, id := range []string{"aaaaaaaa-0000-4000-8000-000000000001", "aaaaaaaa-0000-4000-8000-000000000002"} {
				row := tokenRow{ID: id, Hash: id, Kind: kindAccess, Person: "lilei", CreatedAt: tx.Now, ExpiresAt: tx.Now.Add(time.Hour)}
				if _, err := tx.db.NewInsert().Model(&row).ExcludeColumn("used_at", "revoked_at", "last_used_at").Returning("NULL").Exec(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
		if err := end("aaaaaaaa", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("which of the two? %v", err)
		}
	})
}

func TestRevokeOthers(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.know("lilei")
		a := f.account(NewAccount{Email: "ada@example.com"})
		f.minted(TokenSpec{UserID: "lilei", Name: "old"})
		f.minted(TokenSpec{UserID: "eve", Name: "hers"})
		f.minted(TokenSpec{Account: a.UID, Name: "ada"})
		_, keep := f.minted(TokenSpec{UserID: "lilei", Name: "this"})
		f.tx(func(tx *Tx) error {
			n, err := tx.RevokeOthers(t.Context(), "LiLei", keep.TokenID, "password changed")
			if n != 1 {
				t.Errorf("%d ended", n)
			}
			return err
		})
		got := f.list(TokenQuery{})
		slices.Sort(got)
		if want := []string{"ada@example.com/ada", "eve/hers", "lilei/this"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		// An account's tokens have no person; nobody's name may mean them.
		err := f.Tx(t.Context(), func(tx *Tx) error { _, err := tx.RevokeOthers(t.Context(), "", "", "x"); return err })
		if err == nil {
			t.Error("nobody's tokens can be revoked")
		}
		f.tx(func(tx *Tx) error {
			n, err := tx.RevokeTokens(t.Context(), "", true)
			if n != 0 {
				t.Errorf("%d of nobody's", n)
			}
			return err
		})
	})
}

// The last use is noted now and then, never on a revoked row, and not by
// looking.
func TestLastUse(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		token, sess := f.minted(TokenSpec{UserID: "lilei"})
		last := func() *time.Time {
			t.Helper()
			var row tokenRow
			if err := f.reads.NewSelect().Model(&row).Where("id = ?", sess.TokenID).Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			return row.LastUsed
		}
		use := func() {
			t.Helper()
			if _, err := f.Session(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Introspect(t.Context(), token); err != nil || last() != nil {
			t.Errorf("looking is no use: %v, %v", last(), err)
		}
		use()
		first := f.now()
		if at := last(); at == nil || !at.Equal(first) {
			t.Fatalf("used at %v", at)
		}
		f.pass(touchEvery - time.Second)
		use()
		if at := last(); !at.Equal(first) {
			t.Errorf("written again after %v", at.Sub(first))
		}
		f.pass(time.Second)
		use()
		if at := last(); !at.Equal(f.now()) {
			t.Errorf("not written again: %v", at)
		}
		row, err := f.lookUp(t.Context(), kindAccess, token)
		if err != nil {
			t.Fatal(err)
		}
		f.tx(func(tx *Tx) error { return tx.RevokeToken(t.Context(), sess.TokenID) })
		before := last()
		f.pass(time.Hour)
		f.touch(t.Context(), row) // by a request that was under way
		if at := last(); !at.Equal(*before) {
			t.Error("the revoked row was written")
		}
	})
}

func TestMakeToken(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		f.know("lilei")
		a := f.account(NewAccount{Email: "ada@example.com"})
		for _, spec := range []TokenSpec{{UserID: "lilei", Name: "ci"}, {Account: a.UID}} {
			if _, sess, err := f.MakeToken(t.Context(), spec, "boss"); err != nil || sess.OTP {
				t.Errorf("%+v %v", sess, err)
			}
		}
		if pending, _, err := f.Depth(t.Context()); err != nil || pending != 1 {
			t.Errorf("%d were told, %v", pending, err)
		}
	})
}

// With many tokens, none of the three questions asked all the time reads more
// than a few of them.
func TestHundredThousandTokens(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		const many = 100_000
		token, sess := f.minted(TokenSpec{UserID: "lilei", Name: "mine"})
		hash := "printf('h%06d', i)"
		series := "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < ?)"
		id := "printf('%08x-0000-4000-8000-000000000000', i)"
		if f.pg {
			hash, id = "'h' || i", "lpad(to_hex(i), 8, '0') || '-0000-4000-8000-000000000000'"
			series = "WITH s AS (SELECT generate_series(1, ?) AS i)"
		}
		_, err := f.db.NewRaw("INSERT INTO tokens (id, hash, kind, person, family, source, created_at, expires_at) "+series+
			" SELECT "+id+", "+hash+", 'dba', 'user' || (i % 1000), 'f', 'chat', ?, ? FROM s", many, f.now().Add(-time.Hour).UTC(), f.now().Add(time.Hour).UTC()).Exec(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.db.ExecContext(t.Context(), "ANALYZE"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 100 {
			if _, err := f.Session(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
		lookup := time.Since(began) / 100
		began = time.Now()
		page := f.list(TokenQuery{Limit: 100})
		listing := time.Since(began)
		began = time.Now()
		own := f.list(TokenQuery{Person: "user7", Limit: 21})
		f.tx(func(tx *Tx) error { return tx.EndToken(t.Context(), sess.TokenID[:8], "", "boss") })
		t.Logf("look up %v, first page %v, one person's and revoking %v", lookup, listing, time.Since(began))
		if len(page) != 100 || len(own) != 21 || page[0] != "lilei/mine" {
			t.Errorf("%d and %d, first %s", len(page), len(own), page[0])
		}
		for _, query := range []string{
			"SELECT * FROM tokens WHERE hash IN ('a', 'b')",
			"SELECT * FROM tokens AS t WHERE t.kind = 'dba' AND t.revoked_at IS NULL AND t.expires_at > '2026-01-01' ORDER BY t.created_at DESC, t.id DESC LIMIT 100",
			"SELECT * FROM tokens AS t WHERE t.kind = 'dba' AND t.revoked_at IS NULL AND t.person = 'user7' LIMIT 21",
			"SELECT * FROM tokens WHERE kind = 'dba' AND revoked_at IS NULL AND id BETWEEN 'aaaaaaaa-0000-0000-0000-000000000000' AND 'aaaaaaaa-ffff-ffff-ffff-ffffffffffff' LIMIT 2",
		} {
			explain := "EXPLAIN QUERY PLAN "
			if f.pg {
				explain = "EXPLAIN "
			}
			var plan []map[string]any
			if err := f.db.NewRaw(explain+query).Scan(t.Context(), &plan); err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprint(plan)
			if strings.Contains(text, "Seq Scan") || strings.Contains(text, "SCAN t]") || strings.Contains(text, "SCAN tokens]") {
				t.Errorf("%s\nreads everything: %s", query, text)
			}
		}
	})
}
