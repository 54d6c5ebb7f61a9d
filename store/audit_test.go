package store

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Actions is the list of those the source writes.
func TestActionsAreListed(t *testing.T) {
	var listed []string
	for _, a := range Actions {
		listed = append(listed, a.Name)
	}
	if !slices.IsSorted(listed) || len(slices.Compact(slices.Clone(listed))) < len(listed) {
		t.Error("not in order, or twice the same")
	}
	written := map[string]bool{}
	for _, verdict := range []string{LoginApproved, LoginDenied, LoginMissed} {
		written["login."+verdict] = true // put together where they are written
	}
	action := regexp.MustCompile(`Action: +"([a-z_.]+[a-z])"`)
	err := fs.WalkDir(os.DirFS(".."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile("../" + path)
		for _, m := range action.FindAllStringSubmatch(string(source), -1) {
			written[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for what := range written {
		if !slices.Contains(listed, what) {
			t.Errorf("%s is not listed in audit.go", what)
		}
	}
	for _, what := range listed {
		if !written[what] {
			t.Errorf("%s is listed in audit.go, and nothing writes it", what)
		}
	}
}
