package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// showAccount is an account as a user.
func showAccount(a store.Account) user {
	u := user{
		UID: a.UID, Username: a.Username, Nickname: a.Nickname, Email: orNull(a.Email), Mobile: orNull(a.Mobile),
		Country: a.Country, Avatar: a.Avatar, Description: a.Description, Platform: a.Platform, Sex: a.Sex, Enabled: a.Enabled,
		EmailVerified: a.EmailVerified, MobileVerified: a.MobileVerified, PasswordModifiedAt: a.PasswordModifiedAt,
		IsEndUser: a.IsEndUser, CurrentRoles: []string{"user"},
	}
	if a.IsEndUser {
		u.CurrentRoles = []string{"end_user"}
	}
	u.Authorities = authorities(u.CurrentRoles)
	return u
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// accountOf resolves the account of a session.
func (s *Server) accountOf(ctx context.Context, session store.Session) (caller, error) {
	a, err := s.o.Store.Account(ctx, session.Account)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return caller{}, fmt.Errorf("look up the owner of a token: %w", err)
	}
	if err != nil || !a.Enabled {
		return caller{}, unauthorized("the token is unknown, expired or revoked")
	}
	return caller{account: &a, session: session}, nil
}

// signedInAs is the answer to a sign-in with a password.
type signedInAs struct {
	AccessToken string `json:"accessToken"`
	User        user   `json:"user"`
}

// loginRequest is a name, of three kinds, and its password.
type loginRequest struct {
	Username string `json:"username"`
	Email    string `json:"email"`
	Mobile   string `json:"mobile"`
	Password string `json:"password"`
	Channel  string `json:"channel"`
	Platform string `json:"platform"`
}

// logIn signs an account in. People of the directory have no password here, so
// their userids are names nobody has.
func (s *Server) logIn(ctx context.Context, r *req) (any, error) {
	var in loginRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	name := in.Username + in.Email + in.Mobile
	switch {
	case name == "":
		return nil, badRequest("username", "is missing; email or mobile do as well")
	case name != in.Username && name != in.Email && name != in.Mobile:
		return nil, badRequest("username", "give one of username, email and mobile")
	case in.Password == "":
		return nil, badRequest("password", "is missing")
	}
	for field, value := range map[string]string{"channel": in.Channel, "platform": in.Platform} {
		if len(value) > 64 || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return nil, badRequest(field, "is longer than 64 bytes or has control characters")
		}
	}
	token, _, account, err := s.passwordLogin(ctx, r, name, in.Password, strings.Trim(in.Channel+" "+in.Platform, " "))
	if err != nil {
		return nil, err
	}
	return signedInAs{token, showAccount(account)}, nil
}

var errWrongPassword = unauthorized("unknown user or wrong password")

// passwordLogin signs an account in, within the limits on trying. What names what
// the token is for.
func (s *Server) passwordLogin(ctx context.Context, r *req, name, password, what string) (token string, session store.Session, a store.Account, err error) {
	key, err := s.o.Store.AccountKey(ctx, name)
	if err != nil {
		return "", session, a, err
	}
	if err := r.limitedAs(ctx, key); err != nil {
		return "", session, a, err
	}
	token, session, a, err = s.o.Store.LogIn(ctx, name, password, what, r.client())
	if errors.Is(err, store.ErrNotFound) {
		err = errWrongPassword
	}
	return token, session, a, err
}

// wishedAccount is an account as an administrator asks for it.
type wishedAccount struct {
	Username       string `json:"username"`
	Nickname       string `json:"nickname"`
	Password       string `json:"password"`
	Email          string `json:"email"`
	Mobile         string `json:"mobile"`
	Avatar         string `json:"avatar"`
	Description    string `json:"description"`
	EmailVerified  *bool  `json:"emailVerified"`
	MobileVerified *bool  `json:"mobileVerified"`
	Platform       string `json:"platform"`
}

func (w wishedAccount) account() store.NewAccount {
	return store.NewAccount{
		Username: w.Username, Nickname: w.Nickname, Password: w.Password, Email: w.Email, Mobile: w.Mobile,
		Avatar: w.Avatar, Description: w.Description, Platform: w.Platform, EmailVerified: w.EmailVerified, MobileVerified: w.MobileVerified,
	}
}

// createAccount makes one account.
func (s *Server) createAccount(ctx context.Context, r *req) (any, error) {
	var in wishedAccount
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	a, err := s.o.Store.CreateAccount(ctx, in.account(), r.who.actor())
	if refused, ok := errors.AsType[*store.AccountError](err); ok {
		return nil, &problem{status: fasthttp.StatusBadRequest, message: refused.Reason}
	}
	if err != nil {
		return nil, err
	}
	return showAccount(a), nil
}

// accountMade is what became of one account of many.
type accountMade struct {
	OK      bool   `json:"ok"`
	User    *user  `json:"user,omitzero"`
	Message string `json:"message,omitzero"`
}

// accountsRequest is many accounts at once.
type accountsRequest struct {
	Users []wishedAccount `json:"users"`
}

// createAccounts makes many accounts; each has its own result.
func (s *Server) createAccounts(ctx context.Context, r *req) (any, error) {
	var in accountsRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if len(in.Users) == 0 || len(in.Users) > store.MaxAccounts {
		return nil, badRequest("users", fmt.Sprintf("1 to %d at once", store.MaxAccounts))
	}
	wishes := make([]store.NewAccount, len(in.Users))
	for i, u := range in.Users {
		wishes[i] = u.account()
	}
	made, err := s.o.Store.CreateAccounts(ctx, wishes, r.who.actor())
	if err != nil {
		return nil, err
	}
	results := make([]accountMade, len(made))
	for i, m := range made {
		if m.Err != nil {
			results[i].Message = m.Err.Error() // always an AccountError, made to be shown
			continue
		}
		u := showAccount(m.Account)
		results[i] = accountMade{OK: true, User: &u}
	}
	return results, nil
}
