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

// saidLine is one message as somebody sees it: the data of saidfragment and
// exportsaid.
type saidLine struct {
	store.Said
	Own    bool   // said by their side
	Text   string // the desk's own words; "" for what people said
	Named  bool   // it is not obvious who said it
	Pieces []piece
	Sent   *sent // instead of words; nil for words
}

// sent is something that was sent instead of words.
type sent struct {
	Label   string // its name, or what it is
	Path    string // where it is; "" when it is not here, or nobody could get it
	Picture bool   // a page can show it
	Waits   bool   // it is being got
	Again   string // where the message is to be had anew, as long as it waits
	Trouble string // why it will never be here
}

// piece is a part of what was said: words, or an address one can go to.
type piece struct{ Text, Link string }

// shownAtOnce is how many messages a page begins with, and gets more by.
const shownAtOnce = 50

// line is a message as a party sees it. What was sent with it is below base, ""
// where nobody could get it.
func (s *Server) line(ctx context.Context, lang, base string, by store.Party, c store.Conversation, m store.Said) (saidLine, error) {
	list, err := s.lines(ctx, lang, base, by, c, []store.Said{m})
	if err != nil {
		return saidLine{}, err
	}
	return list[0], nil
}

// words is a message without what was sent with it.
func (s *Server) words(lang string, by store.Party, c store.Conversation, m store.Said) (saidLine, error) {
	m.CreatedAt = m.CreatedAt.UTC()
	text, err := s.desksWords(lang, m)
	l := saidLine{Said: m, Text: text}
	if m.Role != store.ByDesk {
		l.Own = (m.Role == store.ByAsker) == (by.Key == c.Asker)
		l.Named = m.Author != by.Key
		l.Pieces = pieces(m.Content)
	}
	return l, err
}

func (s *Server) lines(ctx context.Context, lang, base string, by store.Party, c store.Conversation, list []store.Said) ([]saidLine, error) {
	var ids []string
	for _, m := range list {
		if m.Media != "" {
			ids = append(ids, m.Media)
		}
	}
	media, err := s.o.Store.Medias(ctx, ids)
	if err != nil {
		return nil, err
	}
	lines := make([]saidLine, len(list))
	for i, m := range list {
		if lines[i], err = s.words(lang, by, c, m); err != nil {
			return nil, err
		}
		if m.Media == "" {
			continue
		}
		if lines[i].Sent, err = s.sentWith(lang, base, m, media[m.Media]); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// sentWith shows what was sent with a message, as far as it is here.
func (s *Server) sentWith(lang, base string, m store.Said, medium store.Media) (_ *sent, err error) {
	t := &sent{}
	if t.Label, err = s.label(lang, m); err != nil || base == "" {
		return t, err
	}
	switch medium.State {
	case store.MediaKept:
		t.Path, t.Picture = base+"/media/"+m.Media, strings.HasPrefix(medium.Type, "image/")
	case store.MediaWanted:
		t.Waits, t.Again = true, withQuery(base, "part", "said", "n", strconv.FormatInt(m.N, 10))
	case store.MediaFailed:
		t.Trouble, err = s.o.Words.Text(lang, medium.Reason, nil)
	}
	return t, err
}

// pieces finds the web addresses in what somebody said.
func pieces(text string) (list []piece) {
	plain := 0
	for at := 0; at < len(text); {
		rest := text[at:]
		if !strings.HasPrefix(rest, "https://") && !strings.HasPrefix(rest, "http://") {
			at++
			continue
		}
		n := strings.IndexFunc(rest, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`<>"'`, c) })
		if n < 0 {
			n = len(rest)
		}
		address := strings.TrimRight(rest[:n], ".,;:!?)]}")
		if u, err := url.Parse(address); err != nil || u.Host == "" {
			at += n
			continue
		}
		if plain < at {
			list = append(list, piece{Text: text[plain:at]})
		}
		list = append(list, piece{address, address})
		at += len(address)
		plain = at
	}
	if plain < len(text) {
		list = append(list, piece{Text: text[plain:]})
	}
	return list
}

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

// talkSaid is one message anew, for a page that waits for what was sent with it.
func (s *Server) talkSaid(ctx context.Context, r *req, c store.Conversation, by store.Party, base string) (any, error) {
	n, err := strconv.ParseInt(r.Query("n"), 10, 64)
	if err != nil || n < 1 {
		return nil, badRequest("n", "is no number of a message")
	}
	list, err := s.o.Store.Messages(ctx, c.ID, n-1, 1)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || list[0].N != n {
		return nil, store.ErrNotFound
	}
	l, err := s.line(ctx, r.Lang(), base, by, c, list[0])
	return view{fasthttp.StatusOK, "saidfragment", l}, err
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
