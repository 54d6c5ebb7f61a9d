package commands

import (
	"cmp"
	"context"
	"errors"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// device manages the sender's own devices: namespaces from which apps get tokens
// with a password. "/device new class-3a", then "/device auth add class-3a
// student readonly". A password is set on a page, like the sender's own.
var device = Command{
	Name:  "device",
	Alias: []string{"设备"},
	Usage: "[do:new|list|auth|tokens|revoke] [what...]",
	Level: bot.Anyone,
	Run:   listDevices,
	Sub: []Command{
		{Name: "new", Alias: []string{"新建"}, Usage: "<namespace> [name...]", Run: newDevice},
		{Name: "list", Alias: []string{"列表"}, Run: listDevices},
		{Name: "auth", Alias: []string{"授权"}, Usage: "<do:add|list|remove> <namespace> [what...]", Run: listAuth, Sub: []Command{
			{Name: "add", Alias: []string{"添加"}, Links: true, Run: addAuth,
				Usage: "<namespace> [type:any|teacher|student|classroom|parent] [access:full|readonly] [password=none]"},
			{Name: "list", Alias: []string{"列表"}, Usage: "<namespace>", Run: listAuth},
			{Name: "remove", Alias: []string{"删除"}, Usage: "<namespace> <id>", Run: removeAuth},
		}},
		{Name: "tokens", Alias: []string{"令牌"}, Usage: "<namespace>", Run: listApps},
		{Name: "revoke", Alias: []string{"撤销"}, Usage: "<namespace> <id>", Run: endApp},
	},
}

// devicesShown, of devices and of apps, fit into one message.
const devicesShown = 20

// own is the sender as the owner of devices.
func own(r *Request) store.Owner { return store.Owner{Person: r.User.Key()} }

// named finds the device a command is about. Somebody else's is as unknown as
// none: namespaces are not for finding out about.
func named(ctx context.Context, tx *store.Tx, r *Request) (store.Device, error) {
	d, err := tx.DeviceNamed(ctx, own(r), r.Arg("namespace"))
	if e, ok := errors.AsType[*bot.Error](err); errors.Is(err, store.ErrNotFound) || ok && e.Kind == bot.Denied {
		return d, bot.Fail(bot.NotFound, "device.unknown", nil, err)
	}
	return d, err
}

// noID says that the id a person gave means nothing.
func noID(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return bot.Fail(bot.NotFound, "device.noid", nil, err)
	}
	return err
}

func newDevice(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	ns := r.Arg("namespace")
	d, err := tx.NewDevice(ctx, own(r), cmp.Or(r.Arg("name"), ns), ns)
	return bot.Text("device.made", d), err
}

func listDevices(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	list, err := tx.Devices(ctx, own(r))
	n := min(len(list), devicesShown)
	return bot.Text("device", devices{list[:n], len(list) > n}), err
}

// devices is the data of device.
type devices struct {
	Devices []store.Device
	More    bool // than are shown
}

// addAuth sends a link to the page that sets the password; the configuration is
// made when there is one.
func addAuth(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	d, err := named(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	kind, readOnly := r.Arg("type"), r.Arg("access") == "readonly"
	if kind == "any" {
		kind = ""
	}
	if r.Has("password") {
		c, err := tx.AddOpenConfig(ctx, own(r), d.ID, kind, readOnly)
		return bot.Text("device.auth.open", openAuth{d.Namespace, c}), err
	}
	link, err := tx.NewDeviceLink(ctx, r.User, d, kind, readOnly)
	return bot.Card("device.auth", deviceTicket{r.User.Name, d.Namespace, kind, readOnly, link.URL, link.Expires.Sub(tx.Now)}), err
}

// openAuth is the data of device.auth.open.
type openAuth struct {
	Namespace string
	Config    store.DeviceConfig
}

// deviceTicket is the data of the card device.auth.
type deviceTicket struct {
	Name, Namespace, Type string
	ReadOnly              bool
	URL                   string
	For                   time.Duration
}

func listAuth(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	d, err := named(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	list, err := tx.Configs(ctx, d.ID)
	return bot.Text("device.auth", deviceAuth{d.Namespace, list}), err
}

// deviceAuth is the data of the text device.auth.
type deviceAuth struct {
	Namespace string
	Configs   []store.DeviceConfig
}

func removeAuth(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	d, err := named(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	return bot.Text("device.auth.removed", nil), noID(tx.RemoveConfig(ctx, own(r), d.ID, r.Arg("id")))
}

func listApps(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	d, err := named(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	list, err := tx.Apps(ctx, d.ID)
	n := min(len(list), devicesShown)
	return bot.Text("device.tokens", deviceApps{d.Namespace, list[:n], len(list) > n}), err
}

// deviceApps is the data of device.tokens.
type deviceApps struct {
	Namespace string
	Apps      []store.App
	More      bool // than are shown
}

func endApp(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	d, err := named(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	return bot.Text("device.revoked", nil), noID(tx.EndApp(ctx, own(r), d.ID, r.Arg("id")))
}
