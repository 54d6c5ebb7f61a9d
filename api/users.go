package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"deskbell/bot"
	"deskbell/store"
)

// user is a person as the tokens API shows them. What only accounts have is
// empty for a WeCom person: WeCom keeps mail and mobile to itself.
type user struct {
	UID                string     `json:"uid"`
	Username           string     `json:"username"`
	Nickname           string     `json:"nickname"`
	Email              *string    `json:"email"`
	Mobile             *string    `json:"mobile"`
	Country            string     `json:"country"`
	Avatar             string     `json:"avatar"`
	Description        string     `json:"description"`
	Platform           string     `json:"platform"`
	Sex                string     `json:"sex"`
	Enabled            bool       `json:"enabled"`
	SuperUser          bool       `json:"superUser"`
	EmailVerified      bool       `json:"emailVerified"`
	MobileVerified     bool       `json:"mobileVerified"`
	PasswordModifiedAt *time.Time `json:"passwordModifiedAt"`
	IsEndUser          bool       `json:"is_end_user"`
	CurrentRoles       []string   `json:"currentRoles"`
	Authorities        []string   `json:"authorities"`
}

// shown is the caller as a user.
func (c caller) shown() user {
	if c.account != nil {
		return showAccount(*c.account)
	}
	u := user{
		UID:          c.person.UID,
		Username:     c.person.ID,
		Nickname:     c.person.Name,
		Platform:     "wecom",
		Sex:          "UNKNOWN",
		Enabled:      true,
		SuperUser:    c.super(),
		CurrentRoles: c.person.Roles,
	}
	if c.master { // no person, but a script asking whether its key works deserves an answer
		u.UID, u.Username, u.Platform = uuid.Nil.String(), "master", "api"
		u.CurrentRoles = []string{bot.Admin.String()}
	}
	u.Authorities = authorities(u.CurrentRoles)
	return u
}

// authorities are roles the way some frameworks spell them.
func authorities(roles []string) []string {
	list := make([]string, len(roles))
	for i, role := range roles {
		list[i] = "ROLE_" + strings.ToUpper(role)
	}
	return list
}

func (s *Server) me(_ context.Context, r *req) (any, error) { return r.who.shown(), nil }

// logout ends the token it is called with, and no other.
func (s *Server) logout(ctx context.Context, r *req) (any, error) {
	if err := r.Bodiless(); err != nil {
		return nil, err
	}
	if r.who.master {
		return nil, forbidden("the master key is revoked by changing security.master_key")
	}
	if r.who.session.Foreign {
		return true, s.o.Store.EndForeign(ctx, r.bearerToken(), r.who.actor())
	}
	return true, s.revoke(ctx, r.who)
}

// revoke ends the caller's token. Somebody else may just have done so.
func (s *Server) revoke(ctx context.Context, c caller) error {
	return s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		err := tx.RevokeToken(ctx, c.session.TokenID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		tx.Audit(store.AuditEntry{Actor: c.actor(), Action: "token.revoke", Target: c.session.TokenID})
		return err
	})
}
