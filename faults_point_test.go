package main

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

// failpoints are the places in the source where a process can be told to die.
func failpoints(t *testing.T) []string {
	t.Helper()
	call := regexp.MustCompile(`bot\.Failpoint\("([^"]+)"\)`)
	var names []string
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range call.FindAllSubmatch(text, -1) {
			names = append(names, string(found[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestFailpoints ends the process at each of the places where a kill hurts most,
// while a person says two things. Both take effect once and are answered once.
func TestFailpoints(t *testing.T) {
	names := failpoints(t)
	if len(names) < 10 {
		t.Fatalf("the source names only %q", names)
	}
	places := make(chan string)
	var tests sync.WaitGroup
	for range 6 { // they wait more than they work
		tests.Go(func() {
			for place := range places {
				t.Run(place, func(t *testing.T) {
					storetest.Each(t, func(t *testing.T, url string) { dieAt(t, url, place) })
				})
			}
		})
	}
	// Only a picture comes by the first, and only what people send by the others:
	// TestOneTimePasswordFromBindToReset and TestKilledWhileCollecting see to those.
	names = slices.DeleteFunc(names, func(name string) bool { return name == "before-prepared" || strings.Contains(name, "-media-") })
	for _, name := range names {
		places <- name + ":1"
		if strings.HasSuffix(name, "-commit") { // every transaction comes by here; the message's is one of the first
			places <- name + ":2"
			places <- name + ":3"
			places <- name + ":4"
		}
	}
	close(places)
	tests.Wait()
}

func dieAt(t *testing.T, url, failpoint string) {
	r := newRig(t, url, 1, sim.Config{RetryAfter: 10 * time.Millisecond})
	person := agent(0)
	i, _ := r.launch("DESKBELL_FAILPOINT=" + failpoint) // it may be one on the way up
	status, logout := r.box.Say(person, "/status busy 7m"), r.box.Say(person, "/logout")
	select {
	case <-i.ended:
	case <-r.within(patience).Done():
		t.Fatalf("nobody came by %s", failpoint)
	}
	if i.cmd.ProcessState.Exited() {
		t.Fatalf("%s: %v\n%s", failpoint, i.cmd.ProcessState, &i.log)
	}

	i = r.start()
	for !status.OK() {
		status = r.box.Redeliver(status)
	}
	for !logout.OK() {
		logout = r.box.Redeliver(logout)
	}
	r.settled()
	if again := r.box.Redeliver(status); again.Reply != "" {
		t.Errorf("%s: a card was pushed, and now WeCom is answered %q", failpoint, again.Reply)
	}
	if again := r.box.Redeliver(logout); again.Reply != logout.Reply {
		t.Errorf("%s: answered %q and then %q", failpoint, logout.Reply, again.Reply)
	}
	want := map[string]int{person + " status.set busy 7m": 1, person + " tokens.revoke chat 0": 1}
	if diff := cmp.Diff(want, r.effects()); diff != "" {
		t.Errorf("%s: effects (-want +got)\n%s", failpoint, diff)
	}
	if inbox := r.box.Inbox(person); len(inbox) != 2 || cards(inbox) != 1 {
		t.Errorf("%s: the person sees %+v", failpoint, inbox)
	}
	if err := i.stop(); err != nil {
		t.Error(err)
	}
	r.clean()
}
