package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"deskbell/bot"
	"deskbell/store"
)

// usersPage lists the accounts: end users, for whom bots are shared, and others.
func (s *Server) usersPage(ctx context.Context, r *req) (any, error) {
	kind := r.Query("kind")
	accounts, err := s.o.Store.FindAccounts(ctx, store.AccountQuery{Text: r.Query("q"), Kind: kind, After: r.Query("after"), Limit: pageSize + 1})
	if err != nil {
		return nil, err
	}
	accounts, next := cut(accounts, func(a store.Account) string { return a.UID })
	return page("adminusers", struct {
		list
		Kind     string
		Kinds    []string
		Accounts []store.Account
	}{r.list(len(accounts), next, "kind"), kind, []string{store.KindEndUser, store.KindAccount}, accounts})
}

// usersDo makes, resets or removes an end user. As in the chat no password is
// shown here: the link to it goes to the administrator's chat.
func (s *Server) usersDo(ctx context.Context, r *req) (any, error) {
	by, id, name := r.who.actor(), r.Form("id"), strings.TrimSpace(r.Form("username"))
	act := r.Form("do")
	if act != "new" && act != "reset" && act != "remove" {
		return nil, badRequest("do", "is no action of this page")
	}
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		var a store.Account
		if act == "new" {
			a, err = tx.CreateEndUser(ctx, name, by)
		} else {
			a, err = tx.EndUser(ctx, id)
		}
		if err != nil {
			return err
		}
		name = a.Username
		switch act {
		case "remove":
			return tx.DeleteEndUser(ctx, a.UID, by)
		case "reset":
			if err := tx.ResetEndUser(ctx, a.UID, by); err != nil {
				return err
			}
		}
		link, err := tx.NewHandOver(ctx, a.UID)
		if err != nil {
			return err
		}
		return tx.Tell(ctx, r.who.person.ID, bot.Card("user", handedOver{a.Username, link.URL, link.Expires.Sub(tx.Now)}))
	})
	refused, ok := errors.AsType[*store.AccountError](err)
	switch {
	case ok && refused.Taken:
		return r.did("bad.taken", name)
	case ok:
		return r.did("bad.username", "")
	case errors.Is(err, store.ErrNotFound):
		return r.did("bad.gone", "")
	case err != nil:
		return nil, err
	}
	return r.did("user."+act, name)
}

// handedOver is the data of the card "user".
type handedOver struct {
	Username, URL string
	For           time.Duration
}
