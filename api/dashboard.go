package api

import (
	"context"
	"strconv"
	"time"

	"deskbell/store"
)

// daysShown is how far the dashboard looks back, today included.
const daysShown = 30

// deskNow is how things are at the desk.
type deskNow struct {
	Online, Busy, Offline int
	Pending, Dead         int // deliveries that wait, and that were given up
	store.DeskNow
}

// deskDay is what happened on a day.
type deskDay struct {
	Day time.Time // its beginning
	store.DayCount
	store.DeskDay
}

// Minutes is the median of the time to the first answer, for the chart; "" where
// nothing was answered.
func (d deskDay) Minutes() string {
	if d.Answered == 0 {
		return ""
	}
	return strconv.FormatFloat(d.Answer.Minutes(), 'f', 1, 64)
}

// dashboard shows how things are now, and the last days. What is shown of now is
// asked for again every few seconds, alone.
func (s *Server) dashboard(ctx context.Context, r *req) (any, error) {
	now, err := s.deskNow(ctx)
	if err != nil {
		return nil, err
	}
	data := struct {
		Frame frame
		Now   deskNow
		Days  []deskDay
	}{Frame: r.frame(), Now: now}
	if string(r.ctx.Request.Header.Peek("HX-Target")) == "now" {
		return page("dashboard", data)
	}
	data.Days, err = s.deskDays(ctx, daysUntil(s.o.Now(), daysShown))
	if err != nil {
		return nil, err
	}
	return page("dashboard", data)
}

func (s *Server) deskNow(ctx context.Context) (now deskNow, err error) {
	agents, err := s.o.Store.AgentCounts(ctx)
	if err != nil {
		return now, err
	}
	now.Online, now.Busy, now.Offline = agents[store.Online], agents[store.Busy], agents[store.Offline]
	if now.Pending, now.Dead, err = s.o.Store.Depth(ctx); err != nil {
		return now, err
	}
	now.DeskNow, err = s.o.Store.DeskNow(ctx)
	return now, err
}

// daysUntil are the beginnings of the last n days, the last of which it is. They
// are those of the server's zone, in which the pages show times.
func daysUntil(now time.Time, n int) []time.Time {
	now = now.In(time.Local)
	days := make([]time.Time, n)
	for i := range days {
		days[i] = time.Date(now.Year(), now.Month(), now.Day()-n+1+i, 0, 0, 0, 0, time.Local)
	}
	return days
}

func (s *Server) deskDays(ctx context.Context, begins []time.Time) ([]deskDay, error) {
	counts, err := s.o.Store.DayCounts(ctx, begins[0].Format(time.DateOnly))
	if err != nil {
		return nil, err
	}
	sessions, err := s.o.Store.DeskDays(ctx, begins, begins[len(begins)-1].AddDate(0, 0, 1))
	if err != nil {
		return nil, err
	}
	days := make([]deskDay, len(begins))
	for i, begin := range begins {
		days[i] = deskDay{begin, counts[begin.Format(time.DateOnly)], sessions[i]}
	}
	return days, nil
}
