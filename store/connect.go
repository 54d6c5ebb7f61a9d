package store

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/driver/pgdriver"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// maxConns bounds the connections to PostgreSQL. An instance needs one for each
// lane of commands, one to receive, one to deliver, and some for the API.
const maxConns = 16

func (s *Store) connect(address string) error {
	s.unlock = func() {}
	path, lite := strings.CutPrefix(address, "sqlite:")
	switch {
	case lite && path != "":
		return s.openSQLite(path)
	case strings.HasPrefix(address, "postgres://"), strings.HasPrefix(address, "postgresql://"):
		return s.openPostgres(address)
	}
	return errors.New("store.url must be sqlite:FILE or postgres://…")
}

// openSQLite opens a file, or ":memory:". WAL with synchronous=FULL keeps every
// committed transaction through a power failure; WAL alone does not.
func (s *Store) openSQLite(path string) error {
	const pragmas = "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=cache_size(-8000)&_txlock=immediate"
	memory := path == ":memory:"
	if dir := filepath.Dir(path); !memory {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("store.url: %s is not a folder: create it, writable for the gateway", dir)
		}
	}
	if !memory && !s.Beside { // SQLite itself keeps the writes of two processes apart
		unlock, err := lockFile(path + ".lock")
		if err != nil {
			return err
		}
		s.unlock = unlock
		if err := private(path); err != nil {
			s.unlock()
			return err
		}
	}
	db, err := sql.Open("sqlite", fileURI(path)+"?"+pragmas)
	if err != nil {
		s.unlock()
		return fmt.Errorf("open sqlite: %w", err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; waiting for it in Go is fair and never fails
	db.SetConnMaxLifetime(0)
	s.db = s.bun(db, false)
	s.reads = s.db
	if memory {
		return nil
	}
	reads, err := sql.Open("sqlite", fileURI(path)+"?"+pragmas+"&_pragma=query_only(1)")
	if err != nil {
		s.unlock()
		return fmt.Errorf("open sqlite: %w", err)
	}
	reads.SetMaxOpenConns(4)
	reads.SetMaxIdleConns(4)
	s.reads = s.bun(reads, false)
	return nil
}

// fileURI names a file so that SQLite opens that one: in a URI, what follows a
// "#" or "?" is not part of the name.
func fileURI(path string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

func (s *Store) openReadOnly(path string) error {
	db, err := sql.Open("sqlite", fileURI(path)+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		return fmt.Errorf("open sqlite: %w", err)
	}
	s.db = s.bun(db, false)
	s.reads = s.db
	return nil
}

// private creates the file of a new store so that nobody else on the host reads
// it: it is about people. SQLite gives the files beside it the same mode. A file
// that is there already keeps the mode its owner gave it.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open sqlite: %w", err)
	}
	return f.Close()
}

// CheckURL reports what is wrong with an address, without going there and
// without repeating it.
func CheckURL(address string) error {
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok && path != "" {
		return nil
	}
	_, err := connector(address)
	return err
}

// openPostgres keeps the address, and what is wrong with it, out of errors: a
// password with a character that should have been escaped may turn up in any
// part of it.
func (s *Store) openPostgres(address string) error {
	conn, err := connector(address)
	if err != nil {
		return err
	}
	s.conf = conn.Config()
	s.conf.DialTimeout, s.conf.ReadTimeout, s.conf.WriteTimeout = 3*time.Second, within, within
	s.conf.AppName = "deskbell"
	// A transaction of an instance that lost its power must not keep its rows
	// locked until the network notices, which takes hours.
	//
	// The queues leave many dead rows behind. An index scan passes over one that it
	// found dead before, a bitmap scan looks at it again until the next vacuum.
	params := map[string]any{"idle_in_transaction_session_timeout": fmt.Sprint(within.Milliseconds()), "enable_bitmapscan": "off",
		"timezone": "UTC"} // times leave as they came, wherever the server stands
	maps.Copy(params, s.conf.ConnParams) // what the address asks for comes first
	s.conf.ConnParams = params
	db := sql.OpenDB(conn)
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	s.pg = true
	s.db = s.bun(db, true)
	s.reads = s.db
	return nil
}

func (s *Store) bun(db *sql.DB, pg bool) *bun.DB {
	if pg {
		return bun.NewDB(db, pgDialect{pgdialect.New()}, bun.WithDiscardUnknownColumns())
	}
	return bun.NewDB(db, liteDialect{sqlitedialect.New()}, bun.WithDiscardUnknownColumns())
}

func connector(address string) (conn *pgdriver.Connector, err error) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil && strings.Contains(address, "@") {
		return nil, errors.New("store.url is not an address: want postgres://user:password@host:5432/database, with %40 for @, %2F for /, %3A for :, %23 for #, %3F for ? and %25 for % in the password")
	}
	if err := catch(func() { conn = pgdriver.NewConnector(pgdriver.WithDSN(address)) }); err != nil {
		return nil, fmt.Errorf("store.url: %w", err)
	}
	return conn, nil
}

// lockFile makes sure one process at a time owns a SQLite store. The kernel
// lets go of the lock when the process ends, however it ends.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path)
		f.Close()
		return nil, fmt.Errorf("the store is in use by another process (pid %s): stop it, or use postgres:// to run several instances", strings.TrimSpace(string(owner)))
	}
	_ = f.Truncate(0)
	_, _ = fmt.Fprintln(f, os.Getpid())
	return func() { f.Close() }, nil
}

// catch turns the panic of a library's constructor into an error.
func catch(fn func()) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	fn()
	return nil
}
