package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// pane is a conversation as the pages show it, to one who takes part in it or
// looks on: the piece "talkpane" of templates/*/talk.html. What changes while it is
// open comes by Events, or is fetched from the page again as a part of it.
type pane struct {
	ID, Title, Status    string
	As                   string // whom it is shown to: asker, agent or admin
	With                 string // the name of the other side, "" for nobody yet
	Waiting              bool   // the asker waits for an answer
	Position             int    // in the queue
	Usual                time.Duration
	Created              time.Time
	Closed               *time.Time
	Mode                 string // what can be done: write, closed or look
	Reopens, Guest       bool
	Back, Export, Manage string // paths of the page before, of the file, and of the actions; "" for none
	Bar, Earlier         string // where parts of the page come from
	Events               string // what is new
	Lines                []saidLine
	Last                 int64
	composer
	Transfer   []store.Agent // whom an agent may give it to
	Canned     []canned
	DropCanned string // the path that keeps and drops canned replies, "" where there are none
}

// composer is the form to write with. A try that failed brings its words back.
type composer struct {
	Action, Return string // where it is posted to, and which page follows
	Nonce          string
	Draft          string
	Trouble        string // what was wrong with the last try
}

// canned is something one may want to say. ID is "" for those of the house.
type canned struct{ ID, Title, Text, Fill string }

// shownAtOnce is how many messages a page begins with, and gets more by.
const shownAtOnce = 50

// talkAt is a conversation on the page at self, below whose base the actions are.
func (s *Server) talkAt(ctx context.Context, r *req, c store.Conversation, by store.Party, self, base string) (t pane, err error) {
	t = pane{
		ID: c.ID, Title: c.Title, Status: c.Status, Created: c.CreatedAt, Closed: c.ClosedAt, Position: c.Position, Last: c.Last,
		Waiting: c.WaitingSince != nil, Manage: base, Events: base + "/events",
		composer: composer{Action: base + "/say", Nonce: newNonce(), Draft: r.Query("text")},
	}
	t.dress(c, by, s.o.Now())
	t.Bar = withQuery(self, "part", "bar", "was", t.Mode)
	if c.Status == store.Queued && t.As == "asker" {
		if t.Usual, err = s.o.Store.UsualAnswer(ctx); err != nil {
			return t, err
		}
	}
	list, err := s.o.Store.LatestMessages(ctx, c.ID, 0, shownAtOnce)
	if err != nil {
		return t, err
	}
	t.Earlier = earlier(self, list)
	t.Lines, err = s.lines(ctx, r.Lang(), base, by, c, list)
	if n := len(list); n > 0 {
		t.Last = list[n-1].N // another may have been said since c was read
	}
	t.Events += "?after=" + strconv.FormatInt(t.Last, 10)
	return t, err
}

// dress says whom a conversation is shown to, and what they can do.
func (t *pane) dress(c store.Conversation, by store.Party, now time.Time) {
	t.As, t.With, t.Mode = "admin", c.AskerName, "look"
	switch by.Key {
	case c.Asker:
		t.As, t.With, t.Mode = "asker", c.AgentName, "write"
		if t.With == "" {
			t.With = c.AgentID
		}
	case c.Agent:
		t.As, t.Mode = "agent", "write"
	}
	if c.Status == store.Closed {
		t.Mode, t.Reopens = "closed", c.Reopens(now)
	}
}

// earlier is where the messages before these come from, "" when they are the
// first.
func earlier(self string, list []store.Said) string {
	if len(list) == 0 || list[0].N <= 1 {
		return ""
	}
	return withQuery(self, "part", "log", "before", strconv.FormatInt(list[0].N, 10))
}

// withQuery adds to the query of a path of ours.
func withQuery(path string, pairs ...string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	for i := 0; i < len(pairs); i += 2 {
		path += sep + pairs[i] + "=" + url.QueryEscape(pairs[i+1])
		sep = "&"
	}
	return path
}

// part is the part of the page that a script asks for, "" for all of it.
func (r *req) part() string {
	if !r.byScript() {
		return ""
	}
	return r.Query("part")
}

// talkBar is the line that says how things are. With it comes what can be done,
// when that is not what it was.
func (s *Server) talkBar(r *req, t pane) any {
	return view{fasthttp.StatusOK, "talkbar", struct {
		pane
		Changed bool
	}{t, r.Query("was") != t.Mode}}
}

// talkLog is the messages before one of that number.
func (s *Server) talkLog(ctx context.Context, r *req, c store.Conversation, by store.Party, self, base string) (any, error) {
	before, err := strconv.ParseInt(r.Query("before"), 10, 64)
	if err != nil || before < 1 {
		return nil, badRequest("before", "is no number of a message")
	}
	list, err := s.o.Store.LatestMessages(ctx, c.ID, before, shownAtOnce)
	if err != nil {
		return nil, err
	}
	lines, err := s.lines(ctx, r.Lang(), base, by, c, list)
	return view{fasthttp.StatusOK, "talklog", struct {
		Earlier string
		Lines   []saidLine
	}{earlier(self, list), lines}}, err
}

// newNonce is what makes a form's message the same when it is sent again.
func newNonce() string { return rand.Text() }

// words are what a form says. The nonce of the form covers its words, so that
// other words in the same form are never taken for a repetition.
func (r *req) words() store.Words {
	content, nonce := r.Form("content"), r.Form("nonce")
	if nonce != "" {
		sum := sha256.Sum256([]byte(nonce + "\x00" + content))
		nonce = hex.EncodeToString(sum[:16])
	}
	return store.Words{Content: strings.ReplaceAll(content, "\r\n", "\n"), Nonce: nonce}
}

// paced counts a message of whoever asks: as many as they may send commands. Who
// answers has several people to write to.
func (s *Server) paced(ctx context.Context, by store.Party, asks bool) error {
	if s.o.Limit == nil || !asks {
		return nil
	}
	if wait := s.o.Limit(ctx, "commands_per_person", by.Key); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

// speak adds words to a conversation that find finds, in one transaction. asks:
// they are of whoever asks.
func (s *Server) speak(ctx context.Context, by store.Party, asks bool, w store.Words, find func(*store.Tx) (store.Conversation, error)) error {
	if err := s.paced(ctx, by, asks); err != nil {
		return err
	}
	return s.change(ctx, func(tx *store.Tx) error {
		c, err := find(tx)
		if err == nil {
			_, _, err = tx.Say(ctx, c, by, w)
		}
		return err
	})
}

// whyNot is why words, or a wish, were refused: the text "flash.bad.<why>". ok
// is false for errors of another kind.
func whyNot(err error) (why string, status int, ok bool) {
	if e, is := errors.AsType[*store.DeskError](err); is {
		return e.Reason, fasthttp.StatusConflict, true
	}
	if p, is := errors.AsType[*problem](err); is && p.status == fasthttp.StatusTooManyRequests {
		return "session.often", p.status, true
	}
	for _, known := range []struct {
		err    error
		why    string
		status int
	}{
		{store.ErrEmpty, "session.empty", fasthttp.StatusBadRequest},
		{store.ErrTooLong, "session.long", fasthttp.StatusBadRequest},
		{store.ErrEnded, "session.ended", fasthttp.StatusConflict},
		{store.ErrEnough, "canned.enough", fasthttp.StatusConflict},
	} {
		if errors.Is(err, known.err) {
			return known.why, known.status, true
		}
	}
	return "", 0, false
}

// refused words a refusal for beside the form.
func (r *req) refused(err error) (text string, status int, _ error) {
	why, status, ok := whyNot(err)
	if !ok {
		return "", 0, err
	}
	if p, ok := errors.AsType[*problem](err); ok {
		r.problemHeaders(p)
	}
	text, unsaid := r.s.o.Words.Text(r.Lang(), "flash.bad."+why, struct{ About string }{})
	return text, status, unsaid
}

// wished leads on after a wish, which was refused with err or fulfilled.
func (r *req) wished(to, done string, err error) (any, error) {
	if why, _, ok := whyNot(err); ok {
		return r.flash(to, "bad."+why, ""), nil
	}
	if err != nil {
		return nil, err
	}
	if done == "" {
		return redirect{fasthttp.StatusSeeOther, to}, nil
	}
	return r.flash(to, done, ""), nil
}

// fresh is what a script's form gets that succeeded: what to send the next with.
func fresh() any { return view{fasthttp.StatusOK, "nonce", struct{ Nonce string }{newNonce()}} }

// unsent is what a script's form gets that was refused.
func unsent(status int, text string) any {
	return view{status, "unsent", struct{ Trouble string }{text}}
}
