package api

import (
	"context"
	"time"
)

// infoDevice is the device as an app sees it.
type infoDevice struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// deviceOwner is the account a device belongs to.
type deviceOwner struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	AvatarURL *string `json:"avatarUrl"`
}

// deviceInfo is where an app is.
type deviceInfo struct {
	Device     infoDevice   `json:"device"`
	HasAccount bool         `json:"hasAccount"`
	Account    *deviceOwner `json:"account,omitzero"`
}

// deviceInfo tells an app where it is. Of a person who owns the device it is
// told nothing: who has the password of a class need not know whose userid is
// behind it.
func (s *Server) deviceInfo(ctx context.Context, r *req) (any, error) {
	d, err := s.o.Store.DeviceOf(ctx, *r.who.app)
	if err != nil {
		return nil, err
	}
	var account *deviceOwner
	if d.Account != "" {
		a, err := s.o.Store.Account(ctx, d.Account)
		if err != nil {
			return nil, err
		}
		account = &deviceOwner{a.UID, a.Nickname, orNull(a.Avatar)}
	}
	return deviceInfo{infoDevice{d.ID, d.Name, d.CreatedAt, d.UpdatedAt}, account != nil, account}, nil
}

// tokenDevice is the device of a token.
type tokenDevice struct {
	ID        string `json:"id"`
	UUID      string `json:"uuid"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// tokenInfo is an app's token as the app sees it.
type tokenInfo struct {
	Success     bool        `json:"success"`
	AppID       string      `json:"appId"`
	DeviceType  *string     `json:"deviceType"`
	IsReadOnly  bool        `json:"isReadOnly"`
	Note        *string     `json:"note"`
	InstalledAt time.Time   `json:"installedAt"`
	UpdatedAt   time.Time   `json:"updatedAt"`
	Device      tokenDevice `json:"device"`
}

// tokenInfo tells an app what its token is.
func (s *Server) tokenInfo(ctx context.Context, r *req) (any, error) {
	d, err := s.o.Store.DeviceOf(ctx, *r.who.app)
	if err != nil {
		return nil, err
	}
	a := r.who.app
	return tokenInfo{true, a.AppID, orNull(a.Type), a.ReadOnly, orNull(a.Note), a.InstalledAt, a.UpdatedAt, tokenDevice{d.ID, d.ID, d.Name, d.Namespace}}, nil
}
