package api

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// appHeader carries an app's token where Authorization is somebody else's.
const appHeader = "x-app-token"

// app gives the caller of a route for apps, by the token in the one header or
// the other.
func (s *Server) app(ctx context.Context, r *req) (caller, error) {
	tokens := slices.Clone(r.ctx.Request.Header.PeekAll(appHeader)) // the next PeekAll uses the same memory
	for _, field := range r.ctx.Request.Header.PeekAll(fasthttp.HeaderAuthorization) {
		scheme, rest, _ := bytes.Cut(field, []byte(" "))
		if strings.EqualFold(string(scheme), "Bearer") { // any other is for a proxy on the way
			tokens = append(tokens, rest)
		}
	}
	switch {
	case len(tokens) == 0:
		return caller{}, unauthorized("an app's token is needed")
	case len(tokens) > 1 || r.ctx.QueryArgs().Has(tokenParam):
		return caller{}, badRequest("Authorization", "one credential only, and not in the URL")
	}
	app, err := s.o.Store.App(ctx, string(tokens[0]))
	if errors.Is(err, store.ErrNotFound) {
		return caller{}, unauthorized("the token is unknown, expired or revoked")
	}
	return caller{app: &app}, err
}

// tries counts a try at a namespace. right takes it back, for a password that was
// right: a class may come in at once, and the try told nobody anything.
func (r *req) tries(ctx context.Context, namespace string) (right func(), err error) {
	key := "namespace:" + r.s.o.Store.NamespaceKey(namespace)
	if err := r.limitedAs(ctx, key); err != nil {
		return nil, err
	}
	return func() {
		if r.s.o.GiveBack != nil {
			r.s.o.GiveBack(ctx, perAccount, key)
		}
	}, nil
}

// noEntry is what a try is refused with: an unknown namespace and a wrong
// password differ in the status, as the contract wants, and in nothing else.
func noEntry(status int) *problem {
	return &problem{status: status, message: "unknown namespace or wrong password"}
}

const appIDMax = 191

// madeAppToken is an app's token, shown this once.
type madeAppToken struct {
	Success     bool      `json:"success"`
	Token       string    `json:"token"`
	DeviceType  *string   `json:"deviceType"`
	IsReadOnly  bool      `json:"isReadOnly"`
	InstalledAt time.Time `json:"installedAt"`
}

// appTokenRequest is the way into a device's namespace.
type appTokenRequest struct {
	Namespace string  `json:"namespace"`
	Password  *string `json:"password"`
	AppID     string  `json:"appId"`
}

// appToken gives an app a token of a device. What it may do is not for it to say.
func (s *Server) appToken(ctx context.Context, r *req) (any, error) {
	var in appTokenRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Namespace == "":
		return nil, badRequest("namespace", "is missing")
	case in.AppID == "":
		return nil, badRequest("appId", "is missing")
	case utf8.RuneCountInString(in.AppID) > appIDMax || strings.ContainsFunc(in.AppID, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return nil, badRequest("appId", "is longer than 191 characters or has control characters")
	}
	password := ""
	if in.Password != nil {
		password = *in.Password
	}
	right, err := r.tries(ctx, in.Namespace)
	if err != nil {
		return nil, err
	}
	token, app, err := s.o.Store.OpenNamespace(ctx, in.Namespace, password, in.AppID, r.client())
	if errors.Is(err, store.ErrNotFound) {
		return nil, noEntry(fasthttp.StatusNotFound)
	}
	if e, ok := errors.AsType[*bot.Error](err); ok && e.Kind == bot.Denied {
		return nil, noEntry(fasthttp.StatusUnauthorized)
	}
	if err != nil {
		return nil, err
	}
	right()
	return withStatus{fasthttp.StatusCreated, madeAppToken{true, token, orNull(app.Type), app.ReadOnly, app.InstalledAt}}, nil
}

// namedApp is an app's token that knows which pupil has it.
type namedApp struct {
	Success   bool      `json:"success"`
	Token     string    `json:"token"`
	Name      string    `json:"name"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// studentRequest is the name of a pupil.
type studentRequest struct {
	Name string `json:"name"`
}

// setStudentName says which pupil has a token. The token stands in the path, as
// the apps there are put it; nothing of a path is logged.
func (s *Server) setStudentName(ctx context.Context, r *req) (any, error) {
	var in studentRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if in.Name == "" {
		return nil, badRequest("name", "is missing")
	}
	app, err := s.o.Store.App(ctx, r.holes[0])
	if err != nil {
		return nil, err
	}
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		app, err = tx.NameApp(ctx, app, in.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return namedApp{true, r.holes[0], app.Note, app.UpdatedAt}, nil
}
