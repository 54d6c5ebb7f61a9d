package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"path"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// asset is a file as it is served: read once, since all of them are embedded
// and small.
type asset struct {
	body        []byte
	contentType string
	etag        string
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
		sum := sha256.Sum256(body)
		all[name] = asset{body, mime.TypeByExtension(path.Ext(name)), `"` + hex.EncodeToString(sum[:8]) + `"`}
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
	h.Set(fasthttp.HeaderETag, a.etag)
	if string(r.ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch)) == a.etag {
		r.ctx.NotModified()
		h.Set(fasthttp.HeaderETag, a.etag)
		return
	}
	r.ctx.SetContentType(a.contentType)
	r.ctx.SetBody(a.body)
}
