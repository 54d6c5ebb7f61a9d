package host

import (
	"fmt"
	"text/tabwriter"

	"deskbell/store"
)

// Keys changes the encryption key.
type Keys struct {
	Rotate KeysRotate `cmd:"" help:"Seal everything anew that an old encryption key sealed, while serve goes on."`
	Status KeysStatus `cmd:"" help:"Count what each encryption key sealed."`
}

// KeysRotate seals anew, with the present key, what older ones sealed.
type KeysRotate struct{ Configured }

// Help explains and gives an example.
func (KeysRotate) Help() string {
	return `First give every instance the new key: security.encryption_key is the new one,
security.old_encryption_keys has the one before.

Example:

    deskbell keys rotate --config config.toml`
}

// Run rotates and says how many values that changed.
func (c KeysRotate) Run(h *Host) error {
	return h.open(c.Config, func(st *store.Store) error {
		n, err := st.RotateKeys(h.Ctx)
		fmt.Fprintf(h.Out, "%d values sealed anew\n", n)
		return err
	})
}

// KeysStatus shows what depends on which key.
type KeysStatus struct{ Configured }

// Help explains and gives an example.
func (KeysStatus) Help() string {
	return `An old key may go from the configuration once nothing depends on it. Passwords
change over when their owner signs in.

Example:

    deskbell keys status --config config.toml`
}

// Run prints a line for each kind of value and key.
func (c KeysStatus) Run(h *Host) error {
	return h.open(c.Config, func(st *store.Store) error {
		uses, err := st.KeyUses(h.Ctx)
		if err != nil {
			return err
		}
		if len(uses) == 0 {
			fmt.Fprintln(h.Out, "nothing is sealed yet")
		}
		table := tabwriter.NewWriter(h.Out, 0, 0, 2, ' ', 0)
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
