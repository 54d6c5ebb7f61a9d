package commands

import (
	"context"
	"strings"

	"deskbell/bot"
	"deskbell/store"
)

// role shows and changes who is agent or administrator, beyond what the rules of
// the configuration say: "/role grant lilei agent". "/role why lilei /audit"
// explains what somebody may run.
var role = Command{
	Name:  "role",
	Alias: []string{"角色"},
	Usage: "[do:list|grant|revoke|why] [userid] [what...]",
	Level: bot.Admin,
	Run:   listRoles,
	Sub: []Command{
		{Name: "list", Alias: []string{"列表"}, Level: bot.Admin, Run: listRoles},
		{Name: "grant", Alias: []string{"授予"}, Level: bot.Admin, Usage: "<userid> <role:agent|admin>", Run: grantRole},
		{Name: "revoke", Alias: []string{"撤销"}, Level: bot.Admin, Usage: "<userid> <role:agent|admin>", Run: revokeRole},
		{Name: "why", Alias: []string{"原因"}, Level: bot.Admin, Usage: "<userid> <command...>", Run: whyRole},
	},
}

func listRoles(ctx context.Context, tx *store.Tx, _ *Request) (bot.Reply, error) {
	list, err := tx.Holders(ctx)
	return bot.Text("role", holders{list}), err
}

// holders is the data of role.
type holders struct{ Holders []store.Holder }

var grantable = map[string]bot.Level{bot.Agent.String(): bot.Agent, bot.Admin.String(): bot.Admin}

func grantRole(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	who, err := holder(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	change := roleChange{ID: who.ID, Role: r.Arg("role"), By: r.User.ID, Known: who.Known}
	granted, err := tx.GrantRole(ctx, r.User.ID, who.ID, grantable[change.Role])
	if err != nil {
		return bot.Reply{}, err
	}
	if !granted {
		return bot.Text("role.had", change), nil
	}
	if who.Known {
		err = tx.Tell(ctx, who.ID, bot.Text("role.yours", change))
	}
	return bot.Text("role.granted", change), err
}

func revokeRole(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	who, err := holder(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	change := roleChange{ID: who.ID, Role: r.Arg("role"), By: r.User.ID, Known: who.Known}
	if err := tx.RevokeRole(ctx, r.User.ID, who.ID, grantable[change.Role]); err != nil {
		return bot.Reply{}, err
	}
	if who.Known {
		err = tx.Tell(ctx, who.ID, bot.Text("role.gone", change))
	}
	return bot.Text("role.revoked", change), err
}

// roleChange is the data of the texts about one.
type roleChange struct {
	ID, Role, By string
	Known        bool // the person has been seen here
}

// whyRole answers as the gate would: by the person's state and level, and by
// nothing else.
func whyRole(ctx context.Context, tx *store.Tx, r *Request) (bot.Reply, error) {
	who, err := holder(ctx, tx, r)
	if err != nil {
		return bot.Reply{}, err
	}
	line, err := words("/" + strings.TrimLeft(r.Arg("command"), "/／"))
	if err != nil || len(line) == 0 {
		return bot.Reply{}, unknown(r.Arg("command"), r.Visible())
	}
	c, _ := r.table.command(line)
	if c == nil || c.Press {
		return bot.Reply{}, unknown(line[0], r.Visible())
	}
	return bot.Text("role.why", ruling{
		Holder: who, Command: c.grammar.command, Needs: c.Level.String(), Anyone: c.Level == bot.Anyone, Has: who.Level.String(),
		Active: who.State == bot.Active, Allowed: who.State == bot.Active && who.Level >= c.Level,
	}), nil
}

// ruling is the data of role.why.
type ruling struct {
	store.Holder
	Command         string
	Needs, Has      string // roles
	Anyone          bool   // no role is needed
	Active, Allowed bool
}

// holder is the person a command is about.
func holder(ctx context.Context, tx *store.Tx, r *Request) (store.Holder, error) {
	if !bot.ValidUserID(r.Arg("userid")) {
		return store.Holder{}, bot.Fail(bot.Invalid, "role.userid", nil, nil)
	}
	return tx.Holder(ctx, r.Arg("userid"))
}
