package api

import (
	"context"
	"errors"
	"strconv"

	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// A customer talks to the desk on the page of a share. What they say belongs to
// their account and that share, so it needs no id in the address.

// talksBefore is how many of a customer's conversations are looked through for
// the one of a share.
const talksBefore = 50

// shareTalk is the latest conversation of an account through a share.
func (s *Server) shareTalk(ctx context.Context, a store.Account, share string) (c store.Conversation, ok bool, err error) {
	list, err := s.o.Store.Conversations(ctx, store.Conversations{Party: a.PartyOf(), As: "asker", N: talksBefore})
	for _, c := range list {
		if c.Share == share {
			c, err := s.o.Store.Conversation(ctx, c.ID, a.PartyOf()) // with its place in the queue
			return c, true, err
		}
	}
	return c, false, err
}

// guestOf admits a customer to what a share is for. stop is the answer to others:
// the way to sign in, or that the share is good no more.
func (s *Server) guestOf(ctx context.Context, r *req) (a store.Account, sh store.Share, stop any, err error) {
	who, err := s.caller(ctx, s.guest.read(r.ctx))
	if p, ok := errors.AsType[*problem](err); err != nil && (!ok || p.status != fasthttp.StatusUnauthorized) {
		return a, sh, nil, err
	}
	if err != nil || who.account == nil || !who.account.IsEndUser {
		return a, sh, r.elsewhere(fasthttp.StatusSeeOther, shareLink(r.holes[0])), nil
	}
	r.who = who
	if sh, err = s.o.Store.PeekShare(ctx, r.holes[0]); err != nil {
		if r.byScript() && (errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrEnded)) {
			return a, sh, byHeader{shareLink(r.holes[0])}, nil // which says so, on the whole page
		}
		stop, err = s.noShare(ctx, r, err)
	}
	return *who.account, sh, stop, err
}

// shareSay says something to the desk, which opens a session when none is open.
func (s *Server) shareSay(ctx context.Context, r *req) (any, error) {
	a, sh, stop, err := s.guestOf(ctx, r)
	if stop != nil || err != nil {
		return stop, err
	}
	began := false
	by := a.PartyOf()
	err = s.speak(ctx, by, true, r.words(), func(tx *store.Tx) (c store.Conversation, err error) {
		if now, err := tx.Share(ctx, sh.ID); err != nil || !now.Live(tx.Now) {
			return c, errors.Join(err, errShareOver)
		}
		c, began, err = tx.Begin(ctx, by, sh.ID, "")
		return c, err
	})
	switch {
	case errors.Is(err, errShareOver):
		return s.noShare(ctx, r, store.ErrEnded)
	case err == nil && (began || !r.byScript()):
		return r.elsewhere(fasthttp.StatusSeeOther, shareLink(r.holes[0])), nil
	case err == nil:
		return fresh(), nil
	}
	text, status, err := r.refused(err)
	if err != nil {
		return nil, err
	}
	if r.byScript() {
		return unsent(status, text), nil
	}
	return s.shareView(ctx, r, sh, a, composer{Draft: r.Form("content"), Trouble: text}, status)
}

var errShareOver = errors.New("the share is good no more")

// shareClose ends the customer's session.
func (s *Server) shareClose(ctx context.Context, r *req) (any, error) {
	a, sh, stop, err := s.guestOf(ctx, r)
	if stop != nil || err != nil {
		return stop, err
	}
	err = s.change(ctx, func(tx *store.Tx) error {
		c, err := tx.OpenConversation(ctx, a.Audited(), sh.ID)
		if err == nil {
			_, err = tx.CloseConversation(ctx, c.ID, a.PartyOf())
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return redirect{fasthttp.StatusSeeOther, shareLink(r.holes[0])}, nil
}

// shareSeen notes how far the customer has read.
func (s *Server) shareSeen(ctx context.Context, r *req) (any, error) {
	a, sh, stop, err := s.guestOf(ctx, r)
	if stop != nil || err != nil {
		return stop, err
	}
	c, ok, err := s.shareTalk(ctx, a, sh.ID)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, store.ErrNotFound
	}
	return s.noteSeen(ctx, r, c, a.PartyOf())
}

// shareMedium is what was sent in the customer's session.
func (s *Server) shareMedium(ctx context.Context, r *req) (any, error) {
	a, sh, stop, err := s.guestOf(ctx, r)
	if stop != nil || err != nil {
		return stop, err
	}
	c, ok, err := s.shareTalk(ctx, a, sh.ID)
	if err == nil && !ok {
		err = store.ErrNotFound
	}
	if err == nil {
		_, err = s.o.Store.MediaOf(ctx, c.ID, r.holes[1])
	}
	if err != nil {
		return nil, err
	}
	return s.medium(ctx, r.holes[1])
}

// sharePart is a part of the page, which asks for it itself.
func (s *Server) sharePart(ctx context.Context, r *req) (any, error) {
	a, sh, stop, err := s.guestOf(ctx, r)
	if stop != nil || err != nil {
		return stop, err
	}
	self := shareLink(r.holes[0])
	c, ok, err := s.shareTalk(ctx, a, sh.ID)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, store.ErrNotFound
	case r.part() == "log":
		return s.talkLog(ctx, r, c, a.PartyOf(), self, self)
	case r.part() == "said":
		return s.talkSaid(ctx, r, c, a.PartyOf(), self)
	}
	t, err := s.talkAt(ctx, r, c, a.PartyOf(), self, self)
	t.asGuest()
	return s.talkBar(r, t), err
}

// asGuest leaves what customers can do: one who goes on writing begins anew.
func (t *pane) asGuest() {
	t.Guest, t.Reopens = true, false
	if t.ID != "" {
		t.Events = withQuery(t.Manage+"/events", "session", t.ID, "after", strconv.FormatInt(t.Last, 10))
	}
}

// shareView is the page: the bot's greeting, and the conversation with the desk.
func (s *Server) shareView(ctx context.Context, r *req, sh store.Share, a store.Account, form composer, status int) (any, error) {
	b, err := s.o.Store.Bot(ctx, sh.Bot)
	if err != nil {
		return nil, err
	}
	g := b.Greeting()
	avatar, from := safeAvatar(g.AvatarURL, s.origin)
	if from != "" {
		s.allowImages(r, from)
	}
	self := shareLink(r.holes[0])
	c, ok, err := s.shareTalk(ctx, a, sh.ID)
	if err != nil {
		return nil, err
	}
	t := pane{Manage: self, As: "asker", Mode: "write", composer: composer{Action: self + "/say"}}
	if ok {
		if t, err = s.talkAt(ctx, r, c, a.PartyOf(), self, self); err != nil {
			return nil, err
		}
	}
	t.asGuest()
	t.Draft, t.Trouble = form.Draft, form.Trouble
	if t.Nonce == "" {
		t.Nonce = newNonce()
	}
	var questions []canned
	for _, q := range g.Questions {
		questions = append(questions, canned{Text: q, Fill: withQuery(self, "text", q)})
	}
	return live{view{status, "share", struct {
		Name, Avatar, Welcome string
		Questions             []canned
		Settings              []setting
		Username              string
		Begun                 bool
		Talk                  pane
	}{b.Name, avatar, g.Welcome, questions, settingsOf(g), a.Username, ok, t}}}, nil
}
