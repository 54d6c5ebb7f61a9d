package settings

import (
	"os"
	"slices"
	"strings"
)

// variable is a value from the environment: text, whatever the key's type.
type variable string

// environment says what each variable sets.
type environment struct {
	environ []string
	prefix  string
	all     []Setting
}

// foreign are variables with our prefix that are no configuration: the test
// suite's, and those Kubernetes puts into every pod beside a service that has
// the program's name.
var foreign = []string{"TEST_", "FAILPOINT", "PORT", "SERVICE_"}

// read tells which key a variable sets, and to what. An empty key: none.
func (e environment) read(name, value string) (key string, text variable, wrong Problem) {
	for _, s := range e.all {
		plain := e.prefix + strings.ToUpper(strings.ReplaceAll(s.name, ".", "_"))
		switch name {
		case plain:
			return s.name, variable(value), Problem{}
		case plain + "_FILE":
			if !s.secret {
				return "", "", Problem{name, "reads a key from a file that is no secret", "set " + plain}
			}
			if e.has(plain) {
				return "", "", Problem{s.name, "is set twice, by " + plain + " and " + name, "keep one of them"}
			}
			content, err := os.ReadFile(value)
			if err != nil {
				// Without its path: that may be the secret itself.
				return "", "", Problem{s.name, "cannot be read from the file that " + name + " names", "give the path of a readable file that holds the value"}
			}
			return s.name, variable(strings.TrimRight(string(content), "\r\n")), Problem{}
		}
	}
	for _, f := range foreign {
		if strings.HasPrefix(name, e.prefix+f) {
			return "", "", Problem{}
		}
	}
	return "", "", Problem{name, "sets no key", "remove it, or spell it " + e.prefix + "<SECTION>_<KEY> after config.toml"}
}

func (e environment) has(name string) bool {
	return slices.ContainsFunc(e.environ, func(v string) bool { return strings.HasPrefix(v, name+"=") })
}
