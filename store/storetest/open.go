package storetest

import (
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/uptrace/bun/driver/pgdriver"
)

// Open looks at a database beside the process that has it.
func Open(t testing.TB, address string) *sql.DB {
	t.Helper()
	var db *sql.DB
	if file, ok := strings.CutPrefix(address, "sqlite:"); ok {
		var err error
		if db, err = sql.Open("sqlite" /* whose driver comes with the store */, "file:"+url.PathEscape(file)+"?mode=ro&_pragma=busy_timeout(5000)"); err != nil {
			t.Fatal(err)
		}
	} else {
		db = sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(address)))
	}
	t.Cleanup(func() { db.Close() })
	return db
}
