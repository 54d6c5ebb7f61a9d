package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"deskbell/store/storetest"
)

// SQLite takes file names as URIs: "#" and "?" end a name there, "%" begins an
// escape.
func TestSQLiteOpensTheFileNamed(t *testing.T) {
	for _, name := range []string{"desk.db", "desk#1.db", "desk?mode=memory.db", "desk%41.db", "服务 台.db"} {
		path := filepath.Join(t.TempDir(), name)
		open(t, "sqlite:"+path, nil)
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		if pending, err := PendingMigrations(t.Context(), "sqlite:"+path); err != nil || len(pending) > 0 {
			t.Errorf("%s: %v %v", name, pending, err)
		}
	}
}

// The files are about people, and about what they said.
func TestSQLiteFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	url := "sqlite:" + filepath.Join(dir, "desk.db")
	f := open(t, url, nil)
	f.receive(said("lilei", 1))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 { // the database, its log, its lock
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "desk.db"), 0o640); err != nil { // somebody's backup reads it
		t.Fatal(err)
	}
	open(t, url, nil)
	if info, err := os.Stat(filepath.Join(dir, "desk.db")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestStoreThatCannotBeOpened(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, url := range []string{"", "sqlite:", "mysql://x", "deskbell.db", "sqlite:" + missing + "/desk.db"} {
		if s, err := Open(t.Context(), Options{URL: url, Keys: [][]byte{testKey}}); err == nil {
			s.Close()
			t.Errorf("%q opened", url)
		}
	}
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A password that was not escaped lands in any part of the address.
func TestPostgresPasswordIsNotShown(t *testing.T) {
	gone := dead(t)
	for _, url := range []string{
		"postgres://user:hunter2@" + gone + "/desk?sslmode=disable",
		"postgres://user:hun%ter2@127.0.0.1/desk",
		"postgres://user:hunter2@127.0.0.1:hunter2/desk",
		"postgres://user:hun/ter2@127.0.0.1/desk",
		"postgres://user:1/ter2@127.0.0.1/desk",
		"postgres://user:hun#ter2@127.0.0.1/desk",
		"postgres://user:1?ter2@127.0.0.1/desk",
		"postgres://user:hun ter2@127.0.0.1/desk",
		"postgres://user:hun\nter2@127.0.0.1/desk",
		"postgresql://user:hunter2@127.0.0.1/desk?sslmode=hunter3",
		"postgresql://user:hunter2@127.0.0.1/desk?sslmode=verify-full&sslrootcert=/missing",
	} {
		_, err := Open(t.Context(), Options{URL: url, Keys: [][]byte{testKey}})
		_, pending := PendingMigrations(t.Context(), url)
		for _, err := range []error{err, pending} {
			if err == nil {
				t.Errorf("%q opened", url)
			} else if text := strings.ReplaceAll(err.Error(), "hunter3", ""); strings.Contains(text, "hun") || strings.Contains(text, "ter2") {
				t.Errorf("%v", err)
			}
		}
	}
}

// idle checks that nobody kept a connection, and that the next one works.
func (f fixture) idle() {
	f.t.Helper()
	busy := func() int { return f.db.Stats().InUse + f.reads.Stats().InUse }
	for began := time.Now(); busy() > 0 && time.Since(began) < 10*time.Second; { // database/sql rolls back on its own time
		runtime.Gosched()
	}
	if n := busy(); n > 0 {
		f.t.Errorf("%d connections in use", n)
	}
	f.employ(lilei)
	f.setStatus("lilei", Online, "", 0)
	f.setStatus("lilei", Offline, "", 0)
	f.checkStatus("lilei", Offline, 0)
	if _, _, err := f.Depth(f.t.Context()); err != nil {
		f.t.Error(err)
	}
	if f.pg {
		n := 0
		if err := f.reads.NewRaw("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'").Scan(f.t.Context(), &n); err != nil || n != 0 {
			f.t.Errorf("%d transactions left open, %v", n, err)
		}
	}
}

// cancelled runs cases on every engine, and on SQLite in memory, where a lost
// connection would be a lost store.
func cancelled(t *testing.T, fn func(t *testing.T, f fixture)) {
	t.Helper()
	each(t, fn)
	t.Run("memory", func(t *testing.T) { fn(t, open(t, "sqlite::memory:", nil)) })
}

func TestCancelledTransactionLeavesNothing(t *testing.T) {
	cancelled(t, func(t *testing.T, f fixture) {
		f.employ(lilei)
		for i, cancelAt := range []string{"before", "between", "at the end"} {
			ctx, cancel := context.WithCancel(t.Context())
			if cancelAt == "before" {
				cancel()
			}
			err := f.Tx(ctx, func(tx *Tx) error {
				if _, err := tx.SetStatus(ctx, "lilei", Busy, "", 0); err != nil {
					return err
				}
				if cancelAt == "between" {
					cancel()
				}
				if _, err := tx.SetStatus(ctx, "lilei", Busy, "", time.Hour); err != nil {
					return err
				}
				cancel()
				return ctx.Err()
			})
			cancel()
			if !errors.Is(err, context.Canceled) || !Transient(err) {
				t.Errorf("%d: %v", i, err)
			}
			f.checkStatus("lilei", Offline, 0)
			f.idle()
		}
	})
}

func TestStatementThatIsCutOff(t *testing.T) {
	cancelled(t, func(t *testing.T, f fixture) {
		endless := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
		if f.pg {
			endless = "SELECT pg_sleep(60)"
		}
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			began := time.Now()
			err := f.Tx(ctx, func(tx *Tx) error {
				_, err := tx.db.ExecContext(ctx, endless)
				return err
			})
			if took := time.Since(began); !Transient(err) || took > 10*time.Second {
				t.Errorf("%v after %v", err, took)
			}
			if _, err := f.reads.ExecContext(ctx, endless); !Transient(err) {
				t.Errorf("reading: %v", err)
			}
			cancel()
			f.idle()
		}
	})
}

// Committed work is there when the context ends right afterwards.
func TestMemoryStoreKeepsItsData(t *testing.T) {
	f := open(t, "sqlite::memory:", nil)
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := f.Tx(ctx, func(tx *Tx) error {
			tx.Audit(AuditEntry{Actor: "a", Action: "x"})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		cancel()
		if n := len(f.trail("")); n != i+1 {
			t.Fatalf("%d entries, want %d", n, i+1)
		}
	}
	other := open(t, "sqlite::memory:", nil)
	if n := len(other.trail("")); n != 0 {
		t.Error("two stores in memory are one")
	}
	if list, err := PendingMigrations(t.Context(), "sqlite::memory:"); err != nil || len(list) == 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// PostgreSQL ends a transaction whose instance is gone, unless the address says
// otherwise.
func TestPostgresEndsAbandonedTransactions(t *testing.T) {
	url := storetest.Postgres(t)
	for address, want := range map[string]string{url: "10s", url + "&idle_in_transaction_session_timeout=7s": "7s"} {
		s := open(t, address, nil)
		var got string
		if err := s.db.QueryRow("SHOW idle_in_transaction_session_timeout").Scan(&got); err != nil || got != want {
			t.Errorf("%q, want %q: %v", got, want, err)
		}
	}
}

func TestMissingFolderIsNamed(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "none", "desk.db")
	if _, err := Open(t.Context(), Options{URL: url, Keys: [][]byte{make([]byte, 32)}}); err == nil || !strings.Contains(err.Error(), "store.url") || !strings.Contains(err.Error(), "create it") {
		t.Error(err)
	}
}
