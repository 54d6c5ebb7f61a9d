package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"deskbell/store"
)

// auditPage shows the audit trail, newest first.
func (s *Server) auditPage(ctx context.Context, r *req) (any, error) {
	before, err := strconv.ParseInt(r.Query("after"), 10, 64)
	if err != nil || before < 0 {
		before = 0
	}
	from, to := day(r.Query("from")), day(r.Query("to"))
	if !to.IsZero() {
		to = to.AddDate(0, 0, 1) // that day, too
	}
	found, err := s.o.Store.FindAudit(ctx, store.AuditQuery{
		Person: strings.TrimSpace(r.Query("q")), Action: strings.TrimSpace(r.Query("action")), From: from, To: to, Before: before, Limit: pageSize,
	})
	if err != nil {
		return nil, err
	}
	next := ""
	if found.Next > 0 {
		next = strconv.FormatInt(found.Next, 10)
	}
	return page("adminaudit", struct {
		list
		Action, From, To string
		Actions          []string
		Entries          []store.AuditFound
	}{r.list(len(found.Entries), next, "action", "from", "to"), r.Query("action"), r.Query("from"), r.Query("to"), actions, found.Entries})
}

// day reads a day as forms have it; anything else is none. It is one of this
// server's zone, in which the pages show times.
func day(text string) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, text, time.Local)
	if err != nil {
		return time.Time{}
	}
	return t
}

// actions are what entries can be about, and what several of them begin with.
var actions = func() (list []string) {
	group := ""
	for _, a := range store.Actions {
		first, _, several := strings.Cut(a.Name, ".")
		if several && first != group {
			list = append(list, first+".")
		}
		group = first
		list = append(list, a.Name)
	}
	return list
}()
