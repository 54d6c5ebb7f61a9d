package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Check is something the server cannot work without: the store, Redis.
type Check struct {
	Name string
	Func func(context.Context) error
}

// checkTime bounds a check: whoever asks wants to know soon.
const checkTime = 2 * time.Second

type health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

// health says that the process runs, whatever it may be missing.
func (s *Server) health(context.Context, *req) (any, error) { return health{"ok", s.o.Version}, nil }

type readiness struct {
	Status  string   `json:"status"`
	Failing []string `json:"failing"` // names only: the reasons are in the log
}

// ready says whether to send requests here.
func (s *Server) ready(ctx context.Context, _ *req) (any, error) {
	if s.draining.Load() {
		return withStatus{fasthttp.StatusServiceUnavailable, readiness{"stopping", []string{}}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var (
		mu      sync.Mutex
		failing = []string{}
		all     sync.WaitGroup
	)
	for _, c := range s.o.Checks {
		all.Go(func() {
			if err := c.Func(ctx); err != nil {
				s.o.Log.Warn("not ready", "part", c.Name, "err", err)
				mu.Lock()
				defer mu.Unlock()
				failing = append(failing, c.Name)
			}
		})
	}
	all.Wait()
	slices.Sort(failing)
	if len(failing) > 0 {
		return withStatus{fasthttp.StatusServiceUnavailable, readiness{"unavailable", failing}}, nil
	}
	return readiness{"ready", failing}, nil
}
