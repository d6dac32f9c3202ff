package catalog_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/pressly/goose/v3"

	"holdfast/internal/catalog"
)

// What has been released is never changed: databases out there have run it.
func TestReleasedMigrationsStay(t *testing.T) {
	for name, want := range map[string]string{
		"0001_catalog.sql":  "cba7648d8ace2b7574ae73d4e506e40839ba40430ba09085d7f1652a271007aa",
		"0002_identity.sql": "1af49de130526eac6ac38dad38d227e90295f95f9aa614f702b8a5ea0443a1a7",
	} {
		content, err := os.ReadFile("migrations/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != want {
			t.Errorf("%s has changed: its SHA-256 is %s", name, got)
		}
	}
}

// oldRows is what a catalog of the first release holds: a committed backup, a
// session under way with a pack of its own, and a job.
const oldRows = `
INSERT INTO vaults (id, project_id, epoch, incarnation, key_set, ready, created_at) VALUES (V1, 'p', 3, V9, V5, 1, 7);
INSERT INTO backups (id, project_id, user_id, volume_id, volume_name, snapshot_id, parent_id, incremental, name, description, container,
	status, fail_reason, size, bytes, object_count, availability_zone, metadata, volume_metadata, volume_bootable, volume_desc,
	restore_volume_id, data_timestamp, created_at, updated_at, stats_read, stats_new, stats_stored)
	VALUES ('b', 'p', 'u', 'v', '', '', '', 0, 'old', '', '', 'available', '', 1, 4096, 1, '', '{}', '{}', 0, '', '', 1, 1, 1, 1, 1, 1);
INSERT INTO backup_records (backup_id, vault_id, object, hash, source_state, job_id) VALUES ('b', V1, 'record', H, 's', 'j');
INSERT INTO vault_sessions (id, vault_id, job_id, backup_id, parent_id, token, epoch, state, created_at, ended_at)
	VALUES (V2, V1, 'j', 'b', '', 1, 1, 'committed', 1, 2), (V3, V1, 'k', 'c', 'b', 4, 3, 'open', 1, 0);
INSERT INTO vault_checkpoints (session_id, source_state, done_to, progress, saved_at) VALUES (V3, 's', 4096, V9, 1);
INSERT INTO vault_packs (vault_id, pack_id, generation, kind, state, session_id, object, pack_at, pack_len, dir_at, copy_in, copy_at, live)
	VALUES (V1, V1, 1, 1, 'writable', V2, 'o', 0, 9, 5, 'd', 0, 8), (V1, V2, 1, 2, 'writable', V2, 'q', 0, 9, 5, '', 0, 8),
	(V1, V3, 1, 1, 'uncommitted', V3, 'n', 0, 9, 5, '', 0, 8);
INSERT INTO vault_segments (vault_id, epoch, session_id, object, size) VALUES (V1, 2, V2, 'seg', 11);
INSERT INTO vault_pins (backup_id, holder, pinned_at) VALUES ('b', 'session 03000000000000000000000000000000', 1);
INSERT INTO jobs (id, kind, project_id, lane, subject, request_id, payload, state, attempt, failures, crashes, worker, reserved_for,
	lease_until, progress, error, canceled, created_at, run_after, started_at, ended_at)
	VALUES ('k', 'backup.store', 'p', 'l', 'c', '', '{}', 'queued', 4, 0, 0, '', '', 0, '', '', 0, 1, 1, 1, 0)`

// literals writes the bytes that oldRows stands for as a database does.
func literals(rows, open, end string) string {
	for _, n := range []string{"1", "2", "3", "5", "9"} {
		rows = strings.ReplaceAll(rows, "V"+n, open+"0"+n+strings.Repeat("00", 15)+end)
	}
	return strings.ReplaceAll(rows, "'record', H", "'record', "+open+strings.Repeat("07", 32)+end)
}

// firstRelease makes a database as the first release left it.
func firstRelease(t *testing.T, cfg catalog.Config) {
	t.Helper()
	driver, source, dialect := "sqlite", cfg.Path, goose.DialectSQLite3
	rows := literals(oldRows, "X'", "'")
	if cfg.URL != "" {
		driver, source, dialect = "pgx", cfg.URL, goose.DialectPostgres
		rows = literals(oldRows, `'\x`, "'")
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := goose.NewProvider(dialect, db, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for _, statement := range strings.Split(rows, ";\n") {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestFirstReleaseIsUpgraded(t *testing.T) {
	eachConfig(t, func(t *testing.T, cfg catalog.Config) {
		firstRelease(t, cfg)
		db := open(t, cfg)
		v1, v2, v3 := catalog.ID{1}, catalog.ID{2}, catalog.ID{3}
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			s, err := tx.Survey(ctx, v1)
			if err != nil {
				return err
			}
			if s.Vault.Epoch != 3 || s.Vault.Announced != 0 || s.Vault.Hold || !s.Vault.Ready || s.Oldest != 3 {
				t.Errorf("vault %+v, oldest session %d", s.Vault, s.Oldest)
			}
			diff(t, "sessions", map[catalog.ID]bool{v2: true, v3: false}, s.Sessions)
			diff(t, "segments", []catalog.Segment{{Object: "seg", Size: 11}}, s.Segments)
			if len(s.Roots) != 1 || s.Roots[0].Object != "record" || len(s.Roots[0].Map) != 0 || s.Roots[0].Hash[31] != 7 {
				t.Errorf("roots %+v", s.Roots)
			}
			var states []catalog.PackState
			err = tx.EachPack(ctx, v1, func(r catalog.PackRow) error {
				states = append(states, r.State)
				return nil
			})
			diff(t, "states", []catalog.PackState{"writable", "writable", "uncommitted"}, states)
			damage, err2 := tx.Damage(ctx, v1)
			if len(damage) != 0 {
				t.Errorf("damage %v", damage)
			}
			return errors.Join(err, err2)
		})

		// The session goes on, and what it leaves can be collected.
		ref := catalog.SessionRef{Vault: v1, ID: v3, Token: 5}
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			sess, err := tx.BeginSession(ctx, catalog.BeginSession{ID: v3, Vault: v1, Token: 5})
			if err != nil {
				return err
			}
			if sess.Epoch != 3 || sess.ParentBackup != "b" || sess.Checkpoint == nil || sess.Collection {
				t.Errorf("session %+v", sess)
			}
			return tx.CommitSession(ctx, ref, nil, nil)
		})
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			collection := catalog.SessionRef{Vault: v1, ID: catalog.ID{8}, Token: 1}
			if err := tx.OpenCollection(ctx, catalog.BeginSession{ID: collection.ID, Vault: v1, Token: 1}); err != nil {
				return err
			}
			if _, err := tx.Condemn(ctx, collection, []catalog.PackGen{{ID: v1, Generation: 1}}); err != nil {
				return err
			}
			_, err := tx.Switch(ctx, collection, catalog.Switch{Gone: []catalog.PackGen{{ID: v1, Generation: 1}}, Dead: []string{"o", "d"}})
			return err
		})
	})
}
