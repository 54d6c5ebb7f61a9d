package sim

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadScript(t *testing.T) {
	script, err := ReadScript(strings.NewReader("\ufeff# a day\n\nlilei: /status busy\nboss：／帮助 a:b\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Line{{3, "lilei", "/status busy"}, {4, "boss", "／帮助 a:b"}}
	if d := cmp.Diff(want, script); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"/status busy", "lilei /status: x", ": x", "lilei:", "/x: y"} {
		if _, err := ReadScript(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
