package api

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"deskbell/bot"
	"deskbell/store"
)

// getValue answers with the JSON that was stored.
func (s *Server) getValue(ctx context.Context, r *req) (any, error) {
	v, err := s.o.Store.Value(ctx, *r.who.app, r.holes[0])
	return raw(v.Value), err
}

// shownValue is what is known of an entry beside its value.
type shownValue struct {
	DeviceID  string    `json:"deviceId"`
	Key       string    `json:"key"`
	Size      int       `json:"size"` // of the value, in bytes
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

func showValue(device string, v store.Value) shownValue {
	return shownValue{device, v.Key, v.Size, v.CreatedAt, v.UpdatedAt}
}

func (s *Server) getMetadata(ctx context.Context, r *req) (any, error) {
	v, err := s.o.Store.Value(ctx, *r.who.app, r.holes[0])
	return showValue(v.Device, v), err
}

// storedValue says what became of an entry.
type storedValue struct {
	DeviceID  string    `json:"deviceId"`
	Key       string    `json:"key"`
	Created   bool      `json:"created"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// putValue stores the body, which is any JSON.
func (s *Server) putValue(ctx context.Context, r *req) (any, error) {
	value, err := r.value()
	if err != nil {
		return nil, err
	}
	var v store.Value
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		v, err = tx.PutValue(ctx, *r.who.app, r.holes[0], value)
		return err
	})
	if err != nil {
		return nil, written(err)
	}
	return storedValue{v.Device, v.Key, v.Created(), v.UpdatedAt}, nil
}

// value is the body without the white space between its parts. Numbers and the
// order of fields stay as they were written.
func (r *req) value() (string, error) {
	var v jsontext.Value
	if err := r.Bind(&v); err != nil {
		return "", err
	}
	return compact(v)
}

func compact(v jsontext.Value) (string, error) {
	if err := v.Compact(); err != nil {
		return "", badRequest("body", "is not valid JSON")
	}
	return string(v), nil
}

func (s *Server) removeValue(ctx context.Context, r *req) (any, error) {
	return noContent{}, written(s.o.Store.Tx(ctx, func(tx *store.Tx) error { return tx.RemoveValue(ctx, *r.who.app, r.holes[0]) }))
}

// written words why nothing was written: the token may have ended after the
// caller was admitted with it.
func written(err error) error {
	if errors.Is(err, store.ErrEnded) {
		return unauthorized("the token is unknown, expired or revoked")
	}
	return err
}

// importRefused is an entry that could not be stored.
type importRefused struct {
	Key   string `json:"key"`
	Error string `json:"error"`
}

// importResult is an entry that was stored.
type importResult struct {
	Key   string `json:"key"`
	IsNew bool   `json:"isNew"`
}

type importSummary struct {
	Total      int `json:"total"`
	Successful int `json:"successful"`
	Failed     int `json:"failed"`
}

type importData struct {
	DeviceID string          `json:"deviceId"`
	Summary  importSummary   `json:"summary"`
	Results  []importResult  `json:"results"`
	Errors   []importRefused `json:"errors,omitzero"`
}

// imported is what became of many entries.
type imported struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Data    importData `json:"data"`
}

// importValues stores many entries in one transaction. Keys that cannot be are
// named and left out; all others are stored, or none.
func (s *Server) importValues(ctx context.Context, r *req) (any, error) {
	var in map[string]jsontext.Value
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if len(in) == 0 {
		return nil, badRequest("body", `is not an object of keys and values: {"key":{}}`)
	}
	values, bad := map[string]string{}, []importRefused(nil)
	for key, value := range in {
		if !store.KeyFits(key) {
			bad = append(bad, importRefused{key, s.explain(r.Lang(), bot.Fail(bot.Invalid, "device.key", nil, nil)).message})
			continue
		}
		v, err := compact(value)
		if err != nil {
			return nil, err
		}
		values[key] = v
	}
	slices.SortFunc(bad, func(a, b importRefused) int { return strings.Compare(a.Key, b.Key) })
	put := []store.Value{}
	if len(values) > 0 {
		err := s.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
			put, err = tx.PutValues(ctx, *r.who.app, values)
			return err
		})
		if err != nil {
			return nil, written(err)
		}
	}
	results := make([]importResult, len(put))
	for i, v := range put {
		results[i] = importResult{v.Key, v.Created()}
	}
	return imported{200, "imported", importData{r.who.app.Device, importSummary{len(in), len(put), len(bad)}, results, bad}}, nil
}

// listed is a part of a device's entries.
type listed struct {
	values []store.Value
	total  int
	page   store.Page
	more   *string // where the next part is
}

const (
	listUsual   = 100
	listLargest = 1000
)

// list reads the part of the entries that the query asks for. The address of the
// next part says behind which entry it begins, so that going through a large
// device costs each time what the first part did, and misses nothing that is
// added meanwhile.
func (s *Server) list(ctx context.Context, r *req) (l listed, err error) {
	p := store.Page{By: "key", Limit: listUsual, After: r.Query("after")}
	if by := r.Query("sortBy"); by != "" {
		if p.By = by; !store.Ordered(by) {
			return l, badRequest("sortBy", "is not key, createdAt or updatedAt")
		}
	}
	switch dir := strings.ToLower(r.Query("sortDir")); dir {
	case "", "asc", "desc":
		p.Down = dir == "desc"
	default:
		return l, badRequest("sortDir", "is not asc or desc")
	}
	if p.Limit, err = r.number("limit", p.Limit, 1, listLargest); err != nil {
		return l, err
	}
	if p.Skip, err = r.number("skip", 0, 0, 1<<30); err != nil {
		return l, err
	}
	if at := r.Query("at"); at != "" {
		if p.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return l, badRequest("at", "is not a time of RFC 3339")
		}
	}
	l.page = p
	p.Limit++ // one more than wanted tells whether there is more, however many were removed meanwhile
	if l.values, l.total, err = s.o.Store.Values(ctx, *r.who.app, p); err != nil {
		return l, err
	}
	if p.Limit--; len(l.values) > p.Limit {
		l.values = l.values[:p.Limit]
		last := l.values[p.Limit-1]
		q := url.Values{"sortBy": {p.By}, "sortDir": {"asc"}, "limit": {strconv.Itoa(p.Limit)}, "skip": {strconv.Itoa(p.Skip + p.Limit)}, "after": {last.Key}}
		if p.Down {
			q.Set("sortDir", "desc")
		}
		switch p.By {
		case "createdAt":
			q.Set("at", last.CreatedAt.UTC().Format(time.RFC3339Nano))
		case "updatedAt":
			q.Set("at", last.UpdatedAt.UTC().Format(time.RFC3339Nano))
		}
		l.more = orNull(r.route.path + "?" + q.Encode())
	}
	return l, nil
}

// number is a query parameter between two bounds, or usual when it is absent.
func (r *req) number(name string, usual, least, most int) (int, error) {
	text := r.Query(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, badRequest(name, fmt.Sprintf("is not %d to %d", least, most))
	}
	return n, nil
}

// valuePage is a part of the entries.
type valuePage struct {
	Items    []shownValue `json:"items"`
	Total    int          `json:"total_rows"`
	LoadMore *string      `json:"load_more,omitzero"`
}

// listValues lists entries without their values.
func (s *Server) listValues(ctx context.Context, r *req) (any, error) {
	l, err := s.list(ctx, r)
	if err != nil {
		return nil, err
	}
	shown := make([]shownValue, len(l.values))
	for i, v := range l.values {
		shown[i] = showValue(r.who.app.Device, v)
	}
	return valuePage{shown, l.total, l.more}, nil
}

// keyPage is a part of the keys.
type keyPage struct {
	Keys     []string    `json:"keys"`
	Total    int         `json:"total_rows"`
	Current  currentPage `json:"current_page"`
	LoadMore *string     `json:"load_more,omitzero"`
}

type currentPage struct {
	Limit int `json:"limit"`
	Skip  int `json:"skip"`
	Count int `json:"count"`
}

// listKeys lists the keys alone.
func (s *Server) listKeys(ctx context.Context, r *req) (any, error) {
	l, err := s.list(ctx, r)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(l.values))
	for i, v := range l.values {
		keys[i] = v.Key
	}
	return keyPage{keys, l.total, currentPage{l.page.Limit, l.page.Skip, len(keys)}, l.more}, nil
}

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
