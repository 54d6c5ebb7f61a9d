package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"deskbell/bot"
)

// A link of "/device auth add" sets the password of a configuration that does
// not exist yet: what it is to be travels with the link's row, and nothing is
// made until there is a password.

// DeviceWish is the configuration that a link from the chat makes.
type DeviceWish struct {
	Session          // whose link it is
	Namespace string // of the device
	Type      string // "" for none
	ReadOnly  bool

	device string
}

func (w DeviceWish) row() string {
	access := "write"
	if w.ReadOnly {
		access = "read"
	}
	return strings.Join([]string{w.device, access, w.Type}, " ")
}

// IsDeviceLink reports whether this looks like the token of such a link.
func IsDeviceLink(token string) bool { return tokenKind(token) == kindDevice }

// NewDeviceLink makes a link to the page that sets the password of a new
// configuration of u's device. It signs nobody in, and makes one configuration.
func (tx *Tx) NewDeviceLink(ctx context.Context, u bot.User, d Device, kind string, readOnly bool) (Link, error) {
	if d.Person != u.Key() {
		return Link{}, bot.Fail(bot.Denied, "device.foreign", nil, nil)
	}
	wish := DeviceWish{device: d.ID, Type: kind, ReadOnly: readOnly}
	return tx.passwordPageLink(ctx, tokenRow{Kind: kindDevice, Person: u.Key(), Name: wish.row()})
}

// PeekDeviceLink tells what a link would make, without using it.
func (s *Store) PeekDeviceLink(ctx context.Context, token string) (DeviceWish, error) {
	row, err := s.lookUp(ctx, kindDevice, token)
	if err != nil {
		return DeviceWish{}, err
	}
	parts := strings.SplitN(row.Name, " ", 3)
	if len(parts) != 3 {
		return DeviceWish{}, errors.New("device link: unusable row")
	}
	d, err := s.Device(ctx, Owner{Person: row.Person}, parts[0])
	if err != nil {
		return DeviceWish{}, ErrNotFound // the device went, or its owner left
	}
	return DeviceWish{Session: row.session(), Namespace: d.Namespace, Type: parts[2], ReadOnly: parts[1] == "read", device: d.ID}, nil
}

// UseDeviceLink makes the configuration a link was made for, with this password.
// A password that is refused leaves the link as it was. ErrNotFound covers used,
// expired and unknown links.
func (s *Store) UseDeviceLink(ctx context.Context, token, password string) error {
	wish, err := s.PeekDeviceLink(ctx, token)
	if err != nil {
		return err
	}
	if password == "" {
		return bot.Fail(bot.Invalid, "device.password", nil, nil)
	}
	owner, change := Owner{Person: wish.UserID}, ConfigChange{Password: &password, Type: &wish.Type, ReadOnly: &wish.ReadOnly}
	hash, err := s.hashChange(ctx, owner, wish.device, change)
	if err != nil {
		return err
	}
	return s.Tx(ctx, func(tx *Tx) error {
		if err := tx.usePasswordLink(ctx, wish.TokenID); err != nil {
			return err
		}
		_, err := tx.addConfig(ctx, owner, wish.device, change, hash)
		return wrap(err, fmt.Sprintf("use link %s", wish.TokenID))
	})
}
