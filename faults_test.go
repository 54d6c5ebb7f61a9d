package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store"
	"deskbell/store/storetest"
)

// The tests in faults_*_test.go hold the product to its promises from outside:
// the real binary in processes of their own, which are killed, starved and
// raced, and WeCom on the other side of a socket.

// patience bounds whatever a test waits for and is not measuring.
const patience = time.Minute

// rig is a corporation, a store, and the configuration of the instances that
// join the two.
type rig struct {
	testing.TB
	box     *sim.Sim
	store   string // URL
	config  string // file
	program string // file
}

// newRig makes a rig of n agents, agent0 and so on, without limits on how much
// they may say.
func newRig(t testing.TB, storeURL string, n int, c sim.Config) *rig {
	t.Helper()
	for i := range n {
		c.People = append(c.People, sim.Person{ID: agent(i), Name: agent(i), Departments: []int{2}})
	}
	c.Departments = []sim.Department{{ID: 1, Name: "Corp"}, {ID: 2, Name: "Desk", Parent: 1}}
	box, err := sim.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	r := &rig{TB: t, box: box, store: storeURL, config: filepath.Join(t.TempDir(), "config.toml"), program: builtProgram(t)}
	r.configure(storeURL)
	return r
}

func agent(i int) string { return fmt.Sprintf("agent%d", i) }

func (r *rig) configure(storeURL string) {
	c := r.box.Config()
	text := fmt.Sprintf(`
[server]
public_url = "http://127.0.0.1:8080"
[wecom]
corp_id = %q
agent_id = %d
secret = %q
token = %q
encoding_aes_key = %q
api_base = %q
[store]
url = %q
[security]
encryption_key = "Zm91ciBzY29yZSBhbmQgc2V2ZW4geWVhcnMgYWdvIG8="
[roles]
agent = ["department:2"]
[limits]
commands_per_person = "off"
links_per_person = "off"
pushes_per_person = "off"
[log]
level = "warn"
format = "text"
`, c.CorpID, c.AgentID, c.Secret, c.Token, c.EncodingAESKey, r.box.URL(), storeURL)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

// within bounds a wait for something that may never come.
func (r *rig) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	r.Cleanup(cancel)
	return ctx
}

// effects counts what the commands of each person did, by what the audit trail
// says of it.
func (r *rig) effects() map[string]int {
	r.Helper()
	rows, err := storetest.Open(r, r.store).Query("SELECT actor || ' ' || action || ' ' || detail, count(*) FROM audit GROUP BY 1")
	if err != nil {
		r.Fatal(err)
	}
	defer rows.Close()
	all := map[string]int{}
	for rows.Next() {
		var what string
		var n int
		if err := rows.Scan(&what, &n); err != nil {
			r.Fatal(err)
		}
		all[what] = n
	}
	if err := rows.Err(); err != nil {
		r.Fatal(err)
	}
	return all
}

// count is the answer to a query for one number.
func (r *rig) count(query string) (n int) {
	r.Helper()
	if err := storetest.Open(r, r.store).QueryRow(query).Scan(&n); err != nil && !errors.Is(err, sql.ErrNoRows) {
		r.Fatal(err)
	}
	return n
}

// settled waits until every message is done and every push recorded as sent.
// What a process writes gives no event outside it, so this asks again.
func (r *rig) settled() {
	r.Helper()
	db := storetest.Open(r, r.store)
	ctx := r.within(patience)
	for left := 1; left > 0; {
		err := db.QueryRow("SELECT (SELECT count(*) FROM inbox WHERE done_at IS NULL) + (SELECT count(*) FROM outbox WHERE state <> 'sent')").Scan(&left)
		if err != nil {
			r.Fatal(err)
		}
		select {
		case <-ctx.Done():
			var why string
			_ = db.QueryRow("SELECT max(last_error) FROM outbox WHERE state <> 'sent'").Scan(&why)
			r.Fatalf("%d messages and pushes are left: %s", left, why)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cards counts the cards a person was sent.
func cards(inbox []sim.Received) (n int) {
	for _, m := range inbox {
		if m.Via == sim.Push && m.Card != nil {
			n++
		}
	}
	return n
}

// clean ends a test: nothing waits, and what is there is intact.
func (r *rig) clean() {
	r.Helper()
	if n := r.count("SELECT count(*) FROM outbox WHERE state <> 'sent'"); n > 0 {
		r.Errorf("%d pushes were left undelivered", n)
	}
	r.intact()
}

// intact is clean where pushes may wait or have been taken back: WeCom has nothing
// to complain about, no message waits, and whatever ended the processes, the audit
// trail has neither gaps nor forks.
func (r *rig) intact() {
	r.Helper()
	for _, p := range r.box.Problems() {
		r.Error("WeCom: " + p)
	}
	if n := r.count("SELECT count(*) FROM inbox WHERE done_at IS NULL"); n > 0 {
		r.Errorf("%d messages were left undone", n)
	}
	// Its key, and the one it may have been exchanged for meanwhile.
	keys := [][]byte{[]byte("a key that came after the others"), []byte("four score and seven years ago o")}
	audit, err := store.VerifyAudit(r.Context(), r.store, keys, nil)
	if err != nil || len(audit.Faults) > 0 {
		r.Errorf("audit trail: %+v, %v", audit, err)
	}
}
