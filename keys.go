package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"deskbell/store"
	"deskbell/templates"
)

// The commands of whoever has the host. They open what a server has open, which
// goes on serving.

type keysCmd struct {
	Rotate keysRotateCmd `cmd:"" help:"Seal everything anew that an old encryption key sealed, while serve goes on."`
	Status keysStatusCmd `cmd:"" help:"Count what each encryption key sealed."`
}

type keysRotateCmd struct{ configured }

func (keysRotateCmd) Help() string {
	return `First give every instance the new key: security.encryption_key is the new one,
security.old_encryption_keys has the one before.

Example:

    deskbell keys rotate --config config.toml`
}

func (c keysRotateCmd) Run(p *program) error {
	return c.beside(p, func(st *store.Store) error {
		n, err := st.RotateKeys(p.ctx)
		fmt.Fprintf(p.out, "%d values sealed anew\n", n)
		return err
	})
}

type keysStatusCmd struct{ configured }

func (keysStatusCmd) Help() string {
	return `An old key may go from the configuration once nothing depends on it. Passwords
change over when their owner signs in.

Example:

    deskbell keys status --config config.toml`
}

func (c keysStatusCmd) Run(p *program) error {
	return c.beside(p, func(st *store.Store) error {
		uses, err := st.KeyUses(p.ctx)
		if err != nil {
			return err
		}
		if len(uses) == 0 {
			fmt.Fprintln(p.out, "nothing is sealed yet")
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		for _, u := range uses {
			fmt.Fprintf(table, "key %s\t%d %s\t%s\n", u.Key, u.Rows, u.What, verdict(u))
		}
		return table.Flush()
	})
}

// verdict says what a use of a key asks for.
func verdict(u store.KeyUse) string {
	switch {
	case u.First:
		return "the present key"
	case !u.Known:
		return "NOT CONFIGURED: put the key back into security.old_encryption_keys"
	case u.Lasts:
		return "an old key: audit verify needs it for as long as they are kept"
	case u.Fixed:
		return "an old key: until they sign in again"
	}
	return "an old key: deskbell keys rotate"
}

type otpResetCmd struct {
	configured
	UserID string `arg:"" name:"userid" help:"Whose one-time password to turn off."`
}

func (otpResetCmd) Help() string {
	return `For the last administrator, whom nobody else can help. It also revokes that
person's tokens and tells them.

Example:

    deskbell otp-reset --config config.toml boss`
}

func (c otpResetCmd) Run(p *program) error {
	return c.beside(p, func(st *store.Store) error {
		err := st.ResetOTPOnHost(p.ctx, c.UserID)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("%s has no one-time password", c.UserID)
		}
		if err == nil {
			fmt.Fprintf(p.out, "the one-time password of %s is off\n", c.UserID)
		}
		return err
	})
}

// beside runs fn with the configured store, whoever else has it open.
func (c configured) beside(p *program, fn func(*store.Store) error) error {
	cfg, err := LoadConfig(c.Config, p.environ, true)
	if err != nil {
		return err
	}
	set, err := templates.Load()
	if err != nil {
		return err
	}
	st, err := store.Open(p.ctx, store.Options{
		URL: cfg.Store.URL.Reveal(), Keys: cfg.EncryptionKeys(), Beside: true, Roles: cfg.RoleRules(), Render: set.Render, Log: newLog(cfg, p.err),
	})
	if err != nil {
		return err
	}
	return errors.Join(fn(st), st.Close())
}
