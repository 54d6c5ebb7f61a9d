package commands

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deskbell/templates"
)

// The guards against forgetting something when a command is added.

func TestEveryCommandIsInTheTable(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != gotoken.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				v := spec.(*ast.ValueSpec)
				if len(v.Values) != 1 {
					continue
				}
				lit, ok := v.Values[0].(*ast.CompositeLit)
				if !ok {
					continue
				}
				name := v.Names[0].Name
				if id, ok := lit.Type.(*ast.Ident); ok && id.Name == "Command" && !slices.ContainsFunc(All(), func(c Command) bool { return c.Name == name || c.Name+"s" == name }) {
					t.Errorf("%s: %s is not in All", file, name)
				}
			}
		}
	}
}

// Each command is explained in both languages, with examples that work.
func TestEveryCommandIsExplained(t *testing.T) {
	set, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range All() {
		if c.Press {
			continue // nobody says it
		}
		u, err := c.usage()
		if err != nil {
			t.Fatal(err)
		}
		for _, lang := range []string{"zh", "en"} {
			var lines []string
			for _, part := range []string{"about", "example", "help"} {
				text, err := set.Text(lang, c.Name+"."+part, nil)
				if err != nil {
					t.Error(err)
				}
				if part == "example" {
					lines = append(lines, text)
				}
				for line := range strings.Lines(text) {
					if _, example, ok := strings.Cut(line, "例："); ok {
						lines = append(lines, example)
					} else if _, example, ok := strings.Cut(line, "Example: "); ok {
						lines = append(lines, example)
					}
				}
			}
			for _, line := range lines {
				typed, err := words(line)
				if err != nil || typed[0] != c.Name {
					t.Errorf("%s %s: %q is no example of it", lang, c.Name, line)
					continue
				}
				if _, err := u.parse(typed[1:], set.Word); err != nil {
					t.Errorf("%s %s: the example %q is refused", lang, c.Name, line)
				}
			}
		}
	}
}

// Each command has a conversation, which uses its Chinese name and is held in
// both languages.
func TestEveryCommandHasAConversation(t *testing.T) {
	for _, c := range All() {
		if c.Press {
			continue
		}
		body, err := os.ReadFile(filepath.Join("testdata", c.Name+".txt"))
		if err != nil {
			t.Error(err)
			continue
		}
		talk := string(body)
		for _, alias := range c.Alias {
			if !strings.Contains(talk, "> /"+alias) && !strings.Contains(talk, "> ／"+alias) {
				t.Errorf("nobody says /%s", alias)
			}
		}
		for _, lang := range []string{" zh\n", " en\n"} {
			if !strings.Contains(talk, lang) && c.Name != "lang" {
				t.Errorf("nobody talks to %s in%s", c.Name, lang)
			}
		}
	}
}
