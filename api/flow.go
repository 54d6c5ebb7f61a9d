package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"
)

// flow is a body that is made while it is sent. fasthttp reads it in the
// goroutine of its connection, so that it costs no other one.
type flow struct {
	conn net.Conn
	out  bytes.Buffer
	fill func(out *bytes.Buffer) (more bool, err error) // may wait
	end  func(err error)                                // once, when nobody reads any more

	last     bool      // there is no more
	extended time.Time // when conn was last given time for a write
	failed   error
}

// keptRoom is how much memory a flow keeps while it waits.
const keptRoom = 1 << 10

// Read fails when fill does, which ends the connection: the other side notices
// that something is missing.
func (f *flow) Read(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil { // fasthttp would log it in its own way, and not close this
			n, err = 0, fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
		if err != nil && !errors.Is(err, io.EOF) {
			f.failed = err
		}
	}()
	for f.out.Len() == 0 {
		if f.last {
			return 0, io.EOF
		}
		more, err := f.fill(&f.out)
		if err != nil {
			return 0, err
		}
		f.last = !more
	}
	// The server gave the connection time for one answer. Whoever takes none of
	// it for that long is cut off.
	if now := time.Now(); now.Sub(f.extended) > time.Second {
		if err := f.conn.SetWriteDeadline(now.Add(writeTime)); err != nil {
			return 0, err
		}
		f.extended = now
	}
	n, _ = f.out.Read(p)
	if f.out.Len() == 0 && f.out.Cap() > keptRoom {
		f.out = bytes.Buffer{}
	}
	return n, nil
}

// Close is called when everything is sent, or cannot be.
func (f *flow) Close() error {
	if f.end != nil {
		f.end(f.failed)
		f.end = nil
	}
	return nil
}
