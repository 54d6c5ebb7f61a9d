// Package host owns the commands of whoever has the machine: changing encryption
// keys, examining the audit trail, and helping the last administrator back in.
// They open what a server has open, which goes on serving.
//
// What they do is in store; reading the command line and the configuration is
// left to package main, which gives them a Host:
//
//	err := host.KeysRotate{}.Run(&host.Host{Ctx: ctx, Out: os.Stdout, Options: options})
package host

import (
	"context"
	"errors"
	"io"

	"deskbell/store"
)

// Host is what the commands work with.
type Host struct {
	Ctx     context.Context
	In      io.Reader
	Out     io.Writer
	Options func(config string) (store.Options, error) // of the store that a configuration names
}

// Configured is part of every command that needs the configuration.
type Configured struct {
	Config string `default:"config.toml" placeholder:"FILE" help:"The configuration (default: ${default})."`
}

// open runs fn with the configured store.
func (h *Host) open(config string, fn func(*store.Store) error) error {
	o, err := h.Options(config)
	if err != nil {
		return err
	}
	st, err := store.Open(h.Ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(fn(st), st.Close())
}
