package store

import (
	"strings"
	"testing"

	"deskbell/store/storetest"

	"github.com/google/go-cmp/cmp"
)

func TestMigrate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		all, err := PendingMigrations(t.Context(), url)
		if err != nil || len(all) == 0 {
			t.Fatalf("pending on an empty database: %v, %v", all, err)
		}
		applied, err := Migrate(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(all, applied); d != "" {
			t.Error(d)
		}
		f := open(t, url, nil) // a running instance is not in the way
		if left, err := PendingMigrations(t.Context(), url); err != nil || len(left) != 0 {
			t.Errorf("pending afterwards: %v, %v", left, err)
		}
		if again, err := f.migrate(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("second run: %v, %v", again, err)
		}
	})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	each(t, func(t *testing.T, f fixture) {
		if _, err := f.db.ExecContext(t.Context(), "INSERT INTO schema_migrations (name, applied_at) VALUES ('9999_future', '2030-01-01')"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "newer than this program") {
			t.Errorf("got %v", err)
		}
	})
}
