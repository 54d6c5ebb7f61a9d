package api

import (
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// problem is a failure as the caller will see it: what went wrong on our side
// stays in the log.
type problem struct {
	status  int
	message string
	code    int           // of section 5 of the contract, 0 for the one its status stands for
	retry   time.Duration // when it is worth trying again
	ref     string        // finds the cause in the log
	cause   error
}

func (p *problem) Error() string { return p.message }
func (p *problem) Unwrap() error { return p.cause }

// badRequest names the field that is wrong, and how.
func badRequest(field, reason string) *problem {
	return &problem{status: fasthttp.StatusBadRequest, message: field + ": " + reason}
}

func unauthorized(message string) *problem {
	return &problem{status: fasthttp.StatusUnauthorized, message: message}
}

func forbidden(message string) *problem {
	return &problem{status: fasthttp.StatusForbidden, message: message}
}

func tooMany(wait time.Duration) *problem {
	return &problem{status: fasthttp.StatusTooManyRequests, message: "too many requests", retry: wait}
}

// failure is an error that has a code of its own when it turns out to be ours.
type failure struct {
	code int
	error
}

func (f *failure) Unwrap() error { return f.error }

// failed gives an error of ours a code; nil stays nil.
func failed(code int, err error) error {
	if err == nil {
		return nil
	}
	return &failure{code, err}
}

// statuses translates what went wrong into HTTP.
var statuses = map[bot.Kind]int{
	bot.Internal:    fasthttp.StatusInternalServerError,
	bot.Invalid:     fasthttp.StatusBadRequest,
	bot.Denied:      fasthttp.StatusForbidden,
	bot.NotFound:    fasthttp.StatusNotFound,
	bot.Conflict:    fasthttp.StatusConflict,
	bot.Limited:     fasthttp.StatusTooManyRequests,
	bot.Unavailable: fasthttp.StatusServiceUnavailable,
}

// fields are what the caller has to change, for refusals that are about one.
var fields = map[string]string{
	"device.name": "name", "device.namespace": "namespace", "device.type": "deviceType", "device.pupil": "name", "device.key": "key", "device.value": "body",
	"device.password": "password", "device.password.taken": "password",
}

// explain turns any error into a problem. Failures that are ours get a reference
// number; the caller logs them.
func (s *Server) explain(lang string, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*bot.Error](err); ok && e.Kind != bot.Internal {
		p := &problem{status: statuses[e.Kind], cause: err}
		if f, ok := failures[e.Key]; ok {
			p.status, p.code = f.status, f.code
		}
		if e.Kind == bot.Limited || e.Kind == bot.Unavailable {
			p.retry = time.Second
		}
		var unsaid error
		if p.message, unsaid = s.o.Words.Text(lang, e.Key, e.Data); unsaid != nil {
			p.message = fasthttp.StatusMessage(p.status)
		}
		if field := fields[e.Key]; field != "" {
			p.message = field + ": " + p.message
		}
		return p
	}
	if e, ok := errors.AsType[*store.OTPRefused](err); ok {
		return otpProblem(e.OTPResult)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &problem{status: fasthttp.StatusNotFound, message: "not found", cause: err}
	case errors.Is(err, store.ErrExists):
		return &problem{status: fasthttp.StatusConflict, message: "already exists", cause: err}
	}
	p := &problem{status: fasthttp.StatusInternalServerError, ref: bot.NewRef(), cause: err}
	if f, ok := errors.AsType[*failure](err); ok {
		p.code = f.code
	}
	if store.Transient(err) {
		p.status, p.code = fasthttp.StatusServiceUnavailable, 0
		p.retry = time.Second
	}
	p.message = fasthttp.StatusMessage(p.status) + ", reference " + p.ref
	return p
}
