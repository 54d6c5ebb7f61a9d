// Package settings turns a TOML file and the environment into checked values
// and tells everything that is wrong with them at once, each with its key, the
// reason and the fix.
//
// What keys there are, and what they mean, is the caller's:
//
//	problems := settings.Load("config.toml", os.Environ(), "DESKBELL_", []settings.Setting{
//		settings.Key("desk.max_load", &maxLoad, settings.Number(1, 1000)),
//		settings.Hidden("wecom.secret", &secret, settings.Word).OrElse("copy it from the console"),
//	}, true)
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"
)

// Setting is one key: where its value goes and what it may be.
type Setting struct {
	name   string
	take   func(any) (reason, fix string) // no reason: checked and stored
	secret bool                           // may come from a file the environment names
	need   string                         // what to do when it is missing; empty: nothing
}

// Name is the key, "section.key".
func (s Setting) Name() string { return s.name }

// OrElse makes s required: fix tells what to do when it is missing.
func (s Setting) OrElse(fix string) Setting {
	s.need = fix
	return s
}

// Problem is one thing that is wrong. It never repeats a value, which may be a
// secret, or a secret in the wrong place.
type Problem struct{ Key, Reason, Fix string }

func (p Problem) String() string { return p.Key + ": " + p.Reason + "; " + p.Fix }

// Problems is everything that is wrong, one per line.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = "config: " + p.String()
	}
	return strings.Join(lines, "\n")
}

// about reports whether something is said of a key already.
func (ps Problems) about(key string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Key == key })
}

// Load reads the TOML file at path, lets the environment override it
// (prefix_SECTION_KEY, and prefix_SECTION_KEY_FILE for secrets) and stores
// every value that passes. What is not given keeps its value; with complete,
// required keys must be given.
func Load(path string, environ []string, prefix string, all []Setting, complete bool) Problems {
	k := koanf.New(".")
	if err := k.Load(file(path), toml.Parser()); err != nil {
		return Problems{unreadable(path, err)} // nobody knows what else it would say
	}
	problems := unknown(k, all)
	from := environment{environ, prefix, all}
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:      prefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key, text, wrong := from.read(name, value)
			if wrong != (Problem{}) {
				problems = append(problems, wrong)
			}
			return key, text
		},
	}), nil)
	if err != nil {
		return append(problems, Problem{prefix + "*", err.Error(), "correct the environment"})
	}

	values := k.All()
	for _, s := range all {
		value, given := values[s.name]
		blank := !given || value == "" || value == variable("") || value == int64(0)
		switch {
		case s.need != "" && blank:
			if complete && !problems.about(s.name) {
				problems = append(problems, Problem{s.name, "is missing", s.need})
			}
		case given:
			if reason, fix := s.take(value); reason != "" {
				problems = append(problems, Problem{s.name, reason, fix})
			}
		}
	}
	return problems
}

// file lets koanf read a path.
type file string

// ReadBytes leaves out the mark that some editors begin a file with.
func (f file) ReadBytes() ([]byte, error) {
	text, err := os.ReadFile(string(f))
	return bytes.TrimPrefix(text, []byte("\ufeff")), err
}
func (file) Read() (map[string]any, error) { return nil, errors.New("a file needs a parser") }

// unreadable words a file that is not there or not TOML. What the parser says
// of a number repeats the number, so that part is cut.
func unreadable(path string, err error) Problem {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return Problem{path, "cannot be read: " + pe.Err.Error(), "give the path of the configuration file with --config"}
	}
	reason, _, _ := strings.Cut(err.Error(), ": strconv")
	at, ok := errors.AsType[interface {
		error
		Position() (line, column int)
	}](err)
	if ok {
		line, column := at.Position()
		path = fmt.Sprintf("%s:%d:%d", path, line, column)
	}
	return Problem{path, "is not TOML: " + strings.TrimPrefix(reason, "toml: "),
		`write key = "text", numbers and true/false without quotes, each key and section once`}
}

// unknown finds keys nobody asked for, most of them misspelt.
func unknown(k *koanf.Koanf, all []Setting) (ps Problems) {
	for _, name := range slices.Sorted(maps.Keys(k.All())) {
		if slices.ContainsFunc(all, func(s Setting) bool { return s.name == name }) {
			continue
		}
		section, _, _ := strings.Cut(name, ".")
		var known []string
		for _, s := range all {
			if key, ok := strings.CutPrefix(s.name, section+"."); ok {
				known = append(known, key)
			}
		}
		fix := "remove it, or look its name up in config.toml"
		if known != nil {
			fix = "[" + section + "] knows " + strings.Join(known, ", ")
		}
		ps = append(ps, Problem{name, "is not a key", fix})
	}
	return ps
}
