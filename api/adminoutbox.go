package api

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"deskbell/store"
)

// pushStates are the states a delivery can be in.
var pushStates = []string{store.Dead, store.Pending, store.Sent, store.Cancelled}

// outboxPage lists deliveries: those that were given up, unless others are asked
// for. What was said is in none of them.
func (s *Server) outboxPage(ctx context.Context, r *req) (any, error) {
	state := r.Query("state")
	if !slices.Contains(pushStates, state) {
		state = store.Dead
	}
	before, err := strconv.ParseInt(r.Query("after"), 10, 64)
	if err != nil || before < 0 {
		before = 0
	}
	pending, dead, err := s.o.Store.Depth(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.o.Store.FindDeliveries(ctx, store.DeliveryQuery{State: state, Text: r.Query("q"), Before: before, Limit: pageSize + 1})
	if err != nil {
		return nil, err
	}
	found, next := cut(found, func(d store.Delivery) string { return strconv.FormatInt(d.ID, 10) })
	return page("adminoutbox", struct {
		list
		Pending, Dead int
		State         string
		States        []string
		Items         []store.Delivery
	}{r.list(len(found), next, "state"), pending, dead, state, pushStates, found})
}

// outboxDo sends again what was given up.
func (s *Server) outboxDo(ctx context.Context, r *req) (any, error) {
	if r.Form("do") != "resend" {
		return nil, badRequest("do", "is no action of this page")
	}
	id, err := strconv.ParseInt(r.Form("id"), 10, 64)
	if err != nil {
		return r.did("bad.gone", "")
	}
	var to string
	err = s.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		to, err = tx.Resend(ctx, id, r.who.actor())
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return r.did("bad.gone", "")
	}
	if err != nil {
		return nil, err
	}
	return r.did("push.resend", to)
}
