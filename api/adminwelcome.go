package api

import (
	"context"

	"deskbell/store"
)

// welcome is where an administrator arrives: what needs attention, and where to
// go. Without a one-time password it says only how to get further.
func (s *Server) welcome(ctx context.Context, r *req) (any, error) {
	data := struct {
		Frame                                frame
		Full                                 bool
		Pending, Dead, Online, Busy, Offline int
	}{Frame: r.frame(), Full: s.admit(adminsOTP, r.who) == nil}
	if !data.Full {
		return page("adminwelcome", data)
	}
	var err error
	if data.Pending, data.Dead, err = s.o.Store.Depth(ctx); err != nil {
		return nil, err
	}
	agents, err := s.o.Store.AgentCounts(ctx)
	if err != nil {
		return nil, err
	}
	data.Online, data.Busy, data.Offline = agents[store.Online], agents[store.Busy], agents[store.Offline]
	return page("adminwelcome", data)
}
