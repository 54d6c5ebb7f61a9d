package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Faults is what is wrong with WeCom at the moment. The zero value: nothing.
type Faults struct {
	LatencyMS int                `json:"latency_ms"` // added to every call of the API
	Errcode   map[string]Failure `json:"errcode"`    // by call, "message/send"; "*" is every call
	Outage    Outage             `json:"outage"`     // of the API
	Duplicate bool               `json:"duplicate"`  // every callback arrives twice, at the same moment
	Reorder   bool               `json:"reorder"`    // every other callback is overtaken by the one after it
	LostAcks  int                `json:"lost_acks"`  // answers to so many callbacks get lost, and WeCom tries again
}

// Outage is a way of not answering.
type Outage string

// The outages. The first three end the call before it has an effect, the last
// two after: the message is sent, and the caller does not learn of it.
const (
	Refuse   Outage = "refuse"   // the connection is cut
	Hang     Outage = "hang"     // no answer, until the caller gives up
	Broken   Outage = "500"      // an HTML page with status 500
	Truncate Outage = "truncate" // half of the JSON
	Drop     Outage = "drop"     // the connection is cut
)

var outages = []Outage{"", Refuse, Hang, Broken, Truncate, Drop}

// Failure is an errcode to answer with. In JSON a bare number will do.
type Failure struct {
	Code  int `json:"code"`
	Times int `json:"times"` // so often; zero: until the fault is cleared
}

// UnmarshalJSON accepts 45009 and {"code":45009,"times":2}.
func (f *Failure) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &f.Code) == nil {
		f.Times = 0
		return nil
	}
	type plain Failure
	return json.Unmarshal(data, (*plain)(f))
}

// check names what is wrong with the faults.
func (f Faults) check() error {
	if !slices.Contains(outages, f.Outage) {
		return fmt.Errorf("outage: one of %q", outages)
	}
	if f.LatencyMS < 0 || f.LatencyMS > 600_000 {
		return fmt.Errorf("latency_ms: 0 to 600000")
	}
	if f.LostAcks < 0 {
		return fmt.Errorf("lost_acks: 0 or more")
	}
	for name, failure := range f.Errcode {
		if _, ok := apis[name]; !ok && name != "*" {
			return fmt.Errorf("errcode: no call %q", name)
		}
		if failure.Code == 0 || failure.Times < 0 {
			return fmt.Errorf("errcode %s: a code other than 0, times 0 or more", name)
		}
	}
	return nil
}

// SetFaults replaces the faults; Faults{} repairs everything.
func (s *Sim) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Errcode = maps.Clone(f.Errcode)
	s.faults = f
	s.tell(pageEvent{Kind: "faults"})
}

// Faults returns the faults as they are, with what has been used up.
func (s *Sim) Faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults
	f.Errcode = maps.Clone(f.Errcode)
	if f.Errcode == nil {
		f.Errcode = map[string]Failure{}
	}
	return f
}

// takeFaults returns the faults for one call, with Errcode reduced to that
// call's, and uses up what has a number of times. The caller holds s.mu.
func (s *Sim) takeFaults(name string) Faults {
	f := s.faults
	f.Errcode = nil
	for _, key := range []string{name, "*"} {
		failure, ok := s.faults.Errcode[key]
		if !ok {
			continue
		}
		f.Errcode = map[string]Failure{name: failure}
		switch failure.Times {
		case 0:
		case 1:
			delete(s.faults.Errcode, key)
		default:
			failure.Times--
			s.faults.Errcode[key] = failure
		}
		break
	}
	return f
}

// loseAck reports whether the answer to a callback is to be lost.
func (s *Sim) loseAck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.LostAcks == 0 {
		return false
	}
	s.faults.LostAcks--
	s.tell(pageEvent{Kind: "faults"})
	return true
}

// before applies what happens to a call before it has an effect, and reports
// whether the call goes on.
func (s *Sim) before(w http.ResponseWriter, r *http.Request, f Faults) bool {
	if f.LatencyMS > 0 && !s.sleep(r.Context(), time.Duration(f.LatencyMS)*time.Millisecond) {
		return false
	}
	switch f.Outage {
	case Refuse:
		cut(w)
		return false
	case Hang:
		s.hang(r.Context())
		cut(w)
		return false
	case Broken:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, "<html><body>500 Internal Server Error</body></html>")
		return false
	}
	return true
}

// hang waits for the caller to give up, or for the simulator to close.
func (s *Sim) hang(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
}

// after answers the call, unless the answer is to be spoilt.
func (s *Sim) after(w http.ResponseWriter, f Faults, a answer) {
	switch f.Outage {
	case Drop:
		cut(w)
	case Truncate:
		whole, _ := json.Marshal(a) // maps of strings and numbers always encode
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, _ = w.Write(whole[:len(whole)/2])
	default:
		writeJSON(w, a)
	}
}

// cut closes the connection without an answer.
func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}
