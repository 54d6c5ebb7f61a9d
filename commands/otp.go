package commands

import (
	"context"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// otp sets up one-time passwords: "/otp bind", then "/otp verify 123456" with
// what the authenticator shows.
var otp = Command{
	Name:  "otp",
	Alias: []string{"验证码"},
	Usage: "[do:bind|verify|status|unbind|reset] [code...]",
	Level: bot.Agent,
	Run:   otpStatus,
	Sub: []Command{
		{Name: "bind", Alias: []string{"绑定"}, Level: bot.Agent, Run: otpBind},
		{Name: "verify", Alias: []string{"验证"}, Level: bot.Agent, Usage: "<code>", Run: otpVerify},
		{Name: "status", Alias: []string{"状态"}, Level: bot.Agent, Run: otpStatus},
		{Name: "unbind", Alias: []string{"解绑"}, Level: bot.Agent, Usage: "[code]", Run: otpUnbind},
		{Name: "reset", Alias: []string{"重置"}, Level: bot.Admin, Usage: "<userid> <code>", Run: otpReset},
	},
}

// fromChat is where a change made here comes from, for the card that asks its
// owner whether it was them.
var fromChat = store.Client{Device: "WeCom"}

// otpBind pushes the secret as a picture: pushed, so that it can be taken back.
func otpBind(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	key, err := tx.BindOTP(ctx, r.User.ID)
	if err != nil {
		return bot.Reply{}, err
	}
	picture, err := key.PNG()
	if err != nil {
		return bot.Reply{}, err
	}
	err = tx.Push(ctx, bot.Outgoing{To: r.User.ID, Image: picture, Safe: true, Ref: key.Ref})
	return bot.Text("otp.bind", pending{For: key.Expires.Sub(tx.Now)}), err
}

// pending is the data of otp.bind.
type pending struct{ For time.Duration }

func otpVerify(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	result, recovery, err := tx.ConfirmOTP(ctx, r.User.ID, r.Arg("code"), "", fromChat)
	if err != nil || !result.OK {
		return otpRefused(result), err
	}
	return bot.Text("otp.verified", enrolled{Recovery: recovery}), nil
}

// enrolled is the data of otp.verified.
type enrolled struct{ Recovery []string }

func otpStatus(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	status, err := tx.OTPStatus(ctx, r.User.ID)
	return bot.Text("otp.status", status), err
}

// otpUnbind turns it off with a code; without one it cancels what is pending.
func otpUnbind(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	if !r.Has("code") {
		return bot.Text("otp.cancelled", nil), tx.CancelOTP(ctx, r.User.ID)
	}
	result, err := tx.UnbindOTP(ctx, r.User.ID, r.Arg("code"), "", fromChat)
	if err != nil || !result.OK {
		return otpRefused(result), err
	}
	return bot.Text("otp.unbound", nil), nil
}

func otpReset(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	result, err := tx.ResetOTP(ctx, r.User.ID, r.Arg("code"), r.Arg("userid"))
	if err != nil || !result.OK {
		return otpRefused(result), err
	}
	return bot.Text("otp.reset", whose{UserID: r.Arg("userid")}), nil
}

// whose is the data of otp.reset.
type whose struct{ UserID string }

// otpRefused answers a code that was not accepted. It is a reply and no error:
// the count of the misses has to be committed.
func otpRefused(r store.OTPResult) bot.Reply {
	switch {
	case r.NotEnabled:
		return bot.Text("otp.none", nil)
	case r.LockedFor > 0:
		return bot.Text("otp.wait", r)
	}
	return bot.Text("otp.wrong", nil)
}
