package main

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// tap is a way to PostgreSQL that can be closed.
type tap struct {
	url    string // of the store behind it
	target string

	mu      sync.Mutex
	refuses bool
	gate    chan struct{} // closed while bytes may pass
	flows   []*flow
}

// flow is a connection through the tap.
type flow struct {
	client, server net.Conn
	gone           bool // nothing will ever pass again
	once           sync.Once
	closed         chan struct{}
}

func newTap(t *testing.T, storeURL string) *tap {
	t.Helper()
	u, err := url.Parse(storeURL)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{target: u.Host, gate: make(chan struct{})}
	close(p.gate)
	u.Host = ln.Addr().String()
	p.url = u.String()
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			p.join(conn)
		}
	})
	t.Cleanup(func() {
		ln.Close()
		accepting.Wait()
		p.refuse()
	})
	return p
}

func (p *tap) join(client net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses {
		client.Close()
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	f := &flow{client: client, server: server, closed: make(chan struct{})}
	p.flows = append(p.flows, f)
	go p.carry(f, client, server)
	go p.carry(f, server, client)
}

func (p *tap) carry(f *flow, from, to net.Conn) {
	defer f.close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !p.passes(f) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// passes waits until bytes may pass, and reports false when they never will.
func (p *tap) passes(f *flow) bool {
	p.mu.Lock()
	gate := p.gate
	if f.gone {
		gate = nil
	}
	p.mu.Unlock()
	select {
	case <-gate:
		p.mu.Lock()
		defer p.mu.Unlock()
		return !f.gone
	case <-f.closed:
		return false
	}
}

func (f *flow) close() {
	f.once.Do(func() {
		f.client.Close()
		f.server.Close()
		close(f.closed)
	})
}

// refuse cuts all connections and takes no others.
func (p *tap) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = true
	for _, f := range p.flows {
		f.close()
	}
	p.flows = nil
}

// hang lets nothing pass for the moment.
func (p *tap) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
}

// vanish is a server whose host lost its power: connections stay open, and
// nobody is at their other end any more.
func (p *tap) vanish() {
	p.hang()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.flows {
		f.gone = true
	}
}

// restore ends whatever was wrong. What vanished does not come back.
func (p *tap) restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}
