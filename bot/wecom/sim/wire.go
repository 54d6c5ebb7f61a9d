package sim

import (
	"slices"
	"strings"
	"time"
)

// Wire is one line of the log of what crossed the wire. It names calls, people
// and outcomes; never tokens or contents.
type Wire struct {
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Dir    string    `json:"dir"`  // call, callback, signin, problem
	Name   string    `json:"name"` // message/send; text, click; for a problem, what it is
	Status int       `json:"status"`
	Code   int       `json:"errcode"`
	MS     int64     `json:"ms"`
	Note   string    `json:"note,omitempty"`
}

const (
	keepWire = 300
	maxNote  = 120
)

// Log returns the latest lines of the wire log, oldest first.
func (s *Sim) Log() []Wire {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wire)
}

// record adds a line. The caller holds s.mu.
func (s *Sim) record(w Wire) {
	s.lines++
	w.Seq, w.At = s.lines, s.conf.Now()
	if len(s.wire) == keepWire {
		s.wire = slices.Delete(s.wire, 0, 1)
	}
	s.wire = append(s.wire, w)
	s.tell(pageEvent{Kind: "wire", Wire: &w})
}

func (s *Sim) logCall(name string, errcode int, note string, started time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote], "") + "…"
	}
	s.record(Wire{Dir: "call", Name: name, Code: errcode, Note: note, MS: s.conf.Now().Sub(started).Milliseconds()})
}

// pageEvent tells an open chat page what to look at again.
type pageEvent struct {
	Kind string `json:"kind"` // inbox, people, menu, faults, wire
	User string `json:"user,omitempty"`
	Wire *Wire  `json:"wire,omitempty"`
}

// tell passes an event to the open pages. One that does not keep up is cut off;
// its browser connects again and reads everything anew. The caller holds s.mu.
func (s *Sim) tell(e pageEvent) {
	for w := range s.watchers {
		select {
		case w <- e:
		default:
			delete(s.watchers, w)
			close(w)
		}
	}
}
