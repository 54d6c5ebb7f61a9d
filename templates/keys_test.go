package templates

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Keys are strings, so no compiler notices one that nobody wrote a text for:
// the module's source is searched for them.
func TestEveryKeyInTheSourceIsDefined(t *testing.T) {
	s := newSet(t)
	named := regexp.MustCompile(`bot\.(Text|Card)\("([^"]+)"|bot\.Fail\([^"\n]*"([^"]+)"|bot\.[A-Z]\w*: +"(refused\.\w+)"`)
	found := 0
	module := os.DirFS("..")
	err := fs.WalkDir(module, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(module, path)
		if err != nil {
			return err
		}
		for _, m := range named.FindAllStringSubmatch(string(source), -1) {
			found++
			key, isCard := m[2]+m[3]+m[4], m[1] == "Card"
			if _, ok := s.langs["zh"].cards[key]; isCard && !ok {
				t.Errorf("%s: card %s is not defined", path, key)
			}
			if !isCard && s.langs["zh"].texts.Lookup(key) == nil {
				t.Errorf("%s: text %s is not defined", path, key)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d keys found: does the search still fit the source?", found)
	}
}
