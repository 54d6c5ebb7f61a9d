package api

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

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

// docs is a page that shows the document to people. It has
// scripts, which fetch the document.
func (s *Server) docs(_ context.Context, r *req) (any, error) {
	return scripted{view{http.StatusOK, "docs", nil}}, nil
}

// scripted is a page that runs our own scripts, and is the same for everybody.
type scripted struct{ view }

func (v scripted) write(r *req) {
	v.view.write(r)
	allowScripts(r)
	r.ctx.Response.Header.Set("Vary", "Accept-Language")
	newAsset("docs.html", bytes.Clone(r.ctx.Response.Body())).write(r)
}
