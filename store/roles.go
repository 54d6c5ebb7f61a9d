package store

import (
	"slices"
	"strconv"

	"deskbell/bot"
)

// Rules say who holds a role, by what the directory knows of them. Display
// names play no part: people can change those themselves.
type Rules struct{ Admin, Agent Rule }

// Rule names the people it covers by userid, by tag or by department. A
// department covers its own members, not those of departments below it.
type Rule struct {
	Users       []string // canonical
	Tags        []int
	Departments []int
}

func (r Rule) covers(p bot.Person) bool { return r.why(p) != "" }

// why names the first entry that covers a person, as the configuration spells
// it; "" when none does.
func (r Rule) why(p bot.Person) string {
	if id := bot.Canonical(p.ID); slices.Contains(r.Users, id) {
		return "user:" + id
	}
	for _, tag := range p.Tags {
		if slices.Contains(r.Tags, tag) {
			return "tag:" + strconv.Itoa(tag)
		}
	}
	for _, d := range p.Departments {
		if slices.Contains(r.Departments, d) {
			return "department:" + strconv.Itoa(d)
		}
	}
	return ""
}

// of is the rule for a role.
func (r Rules) of(role bot.Level) Rule {
	switch role {
	case bot.Admin:
		return r.Admin
	case bot.Agent:
		return r.Agent
	}
	return Rule{}
}

// Tags lists the tags whose members must be known.
func (r Rules) Tags() []int {
	all := slices.Concat(r.Admin.Tags, r.Agent.Tags)
	slices.Sort(all)
	return slices.Compact(all)
}

// user gives a person the roles the rules say and those they were granted.
func (s *Store) user(p bot.Person, lang string, grants []string) bot.User {
	u := bot.User{ID: p.ID, Name: p.Name, Lang: lang, Departments: p.Departments}
	if u.Lang == "" {
		u.Lang = "zh"
	}
	for _, role := range []bot.Level{bot.Admin, bot.Agent} {
		if s.Roles.of(role).covers(p) || slices.Contains(grants, role.String()) {
			u.Level, u.Roles = max(u.Level, role), append(u.Roles, role.String())
		}
	}
	if u.Roles == nil {
		u.Roles = []string{bot.Anyone.String()}
	}
	return u
}

// User gives the person a message is from the roles they hold, as they stand in
// this transaction.
func (tx *Tx) User(p bot.Person, it Item) bot.User {
	return tx.s.user(p, it.Lang, tx.granted[it.Person])
}

// WithoutAdmin takes an administrator's rights away, for a token that carries
// none. What is left is the agent every administrator is.
func WithoutAdmin(u bot.User) bot.User {
	if u.Level < bot.Admin {
		return u
	}
	u.Level = bot.Agent
	u.Roles = slices.DeleteFunc(slices.Clone(u.Roles), func(role string) bool { return role == bot.Admin.String() })
	if len(u.Roles) == 0 {
		u.Roles = []string{bot.Agent.String()}
	}
	return u
}
