package templates

import (
	"slices"
	"strings"
	"testing"
	"text/template"
	"text/template/parse"
)

// safe are the functions whose result may stand in a text or, with json behind
// it, in a card, whatever a person typed.
var safe = []string{"plain", "lines", "cut", "say", "part", "when", "ago", "dur"}

// ours are fields that never hold a person's words.
var ours = []string{"Usage", "URL"}

// holes finds what a template fills in without one of the safe functions; in a
// card each hole must be quoted as well.
func holes(t *template.Template, isCard bool) (found []string) {
	var walk func(parse.Node)
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, n := range l.Nodes {
				walk(n)
			}
		}
	}
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			list(n)
		case *parse.IfNode:
			list(n.List)
			list(n.ElseList)
		case *parse.RangeNode:
			list(n.List)
			list(n.ElseList)
		case *parse.WithNode:
			list(n.List)
			list(n.ElseList)
		case *parse.ActionNode:
			cmds := n.Pipe.Cmds
			if isCard {
				if last := cmds[len(cmds)-1].String(); last != "json" {
					found = append(found, n.String())
					return
				}
				cmds = cmds[:len(cmds)-1]
			}
			name, _, _ := strings.Cut(cmds[len(cmds)-1].String(), " ")
			if !slices.Contains(safe, name) && !slices.Contains(ours, strings.TrimPrefix(name, ".")) {
				found = append(found, n.String())
			}
		}
	}
	walk(t.Root)
	return found
}

func TestWhatPeopleTypeIsMadePlain(t *testing.T) {
	s := newSet(t)
	for _, lang := range langs {
		for _, d := range s.langs[lang].texts.Templates() {
			for _, h := range holes(d, false) {
				t.Errorf("%s text %s: %s goes out as it is", lang, d.Name(), h)
			}
		}
		for key, d := range s.langs[lang].cards {
			for _, h := range holes(d, true) {
				t.Errorf("%s card %s: %s goes out as it is", lang, key, h)
			}
		}
	}
}

// The finder itself must find.
func TestHolesAreFound(t *testing.T) {
	s := newSet(t)
	for body, want := range map[string]int{
		`{{plain .Name}}`: 0,
		`{{.Name}}`:       1,
		`{{if .A}}{{range .B}}{{.}}{{end}}{{end}}`:       1,
		`{{with .A}}{{plain .}}{{else}}{{.Name}}{{end}}`: 1,
		`{{plain .Name | printf "%s"}}`:                  1,
	} {
		d := template.Must(template.New("x").Funcs(s.funcs(s.langs["zh"])).Parse(body))
		if got := len(holes(d, false)); got != want {
			t.Errorf("%s: %d holes, want %d", body, got, want)
		}
	}
	unquoted := template.Must(template.New("x").Funcs(s.funcs(s.langs["zh"])).Parse(`"{{plain .Name}}" "{{.Name | json}}" "{{plain .Name | json}}"`))
	if got := holes(unquoted, true); len(got) != 2 {
		t.Errorf("card holes: %q", got)
	}
}

// fields lists the data a text, card or page asks for.
func fields(root parse.Node) []string {
	var found []string
	var walk func(parse.Node)
	pipe := func(p *parse.PipeNode) {
		if p != nil {
			walk(p)
		}
	}
	branch := func(b *parse.BranchNode) {
		pipe(b.Pipe)
		walk(b.List)
		if b.ElseList != nil {
			walk(b.ElseList)
		}
	}
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			for _, c := range n.Nodes {
				walk(c)
			}
		case *parse.IfNode:
			branch(&n.BranchNode)
		case *parse.RangeNode:
			branch(&n.BranchNode)
		case *parse.WithNode:
			branch(&n.BranchNode)
		case *parse.ActionNode:
			pipe(n.Pipe)
		case *parse.TemplateNode:
			found = append(found, "template "+n.Name)
			pipe(n.Pipe)
		case *parse.PipeNode:
			for _, c := range n.Cmds {
				walk(c)
			}
		case *parse.CommandNode:
			for _, a := range n.Args {
				walk(a)
			}
		case *parse.FieldNode:
			found = append(found, n.String())
		}
	}
	walk(root)
	slices.Sort(found)
	return slices.Compact(found)
}

// A reply must not know less in one language than in the other.
func TestLanguagesUseTheSameFields(t *testing.T) {
	s := newSet(t)
	zh, en := s.langs["zh"], s.langs["en"]
	same := func(name string, a, b parse.Node) {
		if x, y := fields(a), fields(b); !slices.Equal(x, y) {
			t.Errorf("%s: zh uses %v, en %v", name, x, y)
		}
	}
	for _, d := range zh.texts.Templates() {
		same(d.Name(), d.Root, en.texts.Lookup(d.Name()).Root)
	}
	for key, d := range zh.cards {
		same(key, d.Root, en.cards[key].Root)
	}
	for _, d := range zh.pages.Templates() {
		if d.Tree != nil {
			same(d.Name(), d.Tree.Root, en.pages.Lookup(d.Name()).Tree.Root)
		}
	}
}
