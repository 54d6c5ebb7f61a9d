package api

import (
	"bytes"
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// owner is whose devices the caller means: a person's or an account's own.
func (c caller) owner() (store.Owner, error) {
	switch {
	case c.account != nil && !c.account.IsEndUser:
		return store.Owner{Account: c.account.UID}, nil
	case c.account == nil && !c.master:
		return store.Owner{Person: c.person.Key()}, nil
	}
	return store.Owner{}, forbidden("devices belong to accounts and people: use a token of one")
}

// noContent answers that it is done.
type noContent struct{}

func (noContent) write(r *req) { r.ctx.SetStatusCode(fasthttp.StatusNoContent) }

// given is a field that may be left out, null or a value.
type given[T any] struct {
	set   bool
	value *T
}

// UnmarshalJSON implements json.Unmarshaler.
func (g *given[T]) UnmarshalJSON(b []byte) error {
	g.set = true
	return json.Unmarshal(b, &g.value)
}

// shownDevice is a device as its owner sees it.
type shownDevice struct {
	UUID      string    `json:"uuid"`
	Name      string    `json:"name"`
	Namespace string    `json:"namespace"`
	CreatedAt time.Time `json:"createdAt"`
}

func showDevice(d store.Device) shownDevice {
	return shownDevice{d.ID, d.Name, d.Namespace, d.CreatedAt}
}

// deviceRequest is a device as its owner asks for it. deviceName is what older callers say.
type deviceRequest struct {
	Name       string `json:"name"`
	DeviceName string `json:"deviceName"`
	Namespace  string `json:"namespace"`
}

// makeDevice makes a device of the caller's.
func (s *Server) makeDevice(ctx context.Context, r *req) (any, error) {
	owner, err := r.who.owner()
	if err != nil {
		return nil, err
	}
	var in deviceRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	name := in.Name
	switch {
	case name == "":
		name = in.DeviceName
	case in.DeviceName != "" && in.DeviceName != name:
		return nil, badRequest("deviceName", "give one of name and deviceName")
	}
	if name == "" {
		return nil, badRequest("name", "is missing")
	}
	var d store.Device
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		d, err = tx.NewDevice(ctx, owner, name, in.Namespace)
		return err
	})
	if err != nil {
		return nil, err
	}
	return withStatus{fasthttp.StatusCreated, showDevice(d)}, nil
}

// items is a list.
type items[T any] struct {
	Items []T `json:"items"`
}

// devices lists the caller's devices.
func (s *Server) devices(ctx context.Context, r *req) (any, error) {
	owner, err := r.who.owner()
	if err != nil {
		return nil, err
	}
	list, err := s.o.Store.Devices(ctx, owner)
	if err != nil {
		return nil, err
	}
	shown := items[shownDevice]{make([]shownDevice, len(list))}
	for i, d := range list {
		shown.Items[i] = showDevice(d)
	}
	return shown, nil
}

// removeDevice removes a device of the caller's and all that is on it.
func (s *Server) removeDevice(ctx context.Context, r *req) (any, error) {
	owner, err := r.who.owner()
	if err != nil {
		return nil, err
	}
	return noContent{}, s.o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.RemoveDevice(ctx, owner, r.holes[0]) })
}

// own is the device of the path, which must be the caller's.
func (s *Server) own(ctx context.Context, r *req) (store.Device, error) {
	owner, err := r.who.owner()
	if err != nil {
		return store.Device{}, err
	}
	return s.o.Store.Device(ctx, owner, r.holes[0])
}

// shownApp is an app's token in a list: everything but the token.
type shownApp struct {
	ID          string    `json:"id"`
	AppID       string    `json:"appId"`
	DeviceType  *string   `json:"deviceType"`
	IsReadOnly  bool      `json:"isReadOnly"`
	Note        *string   `json:"note"`
	ConfigID    string    `json:"configId"`
	InstalledAt time.Time `json:"installedAt"`
	LastUsedAt  time.Time `json:"lastUsedAt"`
	ExpiresAt   time.Time `json:"expiresAt"`
}

// deviceTokens lists the tokens of a device of the caller's.
func (s *Server) deviceTokens(ctx context.Context, r *req) (any, error) {
	d, err := s.own(ctx, r)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Store.Apps(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	shown := items[shownApp]{make([]shownApp, len(list))}
	for i, a := range list {
		shown.Items[i] = shownApp{a.ID, a.AppID, orNull(a.Type), a.ReadOnly, orNull(a.Note), a.Config, a.InstalledAt, a.LastUsedAt, a.ExpiresAt}
	}
	return shown, nil
}

// endDeviceToken revokes a token of a device of the caller's.
func (s *Server) endDeviceToken(ctx context.Context, r *req) (any, error) {
	d, err := s.own(ctx, r)
	if err != nil {
		return nil, err
	}
	if uuid.Validate(r.holes[1]) != nil { // in the chat, the beginning of an id will do
		return nil, store.ErrNotFound
	}
	return noContent{}, s.o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.EndApp(ctx, d.Owner(), d.ID, r.holes[1]) })
}

// shownConfig is an auth config. Of its password nobody is told more than that
// there is one.
type shownConfig struct {
	ID          string    `json:"id"`
	HasPassword bool      `json:"hasPassword"`
	DeviceType  *string   `json:"deviceType"`
	IsReadOnly  bool      `json:"isReadOnly"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

func showConfig(c store.DeviceConfig) shownConfig {
	return shownConfig{c.ID, c.Password != "", orNull(c.Type), c.ReadOnly, c.CreatedAt, c.UpdatedAt}
}

type oneConfig struct {
	Success bool        `json:"success"`
	Config  shownConfig `json:"config"`
}

type configList struct {
	Success bool          `json:"success"`
	Configs []shownConfig `json:"configs"`
}

// authConfigs lists the auth configs of a device of the caller's.
func (s *Server) authConfigs(ctx context.Context, r *req) (any, error) {
	d, err := s.own(ctx, r)
	if err != nil {
		return nil, err
	}
	list, err := s.o.Store.Configs(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	shown := make([]shownConfig, len(list))
	for i, c := range list {
		shown[i] = showConfig(c)
	}
	return configList{true, shown}, nil
}

// configRequest is an auth config, or a change of one.
type configRequest struct {
	Password   given[string] `json:"password"`
	DeviceType given[string] `json:"deviceType" enum:"teacher student classroom parent"`
	IsReadOnly *bool         `json:"isReadOnly"`
}

// wishedConfig is what a caller wants of an auth config.
func wishedConfig(r *req) (c store.ConfigChange, any bool, err error) {
	var in configRequest
	if err := r.Bind(&in); err != nil {
		return c, false, err
	}
	none := ""
	if in.Password.set {
		if c.Password = &none; in.Password.value != nil {
			c.Password = in.Password.value
			if *c.Password == "" {
				return c, false, bot.Fail(bot.Invalid, "device.password", nil, nil)
			}
		}
	}
	if in.DeviceType.set {
		if c.Type = &none; in.DeviceType.value != nil {
			c.Type = in.DeviceType.value
			if *c.Type == "" {
				return c, false, bot.Fail(bot.Invalid, "device.type", nil, nil)
			}
		}
	}
	c.ReadOnly = in.IsReadOnly
	return c, in.Password.set || in.DeviceType.set || in.IsReadOnly != nil, nil
}

// makeAuthConfig makes an auth config for a device of the caller's.
func (s *Server) makeAuthConfig(ctx context.Context, r *req) (any, error) {
	d, err := s.own(ctx, r)
	if err != nil {
		return nil, err
	}
	wish, _, err := wishedConfig(r)
	if err != nil {
		return nil, err
	}
	c, err := s.o.Store.AddConfig(ctx, d.Owner(), d.ID, wish)
	if err != nil {
		return nil, err
	}
	return withStatus{fasthttp.StatusCreated, oneConfig{true, showConfig(c)}}, nil
}

// changeAuthConfig changes what the body names, and ends the config's tokens.
func (s *Server) changeAuthConfig(ctx context.Context, r *req) (any, error) {
	d, err := s.own(ctx, r)
	if err != nil {
		return nil, err
	}
	wish, some, err := wishedConfig(r)
	if err != nil {
		return nil, err
	}
	if !some {
		return nil, badRequest("body", "names nothing to change: password, deviceType or isReadOnly")
	}
	c, err := s.o.Store.ChangeConfig(ctx, d.Owner(), d.ID, r.holes[1], wish)
	if err != nil {
		return nil, err
	}
	return oneConfig{true, showConfig(c)}, nil
}

// removeAuthConfig removes an auth config and ends its tokens.
func (s *Server) removeAuthConfig(ctx context.Context, r *req) (any, error) {
	d, err := s.own(ctx, r)
	if err != nil {
		return nil, err
	}
	if uuid.Validate(r.holes[1]) != nil {
		return nil, store.ErrNotFound
	}
	return noContent{}, s.o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.RemoveConfig(ctx, d.Owner(), d.ID, r.holes[1]) })
}

// raw is JSON that goes out as it is.
type raw []byte

func (v raw) write(r *req) {
	r.ctx.SetStatusCode(fasthttp.StatusOK)
	r.ctx.SetContentType("application/json; charset=utf-8")
	r.ctx.SetBody(bytes.Clone(v))
}
