package api

import (
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// object is a JSON object under construction.
type object = map[string]any

// schemas turns Go types into JSON schemas, as the encoder writes them. Structs
// that have a name are said once and referred to.
type schemas struct {
	named object
}

// shaped is a type that is not on the wire what it is in Go.
type shaped interface{ shape(*schemas) object }

func (span) shape(*schemas) object {
	return object{"type": []string{"string", "integer"}, "description": `"30m", "12h", "7d", "1d12h", or a number of seconds`}
}

func (given[T]) shape(sc *schemas) object { return orNullSchema(sc.of(reflect.TypeFor[T]())) }

// eitherOf is a body that has one of several shapes.
type eitherOf []any

// schema is the schema of a value's type.
func (sc *schemas) schema(v any) object {
	if list, ok := v.(eitherOf); ok {
		var shapes []object
		for _, v := range list {
			shapes = append(shapes, sc.schema(v))
		}
		return object{"anyOf": shapes}
	}
	return sc.of(reflect.TypeOf(v))
}

func (sc *schemas) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[jsontext.Value](), reflect.TypeFor[raw](), reflect.TypeFor[any]():
		return object{} // any JSON
	}
	if s, ok := reflect.Zero(t).Interface().(shaped); ok && t.Kind() != reflect.Pointer {
		return s.shape(sc)
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Pointer:
		return orNullSchema(sc.of(t.Elem()))
	case reflect.Slice:
		return object{"type": "array", "items": sc.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": sc.of(t.Elem())}
	case reflect.Struct:
		return sc.struc(t)
	}
	panic("openapi: no schema for " + t.String()) // a test makes the document of every route
}

// orNullSchema lets a value be null too.
func orNullSchema(s object) object {
	switch t := s["type"].(type) {
	case string:
		s["type"] = []string{t, "null"}
		return s
	case []string:
		s["type"] = append(t, "null")
		return s
	}
	if len(s) == 0 {
		return s
	}
	return object{"anyOf": []object{s, {"type": "null"}}}
}

// struc is a struct's schema, or a reference to it when it has a name.
func (sc *schemas) struc(t reflect.Type) object {
	name := componentName(t)
	if name == "" {
		return sc.fields(t)
	}
	if _, known := sc.named[name]; !known {
		sc.named[name] = object{} // for those that hold themselves
		sc.named[name] = sc.fields(t)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// componentName is a type's name with a capital; "" for those that have none
// worth saying.
func componentName(t reflect.Type) string {
	name := t.Name()
	if name == "" || strings.Contains(name, "[") {
		return ""
	}
	letters := []rune(name)
	letters[0] = unicode.ToUpper(letters[0])
	return string(letters)
}

func (sc *schemas) fields(t reflect.Type) object {
	properties, required := object{}, []string{}
	for f := range fieldsOf(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		s, absent := f.Type, strings.Contains(options, "omitzero")
		if absent && s.Kind() == reflect.Pointer {
			s = s.Elem() // it is left out instead of null
		}
		property := sc.of(s)
		if words := f.Tag.Get("enum"); words != "" {
			property["enum"] = enum(property, strings.Fields(words))
		}
		properties[name] = property
		if !absent {
			required = append(required, name)
		}
	}
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// enum lists the words a property takes, and null where it may be that.
func enum(property object, words []string) []any {
	var list []any
	for _, w := range words {
		list = append(list, w)
	}
	if _, more := property["type"].([]string); more {
		list = append(list, nil)
	}
	return list
}

// fieldsOf goes through the fields of a struct, and of those embedded in it.
func fieldsOf(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			if !f.Anonymous && f.IsExported() && !yield(f) {
				return
			}
		}
	}
}

// asked is the schema of a request: only what is needed has to be there.
func (sc *schemas) asked(v any, needs []string) object {
	s := sc.schema(v)
	ref, ok := s["$ref"].(string)
	if !ok {
		return s
	}
	def := sc.named[strings.TrimPrefix(ref, "#/components/schemas/")].(object)
	delete(def, "required")
	if len(needs) > 0 {
		def["required"] = needs
	}
	def["additionalProperties"] = false // Bind refuses what it does not know
	return s
}
