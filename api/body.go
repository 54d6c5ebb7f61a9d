package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	maxBody     = 1 << 20          // the contract's cap
	maxStranger = 64 << 10         // from callers nobody knows yet
	prefetched  = 8 << 10          // what fasthttp reads of a body before the handler runs
	uploadTime  = 30 * time.Second // for callers who are known
)

// Bodies are read in the handler and not by fasthttp, which would allocate what
// Content-Length announces. So a body costs what has really arrived of it, and
// an API caller is known before more than its first 8 KiB are read.

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody reads the request's body, at most limit bytes, and leaves it where
// ctx.PostBody finds it until returnBody. It has what is left of readTime, or
// patience when there is some. After an error the connection is closed.
func readBody(ctx *fasthttp.RequestCtx, limit int, patience time.Duration) (*bytes.Buffer, error) {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	buf := bodies.Get().(*bytes.Buffer)
	buf.Reset()
	if err := drain(ctx, stream, buf, limit, patience); err != nil {
		bodies.Put(buf)
		ctx.SetConnectionClose()
		return nil, err
	}
	_ = ctx.Request.CloseBodyStream() // it has been read to its end, and is no Closer
	ctx.Request.SetBodyRaw(buf.Bytes())
	return buf, nil
}

// returnBody takes the body away again, for the next request to use its memory.
func returnBody(ctx *fasthttp.RequestCtx, buf *bytes.Buffer) {
	if buf == nil {
		return
	}
	ctx.Request.ResetBody()
	if buf.Cap() <= maxStranger { // a rare large one is not kept
		bodies.Put(buf)
	}
}

func drain(ctx *fasthttp.RequestCtx, stream io.Reader, into *bytes.Buffer, limit int, patience time.Duration) error {
	if ctx.Request.Header.ContentLength() > limit {
		return errTooLarge
	}
	if patience > 0 {
		if err := ctx.Conn().SetReadDeadline(time.Now().Add(patience)); err != nil {
			return fmt.Errorf("extend the read deadline: %w", err)
		}
	}
	n, err := into.ReadFrom(io.LimitReader(stream, int64(limit)+1))
	switch {
	case err != nil && isTimeout(err):
		return &problem{status: fasthttp.StatusRequestTimeout, message: "the request did not arrive in time"}
	case err != nil:
		return badRequest("body", "could not be read")
	case n > int64(limit):
		return errTooLarge
	}
	return nil
}

var errTooLarge = &problem{status: fasthttp.StatusRequestEntityTooLarge, message: "the body is too large"}

// settle closes the connection after an answer to a request whose body was not
// read to its end: what is left of it must never be taken for the next request.
func settle(ctx *fasthttp.RequestCtx) {
	if n := ctx.Request.Header.ContentLength(); ctx.RequestBodyStream() != nil && (n < 0 || n > prefetched) {
		ctx.SetConnectionClose()
	}
}

// framed refuses a request that says twice how long it is. A proxy in front may
// believe the other one, and see a different request begin (RFC 9112, 6.3).
func framed(h *fasthttp.RequestHeader) error {
	if h.ContentLength() != -1 {
		return nil
	}
	for line := range bytes.Lines(h.RawHeaders()) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(bytes.TrimSpace(name), []byte(fasthttp.HeaderContentLength)) {
			return badRequest("Content-Length", "not together with Transfer-Encoding")
		}
	}
	return nil
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}
