package api

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"deskbell/bot"
)

// operation is what the table does not say of a route and the document does.
// Envelope, credentials, and the refusals that come with them are the table's.
type operation struct {
	id, says string
	in       any      // the body of a request: a value of its type
	needs    []string // fields of in that have to be there
	form     bool     // in is a posted form
	optional bool     // in may be left out
	query    []parameter
	headers  []parameter
	out      any         // the answer without its envelope
	status   int         // of it, 200 unless set
	also     map[int]any // other answers, without envelope: what they are by status
	fails    []int       // refusals besides those the policy means
	notAll   bool        // the master key is let in, and then refused for being nobody
}

// parameter is one of a query or a header.
type parameter struct {
	name, says string
	schema     object
}

func (p parameter) in(where string) object {
	return object{"name": p.name, "in": where, "description": p.says, "schema": p.schema}
}

// file is a body that is not JSON.
type file struct{}

// eventStream is a body that goes on, of server-sent events.
type eventStream struct{}

// document is the whole API in OpenAPI 3.1: the table, and operations by method
// and path. Pages are not in it.
func document(table []route, origin, version string) object {
	sc := &schemas{named: object{}}
	paths := object{}
	for _, rt := range table {
		if rt.as == pages {
			continue
		}
		path := strings.ReplaceAll(rt.path, "...}", "}")
		at, _ := paths[path].(object)
		if at == nil {
			at = object{}
			paths[path] = at
		}
		at[strings.ToLower(rt.method)] = sc.operation(rt, operations[rt.method+" "+rt.path])
	}
	paths[callbackPath] = callbackOperations()
	var tags []object
	for _, g := range groups {
		tags = append(tags, object{"name": g.name, "description": g.says})
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "Deskbell", "version": version, "description": aboutAPI},
		"servers": []object{{"url": origin}},
		"tags":    tags,
		"paths":   paths,
		"components": object{
			"schemas": sc.named,
			"securitySchemes": object{
				"bearer":    object{"type": "http", "scheme": "bearer", "description": "An access token."},
				"masterKey": object{"type": "http", "scheme": "bearer", "description": "security.master_key, which acts as super administrator."},
				"appToken":  object{"type": "http", "scheme": "bearer", "description": "An app's token of a device."},
				"appHeader": object{"type": "apiKey", "in": "header", "name": appHeader, "description": "An app's token of a device, where Authorization is somebody else's."},
			},
		},
	}
}

// operation is one route.
func (sc *schemas) operation(rt route, op operation) object {
	answers := object{"default": refusal(sc, rt.as, "Any other failure, as 405, 408, 413, 500, and 503 with Retry-After")}
	for _, status := range append(refusals(rt), op.fails...) {
		answers[strconv.Itoa(status)] = refusal(sc, rt.as, http.StatusText(status))
	}
	answers[strconv.Itoa(op.usual())] = answer(sc.body(rt.as, op.out), http.StatusText(op.usual()))
	for status, v := range op.also {
		answers[strconv.Itoa(status)] = answer(sc.body(rt.as, v), http.StatusText(status))
	}
	out := object{
		"operationId": op.id, "summary": op.says, "description": whose(rt.may, op), "tags": []string{group(rt.path)},
		"security": security(rt.may, op), "responses": answers,
	}
	if list := parameters(rt.path, op); len(list) > 0 {
		out["parameters"] = list
	}
	if op.in != nil {
		kind := "application/json"
		if op.form {
			kind = "application/x-www-form-urlencoded"
		}
		out["requestBody"] = object{"required": !op.optional, "content": object{kind: object{"schema": sc.asked(op.in, op.needs)}}}
	}
	return out
}

func (op operation) usual() int {
	if op.status == 0 {
		return http.StatusOK
	}
	return op.status
}

// refusals are the statuses that a route's policy and path bring with them.
func refusals(rt route) []int {
	list := []int{http.StatusBadRequest}
	p := rt.may
	if p.signedIn {
		list = append(list, http.StatusUnauthorized)
	}
	if p.level > bot.Anyone || p.proofs || p.endUser || p.writes || p.signedIn && !p.app && (!p.accounts || !p.weak) {
		list = append(list, http.StatusForbidden)
	}
	if p.secret {
		list = append(list, http.StatusTooManyRequests)
	}
	return list
}

// security lists the credentials that a route takes.
func security(p policy, op operation) []object {
	switch {
	case p.open:
		return []object{}
	case p.app:
		return []object{{"appToken": []string{}}, {"appHeader": []string{}}}
	case p.noMaster || op.notAll:
		return []object{{"bearer": []string{}}}
	}
	return []object{{"bearer": []string{}}, {"masterKey": []string{}}}
}

// whose says in words for whom a route is.
func whose(p policy, op operation) string {
	var says string
	switch {
	case p.secret:
		return "Public, with so many tries per address."
	case p.open:
		return "Public."
	case p.writes:
		return "For apps, by a token of a device that may write."
	case p.app:
		return "For apps, by a token of a device."
	case p.endUser:
		says = "For end users"
	case p.level > bot.Anyone:
		says = "For people of the role " + p.level.String()
	case p.accounts:
		says = "For people of the directory and accounts"
	default:
		says = "For people of the directory"
	}
	if !p.noMaster && !op.notAll {
		says += ", and the master key"
	}
	if p.proofs {
		says += "; not by the token of a direct link"
	}
	if p.weak && !p.endUser {
		says += "; also for administrators without a one-time password"
	}
	return says + "."
}

func parameters(path string, op operation) (list []object) {
	for segment := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")
			list = append(list, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	for _, p := range op.query {
		list = append(list, p.in("query"))
	}
	for _, p := range op.headers {
		list = append(list, p.in("header"))
	}
	return list
}

// answer is a response with a JSON body of a schema; nil is none.
func answer(content object, says string) object {
	out := object{"description": says}
	if content != nil {
		out["content"] = content
	}
	return out
}

// body is what an answer holds: v's schema in the envelope of its family.
func (sc *schemas) body(as *envelope, v any) object {
	switch v.(type) {
	case noContent:
		return nil
	case file:
		return object{"*/*": object{}}
	case eventStream:
		return object{"text/event-stream": object{"schema": anyText}}
	}
	return object{"application/json": object{"schema": sc.enveloped(as.ok(v), v)}}
}

// enveloped is the schema of a family's answer. What the envelope itself says of
// a success never differs.
func (sc *schemas) enveloped(wrapped, v any) object {
	t := reflect.TypeOf(wrapped)
	if t == reflect.TypeOf(v) {
		return sc.schema(v)
	}
	s := sc.fields(t)
	properties := s["properties"].(object)
	for f := range fieldsOf(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type.Kind() == reflect.Interface {
			properties[name] = sc.schema(v)
			continue
		}
		properties[name].(object)["const"] = reflect.ValueOf(wrapped).FieldByIndex(f.Index).Interface()
	}
	return s
}

// refusal is a response in the shape a family's failures have.
func refusal(sc *schemas, as *envelope, says string) object {
	name := errorNames[as]
	if _, known := sc.named[name]; !known {
		t := reflect.TypeOf(as.fail(&problem{}))
		s := sc.fields(t)
		for f := range fieldsOf(t) {
			if f.Type.Kind() == reflect.Interface { // data, of which a failure has none
				n, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				s["properties"].(object)[n] = object{"type": "null"}
			}
		}
		sc.named[name] = s
	}
	return answer(object{"application/json": object{"schema": object{"$ref": "#/components/schemas/" + name}}}, says)
}

var errorNames = map[*envelope]string{
	agentsAPI: "AgentsError", tokensAPI: "TokensError", introspectionAPI: "TokensError",
	detailAPI: "DetailError", devicesAPI: "DevicesError", plainAPI: "PlainError",
}
