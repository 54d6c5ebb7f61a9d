package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport says which of our packages a package may use, and which other
// modules beside the standard library. What is missing here is forbidden.
var mayImport = map[string]struct {
	ours, others []string
	why          string
}{
	"deskbell": {
		ours:   []string{"api", "bot", "bot/settings", "bot/wecom", "bot/wecom/sim", "callbacks", "commands", "store", "store/host", "templates"},
		others: []string{"github.com/alecthomas/kong"},
		why:    "main builds the parts and is imported by none",
	},
	"deskbell/bot":          {why: "the words everybody shares know no technology"},
	"deskbell/bot/settings": {others: []string{"github.com/knadh/koanf"}, why: "reading a configuration knows nothing of what is configured"},
	"deskbell/bot/wecom": {
		ours: []string{"bot"}, others: []string{"github.com/silenceper/wechat"},
		why: "only bot/wecom knows WeCom's formats and the SDK; it decides and remembers nothing",
	},
	"deskbell/bot/wecom/sim": {ours: []string{"bot/wecom"}, why: "the stand-in shares the crypto and nothing else, or it would vouch for itself"},
	"deskbell/store": {
		ours:   []string{"bot"},
		others: []string{"github.com/uptrace/bun", "modernc.org/sqlite", "github.com/redis/go-redis", "github.com/google/uuid", "github.com/pquerna/otp", "golang.org/x/crypto/bcrypt", "golang.org/x/crypto/argon2"},
		why:    "only store knows SQL, Redis and secrets at rest",
	},
	"deskbell/store/host":      {ours: []string{"store"}, why: "the commands of the host do what store can, and read no configuration"},
	"deskbell/store/storetest": {others: []string{"github.com/uptrace/bun"}, why: "it makes databases for tests"},
	"deskbell/templates":       {ours: []string{"bot"}, others: []string{"github.com/go-json-experiment/json"}, why: "sentences depend on nothing"},
	"deskbell/commands":        {ours: []string{"bot", "store"}, why: "a command touches nothing but its transaction"},
	"deskbell/callbacks": {
		ours: []string{"bot", "bot/wecom"}, others: []string{"github.com/valyala/fasthttp"},
		why: "callbacks hand a message to one function and know nothing of what it does",
	},
	"deskbell/api": {
		ours:   []string{"bot", "store"},
		others: []string{"github.com/valyala/fasthttp", "github.com/prometheus/client_golang", "github.com/go-json-experiment/json", "github.com/google/uuid"},
		why:    "chat and REST share rules by calling store, never each other",
	},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg, imports := fields[0], fields[1:]
		rule, ok := mayImport[pkg]
		if !ok {
			t.Errorf("%s is not in the map of packages: say here what it may import, and why", pkg)
		}
		for _, imp := range imports {
			ours, isOurs := strings.CutPrefix(imp, "deskbell/")
			switch {
			case isOurs && !slices.Contains(rule.ours, ours):
			case !isOurs && strings.Contains(strings.Split(imp, "/")[0], ".") &&
				!slices.ContainsFunc(rule.others, func(m string) bool { return imp == m || strings.HasPrefix(imp, m+"/") }):
			case imp == "testing" && pkg != "deskbell/store/storetest":
			default:
				continue
			}
			t.Errorf("%s must not import %s: %s", pkg, imp, rule.why)
		}
	}
}
