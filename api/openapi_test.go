package api

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/valyala/fasthttp"
)

// The document and the table know the same routes.
func TestEveryRouteIsDocumented(t *testing.T) {
	table := map[string]bool{}
	for _, rt := range (&Server{}).table() {
		if rt.as == pages {
			continue
		}
		name := rt.method + " " + rt.path
		table[name] = true
		if op := operations[name]; op.id == "" || op.says == "" || op.out == nil {
			t.Errorf("%s has no entry in operations: say what it is called, does and answers", name)
		}
		if group(rt.path) == "" || errorNames[rt.as] == "" {
			t.Errorf("%s is in group %q with failures %q", name, group(rt.path), errorNames[rt.as])
		}
	}
	for name := range operations {
		if !table[name] {
			t.Errorf("%s is documented and not in the table", name)
		}
	}
}

// The document is OpenAPI 3.1 as far as tools rely on it: what has to be there
// is, nothing is there that the standard does not know, and every name leads
// somewhere.
func TestTheDocumentIsValid(t *testing.T) {
	r := newRig(t)
	got := r.do("GET", "/api/openapi.json", "")
	r.want(got, 200)
	var doc map[string]any
	r.ok(json.Unmarshal(got.Body(), &doc)) // which refuses names given twice
	keys(t, "document", doc, "openapi info paths", "servers tags components")
	keys(t, "info", doc["info"], "title version", "description")
	if doc["openapi"] != "3.1.0" || doc["info"].(object)["version"] != "v1.2.3" || doc["servers"].([]any)[0].(object)["url"] != "https://desk.example.com" {
		t.Errorf("%v, %v, %v", doc["openapi"], doc["info"], doc["servers"])
	}
	parts := doc["components"].(object)
	keys(t, "components", parts, "schemas securitySchemes", "")
	for name, s := range parts["schemas"].(object) {
		if !regexp.MustCompile(`^[a-zA-Z0-9._-]+$`).MatchString(name) {
			t.Errorf("schema name %q", name)
		}
		checkSchema(t, doc, name, s)
	}
	var tags []string
	for _, tag := range doc["tags"].([]any) {
		keys(t, "tag", tag, "name", "description")
		tags = append(tags, tag.(object)["name"].(string))
	}
	ids := map[string]bool{}
	for path, item := range doc["paths"].(object) {
		for method, op := range item.(object) {
			where := method + " " + path
			if !slices.Contains([]string{"get", "put", "post", "delete"}, method) || !strings.HasPrefix(path, "/") {
				t.Errorf("%s is no operation", where)
			}
			checkOperation(t, doc, where, path, op.(object))
			id := op.(object)["operationId"].(string)
			if ids[id] {
				t.Errorf("%s: operationId %s is another's too", where, id)
			}
			ids[id] = true
			for _, tag := range op.(object)["tags"].([]any) {
				if !slices.Contains(tags, tag.(string)) {
					t.Errorf("%s: no tag %v", where, tag)
				}
			}
		}
	}
	if len(ids) < 50 {
		t.Errorf("%d operations", len(ids))
	}
}

func checkOperation(t *testing.T, doc object, where, path string, op object) {
	t.Helper()
	keys(t, where, op, "operationId summary tags security responses", "description parameters requestBody")
	var inPath []string
	seen := map[string]bool{}
	params, _ := op["parameters"].([]any)
	for _, p := range params {
		p := p.(object)
		keys(t, where, p, "name in schema", "required description")
		checkSchema(t, doc, where, p["schema"])
		name, in := p["name"].(string), p["in"].(string)
		if seen[in+name] {
			t.Errorf("%s: parameter %s twice", where, name)
		}
		seen[in+name] = true
		if in == "path" {
			inPath = append(inPath, name)
			if p["required"] != true {
				t.Errorf("%s: %s is not required", where, name)
			}
		}
	}
	var holes []string
	for _, m := range regexp.MustCompile(`\{([A-Za-z_]+)\}`).FindAllStringSubmatch(path, -1) {
		holes = append(holes, m[1])
	}
	if !slices.Equal(holes, inPath) || strings.Count(path, "{") != len(holes) {
		t.Errorf("%s: path parameters %q", where, inPath)
	}
	for _, needed := range op["security"].([]any) {
		for name := range needed.(object) {
			if doc["components"].(object)["securitySchemes"].(object)[name] == nil {
				t.Errorf("%s: no security scheme %s", where, name)
			}
		}
	}
	if body, ok := op["requestBody"].(object); ok {
		keys(t, where, body, "content required", "")
		checkContent(t, doc, where, body["content"])
	}
	for status, answer := range op["responses"].(object) {
		keys(t, where+" "+status, answer, "description", "content")
		if status != "default" && !regexp.MustCompile(`^[1-5][0-9][0-9]$`).MatchString(status) || answer.(object)["description"] == "" {
			t.Errorf("%s: response %q: %v", where, status, answer)
		}
		if content := answer.(object)["content"]; content != nil {
			checkContent(t, doc, where+" "+status, content)
		}
	}
}

func checkContent(t *testing.T, doc object, where string, content any) {
	t.Helper()
	for kind, media := range content.(object) {
		if !strings.Contains(kind, "/") {
			t.Errorf("%s: media type %q", where, kind)
		}
		keys(t, where, media, "", "schema")
		if s := media.(object)["schema"]; s != nil {
			checkSchema(t, doc, where, s)
		}
	}
}

// checkSchema wants nothing but the keywords that conforms understands: one it
// does not would check nothing.
func checkSchema(t *testing.T, doc object, where string, s any) {
	t.Helper()
	schema, ok := s.(object)
	if !ok {
		if _, ok := s.(bool); !ok {
			t.Errorf("%s: schema %v", where, s)
		}
		return
	}
	keys(t, where, schema, "", "$ref type format description properties required additionalProperties items anyOf enum const pattern minimum maximum minLength maxLength default")
	if ref, ok := schema["$ref"].(string); ok && resolve(doc, ref) == nil {
		t.Errorf("%s: %s leads nowhere", where, ref)
	}
	types, _ := schema["type"].([]any)
	if one := schema["type"]; one != nil && types == nil {
		types = []any{one}
	}
	for _, name := range types {
		if !slices.Contains([]any{"null", "boolean", "object", "array", "number", "integer", "string"}, name) {
			t.Errorf("%s: type %v", where, name)
		}
	}
	properties, _ := schema["properties"].(object)
	for name, p := range properties {
		checkSchema(t, doc, where+"."+name, p)
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if properties[name.(string)] == nil {
			t.Errorf("%s: %v is required and not described", where, name)
		}
	}
	for _, word := range []string{"items", "additionalProperties"} {
		if schema[word] != nil {
			checkSchema(t, doc, where+"."+word, schema[word])
		}
	}
	shapes, _ := schema["anyOf"].([]any)
	for _, s := range shapes {
		checkSchema(t, doc, where, s)
	}
}

func resolve(doc object, ref string) any {
	name, ok := strings.CutPrefix(ref, "#/components/schemas/")
	if !ok {
		return nil
	}
	return doc["components"].(object)["schemas"].(object)[name]
}

// keys wants the keys of v to be those that must be, and may be.
func keys(t *testing.T, where string, v any, must, may string) {
	t.Helper()
	has := v.(object)
	for _, k := range strings.Fields(must) {
		if has[k] == nil {
			t.Errorf("%s: %s is missing", where, k)
		}
	}
	for k := range has {
		if !slices.Contains(strings.Fields(must+" "+may), k) {
			t.Errorf("%s: %s does not belong there", where, k)
		}
	}
}

// What the document says of credentials is what the matrix says happens.
func TestDocumentedCredentialsOpenTheRoute(t *testing.T) {
	lines, err := os.ReadFile("testdata/matrix.txt")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for line := range strings.Lines(string(lines)) {
		cells := strings.Fields(line)
		rt := slices.IndexFunc((&Server{}).table(), func(rt route) bool {
			return rt.as != pages && len(cells) > 2 && rt.method == cells[0] && rt.path == cells[1]
		})
		if rt < 0 {
			continue
		}
		is := (&Server{}).table()[rt]
		schemes := map[string]bool{}
		for _, s := range security(is.may, operations[is.method+" "+is.path]) {
			maps.Insert(schemes, maps.All(boolOf(s)))
		}
		nobody, master := cells[2], cells[len(cells)-1]
		let := func(status string) bool { return status != "401" && status != "403" }
		if is.may.signedIn && (len(schemes) == 0 || nobody != "401" || schemes["masterKey"] && !let(master)) || !is.may.signedIn && len(schemes) > 0 {
			t.Errorf("%s %s is documented for %v; nobody gets %s and the master key %s", is.method, is.path, slices.Sorted(maps.Keys(schemes)), nobody, master)
		}
		checked++
	}
	if checked != len(operations) {
		t.Errorf("%d routes checked of %d", checked, len(operations))
	}
}

func boolOf(o object) map[string]bool {
	all := map[string]bool{}
	for k := range o {
		all[k] = true
	}
	return all
}

// The document and its page may be kept, and are asked for again with their tag.
func TestTheDocumentMayBeKept(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/api/openapi.json", "/api/docs", "/static/swagger-ui/swagger-ui-bundle.js"} {
		var sizes []int
		for _, encoding := range []string{"", "gzip"} {
			got := r.do("GET", path, "", with{"Accept-Encoding", encoding})
			r.want(got, 200)
			tag := string(got.Header.Peek("ETag"))
			again := r.do("GET", path, "", with{"Accept-Encoding", encoding}, with{"If-None-Match", tag})
			if tag == "" || again.StatusCode() != fasthttp.StatusNotModified || len(again.Body()) > 0 || string(again.Header.Peek("Cache-Control")) != "no-cache" {
				t.Errorf("%s: tag %q, then %d with %d bytes, %s", path, tag, again.StatusCode(), len(again.Body()), again.Header.Peek("Cache-Control"))
			}
			sizes = append(sizes, len(got.Body()))
			plain, err := got.BodyUncompressed()
			r.ok(err)
			if len(plain) != sizes[0] {
				t.Errorf("%s: %d bytes unpacked, want %d", path, len(plain), sizes[0])
			}
		}
		if path != "/api/docs" && sizes[1]*3 > sizes[0] {
			t.Errorf("%s: %d bytes packed of %d", path, sizes[1], sizes[0])
		}
	}
}
