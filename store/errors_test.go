package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"deskbell/bot"
	"deskbell/store/storetest"
)

func TestTransient(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("boom"), false},
		{ErrNotFound, false},
		{ErrExists, false},
		{errIgnored, false},
		{sql.ErrNoRows, false},
		{os.ErrNotExist, false},
		{bot.Fail(bot.Denied, "error.denied", nil, nil), false},
		{errRaced, true},
		{context.Canceled, true},
		{context.DeadlineExceeded, true},
		{driver.ErrBadConn, true},
		{sql.ErrConnDone, true},
		{sql.ErrTxDone, true},
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{net.ErrClosed, true},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, true},
	} {
		if got := Transient(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
		if c.err != nil && Transient(fmt.Errorf("doing: %w", errors.Join(c.err, errors.New("more")))) != c.want {
			t.Errorf("%v, wrapped", c.err)
		}
	}
}

// try makes a change, in a transaction of its own.
func (f fixture) try() error {
	return f.Tx(f.t.Context(), func(tx *Tx) error {
		tx.Audit(AuditEntry{Actor: "a", Action: "x", Detail: strings.Repeat("x", 10_000)})
		return nil
	})
}

// recovers waits for none of it: the first try after the trouble may still find
// a connection that has gone bad, and no more than that many.
func (f fixture) recovers() {
	f.t.Helper()
	for i := range maxConns + 1 {
		err := f.try()
		if err == nil {
			return
		}
		if !Transient(err) || i == maxConns {
			f.t.Fatalf("try %d: %v", i, err)
		}
	}
}

func TestErrorsThatWillStay(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		for _, query := range []string{
			"SELECT nonsense", "SELEC 1", "SELECT * FROM nothing_of_the_kind",
			"INSERT INTO audit (id) VALUES (1)",
			"INSERT INTO schema_migrations (name, applied_at) VALUES ('0001_start', '2026-01-01')",
		} {
			if _, err := f.db.ExecContext(t.Context(), query); err == nil || Transient(err) {
				t.Errorf("%s: %v", query, err)
			}
		}
		f.recovers()
	})
}

func TestClosedStore(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := f.try(); err == nil {
			t.Error("a closed store takes changes")
		}
		if err := f.Ping(t.Context()); err == nil {
			t.Error("a closed store answers")
		}
	})
}

func TestPostgresReadOnly(t *testing.T) {
	f := open(t, storetest.Postgres(t), nil)
	f.db.SetMaxOpenConns(1)
	for _, mode := range []string{"on", "off"} {
		if _, err := f.db.ExecContext(t.Context(), "SET default_transaction_read_only = "+mode); err != nil {
			t.Fatal(err)
		}
		if err := f.try(); (err != nil) != (mode == "on") || err != nil && !Transient(err) {
			t.Errorf("read-only %s: %v", mode, err)
		}
		if err := f.Ping(t.Context()); err != nil {
			t.Errorf("read-only %s: %v", mode, err)
		}
	}
	if n := len(f.trail("")); n != 1 {
		t.Errorf("%d changes", n)
	}
}

func TestPostgresKillsAConnection(t *testing.T) {
	url := storetest.Postgres(t)
	f := open(t, url, nil)
	admin := storetest.Open(t, url)
	kill := func() {
		t.Helper()
		if _, err := admin.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		err := f.Tx(t.Context(), func(tx *Tx) error {
			if err := tx.EnsureAgent(t.Context(), lilei); err != nil {
				return err
			}
			kill()
			_, err := tx.SetStatus(t.Context(), "lilei", Online, "", 0)
			return err
		})
		if !Transient(err) {
			t.Errorf("killed between two statements: %v", err)
		}
		f.recovers()
		err = f.Tx(t.Context(), func(tx *Tx) error {
			tx.Audit(AuditEntry{Actor: "a", Action: "killed"})
			kill()
			return nil
		})
		if !Transient(err) {
			t.Errorf("killed before the end: %v", err)
		}
		f.recovers()
		kill() // while nothing happens
		f.recovers()
	}
	for _, entry := range f.trail("") {
		if entry != "a x ok" {
			t.Errorf("committed %s", entry)
		}
	}
	f.idle()
}

func TestPostgresConflicts(t *testing.T) {
	f := open(t, storetest.Postgres(t), nil)
	for code, want := range map[string]bool{
		"40001": true, "40P01": true, "53100": true, "53300": true, "55P03": true, "57014": true, "25006": true, "58030": true, "08006": true,
		"23505": false, "22021": false, "42P01": false, "25P02": false, "P0001": false, "XX000": false,
	} {
		_, err := f.db.ExecContext(t.Context(), "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '"+code+"'; END $$")
		if err == nil || Transient(err) != want {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestSQLiteFullDisk(t *testing.T) {
	url := storetest.SQLite(t)
	f := open(t, url, nil)
	pages := 0
	if err := f.db.NewRaw("PRAGMA page_count").Scan(t.Context(), &pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		t.Helper()
		if err := f.db.NewRaw(fmt.Sprintf("PRAGMA max_page_count = %d", n)).Scan(t.Context(), &n); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 20)
	done := 0
	for range 3 {
		err := f.try()
		for ; err == nil; done++ {
			err = f.try()
		}
		if !Transient(err) {
			t.Fatalf("full: %v", err)
		}
		if _, _, err := f.Receive(t.Context(), bot.Message{Key: "m", From: "lilei", Text: strings.Repeat("x", 100_000)}); !Transient(err) {
			t.Errorf("a message on a full disk: %v", err)
		}
		if n := len(f.trail("")); n != min(done, 100) { // reading goes on
			t.Errorf("%d entries, want %d", n, done)
		}
	}
	limit(1 << 30)
	f.recovers()
	if first, _ := f.receive(said("lilei", 1)); !first {
		t.Error("a message is not new after the disk was full")
	}
	check := ""
	if err := f.db.NewRaw("PRAGMA integrity_check").Scan(t.Context(), &check); err != nil || check != "ok" {
		t.Errorf("%s, %v", check, err)
	}
}

func TestSQLiteLocked(t *testing.T) {
	url := storetest.SQLite(t)
	f := open(t, url, nil)
	f.db.SetMaxOpenConns(1)
	if _, err := f.db.ExecContext(t.Context(), "PRAGMA busy_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", fileURI(strings.TrimPrefix(url, "sqlite:")))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := f.try(); !Transient(err) {
		t.Errorf("locked: %v", err)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	f.recovers()
}
