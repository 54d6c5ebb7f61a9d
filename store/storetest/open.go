package storetest

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/uptrace/bun/driver/pgdriver"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Open looks at a database beside the process that has it.
func Open(t testing.TB, url string) *sql.DB {
	t.Helper()
	var db *sql.DB
	if file, ok := strings.CutPrefix(url, "sqlite:"); ok {
		var err error
		if db, err = sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(5000)"); err != nil {
			t.Fatal(err)
		}
	} else {
		db = sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(url)))
	}
	t.Cleanup(func() { db.Close() })
	return db
}
