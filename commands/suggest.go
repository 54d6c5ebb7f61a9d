package commands

import (
	"slices"
	"strings"

	"deskbell/bot"
)

// unheard is the data of error.unknown.
type unheard struct{ Word, Suggestion string }

// unknown refuses a word that is none of the commands the person may run, and
// names the nearest of these: it gives nothing away about the others.
func unknown(word string, may []*Command) *bot.Error {
	var names []string
	for _, c := range may {
		names = append(append(names, c.Name), c.Alias...)
	}
	return bot.Fail(bot.NotFound, "error.unknown", unheard{Word: word, Suggestion: suggest(word, names)}, nil)
}

// find looks a command up by its name or an alias.
func find(word string, among []*Command) *Command {
	word = fold(word)
	for _, c := range among {
		if c.Name == word || slices.ContainsFunc(c.Alias, func(a string) bool { return fold(a) == word }) {
			return c
		}
	}
	return nil
}

// longestTypo bounds the work a made-up word can cause.
const longestTypo = 32

// suggest picks the name a mistyped word most likely meant: the one it begins,
// or the one with the fewest slips, at most one in three letters. It is "" when
// nothing is near.
func suggest(word string, names []string) string {
	typed := []rune(fold(word))
	if len(typed) == 0 || len(typed) > longestTypo {
		return ""
	}
	best, fewest := "", longestTypo
	for _, name := range names {
		want := []rune(fold(name))
		if len(typed) > 1 && strings.HasPrefix(string(want), string(typed)) {
			return name
		}
		if n := slips(typed, want); n < fewest && n <= max(1, max(len(typed), len(want))/3) && n < len(want) {
			best, fewest = name, n
		}
	}
	return best
}

// slips counts the letters added, left out, changed or swapped with their
// neighbour between two words.
func slips(a, b []rune) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range b {
		rows[0][j+1] = j + 1
	}
	for i := range a {
		for j := range b {
			changed := rows[i][j]
			if a[i] != b[j] {
				changed++
			}
			rows[i+1][j+1] = min(rows[i][j+1]+1, rows[i+1][j]+1, changed)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				rows[i+1][j+1] = min(rows[i+1][j+1], rows[i-1][j-1]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
