package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"deskbell/store"
)

// granted is what a link token was exchanged for.
type granted struct {
	AccessToken string    `json:"accessToken"`
	ExpiresAt   time.Time `json:"expires_at"`
	User        user      `json:"user"`
}

// exchangeRequest is the token of a chat link, and with it a one-time password.
type exchangeRequest struct {
	AccessToken string `json:"access_token"`
	OTPCode     string `json:"otp_code"`
}

// exchange turns the token of a chat link into an access token, once.
func (s *Server) exchange(ctx context.Context, r *req) (any, error) {
	var in exchangeRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if in.AccessToken == "" {
		return nil, badRequest("access_token", "is missing")
	}
	token, session, err := s.o.Store.Exchange(ctx, in.AccessToken, in.OTPCode, r.client())
	if errors.Is(err, store.ErrNotFound) {
		return nil, unauthorized("the link is used, expired or unknown")
	}
	if err != nil {
		return nil, fmt.Errorf("exchange link: %w", err)
	}
	who, err := s.owner(ctx, session)
	if err != nil {
		return nil, err
	}
	return granted{AccessToken: token, ExpiresAt: session.ExpiresAt, User: who.shown()}, nil
}
