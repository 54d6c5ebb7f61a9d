package host

import (
	"errors"
	"fmt"

	"deskbell/store"
)

// OTPReset turns off somebody's one-time password.
type OTPReset struct {
	Configured
	UserID string `arg:"" name:"userid" help:"Whose one-time password to turn off."`
}

// Help explains and gives an example.
func (OTPReset) Help() string {
	return `For the last administrator, whom nobody else can help. It also revokes that
person's tokens and tells them.

Example:

    deskbell otp-reset --config config.toml boss`
}

// Run turns it off, revokes the person's tokens and tells them.
func (c OTPReset) Run(h *Host) error {
	return h.open(c.Config, func(st *store.Store) error {
		err := st.ResetOTPOnHost(h.Ctx, c.UserID)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%s has no one-time password", c.UserID)
		}
		if err == nil {
			fmt.Fprintf(h.Out, "the one-time password of %s is off\n", c.UserID)
		}
		return err
	})
}
