package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"
)

// TestMemory says what a process costs that does nothing, and what strangers can
// make it cost.
func TestMemory(t *testing.T) {
	const mib = 1 << 10 // in the kernel's unit
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRig(t, url, 1, sim.Config{})
		i := r.start()
		idle := i.memory(t, "VmRSS")
		if idle >= 40*mib {
			t.Errorf("%d KiB without doing anything", idle)
		}
		var crowd sync.WaitGroup
		for range 1000 {
			crowd.Go(func() { i.announce(t) })
		}
		crowd.Wait()
		peak := i.memory(t, "VmHWM")
		if peak-idle >= 64*mib {
			t.Errorf("1,000 connections took it from %d to %d KiB", idle, peak)
		}
		t.Logf("idle %.1f MiB, with 1,000 connections that announce 4 MiB each %.1f MiB", float64(idle)/mib, float64(peak)/mib)
		if d := r.box.Say(agent(0), "/help"); !d.OK() {
			t.Errorf("callback afterwards: %+v", d)
		}
	})
}

// announce opens a connection, promises 4 MiB, sends a little of it and waits to
// be cut off.
func (i *instance) announce(t *testing.T) {
	u, err := url.Parse(i.url)
	if err != nil {
		t.Error(err)
		return
	}
	conn, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: desk\r\nContent-Length: %d\r\n\r\n%s", u.Path, 4<<20, strings.Repeat("x", 4<<10)); err != nil {
		return // cut off already
	}
	if _, err := io.Copy(io.Discard, conn); os.IsTimeout(err) {
		t.Error("a connection that sends nothing stays open")
	}
}

// memory reads a line of the kernel's account of the process, in KiB.
func (i *instance) memory(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in /proc", name)
	return 0
}
