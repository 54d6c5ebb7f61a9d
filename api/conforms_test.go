package api

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"
)

// documented is the document as its readers get it.
var documented = sync.OnceValue(func() (doc object) {
	body, err := json.Marshal(document((&Server{}).table(), "https://desk.example.com", "v1.2.3"))
	if err == nil {
		err = json.Unmarshal(body, &doc)
	}
	if err != nil {
		panic(err)
	}
	return doc
})

// asDocumented holds a request that was sent and its answer against the
// document: every test of this package checks it so, by the way.
func (r *rig) asDocumented(q *fasthttp.Request, got *fasthttp.Response) {
	r.Helper()
	ctx := fasthttp.RequestCtx{}
	ctx.Request.SetRequestURI(string(q.RequestURI()))
	rt, _, _ := r.routes.match(string(ctx.Path()), string(q.Header.Method()))
	if rt == nil || rt.as == pages || q.Header.IsHead() {
		return
	}
	where := rt.method + " " + rt.path
	doc := documented()
	at, ok := doc["paths"].(object)[strings.ReplaceAll(rt.path, "...}", "}")].(object)
	if !ok {
		return // a test's own: TestEveryRouteIsDocumented sees to the others
	}
	op := at[strings.ToLower(rt.method)].(object)
	status := got.StatusCode()
	answer, ok := op["responses"].(object)[strconv.Itoa(status)].(object)
	if !ok {
		if status < 500 && status != fasthttp.StatusRequestTimeout && status != fasthttp.StatusRequestEntityTooLarge {
			r.Errorf("%s answers %d, which is not documented: %.300s", where, status, got.Body())
			return
		}
		answer = op["responses"].(object)["default"].(object)
	}
	if content, ok := answer["content"].(object); !ok {
		if len(got.Body()) > 0 {
			r.Errorf("%s answers %d with a body: %.300s", where, status, got.Body())
		}
	} else if media, ok := content["application/json"].(object); ok {
		plain, err := got.BodyUncompressed()
		r.ok(err)
		if err := reads(doc, media["schema"], plain); err != nil {
			r.Errorf("%s answers %d not as documented: %v in %.500s", where, status, err, plain)
		}
	}
	if body, ok := op["requestBody"].(object); ok && status < 300 {
		r.askedAsDocumented(where, doc, body, q.Body())
	}
}

// askedAsDocumented: a body that was accepted is one that may be sent.
func (r *rig) askedAsDocumented(where string, doc, body object, sent []byte) {
	r.Helper()
	media, ok := body["content"].(object)["application/json"].(object)
	if !ok {
		return // a form
	}
	if len(sent) == 0 && body["required"] == false {
		return
	}
	if err := reads(doc, media["schema"], sent); err != nil {
		r.Errorf("%s accepts what is not documented: %v in %.300s", where, err, sent)
	}
}

// reads holds JSON against a schema. Where any JSON may be, it need not be any
// that Go has values for.
func reads(doc object, schema any, body []byte) error {
	if s, ok := schema.(object); ok && len(s) == 0 {
		if !jsontext.Value(body).IsValid() {
			return errors.New("not JSON")
		}
		return nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	return conforms(doc, schema, v)
}

// conforms holds a value against a schema. It is stricter than JSON Schema: a
// field that is not described is not there.
func conforms(doc object, schema, v any) error {
	s, ok := schema.(object)
	if !ok {
		if schema == false {
			return fmt.Errorf("%v: not allowed here", v)
		}
		return nil
	}
	if ref, ok := s["$ref"].(string); ok {
		return conforms(doc, resolve(doc, ref), v)
	}
	if list, ok := s["anyOf"].([]any); ok {
		var err error
		for _, one := range list {
			if err = conforms(doc, one, v); err == nil {
				return nil
			}
		}
		return err
	}
	if want, ok := s["const"]; ok && v != want {
		return fmt.Errorf("%v instead of %v", v, want)
	}
	if list, ok := s["enum"].([]any); ok && !slices.Contains(list, v) {
		return fmt.Errorf("%v is none of %v", v, list)
	}
	if err := ofType(s["type"], v); err != nil {
		return err
	}
	switch v := v.(type) {
	case string:
		if s["format"] == "date-time" {
			_, err := time.Parse(time.RFC3339Nano, v)
			return err
		}
	case []any:
		for i, item := range v {
			if err := conforms(doc, s["items"], item); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
	case object:
		return fieldsConform(doc, s, v)
	}
	return nil
}

func fieldsConform(doc, s, v object) error {
	properties, closed := s["properties"].(object)
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return fmt.Errorf("%v is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		field, ok := properties[name]
		if !ok && closed {
			return fmt.Errorf("%s is not documented", name)
		} else if !ok {
			field = s["additionalProperties"]
		}
		if err := conforms(doc, field, v[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func ofType(types, v any) error {
	list, ok := types.([]any)
	if !ok && types == nil {
		return nil
	} else if !ok {
		list = []any{types}
	}
	is := "null"
	switch v := v.(type) {
	case bool:
		is = "boolean"
	case string:
		is = "string"
	case float64:
		if is = "number"; v == math.Trunc(v) {
			is = "integer"
		}
	case []any:
		is = "array"
	case object:
		is = "object"
	}
	if !slices.Contains(list, any(is)) {
		return fmt.Errorf("%.50v is of type %s, want %v", v, is, list)
	}
	return nil
}

// What conforms lets through would be believed everywhere.
func TestConforms(t *testing.T) {
	doc := documented()
	agent := `"user_id":"lilei","name":"","status":"busy","role":"agent","roles":["agent"],"current_load":0,"max_load":5,"otp_enabled":true,"created_at":"2026-03-04T05:06:07Z"`
	for _, c := range []struct{ schema, json, wrong string }{
		{"Agent", `{` + agent + `,"updated_at":"2026-03-04T05:06:07.5+08:00"}`, ""},
		{"Agent", `{` + agent + `}`, "updated_at is missing"},
		{"Agent", `{` + agent + `,"updated_at":"yesterday"}`, "updated_at: parsing time"},
		{"Agent", `{` + agent + `,"updated_at":null}`, "updated_at: .* null"},
		{"Agent", `{` + agent + `,"updated_at":"2026-03-04T05:06:07Z","password":"x"}`, "password is not documented"},
		{"StatusRequest", `{"status":"away"}`, "status: away is none of"},
		{"StatusRequest", `{}`, "status is missing"},
		{"ConfigRequest", `{"password":null,"deviceType":null,"isReadOnly":false}`, ""},
		{"ConfigRequest", `{"isReadOnly":1}`, "isReadOnly: 1 is of type integer"},
		{"TokenRequest", `{"user":"lilei","ttl":1.5}`, "ttl: 1.5 is of type number"},
		{"BotRequest", `{"name":"x","settings":[{"any":null}]}`, ""},
		{"AccountsRequest", `{"users":[{"email":"a@example.com"},{"mail":"x"}]}`, "users: 1: mail is not documented"},
		{"AgentsError", `{"code":1004,"message":"no","data":{}}`, "data: .* object"},
	} {
		var v any
		if err := json.Unmarshal([]byte(c.json), &v); err != nil {
			t.Fatal(err)
		}
		err := conforms(doc, object{"$ref": "#/components/schemas/" + c.schema}, v)
		if (err == nil) != (c.wrong == "") || err != nil && !regexp.MustCompile(c.wrong).MatchString(err.Error()) {
			t.Errorf("%s %s: %v, want %q", c.schema, c.json, err, c.wrong)
		}
	}
}
