package wecom

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"deskbell/bot"
)

// APIError is WeCom's refusal of a call.
type APIError struct {
	Call string // gettoken, message/send, …
	Code int    // WeCom's errcode
	Msg  string // its errmsg without addresses and credentials; for people, not for decisions
}

func (e *APIError) Error() string {
	return fmt.Sprintf("wecom %s: errcode %d: %s", e.Call, e.Code, e.Msg)
}

var fromIP = regexp.MustCompile(`from ip: ([0-9a-fA-F:.]+)`)

// EgressIP is the address WeCom saw the call come from, "" if it did not say:
// with 60020 the one to enter as a trusted IP.
func (e *APIError) EgressIP() string {
	if m := fromIP.FindStringSubmatch(e.Msg); m != nil {
		return m[1]
	}
	return ""
}

func (e *APIError) staleToken() bool { return adviceFor(e.Code).class == staleToken }

// badCredentials reports a gettoken refused for good, until somebody edits the
// configuration.
func (e *APIError) badCredentials() bool {
	return e.Code == codeBadSecret || e.Code == codeBadCorpID || e.Code == codeBadCorpSecret
}

// outage is WeCom not answering, or an answer that is not WeCom's.
type outage struct {
	call, what string
	cause      error // the caller's context error, if that ended it; never a network error, those carry addresses
}

func (o *outage) Error() string { return "wecom " + o.call + ": " + o.what }
func (o *outage) Unwrap() error { return o.cause }

// Temporary reports whether the failure was WeCom's or the network's and may be
// gone at the next try: no answer, a broken one, or errcode -1, 6000, 45009 and
// 45033. A refused secret or IP is not temporary: it lasts until somebody acts.
func Temporary(err error) bool {
	if e, ok := errors.AsType[*APIError](err); ok {
		class := adviceFor(e.Code).class
		return class == busy || class == tooMany
	}
	_, ok := errors.AsType[*outage](err)
	return ok || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// kind sorts an error for whoever decides on trying again. A fault of the
// configuration counts as Unavailable: an administrator mends it in minutes, and
// until then nothing may be given up.
func kind(err error) bot.Kind {
	if Temporary(err) {
		if e, ok := errors.AsType[*APIError](err); ok && adviceFor(e.Code).class == tooMany {
			return bot.Limited
		}
		return bot.Unavailable
	}
	e, ok := errors.AsType[*APIError](err)
	if !ok {
		return bot.Internal
	}
	switch adviceFor(e.Code).class {
	case setup, staleToken:
		return bot.Unavailable
	case recipient:
		return bot.NotFound
	case content:
		return bot.Invalid
	}
	return bot.Internal
}

// fail gives an error the sentence people get to see.
func fail(kind bot.Kind, err error) *bot.Error {
	return bot.Fail(kind, "error.wecom", nil, err)
}

// Advice says what to do about an errcode, and where in WeCom's admin console;
// the page is empty when the fault is not there.
func Advice(code int) (fix, consolePage string) {
	a := adviceFor(code)
	return a.fix, a.page
}
