package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/pgtest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// eachConfig runs a test with the address of an empty database of each kind,
// beside other tests.
func eachConfig(t *testing.T, f func(*testing.T, catalog.Config)) {
	t.Helper()
	t.Parallel()
	cfg := catalog.Config{Clock: clock.NewFake(start), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	t.Run("sqlite", func(t *testing.T) {
		cfg := cfg
		cfg.Path = filepath.Join(t.TempDir(), "catalog.db")
		f(t, cfg)
	})
	t.Run("postgres", func(t *testing.T) {
		cfg := cfg
		cfg.URL = pgtest.URL(t)
		f(t, cfg)
	})
}

func eachDB(t *testing.T, f func(*testing.T, *catalog.DB)) {
	t.Helper()
	eachConfig(t, func(t *testing.T, cfg catalog.Config) { f(t, open(t, cfg)) })
}

func open(t testing.TB, cfg catalog.Config) *catalog.DB {
	t.Helper()
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

type step = func(context.Context, *catalog.Tx) error

func update(t testing.TB, db *catalog.DB, f step) {
	t.Helper()
	if err := tryUpdate(t, db, f); err != nil {
		t.Fatal(err)
	}
}

func tryUpdate(t testing.TB, db *catalog.DB, f step) error {
	t.Helper()
	return db.Update(t.Context(), func(tx *catalog.Tx) error { return f(t.Context(), tx) })
}

func view(t testing.TB, db *catalog.DB, f step) {
	t.Helper()
	if err := db.View(t.Context(), func(tx *catalog.Tx) error { return f(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func TestProcessesOpenAtOnce(t *testing.T) {
	eachConfig(t, func(t *testing.T, cfg catalog.Config) {
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				db, err := catalog.Open(t.Context(), cfg)
				if err != nil {
					t.Error(err)
					return
				}
				err = db.Update(t.Context(), func(tx *catalog.Tx) error { return tx.LockProject(t.Context(), "p") })
				if err := errors.Join(err, db.Ping(t.Context()), db.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		db := open(t, cfg)
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			var n int64
			err := tx.QueryRow(ctx, "SELECT touched FROM projects WHERE id = $1", "p").Scan(&n)
			if n != 6 {
				t.Errorf("%d of 6 processes wrote", n)
			}
			return err
		})
	})
}

func TestUpdateCommitsOrRollsBack(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		var hooks []string
		hook := func(s string) func() { return func() { hooks = append(hooks, s) } }
		give := func(id string, err error) step {
			return func(ctx context.Context, tx *catalog.Tx) error {
				tx.OnCommit(hook(id))
				return errors.Join(tx.InsertVolume(ctx, backup.Volume{ID: id, Status: backup.Available}), err)
			}
		}
		boom := errors.New("boom")
		if err := tryUpdate(t, db, give("lost", boom)); !errors.Is(err, boom) {
			t.Fatalf("got %v", err)
		}
		update(t, db, give("kept", nil))
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			all, err := tx.Volumes(ctx, catalog.Query{Limit: 10})
			if len(all) != 1 || all[0].ID != "kept" {
				t.Errorf("volumes are %v", all)
			}
			return err
		})
		if len(hooks) != 1 || hooks[0] != "kept" {
			t.Errorf("called back for %v", hooks)
		}
	})
}

func TestPanicRollsBack(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		func() {
			defer func() { _ = recover() }()
			_ = tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				_ = tx.LockProject(ctx, "p")
				panic("boom")
			})
		}()
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.LockProject(ctx, "p") })
	})
}

func TestViewCannotWriteAndSeesOneState(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		err := db.View(t.Context(), func(tx *catalog.Tx) error { return tx.LockProject(t.Context(), "p") })
		if err == nil {
			t.Error("a view wrote")
		}
		count := func(ctx context.Context, tx *catalog.Tx) int {
			n, err := tx.CountVolumes(ctx, catalog.Query{})
			if err != nil {
				t.Error(err)
			}
			return n
		}
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			before := count(ctx, tx)
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				return tx.InsertVolume(ctx, backup.Volume{ID: "v", Status: backup.Available})
			})
			if after := count(ctx, tx); before != 0 || after != 0 {
				t.Errorf("counted %d, then %d", before, after)
			}
			return nil
		})
	})
}

// Two pools stand for two processes: each adds to one row, reading it first.
func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	eachConfig(t, func(t *testing.T, cfg catalog.Config) {
		if cfg.URL != "" {
			cfg.URL = quickDeadlocks(t, cfg.URL)
		}
		dbs := []*catalog.DB{open(t, cfg), open(t, cfg)}
		update(t, dbs[0], func(ctx context.Context, tx *catalog.Tx) error {
			return errors.Join(
				tx.InsertVolume(ctx, backup.Volume{ID: "a", Status: backup.Available}),
				tx.InsertVolume(ctx, backup.Volume{ID: "b", Status: backup.Available}))
		})
		const each = 10
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				order := []string{"a", "b"}
				if i%2 == 1 { // the other way round: deadlocks on PostgreSQL
					order = []string{"b", "a"}
				}
				for range each {
					err := tryUpdate(t, dbs[i%2], func(ctx context.Context, tx *catalog.Tx) error {
						for _, id := range order {
							v, err := tx.Volume(ctx, id)
							if err != nil {
								return err
							}
							v.SizeGiB++
							if err := tx.UpdateVolume(ctx, v); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		view(t, dbs[0], func(ctx context.Context, tx *catalog.Tx) error {
			use, err := tx.Use(ctx, "")
			if use[backup.QuotaGigabytes] != 2*4*each {
				t.Errorf("%d of %d additions are there", use[backup.QuotaGigabytes], 2*4*each)
			}
			return err
		})
	})
}

// quickDeadlocks makes the server look for deadlocks at once, not after a
// second.
func quickDeadlocks(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("deadlock_timeout", "5ms")
	u.RawQuery = q.Encode()
	return u.String()
}

func TestUnreachableIsUnavailable(t *testing.T) {
	cfg := catalog.Config{Clock: clock.NewFake(start)}
	for name, change := range map[string]func(*catalog.Config){
		"no server": func(c *catalog.Config) { c.URL = "postgres://nobody@127.0.0.1:1/none?connect_timeout=2" },
		"no host":   func(c *catalog.Config) { c.URL = "postgres:///none?host=" + t.TempDir() },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := cfg
			change(&cfg)
			_, err := catalog.Open(t.Context(), cfg)
			if backup.KindOf(err) != backup.Unavailable {
				t.Errorf("got %v of kind %v", err, backup.KindOf(err))
			}
		})
	}
}

func TestServerGoneIsUnavailable(t *testing.T) {
	db := open(t, catalog.Config{URL: pgtest.URL(t), Clock: clock.NewFake(start)})
	err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	})
	if backup.KindOf(err) != backup.Unavailable {
		t.Errorf("got %v", err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestCanceledContextStaysSo(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Update(ctx, func(tx *catalog.Tx) error {
			cancel()
			return tx.LockProject(ctx, "p")
		})
		if !errors.Is(err, context.Canceled) || backup.KindOf(err) == backup.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}

func TestFileMovedAwayIsUnavailable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	db := open(t, catalog.Config{Path: path, Clock: clock.NewFake(start)})
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); backup.KindOf(err) != backup.Unavailable {
		t.Errorf("got %v", err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSQLiteFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?#%41&x=1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cat%20alog.db")
	db := open(t, catalog.Config{Path: path, Clock: clock.NewFake(start)})
	update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.LockProject(ctx, "p") })
	for _, f := range []string{path, path + "-wal", path + "-shm", path + ".lock"} {
		st, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f, st.Mode())
		}
	}
	settings := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"}
	update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
		for name, want := range settings {
			var got string
			if err := tx.QueryRow(ctx, "PRAGMA "+name).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, %v; want %q", name, got, err, want)
			}
		}
		return nil
	})
}

// SQLite gives columns of type BYTEA numeric affinity. It must leave bytes
// alone, even those that look like a number.
func TestBytesStayBytes(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		ids := []catalog.ID{{}, catalog.ID([]byte("0000000000000042")), catalog.ID([]byte("1e10000000000000"))}
		for i, id := range ids {
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				return tx.InsertVault(ctx, catalog.Vault{ID: id, ProjectID: fmt.Sprint(i)})
			})
		}
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			for i, id := range ids {
				v, err := tx.Vault(ctx, id)
				if err != nil || v.ID != id || v.ProjectID != fmt.Sprint(i) {
					t.Errorf("%q: got %+v, %v", id, v, err)
				}
			}
			if tx.Postgres() {
				return nil
			}
			var kinds int64
			err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM vaults WHERE typeof(id) = 'blob'").Scan(&kinds)
			if int(kinds) != len(ids) {
				t.Errorf("%d of %d ids are stored as bytes", kinds, len(ids))
			}
			return err
		})
	})
}

func TestTextThatCannotBeStored(t *testing.T) {
	db := open(t, catalog.Config{URL: pgtest.URL(t), Clock: clock.NewFake(start)})
	err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
		return tx.InsertVolume(ctx, backup.Volume{ID: "v", Name: "a\x00b"})
	})
	if backup.KindOf(err) != backup.Invalid {
		t.Errorf("got %v", err)
	}
}
