package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// signInTime is how long somebody may take to sign in at WeCom.
const signInTime = 10 * time.Minute

// SignIn is what a browser wants that went to sign in at WeCom.
type SignIn struct {
	Next string // where it goes then
	Link string // the token of the link from the chat it opened, "" for none
}

// signInRow is a sign-in that began here and is to come back from WeCom. State
// and browser are keyed hashes: a copy of the database starts nobody's session.
type signInRow struct {
	bun.BaseModel `bun:"table:signins"`

	State     string    `bun:"state,pk"`
	Browser   string    `bun:"browser"`
	Next      string    `bun:"next"`
	Link      string    `bun:"link"` // the token of a link from the chat, sealed for this row
	ExpiresAt time.Time `bun:"expires_at"`
}

// BeginSignIn notes that a browser went to sign in at WeCom and what it wants.
// state travels through WeCom and is letters and digits, as WeCom asks (document
// 91022); browser stays with the browser, as a cookie.
func (s *Store) BeginSignIn(ctx context.Context, in SignIn) (state, browser string, err error) {
	state, browser = rand.Text(), rand.Text()
	row := signInRow{State: s.keys.digest("state", state), Browser: s.keys.digest("browser", browser), Next: in.Next, ExpiresAt: s.Now().UTC().Add(signInTime)}
	row.Link = s.keys.seal(row.bound(), []byte(in.Link))
	if _, err := s.db.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
		return "", "", fmt.Errorf("begin sign-in: %w", err)
	}
	return state, browser, nil
}

// EndSignIn uses a state up, whoever brings it, and returns what its browser
// wanted. ErrNotFound covers a state that is unknown, used or late, and one that
// another browser began: none of them may sign anybody in.
func (s *Store) EndSignIn(ctx context.Context, state, browser string) (SignIn, error) {
	var row signInRow
	err := s.db.NewDelete().Model(&row).Where("state IN (?)", bun.List(s.keys.digests("state", state))).Returning("*").Scan(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return SignIn{}, fmt.Errorf("end sign-in: %w", err)
	}
	same := false
	for _, d := range s.keys.digests("browser", browser) {
		same = same || d == row.Browser // hashes: their comparison tells nothing about what was hashed
	}
	if err != nil || !same || !row.ExpiresAt.After(s.Now()) {
		return SignIn{}, ErrNotFound
	}
	link, err := s.keys.open(row.bound(), row.Link)
	if err != nil {
		return SignIn{}, fmt.Errorf("end sign-in: %w", err)
	}
	return SignIn{Next: row.Next, Link: string(link)}, nil
}

// bound names the place the token of a link is sealed for.
func (r signInRow) bound() string { return "signin/" + r.State }

func (s *Store) purgeSignIns(ctx context.Context) (int64, error) {
	return s.purge(ctx, "DELETE FROM signins WHERE state IN (SELECT state FROM signins WHERE expires_at < ? LIMIT 500)", 0)
}
