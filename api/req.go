package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"
)

// req is one request on its way through the table. Whatever it gives out has
// been copied: fasthttp uses its buffers again for the next request.
type req struct {
	s     *Server
	ctx   *fasthttp.RequestCtx
	route *route
	holes []string // what the {…} of the route's path hold
	id    string
	who   caller // the zero caller on routes that are open
}

// Path is the decoded path, without dots or double slashes.
func (r *req) Path() string { return string(r.ctx.Path()) }

// Query is a query parameter; "" when absent.
func (r *req) Query(name string) string { return string(r.ctx.QueryArgs().Peek(name)) }

// Form is a field of a posted form; "" when absent.
func (r *req) Form(name string) string { return string(r.ctx.PostArgs().Peek(name)) }

// Lang is the language to answer in: the person's, or what the browser asks for.
func (r *req) Lang() string {
	if r.who.person.Lang != "" {
		return r.who.person.Lang
	}
	return acceptLanguage(string(r.ctx.Request.Header.Peek(fasthttp.HeaderAcceptLanguage)))
}

// acceptLanguage takes the first language listed that there are texts in.
// Browsers list them in order, so the weights add nothing.
func acceptLanguage(header string) string {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.ToLower(strings.TrimSpace(tag))
		switch {
		case strings.HasPrefix(tag, "zh"):
			return "zh"
		case strings.HasPrefix(tag, "en"):
			return "en"
		}
	}
	return "zh"
}

// Bind reads the JSON body into v. It is strict, so that a misspelt field is
// not an ignored one: no unknown or repeated field, nothing after the value.
func (r *req) Bind(v any) error {
	err := json.Unmarshal(r.ctx.PostBody(), v, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	field, reason := "body", "is not valid JSON"
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		field, reason = fieldName(e.JSONPointer), "has the wrong type"
		if errors.Is(err, json.ErrUnknownName) {
			reason = "unknown field"
		}
	} else if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok && errors.Is(err, jsontext.ErrDuplicateName) {
		field, reason = fieldName(e.JSONPointer), "given twice"
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		reason = "is not complete JSON"
	}
	return badRequest(field, reason)
}

// Bodiless refuses a body with anything in it: whoever sends one expects it to
// matter.
func (r *req) Bodiless() error {
	if len(r.ctx.PostBody()) == 0 {
		return nil
	}
	return r.Bind(&struct{}{})
}

// fieldName writes a JSON pointer the way people write fields: users.0.email.
func fieldName(p jsontext.Pointer) string {
	var names []string
	for token := range p.Tokens() {
		names = append(names, token)
	}
	if len(names) == 0 {
		return "body"
	}
	return strings.Join(names, ".")
}

// address is the key under which the caller's address is counted.
func (r *req) address() string { return addrKey(clientAddr(r.ctx, r.s.o.TrustedProxies)) }

// limited counts a try at a secret.
func (r *req) limited(ctx context.Context) error {
	if r.s.o.Limit == nil {
		return nil
	}
	if wait := r.s.o.Limit(ctx, "login_per_address", r.address()); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

// perAccount is the limit on tries at one account, or one namespace.
const perAccount = "login_per_account"

// limitedAs counts a try at the secret of an account, under its canonical key.
func (r *req) limitedAs(ctx context.Context, key string) error {
	if r.s.o.Limit == nil {
		return nil
	}
	if wait := r.s.o.Limit(ctx, perAccount, key); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

// bearerToken is the token of the Authorization header, which admission found
// good.
func (r *req) bearerToken() string {
	_, token, _ := strings.Cut(string(r.ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)), " ")
	return token
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
