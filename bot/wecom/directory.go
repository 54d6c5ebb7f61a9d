package wecom

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/silenceper/wechat/v2/work/addresslist"
	workcontext "github.com/silenceper/wechat/v2/work/context"

	"deskbell/bot"
)

// states are the statuses of document 90196. Any other is refused as unknown to
// this program rather than taken for one of these.
var states = map[int]bot.State{1: bot.Active, 2: bot.Disabled, 4: bot.Inactive, 5: bot.Left}

// absences are the errcodes that answer the question: no such member, or none
// this application may see.
var absences = map[int]bot.State{
	40003: bot.Unknown, 46004: bot.Unknown, 60111: bot.Unknown,
	50002: bot.Hidden, 60011: bot.Hidden, 60021: bot.Hidden,
}

// Person asks the directory about a userid. tags are the tag ids the caller wants
// to know about. An answer, "no such person" included, comes without an error. An
// error of kind Unavailable means WeCom could not be asked; of kind Internal,
// that it could and the application may not ask, a fault to mend and no outage.
// Both come with State Unreachable, and with neither is anybody active.
func (c *Client) Person(ctx context.Context, userID string, tags []int) (bot.Person, error) {
	if !bot.ValidUserID(userID) {
		return bot.Person{ID: userID, State: bot.Unknown}, nil
	}
	p, err := c.member(ctx, userID)
	if err == nil && p.State == bot.Active {
		p.Tags, err = c.tagsOf(ctx, p, tags)
	}
	if err != nil {
		why := bot.Internal
		if Temporary(err) {
			why = bot.Unavailable
		}
		return bot.Person{ID: userID, State: bot.Unreachable}, fail(why, err)
	}
	return p, nil
}

func (c *Client) member(ctx context.Context, userID string) (bot.Person, error) {
	var u *addresslist.UserGetResponse
	err := c.viaSDK(ctx, "user/get", func(sdk *workcontext.Context) (err error) {
		u, err = addresslist.NewClient(sdk).UserGet(userID)
		return err
	})
	if e, ok := errors.AsType[*APIError](err); ok {
		if state, ok := absences[e.Code]; ok {
			return bot.Person{ID: userID, State: state}, nil
		}
	}
	if err != nil {
		return bot.Person{}, err
	}
	if bot.Canonical(u.UserID) != bot.Canonical(userID) {
		return bot.Person{}, &outage{call: "user/get", what: "the answer is about somebody else"}
	}
	state, ok := states[u.Status]
	if !ok {
		return bot.Person{}, fmt.Errorf("wecom user/get: unknown status %d", u.Status)
	}
	return bot.Person{ID: u.UserID, Name: u.Name, State: state, Departments: slices.Clone(u.Department)}, nil
}
