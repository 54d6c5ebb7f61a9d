package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"sync"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// asset is a file as it is served: read once, since all of them are embedded.
type asset struct {
	body        []byte
	contentType string
	etag        string
	packed      func() []byte // by gzip, made when first asked for; nil for small files
}

// worthPacking is where a slow line begins to feel a file.
const worthPacking = 4 << 10

func newAsset(name string, body []byte) asset {
	sum := sha256.Sum256(body)
	a := asset{body: body, contentType: cmp.Or(mime.TypeByExtension(path.Ext(name)), "text/plain; charset=utf-8"), etag: hex.EncodeToString(sum[:8])}
	if len(body) >= worthPacking {
		a.packed = sync.OnceValue(func() []byte { return fasthttp.AppendGzipBytesLevel(nil, body, fasthttp.CompressBestCompression) })
	}
	return a
}

func readAssets(from fs.FS) (map[string]asset, error) {
	all := map[string]asset{}
	if from == nil {
		return all, nil
	}
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		all[name] = newAsset(name, body)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read static files: %w", err)
	}
	return all, nil
}

func (s *Server) staticFile(_ context.Context, r *req) (any, error) {
	a, ok := s.static[r.holes[0]]
	if !ok {
		return nil, store.ErrNotFound
	}
	return a, nil
}

// write lets browsers keep the file but ask each time whether it is still this
// one, so that a new version is never mixed with old pages.
func (a asset) write(r *req) {
	h := &r.ctx.Response.Header
	h.Set(fasthttp.HeaderCacheControl, "no-cache")
	body, etag, packed := a.body, `"`+a.etag+`"`, false
	if a.packed != nil {
		h.Add(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
		if r.ctx.Request.Header.HasAcceptEncoding("gzip") {
			body, etag, packed = a.packed(), `"`+a.etag+`-gzip"`, true
		}
	}
	h.Set(fasthttp.HeaderETag, etag)
	if string(r.ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch)) == etag {
		r.ctx.Response.ResetBody()
		r.ctx.SetStatusCode(fasthttp.StatusNotModified) // with the headers: browsers take those of the 304
		return
	}
	if packed {
		h.Set(fasthttp.HeaderContentEncoding, "gzip")
	}
	r.ctx.SetContentType(a.contentType)
	r.ctx.SetBody(body)
}
