package store

import (
	"slices"

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

func (r Rule) covers(p bot.Person) bool {
	return slices.Contains(r.Users, bot.Canonical(p.ID)) ||
		slices.ContainsFunc(p.Tags, func(t int) bool { return slices.Contains(r.Tags, t) }) ||
		slices.ContainsFunc(p.Departments, func(d int) bool { return slices.Contains(r.Departments, d) })
}

// Tags lists the tags whose members must be known.
func (r Rules) Tags() []int {
	all := slices.Concat(r.Admin.Tags, r.Agent.Tags)
	slices.Sort(all)
	return slices.Compact(all)
}

// user gives a person the roles the rules say.
func (s *Store) user(p bot.Person, lang string) bot.User {
	u := bot.User{ID: p.ID, Name: p.Name, Lang: lang, Departments: p.Departments}
	if u.Lang == "" {
		u.Lang = "zh"
	}
	if s.Roles.Admin.covers(p) {
		u.Level, u.Roles = bot.Admin, append(u.Roles, bot.Admin.String())
	}
	if s.Roles.Agent.covers(p) {
		u.Level, u.Roles = max(u.Level, bot.Agent), append(u.Roles, bot.Agent.String())
	}
	if u.Roles == nil {
		u.Roles = []string{bot.Anyone.String()}
	}
	return u
}

// User gives the person of a command the roles they hold.
func (s *Store) User(p bot.Person, lang string) bot.User { return s.user(p, lang) }
