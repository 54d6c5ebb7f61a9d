package api

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// The codes of section 5 of the contract that are about one-time passwords.
const (
	codeOTPWrong    = 1006
	codeOTPBound    = 1007
	codeOTPNotBound = 1008
	codeOTPVerify   = 1009
	codeOTPUnbind   = 1010
	codeTooMany     = 1015
)

// otpProblem is what a code that was not accepted is answered with, in every
// family.
func otpProblem(r store.OTPResult) *problem {
	switch {
	case r.NotEnabled:
		return &problem{status: fasthttp.StatusBadRequest, code: codeOTPNotBound, message: "otp_code: no one-time password is set up for this person"}
	case r.Reset:
		return &problem{status: fasthttp.StatusTooManyRequests, code: codeTooMany, retry: r.LockedFor, message: "too many wrong one-time passwords: an administrator must reset it"}
	case r.LockedFor > 0:
		return &problem{status: fasthttp.StatusTooManyRequests, code: codeTooMany, retry: r.LockedFor, message: "too many wrong one-time passwords: try again later"}
	}
	return &problem{status: fasthttp.StatusUnauthorized, code: codeOTPWrong, message: "the one-time password is wrong or was used"}
}

// oneself is the userid of a caller who is a person: the master key is nobody's,
// and has nothing of its own to change.
func (r *req) oneself() (string, error) {
	if r.who.person.ID == "" {
		return "", forbidden("this needs a person's own token")
	}
	return r.who.person.ID, nil
}

// ownCode is the userid of a caller who sends a code of their own, which is read
// into in, at code.
func (r *req) ownCode(in any, code *string) (userID string, err error) {
	if userID, err = r.oneself(); err != nil {
		return "", err
	}
	if err = r.Bind(in); err == nil && *code == "" {
		err = badRequest("otp_code", "is missing")
	}
	return userID, err
}

// otpKey is a new secret, in the three forms authenticators take it.
type otpKey struct {
	QRCode string `json:"qr_code"`
	Secret string `json:"secret"`
	URI    string `json:"otpauth_uri"`
}

// otpBind gives out a new secret. An enabled one is never given out again.
func (s *Server) otpBind(ctx context.Context, r *req) (any, error) {
	userID, err := r.oneself()
	if err == nil && len(r.ctx.PostBody()) > 0 {
		err = r.Bind(&struct{}{})
	}
	if err != nil {
		return nil, err
	}
	var key store.OTPKey
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		key, err = tx.BindOTP(ctx, userID)
		return err
	})
	if errors.Is(err, store.ErrExists) {
		return nil, &problem{status: fasthttp.StatusConflict, code: codeOTPBound, message: "a one-time password is enabled already: unbind it first"}
	}
	if err != nil {
		return nil, failed(codeOTPBound, err)
	}
	picture, err := key.PNG()
	if err != nil {
		return nil, failed(codeOTPBound, err)
	}
	return otpKey{"data:image/png;base64," + base64.StdEncoding.EncodeToString(picture), key.Secret, key.URL}, nil
}

// otpVerified says that a code was right; the recovery codes come with the first.
type otpVerified struct {
	Enabled  bool     `json:"otp_enabled"`
	Message  string   `json:"message"`
	Recovery []string `json:"recovery_codes"`
}

// otpVerifyRequest is a code from an authenticator.
type otpVerifyRequest struct {
	OTPCode string         `json:"otp_code"`
	UserID  jsontext.Value `json:"user_id"` // once said who; the token does
	Name    jsontext.Value `json:"name"`
}

// otpVerify takes a code: the first one enables the secret, and a later one
// makes the token as good as one made with a code.
func (s *Server) otpVerify(ctx context.Context, r *req) (any, error) {
	var in otpVerifyRequest
	userID, err := r.ownCode(&in, &in.OTPCode)
	if err != nil {
		return nil, err
	}
	var result store.OTPResult
	recovery := []string{}
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		var codes []string
		result, codes, err = tx.ConfirmOTP(ctx, userID, in.OTPCode, r.who.session.TokenID, r.client())
		recovery = append(recovery, codes...)
		return err
	})
	if err != nil {
		return nil, failed(codeOTPVerify, err)
	}
	if !result.OK {
		return nil, otpProblem(result)
	}
	message, err := s.o.Words.Text(r.Lang(), "otp.on", nil)
	return otpVerified{true, message, recovery}, err
}

// otpUnbindRequest is a code from an authenticator, or one of those for its loss.
type otpUnbindRequest struct {
	OTPCode  string `json:"otp_code"`
	Recovery string `json:"recovery_code"`
}

// otpUnbind turns the caller's own one-time password off.
func (s *Server) otpUnbind(ctx context.Context, r *req) (any, error) {
	var in otpUnbindRequest
	userID, err := r.oneself()
	if err == nil {
		err = r.Bind(&in)
	}
	if err != nil {
		return nil, err
	}
	if (in.OTPCode == "") == (in.Recovery == "") {
		return nil, badRequest("otp_code", "want either this or recovery_code")
	}
	var result store.OTPResult
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		result, err = tx.UnbindOTP(ctx, userID, in.OTPCode+in.Recovery, r.who.session.TokenID, r.client())
		return err
	})
	if err != nil {
		return nil, failed(codeOTPUnbind, err)
	}
	if !result.OK {
		return nil, otpProblem(result)
	}
	return s.done(r, "otp.off", nil)
}

// otpResetRequest is the administrator's own code.
type otpResetRequest struct {
	OTPCode string `json:"otp_code"`
}

// otpReset lets an administrator turn somebody's one-time password off, with a
// fresh code of their own. Both are told.
func (s *Server) otpReset(ctx context.Context, r *req) (any, error) {
	var in otpResetRequest
	admin, err := r.ownCode(&in, &in.OTPCode)
	if err != nil {
		return nil, err
	}
	userID := r.holes[0]
	var result store.OTPResult
	said := bot.Text("otp.reset", struct{ UserID string }{userID})
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		if result, err = tx.ResetOTP(ctx, admin, in.OTPCode, userID); err != nil || !result.OK {
			return err
		}
		return tx.Tell(ctx, admin, said)
	})
	if err != nil {
		return nil, failed(codeOTPUnbind, err)
	}
	if !result.OK {
		return nil, otpProblem(result)
	}
	return s.done(r, said.Key, said.Data)
}

// done is the answer that says in words what was done.
func (s *Server) done(r *req, key string, data any) (any, error) {
	text, err := s.o.Words.Text(r.Lang(), key, data)
	return done{text}, err
}
