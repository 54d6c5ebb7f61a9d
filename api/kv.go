package api

import (
	"context"
	"errors"
	"slices"
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
