// Package sim is WeCom in a box: a corporation with people, on an address of
// its own, for the tests and for "deskbell demo".
//
// It owns WeCom's side of the wire: the qyapi calls the gateway makes, refused
// where the real ones are refused and with the real errcodes; callbacks with
// WeCom's timing and retries; the sign-in pages; and at "/" a chat page for
// people. Whatever the gateway does that WeCom would not understand is kept in
// Problems, and a test ends by checking that there are none.
//
// It shares the envelope's cryptography with bot/wecom and nothing else, so
// that a mistake in the gateway's formats cannot hide behind the same mistake
// here. What the gateway does with a message is none of its business.
package sim

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"deskbell/bot/wecom"
)

// Config describes the corporation. The zero value is a corporation of
// nobody, with generated secrets, on a free port of this machine.
type Config struct {
	Listen         string // default 127.0.0.1:0
	CorpID         string // this and the next four are generated when zero; see Sim.Config
	AgentID        int
	Secret         string
	Token          string
	EncodingAESKey string

	AppName     string // the app's name on the chat page
	People      []Person
	Departments []Department
	Tags        map[int][]string // tag id → userids

	Timeout    time.Duration // how long a callback may take; default 5 s
	RetryAfter time.Duration // pause before a failed callback is tried again; default 1 s
	Now        func() time.Time
	Log        *slog.Logger
}

// Sim is a running corporation.
type Sim struct {
	conf   Config
	keys   *wecom.Keys
	server *http.Server
	client *http.Client
	addr   net.Addr
	log    *slog.Logger
	ctx    context.Context // ends with Close: sleeping faults and retries end with it
	stop   context.CancelFunc
	work   sync.WaitGroup
	serial atomic.Int64 // MsgIds, message ids, media ids: everything WeCom numbers

	mu        sync.Mutex // guards all below
	callbacks []string
	turn      int
	people    map[string]*member
	media     map[string]media
	codes     map[string]loginCode
	tickets   map[string]ticket
	menu      []MenuEntry
	tokens    tokens
	outbox    outbox
	faults    Faults
	held      chan struct{} // closed when the callback held back by Faults.Reorder may go
	calls     map[string]int
	problems  []string
	wire      []Wire
	lines     int64         // numbers lines of conversations and logs; small enough for a browser
	changed   chan struct{} // closed and replaced whenever somebody's inbox changes
	watchers  map[chan pageEvent]bool
}

// Start opens the corporation for business.
func Start(c Config) (*Sim, error) {
	c.complete()
	keys, err := wecom.NewKeys(c.Token, c.EncodingAESKey, c.CorpID)
	if err != nil {
		return nil, fmt.Errorf("sim keys: %w", err)
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("sim listen: %w", err)
	}
	s := &Sim{
		conf:     c,
		keys:     keys,
		addr:     listener.Addr(),
		log:      c.Log,
		client:   newCallbackClient(c.Timeout),
		people:   map[string]*member{},
		media:    map[string]media{},
		codes:    map[string]loginCode{},
		tickets:  map[string]ticket{},
		outbox:   newOutbox(),
		calls:    map[string]int{},
		changed:  make(chan struct{}),
		watchers: map[chan pageEvent]bool{},
	}
	s.serial.Store(c.Now().UnixNano() / 1000 * 1000) // 64-bit numbers, larger than a float64 can hold exactly
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, p := range c.People {
		s.people[canonical(p.ID)] = &member{Person: p}
	}
	s.server = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	s.work.Go(func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("sim stopped serving", "err", err)
		}
	})
	return s, nil
}

func (c *Config) complete() {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.CorpID == "" {
		c.CorpID = "ww" + strings.ToLower(rand.Text()[:16])
	}
	if c.AgentID == 0 {
		c.AgentID = 1000002
	}
	if c.Secret == "" {
		c.Secret = (rand.Text() + rand.Text())[:43]
	}
	if c.Token == "" {
		c.Token = rand.Text()[:24]
	}
	if c.EncodingAESKey == "" {
		c.EncodingAESKey = (rand.Text() + rand.Text())[:43]
	}
	if c.AppName == "" {
		c.AppName = "Deskbell"
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.RetryAfter == 0 {
		c.RetryAfter = time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for i := range c.People {
		if c.People[i].Status == 0 {
			c.People[i].Status = StatusActive
		}
	}
}

// Config returns the configuration with everything generated filled in.
func (s *Sim) Config() Config { return s.conf }

// URL is the origin of everything here: wecom.api_base, and the chat page.
func (s *Sim) URL() string { return "http://" + s.addr.String() }

// SetCallback says where callbacks go. With several addresses, each attempt
// goes to the next one, as if through a balancer.
func (s *Sim) SetCallback(urls ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callbacks = slices.Clone(urls)
}

// Close ends everything that is going on and frees the address.
func (s *Sim) Close() error {
	s.stop()
	err := s.server.Close()
	s.work.Wait()
	s.client.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("sim close: %w", err)
	}
	return nil
}

// Problems lists what the gateway did that WeCom would not have understood.
func (s *Sim) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

// Calls counts the calls of one API, refused ones included: "gettoken".
func (s *Sim) Calls(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[name]
}

// maxProblems keeps a gateway that goes wrong in a loop from filling memory.
const maxProblems = 1000

// problem records a fault of the gateway. The caller holds s.mu.
func (s *Sim) problem(format string, args ...any) {
	if len(s.problems) == maxProblems {
		return
	}
	p := fmt.Sprintf(format, args...)
	s.problems = append(s.problems, p)
	s.record(Wire{Dir: "problem", Name: p})
	s.log.Warn("sim: gateway misbehaved", "problem", p)
}

// next numbers things. Numbers are unique, grow, and need all 64 bits.
func (s *Sim) next() int64 { return s.serial.Add(1) }

// sleep waits, unless the simulator closes or ctx ends first.
func (s *Sim) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}
