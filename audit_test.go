package main

import (
	"strings"
	"testing"

	"deskbell/store"
)

// The audit trail is examined from the host, with nothing but the configuration
// and, if there is one, the log.
func TestAuditFromTheHost(t *testing.T) {
	config, environ := installation(t, goodToken)
	cfg, err := LoadConfig(config, environ, true)
	if err != nil {
		t.Fatal(err)
	}
	log := new(strings.Builder)
	st, err := store.Open(t.Context(), store.Options{URL: cfg.Store.URL.Reveal(), Keys: cfg.EncryptionKeys(), Log: newLog(cfg, log)})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := st.Tx(t.Context(), func(tx *store.Tx) error {
			tx.Audit(store.AuditEntry{Actor: "boss", Action: "role.grant", Target: "lilei", Detail: "agent"})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	verify := func(checkpoints string) (code int, out string) {
		var stdout, stderr strings.Builder
		args := []string{"audit", "verify", "--config", config, "--checkpoints", "-"}
		code = run(t.Context(), args, environ, strings.NewReader(checkpoints), &stdout, &stderr)
		return code, stdout.String() + stderr.String()
	}
	if code, out := verify(log.String()); code != exitOK || out != "3 entries in 1 chains, 1 checkpoints: 0 faults\n" {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out, _ := shell(t, environ, "audit", "export", "--config", config); code != exitOK || strings.Count(out, `"action":"role.grant","target":"lilei"`) != 3 {
		t.Errorf("exit %d: %s", code, out)
	}
	// Another store under the same log: nothing of what the log saw is there.
	environ = append(environ, "DESKBELL_STORE_URL=sqlite:"+t.TempDir()+"/other.db")
	if code, out := verify(log.String()); code != exitFailed || !strings.Contains(out, "other.db") {
		t.Errorf("without a store: exit %d: %s", code, out)
	}
	if code, _, errOut := shell(t, environ, "migrate", "--config", config); code != exitOK {
		t.Fatal(errOut)
	}
	if code, out := verify(log.String()); code != exitFailed || !strings.Contains(out, "is missing altogether") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, errOut := shell(t, environ, "audit", "verify", "--config", "config.toml"); code != exitUsage || !strings.Contains(errOut, "security.encryption_key: is missing") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}
