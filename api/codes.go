package api

import "net/http"

// failures are the sentences of failures that have a status, or a code of the
// Agents API (contract, section 5), of their own.
var failures = map[string]struct{ status, code int }{
	"login.unproven":       {http.StatusUnauthorized, 1011},
	"login.inactive":       {http.StatusForbidden, 1003},
	"login.unverified":     {http.StatusServiceUnavailable, 1003},
	"login.norole":         {http.StatusForbidden, 1002},
	"login.notapproved":    {http.StatusForbidden, 1017},
	"password.old.missing": {http.StatusBadRequest, 1012},
	"password.old.wrong":   {http.StatusUnauthorized, 1013},
}

// The codes of failures that are ours, by what was being done.
const (
	codeLogin    = 1005
	codePassword = 1014
)
