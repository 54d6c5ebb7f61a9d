package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
)

// openAPI gives the document. It is made when it is first asked for, and is the
// same from then on.
func (s *Server) openAPI(context.Context, *req) (any, error) { return s.described() }

func (s *Server) describe() (asset, error) {
	body, err := json.Marshal(document(s.table(), s.origin, s.o.Version), json.Deterministic(true))
	if err != nil {
		return asset{}, fmt.Errorf("encode the document of the API: %w", err)
	}
	return newAsset("openapi.json", body), nil
}

// docs is a page that shows the document to people. It is the only one with
// scripts, so it has a policy of its own, which lets it fetch the document.
func (s *Server) docs(_ context.Context, r *req) (any, error) {
	return scripted{view{http.StatusOK, "docs", nil}}, nil
}

// scripted is a page that runs our own scripts, and is the same for everybody.
type scripted struct{ view }

func (v scripted) write(r *req) {
	v.view.write(r)
	h := &r.ctx.Response.Header
	policy := string(h.Peek("Content-Security-Policy"))
	h.Set("Content-Security-Policy", strings.Replace(policy, "default-src 'none';", "default-src 'none'; script-src 'self'; connect-src 'self';", 1))
	h.Set("Vary", "Accept-Language")
	newAsset("docs.html", bytes.Clone(r.ctx.Response.Body())).write(r)
}
