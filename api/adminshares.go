package api

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/google/uuid"

	"deskbell/store"
)

// sharesPage lists the shares of the administrator's own bots, and the bots.
func (s *Server) sharesPage(ctx context.Context, r *req) (any, error) {
	return s.sharesWith(ctx, r, nil)
}

// shareLine is a share in the list.
type shareLine struct {
	store.Share
	Live bool
}

// shareShown is a share whose link is on the page: just made, or asked for again.
type shareShown struct {
	Name, BotName, URL, QR string
	ExpiresAt              *time.Time
}

// sharesWith is the page, with the link of one of the shares.
func (s *Server) sharesWith(ctx context.Context, r *req, shown *shareShown) (any, error) {
	asker := r.who.asker()
	found, err := s.o.Store.FindShares(ctx, store.ShareQuery{
		Owner: asker, Text: r.Query("q"), Ended: r.Query("ended") != "", After: r.Query("after"), Limit: pageSize + 1,
	})
	if err != nil {
		return nil, err
	}
	found, next := cut(found, func(sh store.Share) string { return sh.ID })
	lines := make([]shareLine, len(found))
	for i, sh := range found {
		lines[i] = shareLine{sh, sh.Live(s.o.Now())}
	}
	all, err := s.o.Store.BotsOf(ctx, asker, botsShown)
	if err != nil {
		return nil, err
	}
	return page("adminshares", struct {
		list
		Ended  bool
		Shown  *shareShown
		Spans  []spanChoice
		Bots   []store.Bot
		Shares []shareLine
	}{r.list(len(lines), next, "ended"), r.Query("ended") != "", shown, spanChoices(), all, lines})
}

// botsShown is how many bots a form can choose from.
const botsShown = 200

// sharesDo makes, extends, shows or revokes a share, or makes a bot.
func (s *Server) sharesDo(ctx context.Context, r *req) (any, error) {
	by, id := r.who.asker(), r.Form("id")
	var about string
	var do func(tx *store.Tx) error
	switch r.Form("do") {
	case "bot":
		about = r.Form("name")
		do = func(tx *store.Tx) error {
			_, err := tx.NewBot(ctx, about, nil, by)
			return err
		}
	case "share":
		return s.shareByForm(ctx, r)
	case "show":
		return s.showShare(ctx, r, id)
	case "extend":
		ttl, ok := spanOf(r.Form("ttl"))
		if !ok || ttl == 0 {
			return r.did("bad.span", "")
		}
		do = func(tx *store.Tx) error {
			sh, err := tx.ExtendShare(ctx, id, tx.Now.Add(ttl), by)
			about = sh.Name
			return err
		}
	case "revoke":
		do = func(tx *store.Tx) error {
			sh, err := tx.RevokeShare(ctx, id, by)
			about = sh.Name
			return err
		}
	default:
		return nil, badRequest("do", "is no action of this page")
	}
	if r.Form("do") != "bot" && uuid.Validate(id) != nil {
		return r.did("bad.gone", "")
	}
	if err := s.o.Store.Tx(ctx, do); err != nil {
		return s.noSuchShare(r, err)
	}
	return r.did("share."+r.Form("do"), about)
}

// noSuchShare says why a form about shares came to nothing.
func (s *Server) noSuchShare(r *req, err error) (any, error) {
	refused, ok := errors.AsType[*store.BotError](err)
	switch {
	case ok:
		return r.did("bad.refused", refused.Reason)
	case errors.Is(err, store.ErrEnded):
		return r.did("bad.ended", "")
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrNotOwner):
		return r.did("bad.gone", "")
	}
	return nil, err
}

// shareByForm makes a share, whose link is in the answer.
func (s *Server) shareByForm(ctx context.Context, r *req) (any, error) {
	ttl, ok := spanOf(r.Form("ttl"))
	if !ok {
		return r.did("bad.span", "")
	}
	wish := store.NewShare{Bot: r.Form("bot"), Name: r.Form("name")}
	if ttl > 0 {
		wish.ExpiresAt = new(s.o.Now().Add(ttl))
	}
	var sh store.Share
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		_, sh, err = tx.CreateShare(ctx, wish, r.who.asker())
		return err
	})
	if err != nil {
		return s.noSuchShare(r, err)
	}
	return s.showShare(ctx, r, sh.ID)
}

// showShare shows a share's link, to copy and as a QR code.
func (s *Server) showShare(ctx context.Context, r *req, id string) (any, error) {
	if uuid.Validate(id) != nil {
		return r.did("bad.gone", "")
	}
	var sh store.Share
	var link string
	var picture []byte
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		sh, link, picture, err = tx.ShareLink(ctx, id, r.who.asker())
		return err
	})
	if err != nil {
		return s.noSuchShare(r, err)
	}
	return s.sharesWith(ctx, r, &shareShown{sh.Name, sh.BotName, link, base64.StdEncoding.EncodeToString(picture), sh.ExpiresAt})
}
