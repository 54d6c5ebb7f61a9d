package api

import (
	"context"
	"errors"
	"strconv"

	"deskbell/bot"
	"deskbell/store"
)

// agentLine is an agent in the list of the administrators.
type agentLine struct {
	store.Agent
	OTP bool
}

// agentsPage lists the agents, those who are online first.
func (s *Server) agentsPage(ctx context.Context, r *req) (any, error) {
	skip, err := strconv.Atoi(r.Query("after"))
	if err != nil || skip < 0 {
		skip = 0
	}
	agents, err := s.o.Store.FindAgents(ctx, store.AgentQuery{Text: r.Query("q"), Status: r.Query("status"), Skip: skip, Limit: pageSize + 1})
	if err != nil {
		return nil, err
	}
	agents, next := cut(agents, func(store.Agent) string { return strconv.Itoa(skip + pageSize) })
	ids := make([]string, len(agents))
	for i, a := range agents {
		ids[i] = a.Key
	}
	otp := map[string]bool{}
	if len(ids) > 0 {
		if otp, err = s.o.Store.OTPUsers(ctx, ids...); err != nil {
			return nil, err
		}
	}
	lines := make([]agentLine, len(agents))
	for i, a := range agents {
		lines[i] = agentLine{a, otp[a.Key]}
	}
	return page("adminagents", struct {
		list
		Status   string
		Statuses []string
		Most     int
		Agents   []agentLine
	}{r.list(len(lines), next, "status"), r.Query("status"), agentStatuses, store.MostLoad, lines})
}

// agentsDo changes an agent.
func (s *Server) agentsDo(ctx context.Context, r *req) (any, error) {
	id, by := r.Form("id"), r.who.actor()
	var a store.Agent
	var err error
	key := ""
	switch r.Form("do") {
	case "load":
		n, wrong := strconv.Atoi(r.Form("load"))
		if wrong != nil {
			return r.did("bad.load", "")
		}
		key = "agent.load"
		err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
			a, err = tx.SetMaxLoad(ctx, id, n, by)
			return err
		})
	case "offline":
		key = "agent.offline"
		err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
			a, err = tx.SendOff(ctx, id, by)
			return err
		})
	case "otp":
		return s.otpResetByForm(ctx, r, id)
	default:
		return nil, badRequest("do", "is no action of this page")
	}
	switch {
	case errors.Is(err, store.ErrLoad):
		return r.did("bad.load", "")
	case errors.Is(err, store.ErrNotFound):
		return r.did("bad.gone", id)
	case err != nil:
		return nil, err
	}
	return r.did(key, a.Name)
}

// otpResetByForm turns somebody's one-time password off, as otpReset does.
func (s *Server) otpResetByForm(ctx context.Context, r *req, id string) (any, error) {
	admin := r.who.person.ID
	var result store.OTPResult
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		if result, err = tx.ResetOTP(ctx, admin, r.Form("otp_code"), id); err != nil || !result.OK {
			return err
		}
		return tx.Tell(ctx, admin, bot.Text("otp.reset", struct{ UserID string }{id}))
	})
	if errors.Is(err, store.ErrNotFound) {
		return r.did("bad.gone", id)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case result.OK:
		return r.did("agent.otp", id)
	case result.NotEnabled:
		return r.did("bad.otp.none", "")
	case result.Reset || result.LockedFor > 0:
		return r.did("bad.otp.locked", "")
	}
	return r.did("bad.otp", "")
}
