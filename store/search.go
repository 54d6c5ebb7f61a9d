package store

import "strings"

// What administrators look for in lists. Every query has a limit, and asks for
// what comes behind the last one shown, so that no list is ever loaded whole.

// likeEscape is the character that takes the meaning off % and _ in a pattern.
const likeEscape = " LIKE ? ESCAPE '!'"

var likeLiteral = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// containing is the pattern for whatever contains the text, without case.
func containing(text string) string { return "%" + beginning(text) }

// beginning is the pattern for whatever begins with the text, without case.
func beginning(text string) string { return likeLiteral.Replace(strings.ToLower(text)) + "%" }

// anyLike is a condition on several columns, and its arguments: one of them has
// the text. An empty text is in all of them.
func anyLike(text string, columns ...string) (where string, args []any) {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteString(" OR ")
		}
		b.WriteString("lower(" + c + ")" + likeEscape)
		args = append(args, containing(text))
	}
	return b.String(), args
}
