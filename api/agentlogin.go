package api

import (
	"context"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// login is an agent who has just signed in.
type login struct {
	agent
	Token string `json:"token"`
}

// otpWanted says that one more factor is missing.
type otpWanted struct {
	RequireOTP bool   `json:"require_otp"`
	Message    string `json:"message"`
	UserID     string `json:"user_id"`
	Name       string `json:"name"`
}

// approvalWanted says that the person is being asked in the chat.
type approvalWanted struct {
	RequireApproval bool   `json:"require_approval"`
	LoginID         string `json:"login_id"`
	Number          string `json:"number"`
	ExpiresIn       int    `json:"expires_in"`
}

// otpHeader carries the one-time password of somebody who approved a login in
// the chat and did not send one along with it. A code in the URL would be kept
// by every log on its way.
const otpHeader = "X-OTP-Code"

// agentLoginRequest is who wants to sign in, and what they can prove.
type agentLoginRequest struct {
	UserID    string `json:"user_id"`
	Name      string `json:"name"`
	Password  string `json:"password"`
	OTPCode   string `json:"otp_code"`
	WeComCode string `json:"wecom_code"`
}

// agentLogin signs an agent in by what they can prove; see store.Logins. name is
// read for the sake of older callers: the directory's counts.
func (s *Server) agentLogin(ctx context.Context, r *req) (any, error) {
	var in agentLoginRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if in.UserID == "" {
		return nil, badRequest("user_id", "is missing")
	}
	account := "?" // what cannot be a userid shares one allowance
	if bot.ValidUserID(in.UserID) {
		account = bot.Canonical(in.UserID)
	}
	if err := r.limitedAs(ctx, account); err != nil {
		return nil, err
	}
	got, err := s.o.Logins.Login(ctx, store.LoginRequest{UserID: in.UserID, Password: in.Password, WeCom: in.WeComCode, OTP: in.OTPCode, Client: r.client()})
	if err != nil {
		return nil, failed(codeLogin, err)
	}
	if a := got.Approval; a.LoginID != "" {
		return withStatus{fasthttp.StatusAccepted, approvalWanted{true, a.LoginID, a.Number, int(a.Within / time.Second)}}, nil
	}
	if got.NeedOTP {
		return r.otpWanted(got.Who, "login.otp")
	}
	return login{showAgent(got.Agent, got.Session.OTP), got.Token}, nil
}

// stateOf is how far a login that is to be approved has come.
type stateOf struct {
	State string `json:"state"`
}

// approvedWithoutOTP is an approved login that lacks one more factor.
type approvedWithoutOTP struct {
	stateOf
	otpWanted
}

// approvedLogin is an approved login, with its token.
type approvedLogin struct {
	stateOf
	login
}

// agentLoginState is what has become of a login that was to be approved in the
// chat. The token is in the first answer after that, and in no other.
func (s *Server) agentLoginState(ctx context.Context, r *req) (any, error) {
	code := string(r.ctx.Request.Header.Peek(otpHeader))
	state, got, err := s.o.Logins.Poll(ctx, r.holes[0], code, r.client())
	if err != nil {
		return nil, failed(codeLogin, err)
	}
	switch {
	case got.NeedOTP:
		wanted, err := r.otpWanted(got.Who, "login.otp.header")
		return approvedWithoutOTP{stateOf{state}, wanted}, err
	case got.Token != "":
		return approvedLogin{stateOf{state}, login{showAgent(got.Agent, got.Session.OTP), got.Token}}, nil
	}
	return stateOf{state}, nil
}

func (r *req) otpWanted(u bot.User, key string) (otpWanted, error) {
	message, err := r.s.o.Words.Text(r.Lang(), key, nil)
	return otpWanted{true, message, u.ID, u.Name}, err
}
