package commands

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"deskbell/bot"
)

// usage is a command's grammar, read from Command.Usage:
//
//	<name>           a required word
//	[name]           an optional one
//	[name:a|b]       one of these words, in any language templates knows
//	[name:duration]  30m, 12h, 7d, 1h30m
//	[key=type]       an option anywhere in the line; type is text, duration or a|b
//	[rest...]        everything that is left
//
// It feeds parsing, help and refusals alike. What needs more than this takes
// rest... and reads it itself.
type usage struct {
	command string  // as it is typed: "status", "share new"
	places  []param // by position
	options []param // by key
}

type kind int

const (
	anything kind = iota
	oneOf
	timespan
)

type param struct {
	name     string
	kind     kind
	choices  []string
	required bool
	rest     bool
}

// usage reads the command's grammar. A mistake in it is the programmer's.
func (c *Command) usage() (usage, error) {
	u := usage{command: c.Name}
	for field := range strings.FieldsSeq(c.Usage) {
		p, option, err := readParam(field)
		if err == nil {
			err = u.add(p, option)
		}
		if err != nil {
			return usage{}, fmt.Errorf("usage of %s: %s: %w", c.Name, field, err)
		}
	}
	return u, nil
}

var paramShape = regexp.MustCompile(`^([a-z][a-z0-9]*)(?:(\.\.\.)|([:=])(\S+))?$`)

func readParam(field string) (p param, option bool, err error) {
	inner, ok := strings.CutPrefix(field, "<")
	if ok {
		p.required = true
		inner, ok = strings.CutSuffix(inner, ">")
	} else if inner, ok = strings.CutPrefix(field, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
	}
	parts := paramShape.FindStringSubmatch(inner)
	if !ok || parts == nil {
		return param{}, false, fmt.Errorf("want <name>, [name], [name:type], [key=type] or [rest...]")
	}
	p.name, p.rest, option = parts[1], parts[2] != "", parts[3] == "="
	switch typ := parts[4]; typ {
	case "", "text":
	case "duration":
		p.kind = timespan
	default:
		p.kind, p.choices = oneOf, strings.Split(typ, "|")
		if slices.Contains(p.choices, "") || fold(typ) != typ {
			return param{}, false, fmt.Errorf("choices are lower case and not empty")
		}
	}
	return p, option, nil
}

func (u *usage) add(p param, option bool) error {
	if option {
		if p.required {
			return fmt.Errorf("an option cannot be required")
		}
		if slices.ContainsFunc(u.options, func(o param) bool { return o.name == p.name }) {
			return fmt.Errorf("named twice")
		}
		u.options = append(u.options, p)
		return nil
	}
	for _, before := range u.places {
		switch {
		case before.name == p.name:
			return fmt.Errorf("named twice")
		case before.rest:
			return fmt.Errorf("nothing is left behind [%s...]", before.name)
		case p.required && !before.required:
			return fmt.Errorf("a required word after an optional one")
		}
	}
	u.places = append(u.places, p)
	return nil
}

// line is the usage as a person reads it: "/status [online|busy|offline] [duration] [note]".
func (u usage) line() string {
	shown := []string{"/" + u.command}
	for _, p := range u.places {
		open, end := "[", "]"
		if p.required {
			open, end = "<", ">"
		}
		shown = append(shown, open+p.label(p.name)+end)
	}
	for _, o := range u.options {
		if !slices.ContainsFunc(u.places, func(p param) bool { return p.name == o.name }) {
			shown = append(shown, "["+o.name+"="+o.label("text")+"]")
		}
	}
	return strings.Join(shown, " ")
}

// label says what may stand in a parameter's place.
func (p param) label(name string) string {
	switch p.kind {
	case oneOf:
		return strings.Join(p.choices, "|")
	case timespan:
		return "duration"
	}
	return name
}

// misuse is the data of error.usage.
type misuse struct {
	Usage     string
	Durations bool // worth a word on how to write one
}

func (u usage) wrong(why error) *bot.Error {
	timed := func(p param) bool { return p.kind == timespan }
	data := misuse{Usage: u.line(), Durations: slices.ContainsFunc(u.places, timed) || slices.ContainsFunc(u.options, timed)}
	return bot.Fail(bot.Invalid, "error.usage", data, why)
}

// arguments are the words of a line that fit a usage, by parameter.
type arguments struct {
	words     map[string]string
	durations map[string]time.Duration
}

// Has reports whether the person gave this argument.
func (a arguments) Has(name string) bool { _, ok := a.words[name]; return ok }

// Arg is the argument as typed, a choice in its canonical form, or "".
func (a arguments) Arg(name string) string { return a.words[name] }

// Duration is a duration argument, or 0.
func (a arguments) Duration(name string) time.Duration { return a.durations[name] }

// parse fits the words behind a command's name to its usage; word knows the
// synonyms of choices. The error shows the person the usage.
func (u usage) parse(args []string, word func(string) string) (arguments, error) {
	got, err := u.fit(args, word)
	if err != nil {
		return arguments{}, u.wrong(err)
	}
	return got, nil
}

func (u usage) fit(args []string, word func(string) string) (arguments, error) {
	got := arguments{words: map[string]string{}, durations: map[string]time.Duration{}}
	var loose []string
	for _, arg := range args {
		p, value, ok := u.option(arg)
		if !ok {
			loose = append(loose, arg)
		} else if err := got.take(p, value, word); err != nil {
			return arguments{}, err
		}
	}
	for i, p := range u.places {
		switch {
		case len(loose) > 0 && p.rest:
			if all := strings.TrimSpace(strings.Join(loose, " ")); all != "" {
				got.words[p.name] = all
			}
			loose = nil
		case len(loose) > 0 && !p.yields(loose[0], u.places[i+1:]):
			if err := got.take(p, loose[0], word); err != nil {
				return arguments{}, err
			}
			loose = loose[1:]
		}
		if p.required && !got.Has(p.name) {
			return arguments{}, fmt.Errorf("%s is missing", p.name)
		}
	}
	if len(loose) > 0 {
		return arguments{}, fmt.Errorf("%d words too many", len(loose))
	}
	return got, nil
}

// option reads key=value, when key is one of ours; anything else with a "=" in
// it is a word like others.
func (u usage) option(arg string) (param, string, bool) {
	key, value, ok := strings.Cut(arg, "=")
	if !ok {
		return param{}, "", false
	}
	i := slices.IndexFunc(u.options, func(p param) bool { return p.name == fold(key) })
	if i < 0 {
		return param{}, "", false
	}
	return u.options[i], value, true
}

// yields reports whether an optional parameter leaves a word to the ones behind
// it: a duration does when the word is none, and text does when the word is a
// duration and one is still to come. A choice never does, so that a mistyped one
// is not taken for a note.
func (p param) yields(word string, behind []param) bool {
	if p.required {
		return false
	}
	_, meant := duration(word)
	switch p.kind {
	case timespan:
		return !meant
	case anything:
		return meant && slices.ContainsFunc(behind, func(b param) bool { return b.kind == timespan })
	}
	return false
}

// take keeps a word for a parameter, if it fits and is the first.
func (a arguments) take(p param, value string, word func(string) string) error {
	if a.Has(p.name) {
		return fmt.Errorf("%s is given twice", p.name)
	}
	switch p.kind {
	case timespan:
		d, _ := duration(value)
		if d == 0 {
			return fmt.Errorf("%s is not a duration up to %s", p.name, maxDuration)
		}
		a.durations[p.name] = d
	case oneOf:
		said := fold(value)
		if !slices.Contains(p.choices, said) {
			said = word(said)
		}
		if !slices.Contains(p.choices, said) {
			return fmt.Errorf("%s is none of its choices", p.name)
		}
		value = said
	}
	if value == "" {
		return fmt.Errorf("%s is empty", p.name)
	}
	a.words[p.name] = value
	return nil
}
