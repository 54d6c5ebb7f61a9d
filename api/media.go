package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/bot"
	"deskbell/store"
)

// inert are the types of media a browser shows without running anything in them.
// The store found them out by their bytes; whatever else it says is a download of
// nobody knows what.
var inert = []string{
	"image/png", "image/jpeg", "image/gif", "image/webp",
	"video/mp4", "audio/amr", "audio/mpeg", "application/pdf",
}

// mediaTime is how long the reader of a medium may take: 20 MB at 70 KB/s.
const mediaTime = 5 * time.Minute

// patience gives who gets a medium longer than others to read their answer.
func patience(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if bytes.Contains(h.RequestURI(), []byte("/media/")) {
		return fasthttp.RequestConfig{WriteTimeout: mediaTime}
	}
	return fasthttp.RequestConfig{}
}

// medium is a stored medium, as a handler returns it once it knows that its
// caller may have it.
type medium struct {
	store.Media
	body io.Reader
	log  *slog.Logger
}

// sessionMedium is what was sent in a session, for whoever may see that.
func (s *Server) sessionMedium(ctx context.Context, r *req) (any, error) {
	c, _, err := r.conversation(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.o.Store.MediaOf(ctx, c.ID, r.holes[1]); err != nil {
		return nil, err
	}
	return s.medium(ctx, r.holes[1])
}

// medium looks a stored medium up. One that is not here, or not yet, is not found.
func (s *Server) medium(ctx context.Context, id string) (any, error) {
	m, err := s.o.Store.Media(ctx, id)
	if err != nil {
		return nil, err
	}
	if m.State != store.MediaKept {
		return nil, store.ErrNotFound
	}
	// It is read when the handler has returned, by whoever sends it. Only whether it
	// can be read at all must be known before that is promised.
	body := bufio.NewReader(s.o.Store.MediaBytes(context.WithoutCancel(ctx), m))
	if _, err := body.Peek(1); err != nil && m.Size > 0 {
		return nil, fmt.Errorf("read a medium: %w", err)
	}
	return medium{m, body, s.o.Log}, nil
}

// write sends the medium so that nothing in it runs here: as one of a few inert
// types or else as bytes, never guessed at, in no origin, and shown in the page
// only if it is a picture.
func (m medium) write(r *req) {
	h := &r.ctx.Response.Header
	kind, how := "application/octet-stream", "attachment"
	if slices.Contains(inert, m.Type) {
		kind = m.Type
	}
	if strings.HasPrefix(kind, "image/") {
		how = "inline"
	}
	etag := `"` + m.ID + `"` // its bytes never change
	h.Set(fasthttp.HeaderETag, etag)
	h.Set(fasthttp.HeaderCacheControl, "private, no-cache") // it is purged some day, and sessions change hands
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set(fasthttp.HeaderContentDisposition, how+fileName(m.Name))
	if string(r.ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch)) == etag {
		r.ctx.Response.ResetBody()
		r.ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	r.ctx.SetContentType(kind)
	r.ctx.SetBodyStream(&told{m.body, m.log, m.ID}, int(m.Size))
}

// told tells the log when a medium ends before its end: its reader sees a
// connection that broke.
type told struct {
	io.Reader
	log *slog.Logger
	id  string
}

func (t *told) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if err != nil && err != io.EOF {
		t.log.Error("medium not sent to its end", "media", t.id, "err", err)
	}
	return n, err
}

// fileName is the part of a Content-Disposition that names the file: in ASCII for
// what is old, and as it is (RFC 6266, RFC 5987).
func fileName(name string) string {
	name = cmp.Or(bot.FileName(name), "file")
	plain := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' || c == '%' || c == '"' || c == '\\' {
			return '_'
		}
		return c
	}, name)
	var coded strings.Builder
	for _, c := range []byte(name) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$&+-.^_`|~", c) >= 0 {
			coded.WriteByte(c)
		} else {
			fmt.Fprintf(&coded, "%%%02X", c)
		}
	}
	return `; filename="` + plain + `"; filename*=UTF-8''` + coded.String()
}
