// Package storetest hands tests an empty store of their own on each engine. It
// is the one place that knows where the tests' PostgreSQL is.
package storetest

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uptrace/bun/driver/pgdriver"
)

// Each runs fn on every engine, with the URL of an empty database.
func Each(t *testing.T, fn func(t *testing.T, url string)) {
	t.Helper()
	for name, url := range map[string]func(testing.TB) string{"sqlite": SQLite, "postgres": Postgres} {
		t.Run(name, func(t *testing.T) { fn(t, url(t)) })
	}
}

// SQLite gives a file that does not exist yet.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "desk.db")
}

// Postgres gives a new database, which is dropped after the test.
func Postgres(t testing.TB) string {
	t.Helper()
	base := os.Getenv("DESKBELL_TEST_POSTGRES")
	if base == "" {
		t.Fatal("this test needs PostgreSQL: run ./test.sh, which starts one, or set DESKBELL_TEST_POSTGRES to the URL of a server it may create databases on")
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ToLower(rand.Text()[:16])
	admin := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(base)))
	if _, err := admin.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
		admin.Close()
	})
	u.Path = "/" + name
	return u.String()
}

// PostgresLog has the server log everything that is said to a database of
// Postgres, with all parameters, over connections opened from now on. The server's
// log is what the function it returns gives, as far as it was written since.
func PostgresLog(t testing.TB, database string) (read func() string) {
	t.Helper()
	file := os.Getenv("DESKBELL_TEST_POSTGRES_LOG")
	if file == "" {
		t.Fatal("this test needs the log of PostgreSQL: run ./test.sh, which starts one, or set DESKBELL_TEST_POSTGRES_LOG to the file that the server of DESKBELL_TEST_POSTGRES logs to")
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(database)))
	defer db.Close()
	for _, setting := range []string{"log_statement = 'all'", "log_min_duration_statement = 0", "log_parameter_max_length = -1", "log_parameter_max_length_on_error = -1"} {
		if _, err := db.Exec("ALTER DATABASE " + strings.TrimPrefix(u.Path, "/") + " SET " + setting); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		t.Helper()
		all, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(all[before.Size():])
	}
}

// Redis gives the URL of a Redis that the tests may write to.
func Redis(t testing.TB) string {
	t.Helper()
	address := os.Getenv("DESKBELL_TEST_REDIS")
	if address == "" {
		t.Fatal("this test needs Redis: run ./test.sh, which starts one, or set DESKBELL_TEST_REDIS to the URL of one that may be written to")
	}
	return address
}
