package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An api is one qyapi call. Its function runs with s.mu held and returns what
// is added to errcode 0 in the answer.
type api struct {
	method string
	open   bool // needs no access_token
	run    func(*Sim, *call) (answer, *refusal)
}

// call is one request to an api, read completely.
type call struct {
	name  string
	query map[string]string
	body  []byte
	form  *upload
	from  string // the caller's address, as WeCom's errmsg names it
	now   time.Time
	note  string // what the wire log says about it
	raw   *file  // answered instead of JSON

	ranged bool // only a part of a file is wanted
}

type answer map[string]any

// apis is everything the gateway may call. What is not here is a problem.
var apis = map[string]api{
	"gettoken":                     {method: "GET", open: true, run: (*Sim).getToken},
	"user/get":                     {method: "GET", run: (*Sim).userGet},
	"user/simplelist":              {method: "GET", run: (*Sim).userSimpleList},
	"department/list":              {method: "GET", run: (*Sim).departmentList},
	"department/simplelist":        {method: "GET", run: (*Sim).departmentSimpleList},
	"tag/get":                      {method: "GET", run: (*Sim).tagGet},
	"tag/list":                     {method: "GET", run: (*Sim).tagList},
	"agent/get":                    {method: "GET", run: (*Sim).agentGet},
	"getcallbackip":                {method: "GET", run: (*Sim).ipList},
	"get_api_domain_ip":            {method: "GET", run: (*Sim).ipList},
	"message/send":                 {method: "POST", run: (*Sim).messageSend},
	"message/update_template_card": {method: "POST", run: (*Sim).updateCard},
	"message/recall":               {method: "POST", run: (*Sim).messageRecall},
	"media/upload":                 {method: "POST", run: (*Sim).mediaUpload},
	"media/get":                    {method: "GET", run: (*Sim).mediaGet},
	"menu/create":                  {method: "POST", run: (*Sim).menuCreate},
	"menu/get":                     {method: "GET", run: (*Sim).menuGet},
	"menu/delete":                  {method: "GET", run: (*Sim).menuDelete},
	"auth/getuserinfo":             {method: "GET", run: (*Sim).getUserInfo},
	"auth/getuserdetail":           {method: "POST", run: (*Sim).getUserDetail},
}

// maxCall is above the largest thing that may be uploaded: a file of 20 MB.
const maxCall = 24 << 20

func (s *Sim) serveAPI(w http.ResponseWriter, r *http.Request) {
	started := s.conf.Now()
	name := strings.TrimPrefix(r.URL.Path, "/cgi-bin/")
	a, known := apis[name]
	if !known {
		s.notFound(w, r)
		return
	}
	faults := s.arrive(name)
	if !s.before(w, r, faults) {
		s.logCall(name, 0, "outage: "+string(faults.Outage), started)
		return
	}
	c, err := readCall(w, r, name)
	if err != nil {
		s.logCall(name, 400, err.Error(), started)
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	c.now = started
	out, no := s.dispatch(a, c, r.Method, faults)
	code := 0
	if no != nil {
		code, out = no.code, s.refused(c, no)
	} else if c.raw == nil {
		out = out.ok()
	}
	s.logCall(name, code, c.note, started)
	if c.raw != nil && no == nil {
		s.sendFile(w, r, faults, c.raw)
		return
	}
	s.after(w, faults, out)
}

// arrive counts the call and takes the faults that apply to it.
func (s *Sim) arrive(name string) Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[name]++
	return s.takeFaults(name)
}

// dispatch checks what WeCom checks before every call and runs it.
func (s *Sim) dispatch(a api, c *call, method string, faults Faults) (answer, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := faults.Errcode[c.name]; ok {
		return nil, refuse(f.Code, "")
	}
	if method != a.method {
		s.problem("%s: called with %s, wants %s", c.name, method, a.method)
		return nil, refuse(40058, "require %s method", a.method)
	}
	if !a.open {
		if no := s.checkToken(c); no != nil {
			return nil, no
		}
	}
	return a.run(s, c)
}

func readCall(w http.ResponseWriter, r *http.Request, name string) (*call, error) {
	c := &call{name: name, query: map[string]string{}, ranged: r.Header.Get("Range") != ""}
	c.from, _, _ = net.SplitHostPort(r.RemoteAddr)
	for key, values := range r.URL.Query() {
		c.query[key] = values[0]
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxCall)
	var err error
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		c.form, err = readUpload(r)
	} else {
		c.body, err = io.ReadAll(r.Body)
	}
	return c, err
}

// ok completes a successful answer.
func (a answer) ok() answer {
	if a == nil {
		a = answer{}
	}
	a["errcode"] = 0
	if _, ok := a["errmsg"]; !ok {
		a["errmsg"] = "ok"
	}
	return a
}

// refused makes WeCom's answer: the hint and the caller's address are what its
// support asks for.
func (s *Sim) refused(c *call, no *refusal) answer {
	msg := fmt.Sprintf("%s, hint: [%d_%d_%08x], from ip: %s, more info at https://open.work.weixin.qq.com/devtool/query?e=%d",
		no.text, c.now.Unix(), no.code&0xff, uint32(s.next()), c.from, no.code)
	return answer{"errcode": no.code, "errmsg": msg}
}

// decode reads the call's JSON body into v. A field v does not have is ignored,
// as WeCom does, and recorded, since it is a mistake nobody would notice.
func (s *Sim) decode(c *call, v any) *refusal {
	if err := json.Unmarshal(c.body, v); err != nil {
		s.problem("%s: %v", c.name, err)
		if field, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return refuse(40058, "Warning: wrong json format. field %s", field.Field)
		}
		return refuse(40058, "Warning: wrong json format. ")
	}
	strict := json.NewDecoder(bytes.NewReader(c.body))
	strict.DisallowUnknownFields()
	if err := strict.Decode(v); err != nil {
		s.problem("%s: %v", c.name, err)
	}
	return nil
}

// checkAgent holds the agentid of a JSON body against the app of the token.
func (s *Sim) checkAgent(raw json.RawMessage) *refusal {
	if len(raw) == 0 || string(raw) == "null" {
		return refuse(41011, "")
	}
	id, err := strconv.Atoi(string(raw))
	if err != nil {
		return refuse(40056, "must be an integer")
	}
	return s.checkAgentID(id)
}

func (s *Sim) checkAgentID(id int) *refusal {
	if id <= 0 {
		return refuse(40056, "")
	}
	if id != s.conf.AgentID {
		return refuse(301002, "")
	}
	return nil
}

// queryAgent is checkAgent for an agentid in the query.
func (s *Sim) queryAgent(c *call) *refusal {
	if c.query["agentid"] == "" {
		return refuse(41011, "")
	}
	id, err := strconv.Atoi(c.query["agentid"])
	if err != nil {
		return refuse(40056, "")
	}
	return s.checkAgentID(id)
}

func (s *Sim) notFound(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.problem("unknown path: %s %s", r.Method, r.URL.Path)
	s.mu.Unlock()
	http.NotFound(w, r)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(w).Encode(v) // the caller left; nobody to tell
}
