package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"deskbell/store"
)

// spans are for how long a form offers to make something, in hours. 0 is what is
// usual: tokens.ttl for a token, and no end for a share.
var spans = []int{0, 1, 8, 24, 7 * 24, 30 * 24, 90 * 24, 365 * 24}

// spanOf reads one of them.
func spanOf(form string) (time.Duration, bool) {
	d, err := time.ParseDuration(form + "h")
	return d, err == nil && slices.Contains(spans, int(d/time.Hour)) && d%time.Hour == 0
}

// spanChoices are the spans as durations, for templates to word.
func spanChoices() (list []spanChoice) {
	for _, h := range spans {
		list = append(list, spanChoice{h, time.Duration(h) * time.Hour})
	}
	return list
}

type spanChoice struct {
	Hours int
	For   time.Duration
}

// tokensPage lists the access tokens that are good, newest first.
func (s *Server) tokensPage(ctx context.Context, r *req) (any, error) {
	return s.tokensWith(ctx, r, nil)
}

// tokenShown is a token that was just made, shown this once.
type tokenShown struct {
	Token, User, Name string
	ExpiresAt         time.Time
}

// tokensWith is the page, with a token that was just made.
func (s *Server) tokensWith(ctx context.Context, r *req, made *tokenShown) (any, error) {
	tokens, err := s.o.Store.Tokens(ctx, store.TokenQuery{Text: r.Query("q"), After: r.Query("after"), Limit: pageSize + 1})
	if err != nil {
		return nil, err
	}
	tokens, next := cut(tokens, func(t store.Token) string { return t.ID })
	return page("admintokens", struct {
		list
		Made   *tokenShown
		Own    string // the token this page was asked for with
		Spans  []spanChoice
		Tokens []store.Token
	}{r.list(len(tokens), next), made, r.who.session.TokenID, spanChoices(), tokens})
}

// tokensDo makes or revokes a token.
func (s *Server) tokensDo(ctx context.Context, r *req) (any, error) {
	switch r.Form("do") {
	case "revoke":
		id := r.Form("id")
		err := store.ErrNotFound
		if uuid.Validate(id) == nil {
			err = s.o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.EndToken(ctx, id, "", r.who.actor()) })
		}
		if errors.Is(err, store.ErrNotFound) {
			return r.did("bad.gone", id)
		}
		if err != nil {
			return nil, err
		}
		return r.did("token.revoked", id[:8])
	case "make":
		return s.tokenByForm(ctx, r)
	}
	return nil, badRequest("do", "is no action of this page")
}

// tokenByForm makes a token as makeToken does. The answer to the form is the page
// that shows it: it must not wait anywhere for another request.
func (s *Server) tokenByForm(ctx context.Context, r *req) (any, error) {
	user, name := strings.TrimSpace(r.Form("user")), strings.TrimSpace(r.Form("name"))
	ttl, ok := spanOf(r.Form("ttl"))
	if user == "" || !ok || badTokenName(name) {
		return r.did("bad.token", "")
	}
	spec, err := s.ownerNamed(ctx, user)
	if p, inactive := errors.AsType[*problem](err); errors.Is(err, store.ErrNotFound) || inactive && p.status == 400 {
		return r.did("bad.owner", user)
	}
	if err != nil {
		return nil, err
	}
	spec.Name, spec.TTL = name, ttl
	token, session, err := s.o.Store.MakeToken(ctx, spec, r.who.actor())
	if err != nil {
		return nil, err
	}
	return s.tokensWith(ctx, r, &tokenShown{token, user, name, session.ExpiresAt})
}
