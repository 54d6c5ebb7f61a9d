// Package callbacks owns WeCom's HTTP calls in: it verifies, hands the message
// on to be kept and run, and answers in time.
//
// It leaves WeCom's formats to bot/wecom, and everything a message means to the
// one function it is given. It is mounted on a server that has read the body
// and bounded it; nothing of fasthttp's memory outlives Serve, because App.Open
// makes its own strings.
//
//	h := &callbacks.Handler{App: app, Take: runner.Take, Log: log}
//	server.Mount("/callbacks/wecom", h.Serve)
package callbacks

import (
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/bot/wecom"
)

const (
	// maxBody is the contract's cap; a real callback has under 8 KiB.
	maxBody = 64 << 10
	// takeTime leaves half a second of the five WeCom waits (document 90238).
	takeTime = 4500 * time.Millisecond
)

// Outcomes a Handler counts.
const (
	Replied     = "replied"     // 200 with a passive reply
	Taken       = "taken"       // 200, and what there is to say comes later or not at all
	Ignored     = "ignored"     // 200 to something that changes nothing
	Echoed      = "echoed"      // WeCom verified the URL
	Refused     = "refused"     // 403, 400, 413
	Unavailable = "unavailable" // 503: WeCom sends it again
)

// Handler answers WeCom. App and Take are required.
type Handler struct {
	App *wecom.App
	// Take keeps m for good and gives the text to answer with, "" for none, in any
	// case by the given time. An error means that m was not kept: WeCom is told to
	// send it again.
	Take func(by time.Time, m bot.Message) (text string, err error)

	Now     func() time.Time     // nil: time.Now
	Log     *slog.Logger         // nil: nothing is logged
	Refused func(reason string)  // nil, or counts refusals; the only place a reason is told
	Counted func(outcome string) // nil, or counts every call by its outcome
}

// Serve answers one call: GET verifies the URL, POST brings a message.
func (h *Handler) Serve(ctx *fasthttp.RequestCtx) {
	defer h.rescue(ctx)
	switch {
	case len(ctx.Request.Header.Peek(fasthttp.HeaderContentEncoding)) > 0:
		// An inflated body would get past the cap.
		h.refuse(ctx, fasthttp.StatusForbidden, "encoding")
	case ctx.IsPost():
		h.receive(ctx)
	case ctx.IsGet():
		h.verify(ctx)
	default:
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, POST")
		h.refuse(ctx, fasthttp.StatusMethodNotAllowed, "method")
	}
}

// verify needs neither the store nor the network: WeCom waits only a second.
func (h *Handler) verify(ctx *fasthttp.RequestCtx) {
	echo, err := h.App.Echo(ctx.URI().QueryString(), h.now())
	if err != nil {
		h.refuseFor(ctx, err)
		return
	}
	answer(ctx, fasthttp.StatusOK, plainText, echo)
	h.count(Echoed)
}

func (h *Handler) receive(ctx *fasthttp.RequestCtx) {
	body := ctx.PostBody()
	if len(body) > maxBody {
		h.refuse(ctx, fasthttp.StatusRequestEntityTooLarge, "size")
		return
	}
	now := h.now()
	opened, err := h.App.Open(ctx.URI().QueryString(), body, now)
	if err != nil {
		h.refuseFor(ctx, err)
		return
	}
	bot.Failpoint("after-parse")
	if opened.Event == bot.Other {
		empty(ctx)
		h.count(Ignored)
		return
	}

	text, err := h.Take(time.Now().Add(takeTime), opened.Message)
	if err != nil {
		h.fail(ctx, "message not taken", opened.From, err)
		return
	}
	bot.Failpoint("before-answer")
	if text == "" {
		empty(ctx)
		h.count(Taken)
		return
	}
	seal(ctx, &opened, text, h.now())
	h.count(Replied)
}

// refuseFor answers an envelope that Open or Echo did not accept.
func (h *Handler) refuseFor(ctx *fasthttp.RequestCtx, err error) {
	status, reason := fasthttp.StatusForbidden, "other"
	if r, ok := errors.AsType[*wecom.Refusal](err); ok {
		status, reason = r.Status, r.Reason
	}
	h.refuse(ctx, status, reason)
}

func (h *Handler) refuse(ctx *fasthttp.RequestCtx, status int, reason string) {
	refusal(ctx, status)
	if h.Refused != nil {
		h.Refused(reason)
	}
	h.count(Refused)
}

// fail asks WeCom to send the message again: it was not kept.
func (h *Handler) fail(ctx *fasthttp.RequestCtx, what, user string, err error, more ...any) {
	refusal(ctx, fasthttp.StatusServiceUnavailable)
	if h.Log != nil {
		h.Log.Error(what, append([]any{"ref", bot.NewRef(), "user", user, "err", err}, more...)...)
	}
	h.count(Unavailable)
}

// rescue keeps a panic from ending the process, which is what fasthttp does
// with it.
func (h *Handler) rescue(ctx *fasthttp.RequestCtx) {
	if p := recover(); p != nil {
		h.fail(ctx, "panic in a callback", "", errors.New("panic"), "panic", p, "stack", string(debug.Stack()))
	}
}

func (h *Handler) now() time.Time {
	if h.Now == nil {
		return time.Now()
	}
	return h.Now()
}

func (h *Handler) count(outcome string) {
	if h.Counted != nil {
		h.Counted(outcome)
	}
}
