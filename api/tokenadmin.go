package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"deskbell/bot"
	"deskbell/store"
)

// tokenItem is an access token in a list: everything but the token.
type tokenItem struct {
	ID         string     `json:"id"`
	User       string     `json:"user"`
	Name       string     `json:"name"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// tokenPage is a list of tokens; Next, when there are more, is the "after" of
// the following page.
type tokenPage struct {
	Items []tokenItem `json:"items"`
	Next  string      `json:"next,omitzero"`
}

const tokensShown = 1000

// tokens lists the access tokens that are good, newest first: everybody's, or
// those of ?user=.
func (s *Server) tokens(ctx context.Context, r *req) (any, error) {
	q := store.TokenQuery{After: r.Query("after"), Limit: tokensShown + 1}
	if limit := r.Query("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > tokensShown {
			return nil, badRequest("limit", fmt.Sprintf("is not 1 to %d", tokensShown))
		}
		q.Limit = n + 1
	}
	if name := r.Query("user"); name != "" {
		spec, err := s.ownerNamed(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			return tokenPage{Items: []tokenItem{}}, nil
		}
		if err != nil {
			return nil, err
		}
		q.Person, q.Account = spec.UserID, spec.Account
	}
	list, err := s.o.Store.Tokens(ctx, q)
	if err != nil {
		return nil, err
	}
	page := tokenPage{Items: make([]tokenItem, 0, len(list))}
	if len(list) == q.Limit { // one more than wanted
		list = list[:len(list)-1]
		page.Next = list[len(list)-1].ID
	}
	for _, t := range list {
		page.Items = append(page.Items, tokenItem{t.ID, t.User, t.Name, t.CreatedAt, t.ExpiresAt, t.LastUsedAt})
	}
	return page, nil
}

// ownerNamed finds whose a token is to be: a person by userid, or else an
// account by username, email or mobile.
func (s *Server) ownerNamed(ctx context.Context, name string) (store.TokenSpec, error) {
	person, err := s.o.Store.Profile(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		a, none := s.o.Store.AccountNamed(ctx, name)
		if !errors.Is(none, store.ErrNotFound) {
			return store.TokenSpec{Account: a.UID}, none
		}
		person, err = s.profile(ctx, name)
	}
	switch {
	case err != nil:
		return store.TokenSpec{}, err
	case person.State == bot.Unknown:
		return store.TokenSpec{}, store.ErrNotFound
	case person.State != bot.Active:
		return store.TokenSpec{}, badRequest("user", "is not active in the directory")
	}
	return store.TokenSpec{UserID: person.ID}, nil
}

// span is a length of time: "30m", "12h", "7d", "1d12h", or a number of seconds.
type span time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *span) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		text = string(b) + "s"
	}
	var days int
	if n, rest, ok := strings.Cut(text, "d"); ok {
		var err error
		if days, err = strconv.Atoi(n); err != nil || days > 36500 {
			return errors.New("not a number of days")
		}
		if text = rest; text == "" {
			text = "0s"
		}
	}
	v, err := time.ParseDuration(text)
	*d = span(v + time.Duration(days)*24*time.Hour)
	return err
}

const longestToken = 365 * 24 * time.Hour

// madeToken is a new token, shown this once.
type madeToken struct {
	ID          string    `json:"id"`
	AccessToken string    `json:"accessToken"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// tokenRequest is a token as an administrator asks for it.
type tokenRequest struct {
	User string `json:"user"`
	Name string `json:"name"`
	TTL  *span  `json:"ttl"`
}

// badTokenName tells what a token cannot be called.
func badTokenName(name string) bool {
	return len(name) > 128 || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f })
}

// makeToken makes an access token for somebody else's script. It never counts
// as made with a one-time password: nobody gave one for it.
func (s *Server) makeToken(ctx context.Context, r *req) (any, error) {
	var in tokenRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	ttl := time.Duration(0) // tokens.ttl
	if in.TTL != nil {
		ttl = time.Duration(*in.TTL)
	}
	switch {
	case in.User == "":
		return nil, badRequest("user", "is missing")
	case badTokenName(in.Name):
		return nil, badRequest("name", "is longer than 128 bytes or has control characters")
	case in.TTL != nil && (ttl < time.Second || ttl > longestToken):
		return nil, badRequest("ttl", `is not from "1s" to "365d"`)
	}
	spec, err := s.ownerNamed(ctx, in.User)
	if err != nil {
		return nil, err
	}
	spec.Name, spec.TTL = in.Name, ttl
	token, session, err := s.o.Store.MakeToken(ctx, spec, r.who.actor())
	if err != nil {
		return nil, err
	}
	return madeToken{session.TokenID, token, session.ExpiresAt}, nil
}

// endToken revokes an access token.
func (s *Server) endToken(ctx context.Context, r *req) (any, error) {
	id := r.holes[0]
	if uuid.Validate(id) != nil { // in the chat, the beginning of an id will do
		return nil, store.ErrNotFound
	}
	return true, s.o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.EndToken(ctx, id, "", r.who.actor()) })
}

// introspection is RFC 7662's answer, whose names it has. It is not wrapped:
// other systems' libraries read it.
type introspection struct {
	Active    bool     `json:"active"`
	Subject   string   `json:"sub,omitzero"`
	Username  string   `json:"username,omitzero"`
	Scope     string   `json:"scope,omitzero"`
	ClientID  string   `json:"client_id,omitzero"` // which way the token came about
	TokenType string   `json:"token_type,omitzero"`
	Expires   int64    `json:"exp,omitzero"`
	Issued    int64    `json:"iat,omitzero"`
	Issuer    string   `json:"iss,omitzero"`
	TokenID   string   `json:"jti,omitzero"`
	Methods   []string `json:"amr,omitzero"` // RFC 8176: ["otp"] when a one-time password was given
}

// introspect tells another system about a token it was shown. Of a token that
// is not good, for whatever reason, it says nothing more.
func (s *Server) introspect(ctx context.Context, r *req) (any, error) {
	token := r.Form("token")
	if token == "" {
		return nil, badRequest("token", "is missing from the form")
	}
	found, err := s.o.Store.Introspect(ctx, token)
	if errors.Is(err, store.ErrNotFound) {
		return introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	who, err := s.owner(ctx, found.Session)
	if p, ok := errors.AsType[*problem](err); ok && p.status == 401 {
		return introspection{}, nil
	}
	if err != nil {
		return nil, err
	}
	if s.o.RequireAdminOTP && !found.OTP { // such a token opens nothing of an administrator's here either
		who.person.User = store.WithoutAdmin(who.person.User)
	}
	u := who.shown()
	answer := introspection{
		Active: true, Subject: u.UID, Username: u.Username, Scope: strings.Join(slices.Clone(u.CurrentRoles), " "), ClientID: found.Source, TokenType: "Bearer",
		Expires: found.ExpiresAt.Unix(), Issuer: s.origin, TokenID: found.TokenID,
	}
	if !found.IssuedAt.IsZero() {
		answer.Issued = found.IssuedAt.Unix()
	}
	if found.OTP {
		answer.Methods = []string{"otp"}
	}
	return answer, nil
}
