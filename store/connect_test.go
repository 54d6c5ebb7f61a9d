package store

import (
	"os"
	"path/filepath"
	"testing"
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
