package settings

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Key is a setting of one value.
func Key[T any](name string, dst *T, r Rule[T]) Setting {
	return Setting{name: name, take: func(v any) (string, string) {
		text, quoted := v.(string)
		if fromEnv, ok := v.(variable); ok {
			text = string(fromEnv)
		} else if quoted == r.Bare {
			return "is of the wrong type", r.Fix
		} else if !quoted {
			text = fmt.Sprint(v)
		}
		value, ok := r.Read(text)
		if !ok {
			return r.Reason, r.Fix
		}
		*dst = value
		return "", ""
	}}
}

// List is a setting of several; in the environment they are parted by commas.
func List[T any](name string, dst *[]T, r Rule[T]) Setting {
	return Setting{name: name, take: func(v any) (string, string) {
		items, isList := v.([]any)
		if fromEnv, ok := v.(variable); ok {
			for s := range strings.FieldsFuncSeq(string(fromEnv), func(r rune) bool { return r == ',' || isSpace(r) }) {
				items = append(items, s)
			}
		} else if !isList {
			return "is not a list", `write ["…", "…"]: ` + r.Fix
		}
		var values []T
		for i, item := range items {
			s, isText := item.(string)
			value, ok := r.Read(s)
			if !ok || !isText {
				return fmt.Sprintf("entry %d %s", i+1, r.Reason), r.Fix
			}
			values = append(values, value)
		}
		*dst = values
		return "", ""
	}}
}

// Hidden is a setting of one secret.
func Hidden(name string, dst *Secret, r Rule[string]) Setting {
	s := Key(name, dst, hide(r))
	s.secret = true
	return s
}

// HiddenList is a setting of several secrets.
func HiddenList(name string, dst *[]Secret, r Rule[string]) Setting {
	s := List(name, dst, hide(r))
	s.secret = true
	return s
}

func hide(r Rule[string]) Rule[Secret] {
	read := func(s string) (Secret, bool) {
		_, ok := r.Read(s)
		return Secret(s), ok
	}
	return Rule[Secret]{Read: read, Reason: r.Reason, Fix: r.Fix}
}

// Secret is text that stays out of logs, errors and dumps, however printed.
type Secret string

const redacted = "[redacted]"

// Reveal gives the value to whoever has to use it.
func (s Secret) Reveal() string { return string(s) }

func (Secret) String() string               { return redacted }
func (Secret) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
