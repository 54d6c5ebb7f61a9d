package wecom

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/silenceper/wechat/v2/work/addresslist"
	workcontext "github.com/silenceper/wechat/v2/work/context"

	"deskbell/bot"
)

// tag is who has a tag, as far as known.
type tag struct {
	turn        chan struct{} // held by the one who looks or fetches
	until       time.Time
	people      map[string]bool // canonical userids
	departments []int
}

// tagsOf returns those of the wanted tags the person has, by name or by being in
// a tagged department.
func (c *Client) tagsOf(ctx context.Context, p bot.Person, wanted []int) ([]int, error) {
	var has []int
	for _, id := range wanted {
		if slices.Contains(has, id) {
			continue
		}
		yes, err := c.tagged(ctx, id, p)
		if err != nil {
			return nil, err
		}
		if yes {
			has = append(has, id)
		}
	}
	return has, nil
}

func (c *Client) tagged(ctx context.Context, id int, p bot.Person) (bool, error) {
	t := c.tag(id)
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return false, &outage{call: "tag/get", what: "given up by the caller", cause: ctx.Err()}
	}
	if !c.now().Before(t.until) {
		if err := c.fetchTag(ctx, id, t); err != nil {
			return false, err
		}
	}
	inIt := func(department int) bool { return slices.Contains(t.departments, department) }
	return t.people[bot.Canonical(p.ID)] || slices.ContainsFunc(p.Departments, inIt), nil
}

func (c *Client) tag(id int) *tag {
	c.tagMu.Lock()
	defer c.tagMu.Unlock()
	t, ok := c.tags[id]
	if !ok {
		t = &tag{turn: make(chan struct{}, 1)}
		c.tags[id] = t
	}
	return t
}

// fetchTag fills t, whose turn it is. A tag WeCom does not have or does not show
// has nobody in it: a wrong number in the role rules must give no rights, and
// must not shut everybody else out either.
func (c *Client) fetchTag(ctx context.Context, id int, t *tag) error {
	var answer *addresslist.GetTagResponse
	err := c.viaSDK(ctx, "tag/get", func(sdk *workcontext.Context) (err error) {
		answer, err = addresslist.NewClient(sdk).GetTag(id)
		return err
	})
	if e, ok := errors.AsType[*APIError](err); ok && slices.Contains([]int{40068, 60011, 81011, 81012}, e.Code) {
		c.log.Warn("a tag of the role rules cannot be read, so it gives nobody a role", "tag", id, "err", e)
		answer = &addresslist.GetTagResponse{}
	} else if err != nil {
		return err
	}
	t.people = make(map[string]bool, len(answer.UserList))
	for _, u := range answer.UserList {
		t.people[bot.Canonical(u.UserID)] = true
	}
	t.departments = answer.PartyList
	t.until = c.now().Add(c.tagTTL)
	return nil
}
