package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"deskbell/store"
)

// deskNumbers is the data of the event desk.
type deskNumbers struct {
	Unread int64 `json:"unread"` // messages nobody of the agent's side saw
	Open   int   `json:"open"`   // sessions the agent has
	Queued int   `json:"queued"`
}

// agentDesk is the source of an agent's desk: that its list changed.
type agentDesk struct {
	s     *Server
	by    store.Party
	again func(context.Context) (store.Party, error)
	own   *store.Watch
	all   *store.Watch
	told  string // what the list looked like
}

// deskEvents streams to the page of an agent when their list changes.
func (s *Server) deskEvents(_ context.Context, r *req) (any, error) {
	by, err := r.party()
	if err != nil {
		return nil, err
	}
	again := r.lookAgain(s.cookie.read(r.ctx))
	return r.stream(func() (source, error) {
		return &agentDesk{s: s, by: by, again: again, own: s.o.Store.Watch(store.PartyTopic(by.Key)), all: s.o.Store.Watch(store.DeskTopic)}, nil
	})
}

func (d *agentDesk) news(ctx context.Context, out *events) (more bool, err error) {
	open, err := d.s.o.Store.Conversations(ctx, store.Conversations{Party: d.by, As: "agent", Status: store.Assigned, N: sessionsMost})
	if err != nil {
		return false, err
	}
	queue, err := d.s.o.Store.Queue(ctx, queueMost)
	if err != nil {
		return false, err
	}
	n, list := deskNumbers{Open: len(open), Queued: len(queue)}, []byte{}
	for _, c := range open {
		n.Unread += c.Unread(d.by)
		list = strconv.AppendInt(append(list, c.ID...), c.Last, 10)
		list = strconv.AppendInt(append(list, ' '), c.AgentSeen, 10)
	}
	for _, c := range queue {
		list = append(list, c.ID...)
	}
	if string(list) == d.told {
		return false, nil
	}
	if err := d.admitted(ctx); err != nil {
		return false, err
	}
	data, err := json.Marshal(n)
	if err != nil {
		return false, err
	}
	out.send("desk", 0, data)
	d.told = string(list)
	return false, nil
}

func (d *agentDesk) admitted(ctx context.Context) (err error) {
	by, err := d.again(ctx)
	if err == nil && by.Key != d.by.Key {
		return errors.New("a token cannot change hands")
	}
	return err
}

// stirred: all of it may change the list.
func (d *agentDesk) stirred(context.Context, time.Time) (bool, error) { return true, nil }

func (d *agentDesk) here(context.Context) error { return nil }

func (d *agentDesk) signals() (near, far <-chan struct{}) { return d.own.C, d.all.C }

func (d *agentDesk) close() {
	d.own.Close()
	d.all.Close()
}
