package store

import (
	"cmp"
	"context"
	"strings"
	"time"

	"deskbell/bot"
)

// Client is where a request came from, as far as it can be told: both fields are
// for people to read, and prove nothing.
type Client struct {
	Device  string // the User-Agent in words, "" when it says nothing
	Address string // the client's address
}

// String is the client as an audit entry names it.
func (c Client) String() string { return strings.TrimSpace(c.Address + " " + c.Device) }

// What a Notice can be about.
const (
	NoticeLogin    = "login"    // signed in
	NoticeLink     = "link"     // a link from the chat was used
	NoticeOTPOn    = "otp_on"   // one-time passwords were switched on
	NoticeOTPOff   = "otp_off"  // and off
	NoticePassword = "password" // the local password was changed
)

// Notice asks a person whether it was them.
type Notice struct {
	What, Device, Address string
	At                    time.Time // the moment of the transaction unless set
}

// Notice tells a person what was just done in their name, with a button that
// ends every sign-in of theirs.
func (tx *Tx) Notice(ctx context.Context, userID string, n Notice) error {
	app, system, _ := strings.Cut(n.Device, deviceSeparator)
	return tx.Tell(ctx, userID, bot.Card("security.notice", notice{
		What: n.What, At: cmp.Or(n.At, tx.Now), App: app, System: system, Address: n.Address,
	}))
}

// deviceSeparator parts the program from the system in a Device, so that each
// can be said in the reader's language.
const deviceSeparator = " · "

// notice is the data of security.notice.
type notice struct {
	What        string
	At          time.Time
	App, System string // the device, either may be ""
	Address     string
}
