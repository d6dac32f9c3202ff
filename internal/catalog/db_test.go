package catalog_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/catalog"
	"holdfast/internal/clock"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, cfg catalog.Config) *catalog.DB {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = clock.NewFake(start)
	}
	db, err := catalog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func update(t *testing.T, db *catalog.DB, f func(ctx context.Context, tx *catalog.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), func(tx *catalog.Tx) error { return f(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func TestSmoke(t *testing.T) {
	db := open(t, catalog.Config{Path: filepath.Join(t.TempDir(), "a b?#%41.db")})
	update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.LockProject(ctx, "p") })
}
