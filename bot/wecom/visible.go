package wecom

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"deskbell/bot"
)

// Visible lists the userids that can see the app, in WeCom's spelling: those its
// visible range names, and the members of the departments and tags it names. A
// member among them may be disabled: only Person says.
func (c *Client) Visible(ctx context.Context) ([]string, error) {
	var app struct {
		Users struct {
			User []named `json:"user"`
		} `json:"allow_userinfos"`
		Departments struct {
			ID []int `json:"partyid"`
		} `json:"allow_partys"`
		Tags struct {
			ID []int `json:"tagid"`
		} `json:"allow_tags"`
	}
	if err := c.request(ctx, "agent/get", url.Values{"agentid": {strconv.Itoa(c.agentID)}}, nil, &app); err != nil {
		return nil, fail(kind(err), err)
	}
	people, departments := app.Users.User, app.Departments.ID
	for _, id := range app.Tags.ID {
		var tag struct {
			People      []named `json:"userlist"`
			Departments []int   `json:"partylist"`
		}
		if err := c.request(ctx, "tag/get", url.Values{"tagid": {strconv.Itoa(id)}}, nil, &tag); err != nil {
			return nil, fail(kind(err), err)
		}
		people, departments = append(people, tag.People...), append(departments, tag.Departments...)
	}
	more, err := c.members(ctx, departments)
	if err != nil {
		return nil, fail(kind(err), err)
	}
	return userIDs(append(people, more...)), nil
}

type named struct {
	UserID string `json:"userid"`
}

// members lists who is in these departments, or below them.
func (c *Client) members(ctx context.Context, departments []int) (people []named, err error) {
	seen := map[int]bool{}
	for _, top := range departments {
		var below struct {
			Departments []struct {
				ID int `json:"id"`
			} `json:"department_id"`
		}
		if err := c.request(ctx, "department/simplelist", url.Values{"id": {strconv.Itoa(top)}}, nil, &below); err != nil {
			return nil, err
		}
		for _, d := range below.Departments {
			if seen[d.ID] {
				continue
			}
			seen[d.ID] = true
			var in struct {
				People []named `json:"userlist"`
			}
			if err := c.request(ctx, "user/simplelist", url.Values{"department_id": {strconv.Itoa(d.ID)}}, nil, &in); err != nil {
				return nil, err
			}
			people = append(people, in.People...)
		}
	}
	return people, nil
}

// userIDs are those of members, each once.
func userIDs(people []named) []string {
	var ids []string
	seen := map[string]bool{}
	for _, p := range people {
		if id := bot.Canonical(p.UserID); bot.ValidUserID(p.UserID) && !seen[id] {
			seen[id] = true
			ids = append(ids, p.UserID)
		}
	}
	slices.Sort(ids)
	return ids
}
