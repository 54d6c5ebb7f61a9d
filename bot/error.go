package bot

import (
	"crypto/rand"
	"errors"
)

// Kind sorts failures by what the person can do about them.
type Kind int

// The kinds. The zero Kind is a fault of ours.
const (
	Internal    Kind = iota
	Invalid          // say it differently
	Denied           // not yours to do
	NotFound         // there is no such thing
	Conflict         // something else is in the way
	Limited          // not so fast
	Unavailable      // something we depend on is down; try again
)

// Error is a failure with a sentence for the person: Key and Data name it in
// templates, Err is the cause and goes to the log only.
type Error struct {
	Kind Kind
	Key  string
	Data any
	Err  error
}

// Fail makes an Error.
func Fail(kind Kind, key string, data any, cause error) *Error {
	return &Error{Kind: kind, Key: key, Data: data, Err: cause}
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Key + ": " + e.Err.Error()
	}
	return e.Key
}

func (e *Error) Unwrap() error { return e.Err }

// Fault is the data of an error nobody foresaw: Ref is what the person reads out
// to the administrator, who finds it in the log.
type Fault struct{ Ref string }

// Explain turns any error into one a person may be shown. An error that nobody
// gave a sentence becomes Internal with a fresh reference number.
func Explain(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Fail(Internal, "error.internal", Fault{Ref: NewRef()}, err)
}

// NewRef makes a reference number: eight characters that are easy to read out.
func NewRef() string { return rand.Text()[:8] }
