package sim

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// loginCode is what a sign-in brings back: good once, for five minutes
// (document 91023).
type loginCode struct {
	user    string
	private bool // scope snsapi_privateinfo
	until   time.Time
}

// ticket is the user_ticket of a sign-in with snsapi_privateinfo.
type ticket struct {
	user  string
	until time.Time
}

const (
	codeLife   = 5 * time.Minute
	ticketLife = 1800 * time.Second

	authorizePath = "/connect/oauth2/authorize"
	qrPath        = "/wwlogin/sso/login"
)

// AuthorizeURL is for wecom.oauth_authorize_url: sign-in inside WeCom.
func (s *Sim) AuthorizeURL() string { return s.URL() + authorizePath }

// QRLoginURL is for wecom.qr_login_url: sign-in in a browser.
func (s *Sim) QRLoginURL() string { return s.URL() + qrPath }

// LoginCode makes the code that a sign-in as user brings back. Like WeCom it
// makes one for anybody: "" is an outsider, "ww123/zhang" a member of a linked
// corporation.
func (s *Sim) LoginCode(user string) string { return s.newCode(user, false) }

func (s *Sim) newCode(user string, private bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	code := rand.Text()
	s.codes[code] = loginCode{user: user, private: private, until: s.conf.Now().Add(codeLife)}
	return code
}

func (s *Sim) getUserInfo(c *call) (answer, *refusal) {
	code := c.query["code"]
	if code == "" {
		return nil, refuse(41008, "")
	}
	login, ok := s.codes[code]
	delete(s.codes, code)
	if !ok || !c.now.Before(login.until) {
		return nil, refuse(40029, "")
	}
	c.note = login.user
	m := s.people[canonical(login.user)]
	linked := strings.Contains(login.user, "/")
	if m == nil && !linked {
		return answer{"openid": "o" + rand.Text()[:16], "external_userid": "wm" + rand.Text()[:16]}, nil
	}
	if linked {
		return answer{"userid": login.user}, nil
	}
	out := answer{"userid": m.ID}
	if login.private && !m.Hidden {
		t := rand.Text()
		s.tickets[t] = ticket{user: m.ID, until: c.now.Add(ticketLife)}
		out["user_ticket"] = t
	}
	return out, nil
}

func (s *Sim) getUserDetail(c *call) (answer, *refusal) {
	var body struct {
		Ticket string `json:"user_ticket"`
	}
	if no := s.decode(c, &body); no != nil {
		return nil, no
	}
	t, ok := s.tickets[body.Ticket]
	switch {
	case !ok:
		return nil, refuse(84015, "")
	case !c.now.Before(t.until):
		return nil, refuse(84014, "")
	}
	return answer{"userid": t.user, "gender": "0", "avatar": "", "qr_code": "", "mobile": "", "email": "", "biz_mail": "", "address": ""}, nil
}

var states = regexp.MustCompile(`^[a-zA-Z0-9]{1,128}$`)

// personCookie is who the chat page is open as.
const personCookie = "sandbox-person"

// silent is what WeCom does in its own browser, whose member it knows: here it is
// whoever the chat page is open as. Then scope snsapi_base asks nothing.
func (s *Sim) silent(r *http.Request) (userID string, ok bool) {
	who, err := r.Cookie(personCookie)
	if err != nil || r.URL.Path != authorizePath || r.URL.Query().Get("scope") != "snsapi_base" || !strings.Contains(r.UserAgent(), "wxwork") {
		return "", false
	}
	id, err := url.QueryUnescape(who.Value)
	if err != nil {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.people[canonical(id)]
	if m == nil {
		return "", false
	}
	return m.ID, true
}

// serveSignIn is both sign-in pages: it asks who one is, which WeCom knows, and
// leads back. as=USERID in the query answers at once; as=! refuses.
func (s *Sim) serveSignIn(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, reason := s.checkSignIn(r.URL.Path, q)
	if reason != "" {
		s.mu.Lock()
		s.problem("sign-in: %s", reason)
		s.mu.Unlock()
		http.Error(w, reason, http.StatusBadRequest)
		return
	}
	if who, ok := s.silent(r); ok && !q.Has("as") {
		q.Set("as", who)
	}
	if !q.Has("as") {
		s.signInPage(w, r)
		return
	}
	reply := back.Query()
	if as := q.Get("as"); as != "!" {
		reply.Set("code", s.newCode(as, q.Get("scope") == "snsapi_privateinfo"))
	}
	reply.Set("state", q.Get("state"))
	back.RawQuery = reply.Encode()
	s.mu.Lock()
	s.record(Wire{Dir: "signin", Name: r.URL.Path, Note: q.Get("as"), Status: http.StatusFound})
	s.mu.Unlock()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// checkSignIn says what WeCom would object to.
func (s *Sim) checkSignIn(path string, q url.Values) (back *url.URL, reason string) {
	back, err := url.Parse(q.Get("redirect_uri"))
	agent, agentErr := strconv.Atoi(q.Get("agentid"))
	rightAgent := agentErr == nil && agent == s.conf.AgentID
	scope := q.Get("scope")
	switch {
	case err != nil || !webURL(q.Get("redirect_uri")):
		return nil, "50001 redirect_uri is not the absolute address of a trusted domain"
	case q.Get("appid") != s.conf.CorpID:
		return nil, "40013 appid is not the corpid"
	case !states.MatchString(q.Get("state")):
		return nil, "state: 1 to 128 letters and digits"
	case path == authorizePath && q.Get("response_type") != "code":
		return nil, "response_type is not code"
	case path == authorizePath && scope != "snsapi_base" && scope != "snsapi_privateinfo":
		return nil, "scope is not snsapi_base or snsapi_privateinfo"
	case path == authorizePath && scope == "snsapi_privateinfo" && !rightAgent:
		return nil, "agentid is required for snsapi_privateinfo"
	case path == qrPath && (q.Get("login_type") != "CorpApp" || !rightAgent):
		return nil, "login_type is not CorpApp, or agentid is not the app's"
	}
	return back, ""
}
