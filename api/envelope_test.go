package api

import (
	"errors"
	"fmt"
	"testing"

	"deskbell/bot"
	"deskbell/store"
)

func TestFailuresOnTheWire(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		err    error
		status int
		agents string
		retry  string
	}{
		{fmt.Errorf("find: %w", store.ErrNotFound), 404, `{"code":1004,"message":"not found","data":null}`, ""},
		{fmt.Errorf("make: %w", store.ErrExists), 409, `{"code":1000,"message":"already exists","data":null}`, ""},
		{bot.Fail(bot.Unavailable, "error.unavailable", nil, errors.New("dial")), 503, `"code":1016,"message":"服务暂时连接不上`, "1"},
		{bot.Fail(bot.Denied, "error.denied", nil, nil), 403, `"code":1002,"message":"您没有权限`, ""},
		{bot.Fail(bot.Invalid, "no.such.key", nil, nil), 400, `{"code":1000,"message":"Bad Request","data":null}`, ""},
		{badRequest("name", "is missing"), 400, `{"code":1000,"message":"name: is missing","data":null}`, ""},
		{unauthorized("who?"), 401, `{"code":1001,"message":"who?","data":null}`, ""},
		{errors.New("disk on fire"), 500, `{"code":1016,"message":"Internal Server Error, reference `, ""},
	} {
		ctx := request("GET", "/api/agents")
		(&req{s: r.Server, ctx: ctx}).write(agentsAPI, nil, r.explain("zh", c.err))
		r.want(&ctx.Response, c.status, c.agents)
		if after := string(ctx.Response.Header.Peek("Retry-After")); after != c.retry {
			t.Errorf("%v: Retry-After %q", c.err, after)
		}
	}
}
