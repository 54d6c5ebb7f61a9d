package main

import (
	"os/exec"
	"strings"
	"sync"
	"testing"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"
)

// TestStart starts eight instances at once on a database that is empty: one of
// them migrates it, and all of them serve.
func TestStart(t *testing.T) {
	const instances, rounds = 8, 5
	for range rounds {
		r := newRig(t, storetest.Postgres(t), 1, sim.Config{})
		var all sync.WaitGroup
		up := make(chan *instance, instances)
		for range instances {
			all.Go(func() {
				i, err := r.launch()
				if err != nil {
					t.Error(err)
					return
				}
				up <- i
			})
		}
		all.Wait()
		close(up)
		if n := len(up); n != instances {
			t.Fatalf("%d of %d instances serve", n, instances)
		}
		migrations, twice := r.count("SELECT count(*) FROM schema_migrations"), r.count("SELECT count(*) - count(DISTINCT name) FROM schema_migrations")
		if migrations == 0 || twice > 0 {
			t.Errorf("%d migrations were noted, %d of them twice", migrations, twice)
		}
		for i := range up {
			if d := r.box.Say(agent(0), "/help"); !d.OK() {
				t.Errorf("callback: %+v", d)
			}
			if err := i.stop(); err != nil {
				t.Error(err)
			}
		}
		r.clean()
	}
}

// TestKilledMigration kills several instances in the middle of a migration. What
// they did of it is gone, and nothing they held is in the way of the next.
func TestKilledMigration(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRig(t, url, 1, sim.Config{})
		for range 3 {
			if i, err := r.launch("DESKBELL_FAILPOINT=in-migration"); err == nil || i.cmd.ProcessState.Exited() {
				t.Fatalf("it was not killed: %v", i.cmd.ProcessState)
			}
		}
		i := r.start()
		if d := r.box.Say(agent(0), "/help"); !d.OK() || d.Reply == "" {
			t.Errorf("callback: %+v", d)
		}
		if err := i.stop(); err != nil {
			t.Error(err)
		}
		r.clean()
	})
}

// TestSecondProcess starts another process on a SQLite file that is in use.
func TestSecondProcess(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), 1, sim.Config{})
	first := r.start()
	for _, command := range []string{"serve", "migrate"} {
		second := exec.Command(r.program, command, "--config", r.config)
		out, err := second.CombinedOutput()
		if code := second.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(string(out), "the store is in use by another process (pid ") {
			t.Errorf("%s: exit %d, %v: %s", command, code, err, out)
		}
	}
	if d := r.box.Say(agent(0), "/help"); !d.OK() || d.Reply == "" {
		t.Errorf("the first no longer answers: %+v", d)
	}
	if err := first.stop(); err != nil {
		t.Error(err)
	}
	r.start() // the file is free again
}
