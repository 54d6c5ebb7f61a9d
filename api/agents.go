package api

import (
	"context"
	"slices"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// agent is somebody who works at the desk, as the Agents API shows them.
type agent struct {
	UserID      string    `json:"user_id"`
	Name        string    `json:"name"`
	Status      string    `json:"status"`
	Role        string    `json:"role"`
	Roles       []string  `json:"roles"`
	CurrentLoad int       `json:"current_load"`
	MaxLoad     int       `json:"max_load"`
	OTPEnabled  bool      `json:"otp_enabled"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func showAgent(a store.Agent, otp bool) agent {
	return agent{a.ID, a.Name, a.Status, a.Role, a.Roles, a.Load, a.MaxLoad, otp, a.CreatedAt, a.UpdatedAt}
}

// done says what was done.
type done struct {
	Message string `json:"message"`
}

// desk is what fn makes of the caller, who is an agent from the first call on.
func (s *Server) desk(ctx context.Context, r *req, fn func(*store.Tx) (store.Agent, error)) (any, error) {
	userID, err := r.oneself()
	if err != nil {
		return nil, err
	}
	otp, err := s.o.Store.OTPEnabled(ctx, userID)
	if err != nil {
		return nil, err
	}
	var a store.Agent
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := tx.EnsureAgent(ctx, r.who.person.User); err != nil {
			return err
		}
		a, err = fn(tx)
		return err
	})
	return showAgent(a, otp), err
}

// agentMe is the caller.
func (s *Server) agentMe(ctx context.Context, r *req) (any, error) {
	return s.desk(ctx, r, func(tx *store.Tx) (store.Agent, error) { return tx.Agent(ctx, r.who.person.ID) })
}

// statusRequest is the status to take.
type statusRequest struct {
	Status string `json:"status" enum:"online busy offline"`
}

// agentStatus sets the caller's status, until it is set again.
func (s *Server) agentStatus(ctx context.Context, r *req) (any, error) {
	var in statusRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if !slices.Contains(agentStatuses, in.Status) {
		return nil, errStatus
	}
	return s.desk(ctx, r, func(tx *store.Tx) (store.Agent, error) {
		userID := r.who.person.ID
		tx.Audit(store.AuditEntry{Actor: userID, Action: "status.set", Target: userID, Detail: in.Status})
		return tx.SetStatus(ctx, userID, in.Status, "", 0)
	})
}

var (
	agentStatuses = []string{store.Online, store.Busy, store.Offline}
	errStatus     = badRequest("status", "must be online, busy or offline")
)

// agentList is everybody who works at the desk, by name.
func (s *Server) agentList(ctx context.Context, r *req) (any, error) {
	status := r.Query("status")
	if status != "" && !slices.Contains(agentStatuses, status) {
		return nil, errStatus
	}
	otp, err := s.o.Store.OTPUsers(ctx)
	if err != nil {
		return nil, err
	}
	var list []store.Agent
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		if !r.who.master {
			if err := tx.EnsureAgent(ctx, r.who.person.User); err != nil {
				return err
			}
		}
		list, err = tx.Agents(ctx, status)
		return err
	})
	items := make([]agent, len(list))
	for i, a := range list {
		items[i] = showAgent(a, otp[a.Key])
	}
	return itemList[agent]{items}, err
}

// passwordRequest is a new local password, and the one it replaces.
type passwordRequest struct {
	Old string `json:"old_password"`
	New string `json:"new_password"`
}

// agentPassword sets the caller's local password.
func (s *Server) agentPassword(ctx context.Context, r *req) (any, error) {
	var in passwordRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	userID, err := r.oneself()
	if err != nil {
		return nil, err
	}
	if in.New == "" {
		return nil, badRequest("new_password", "is missing")
	}
	if err := r.limitedAs(ctx, "password/"+bot.Canonical(userID)); err != nil {
		return nil, err
	}
	err = s.o.Store.SetPassword(ctx, store.PasswordChange{UserID: userID, Old: in.Old, New: in.New, Keep: r.who.session.TokenID, Client: r.client()})
	if err != nil {
		return nil, failed(codePassword, err)
	}
	return r.done("password.done")
}

// done is the answer to a call that was about doing something.
func (r *req) done(key string) (any, error) {
	message, err := r.s.o.Words.Text(r.Lang(), key, nil)
	return done{message}, err
}
