package commands

import (
	"fmt"
	"slices"

	"deskbell/bot"
)

// table is the commands, ready to be looked up.
type table struct {
	list  []Command
	words map[string]*Command // by folded name and alias
}

// newTable checks what a compiler cannot: that every Usage can be read, and that
// no two commands answer to one word.
func newTable(list []Command) (*table, error) {
	t := &table{list: list, words: map[string]*Command{}}
	for i := range t.list {
		c := &t.list[i]
		if err := c.prepare(""); err != nil {
			return nil, err
		}
		for _, word := range append([]string{c.Name}, c.Alias...) {
			if other := t.words[fold(word)]; other != nil {
				return nil, fmt.Errorf("commands %s and %s both answer to %q", other.Name, c.Name, word)
			}
			t.words[fold(word)] = c
		}
	}
	return t, nil
}

func (c *Command) prepare(parent string) (err error) {
	if c.grammar, err = c.usage(); err != nil {
		return err
	}
	c.grammar.command = parent + c.Name
	for i := range c.Sub {
		if err := c.Sub[i].prepare(c.grammar.command + " "); err != nil {
			return err
		}
	}
	return nil
}

// visible lists what a person of this level may run.
func (t *table) visible(l bot.Level) []*Command {
	var list []*Command
	for i := range t.list {
		if t.list[i].Level <= l && !t.list[i].Press {
			list = append(list, &t.list[i])
		}
	}
	return list
}

// command finds the command, or subcommand, that a line begins with, and what
// follows it.
func (t *table) command(line []string) (*Command, []string) {
	c, args := t.words[line[0]], line[1:]
	for c != nil && len(args) > 0 {
		sub := c.sub(args[0])
		if sub == nil {
			break
		}
		c, args = sub, args[1:]
	}
	return c, args
}

func (c *Command) sub(word string) *Command {
	for i := range c.Sub {
		if word = fold(word); word == c.Sub[i].Name || slices.Contains(c.Sub[i].Alias, word) {
			return &c.Sub[i]
		}
	}
	return nil
}
