package wecom

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"deskbell/bot"
)

// ErrNotMember means a sign-in code that proves no member of this corporation: it
// was used or invented, is too old, or belongs to an outsider.
var ErrNotMember = errors.New("the sign-in code proves no member")

// UserInfo turns the code of a WeCom sign-in, a one-time proof, into the userid
// it proves (document 91023). Whether that person is active is for the caller to
// ask.
func (c *Client) UserInfo(ctx context.Context, code string) (string, error) {
	var answer struct {
		UserID string `json:"userid"`
	}
	if code == "" || len(code) > 512 {
		return "", ErrNotMember
	}
	err := c.request(ctx, "auth/getuserinfo", url.Values{"code": {code}}, nil, &answer)
	if e, ok := errors.AsType[*APIError](err); ok && e.Code == codeBadOAuthCode {
		return "", fmt.Errorf("%w: %w", ErrNotMember, err)
	}
	if err != nil {
		return "", err
	}
	// Outsiders have an openid instead, members of a linked corporation an id with a slash.
	if !bot.ValidUserID(answer.UserID) {
		return "", ErrNotMember
	}
	return answer.UserID, nil
}
