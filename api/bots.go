package api

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"deskbell/store"
)

// botItem is a bot as administrators see it.
type botItem struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	OwnerID   string         `json:"owner_id"`
	Settings  jsontext.Value `json:"settings"`
	CreatedAt time.Time      `json:"created_at"`
}

func showBot(b store.Bot) botItem {
	return botItem{b.ID, b.Name, b.OwnerUID, jsontext.Value(b.Settings), b.CreatedAt}
}

// itemList is a list as the families of plain answers have it.
type itemList[T any] struct {
	Items []T `json:"items"`
}

// owner is the caller as the one who owns bots.
func (c caller) asker() store.Asker { return store.Asker{UserID: c.person.ID, Master: c.master} }

// sharing words what store says of bots and shares.
func sharing(err error) error {
	if e, ok := errors.AsType[*store.BotError](err); ok {
		return &problem{status: fasthttp.StatusBadRequest, message: e.Reason}
	}
	switch {
	case errors.Is(err, store.ErrNotOwner):
		return forbidden("this bot is somebody else's")
	case errors.Is(err, store.ErrEnded):
		return forbidden("the share is revoked or has expired")
	}
	return err
}

// bots lists all bots, newest first.
func (s *Server) bots(ctx context.Context, _ *req) (any, error) {
	list, err := s.o.Store.Bots(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]botItem, len(list))
	for i, b := range list {
		items[i] = showBot(b)
	}
	return itemList[botItem]{items}, nil
}

// botRequest is a bot as its maker asks for it.
type botRequest struct {
	Name     string         `json:"name"`
	Settings jsontext.Value `json:"settings"`
}

// makeBot makes a bot, which is its maker's.
func (s *Server) makeBot(ctx context.Context, r *req) (any, error) {
	var in botRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	var made store.Bot
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		made, err = tx.NewBot(ctx, in.Name, []byte(in.Settings), r.who.asker())
		return err
	})
	if err != nil {
		return nil, sharing(err)
	}
	return withStatus{fasthttp.StatusCreated, showBot(made)}, nil
}

// shareItem is a share token in a list: everything but the token.
type shareItem struct {
	ID           string     `json:"id"`
	BotID        string     `json:"bot_id"`
	ShareToken   string     `json:"share_token,omitzero"` // when it was just made
	Last4        string     `json:"last4,omitzero"`       // when it was not
	Name         string     `json:"name"`
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    *time.Time `json:"expires_at"`
	RevokedAt    *time.Time `json:"revoked_at"`
	Opens        *int64     `json:"opens,omitzero"`
	LastOpenedAt *time.Time `json:"last_opened_at,omitzero"`
}

// shares lists a bot's share tokens, newest first.
func (s *Server) shares(ctx context.Context, r *req) (any, error) {
	list, err := s.o.Store.Shares(ctx, r.holes[0], r.who.asker())
	if err != nil {
		return nil, sharing(err)
	}
	items := make([]shareItem, len(list))
	for i, sh := range list {
		items[i] = shareItem{
			ID: sh.ID, BotID: sh.Bot, Last4: sh.Last4, Name: sh.Name, CreatedAt: sh.CreatedAt, ExpiresAt: sh.ExpiresAt, RevokedAt: sh.RevokedAt,
			Opens: &sh.Opens, LastOpenedAt: sh.OpenedAt,
		}
	}
	return itemList[shareItem]{items}, nil
}

// shareRequest is a share token as its maker asks for it.
type shareRequest struct {
	Name      *string `json:"name"`
	ExpiresAt *string `json:"expires_at"`
}

// share makes a share token, shown this once.
func (s *Server) share(ctx context.Context, r *req) (any, error) {
	var in shareRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	wish := store.NewShare{Bot: r.holes[0]}
	if in.Name != nil {
		wish.Name = *in.Name
	}
	if in.ExpiresAt != nil {
		at, err := moment(*in.ExpiresAt, s.o.Now())
		if err != nil {
			return nil, err
		}
		wish.ExpiresAt = &at
	}
	var token string
	var made store.Share
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		token, made, err = tx.CreateShare(ctx, wish, r.who.asker())
		return err
	})
	if err != nil {
		return nil, sharing(err)
	}
	return shareItem{ID: made.ID, BotID: made.Bot, ShareToken: token, Name: made.Name, CreatedAt: made.CreatedAt, ExpiresAt: made.ExpiresAt}, nil
}

// isoForms are the forms of ISO 8601 people write a moment in. Without an offset
// it is UTC.
var isoForms = []string{
	time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04Z07", "2006-01-02T15:04:05", "2006-01-02T15:04",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "20060102T150405Z0700",
}

// moment reads when something is to end: ISO 8601, or how long from now, as 7d.
func moment(text string, now time.Time) (time.Time, error) {
	at, err := time.Time{}, errors.New("not a moment")
	for _, form := range isoForms {
		if at, err = time.Parse(form, text); err == nil {
			break
		}
	}
	var ahead span
	if err != nil && len(text) > 1 && ahead.UnmarshalJSON([]byte(`"`+text+`"`)) == nil {
		at, err = now.Add(time.Duration(ahead)), nil
	}
	at = at.UTC().Truncate(time.Second) // as it will be kept
	switch {
	case err != nil:
		return at, badRequest("expires_at", `is neither ISO 8601, as "2027-01-31T18:00:00+08:00", nor how long, as "7d"`)
	case !at.After(now):
		return at, badRequest("expires_at", "is in the past")
	case at.Year() > 9999: // which no JSON can say
		return at, badRequest("expires_at", "is too far ahead")
	}
	return at, nil
}

// endShare revokes a share token.
func (s *Server) endShare(ctx context.Context, r *req) (any, error) {
	if uuid.Validate(r.holes[0]) != nil {
		return nil, store.ErrNotFound
	}
	err := s.o.Store.Tx(ctx, func(tx *store.Tx) error {
		_, err := tx.RevokeShare(ctx, r.holes[0], r.who.asker())
		return err
	})
	if err != nil {
		return nil, sharing(err)
	}
	return s.said(r, "share.off")
}

// succeeded says what was done.
type succeeded struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

// said is the answer to a change that has nothing to show but a sentence.
func (s *Server) said(r *req, key string) (any, error) {
	message, err := s.o.Words.Text(r.Lang(), key, nil)
	return succeeded{true, message}, err
}

// publicBot is what outsiders get of a bot.
type publicBot struct {
	BotID     string                    `json:"bot_id"`
	BotUUID   string                    `json:"bot_uuid"`
	Name      string                    `json:"name"`
	AvatarURL string                    `json:"avatar_url"`
	Welcome   string                    `json:"welcome"`
	Questions []string                  `json:"suggested_questions"`
	Settings  map[string]jsontext.Value `json:"settings"`
}

// publicShare shows the bot behind a share token to an end user.
func (s *Server) publicShare(ctx context.Context, r *req) (any, error) {
	b, err := s.o.Store.OpenShare(ctx, r.holes[0], *r.who.account)
	if err != nil {
		return nil, sharing(err)
	}
	g := b.Greeting()
	safe := make(map[string]jsontext.Value, len(g.Safe))
	for name, value := range g.Safe {
		safe[name] = jsontext.Value(value)
	}
	return publicBot{b.ID, b.ID, b.Name, g.AvatarURL, g.Welcome, g.Questions, safe}, nil
}

// validity says that a share token is for the bot in question.
type validity struct {
	Valid bool `json:"valid"`
}

// validateRequest names the bot that a share token should be for.
type validateRequest struct {
	BotID string `json:"bot_id"`
}

// validateShare tells another system whether a share token is for a bot.
func (s *Server) validateShare(ctx context.Context, r *req) (any, error) {
	var in validateRequest
	if err := r.Bind(&in); err != nil {
		return nil, err
	}
	if in.BotID == "" {
		return nil, badRequest("bot_id", "is missing")
	}
	sh, err := s.o.Store.PeekShare(ctx, r.holes[0])
	if err != nil {
		return nil, sharing(err)
	}
	if sh.Bot != in.BotID {
		return nil, forbidden("the share is for another bot")
	}
	return validity{true}, nil
}
