package catalog_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

func aVolume(id string) backup.Volume {
	return backup.Volume{
		ID: id, ProjectID: "p", UserID: "u", Name: "näme 'x\"", Description: "d", Status: backup.Available,
		PreviousStatus: backup.InUse, SizeGiB: 7, Type: "fast", Zone: "z", Bootable: true,
		Metadata: map[string]string{"k": "v", "": "\x00<&>"}, SnapshotID: "s", SourceVolumeID: "sv", BackupID: "b",
		CreatedAt: start.Add(time.Microsecond), UpdatedAt: start.Add(time.Hour),
	}
}

func aSnapshot(id string) backup.Snapshot {
	return backup.Snapshot{
		ID: id, ProjectID: "p", UserID: "u", VolumeID: "v", Name: "n", Description: "d", Status: backup.Available,
		SizeGiB: 3, Metadata: map[string]string{}, CreatedAt: start, UpdatedAt: start.Add(time.Second),
	}
}

func aBackup(id string) backup.Backup {
	return backup.Backup{
		ID: id, ProjectID: "p", UserID: "u", VolumeID: "v", VolumeName: "vn", SnapshotID: "s", Incremental: true,
		Name: "n", Description: "d", Container: "c", Status: backup.Available, FailReason: "f", SizeGiB: 5,
		Bytes: 5<<30 - 1, ObjectCount: 9, Zone: "z", Metadata: map[string]string{"a": "b"},
		VolumeMetadata: map[string]string{"c": "d"}, VolumeBootable: true, VolumeDesc: "vd", RestoreVolumeID: "r",
		DataTimestamp: start.Add(-time.Minute), CreatedAt: start, UpdatedAt: start.Add(time.Second),
		Stats: backup.Stats{Read: 1, New: 2, Stored: 3},
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestResourcesComeBackAsStored(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			for _, err := range []error{
				tx.InsertVolume(ctx, aVolume("v")), tx.InsertSnapshot(ctx, aSnapshot("s")), tx.InsertBackup(ctx, aBackup("b")),
			} {
				if err != nil {
					return err
				}
			}
			return nil
		})
		check := func(ctx context.Context, tx *catalog.Tx) error {
			v, err := tx.Volume(ctx, "v")
			if err != nil {
				return err
			}
			s, err := tx.Snapshot(ctx, "s")
			if err != nil {
				return err
			}
			b, err := tx.Backup(ctx, "b")
			diff(t, "volume", aVolume("v"), v)
			diff(t, "snapshot", aSnapshot("s"), s)
			diff(t, "backup", aBackup("b"), b)
			return err
		}
		view(t, db, check)
		update(t, db, check)
	})
}

func TestUpdateWritesAllButWhatIsFixed(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			if err := tx.InsertBackup(ctx, backup.Backup{ID: "b", ProjectID: "p", VolumeID: "v", Status: backup.Creating, CreatedAt: start}); err != nil {
				return err
			}
			if err := tx.InsertVolume(ctx, backup.Volume{ID: "v", ProjectID: "p", Status: backup.Creating, CreatedAt: start}); err != nil {
				return err
			}
			if err := tx.InsertSnapshot(ctx, backup.Snapshot{ID: "s", ProjectID: "p", VolumeID: "v", Status: backup.Creating, CreatedAt: start}); err != nil {
				return err
			}
			v, s, b := aVolume("v"), aSnapshot("s"), aBackup("b")
			v.ProjectID, s.ProjectID, b.ProjectID = "other", "other", "other"
			if err := tx.UpdateVolume(ctx, v); err != nil {
				return err
			}
			if err := tx.UpdateSnapshot(ctx, s); err != nil {
				return err
			}
			return tx.UpdateBackup(ctx, b)
		})
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			wantV, wantS, wantB := aVolume("v"), aSnapshot("s"), aBackup("b")
			wantV.UserID, wantV.Status, wantV.CreatedAt = "", backup.Creating, start
			wantS.UserID, wantS.Status = "", backup.Creating
			wantB.UserID, wantB.Status = "", backup.Creating
			v, err := tx.Volume(ctx, "v")
			diff(t, "volume", wantV, v)
			if err != nil {
				return err
			}
			s, err := tx.Snapshot(ctx, "s")
			diff(t, "snapshot", wantS, s)
			if err != nil {
				return err
			}
			b, err := tx.Backup(ctx, "b")
			diff(t, "backup", wantB, b)
			return err
		})
	})
}

func TestMissing(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		for name, c := range map[string]struct {
			reason backup.Reason
			do     step
		}{
			"volume":          {backup.VolumeNotFound, func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.Volume(ctx, "x"); return err }},
			"snapshot":        {backup.SnapshotNotFound, func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.Snapshot(ctx, "x"); return err }},
			"backup":          {backup.BackupNotFound, func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.Backup(ctx, "x"); return err }},
			"record":          {backup.BackupNotFound, func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.BackupRecord(ctx, "x"); return err }},
			"volume update":   {backup.VolumeNotFound, func(ctx context.Context, tx *catalog.Tx) error { return tx.UpdateVolume(ctx, aVolume("x")) }},
			"snapshot status": {backup.SnapshotNotFound, func(ctx context.Context, tx *catalog.Tx) error { return tx.SetSnapshotStatus(ctx, "x", backup.Errored) }},
			"backup status": {backup.BackupNotFound, func(ctx context.Context, tx *catalog.Tx) error {
				return tx.SetBackupStatus(ctx, "x", backup.Errored, "")
			}},
		} {
			err := tryUpdate(t, db, c.do)
			if backup.KindOf(err) != backup.NotFound || backup.ReasonOf(err) != c.reason {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

func TestMoveIsACompareAndSet(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.InsertVolume(ctx, aVolume("v")) })
		move := func(from []backup.Status, to backup.Status) (ok bool, err error) {
			err = tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				ok, err = tx.MoveVolume(ctx, "v", from, to)
				return err
			})
			return ok, err
		}
		if ok, err := move([]backup.Status{backup.InUse, backup.Available}, backup.BackingUp); !ok || err != nil {
			t.Errorf("legal move: %v, %v", ok, err)
		}
		if ok, err := move([]backup.Status{backup.InUse, backup.Available}, backup.BackingUp); ok || err != nil {
			t.Errorf("move from another status: %v, %v", ok, err)
		}
		if _, err := move([]backup.Status{backup.BackingUp}, backup.Extending); err == nil || backup.KindOf(err) != backup.Internal {
			t.Errorf("illegal move: %v", err)
		}
		if _, err := move(nil, backup.Available); err == nil {
			t.Error("a move from nowhere passes")
		}
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.SetVolumeStatus(ctx, "v", backup.Extending) })
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			v, err := tx.Volume(ctx, "v")
			if v.Status != backup.Extending || !v.UpdatedAt.Equal(start) {
				t.Errorf("volume is %s, changed at %v", v.Status, v.UpdatedAt)
			}
			return err
		})
	})
}

func TestDeletedBackupsAreHidden(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			if err := tx.InsertBackup(ctx, aBackup("b")); err != nil {
				return err
			}
			if err := tx.SetBackupRecord(ctx, "b", catalog.Record{Object: "o"}); err != nil {
				return err
			}
			return tx.SetBackupStatus(ctx, "b", backup.Deleted, "")
		})
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			if _, err := tx.Backup(ctx, "b"); backup.KindOf(err) != backup.NotFound {
				t.Errorf("shown: %v", err)
			}
			if b, err := tx.AnyBackup(ctx, "b"); err != nil || b.Status != backup.Deleted {
				t.Errorf("any: %v, %v", b.Status, err)
			}
			if all, err := tx.Backups(ctx, catalog.Query{Limit: 9}); err != nil || len(all) != 0 {
				t.Errorf("listed: %v, %v", all, err)
			}
			if _, ok, err := tx.LatestBackup(ctx, "p", "v", time.Time{}); err != nil || ok {
				t.Errorf("latest: %v, %v", ok, err)
			}
			all, err := tx.DeletedBackups(ctx, 9)
			if len(all) != 1 {
				t.Errorf("to be purged: %v", all)
			}
			return err
		})
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.PurgeBackup(ctx, "b") })
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.PurgeBackup(ctx, "b") })
		if err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.BackupRecord(ctx, "b")
			return err
		}); backup.KindOf(err) != backup.NotFound {
			t.Errorf("record after the purge: %v", err)
		}
	})
}

func TestOnlyDeletedBackupsArePurged(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.InsertBackup(ctx, aBackup("b")) })
		err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.PurgeBackup(ctx, "b") })
		if backup.KindOf(err) != backup.Conflict {
			t.Errorf("got %v", err)
		}
	})
}

func TestHasDependents(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		has := func() (has bool) {
			view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				b, err := tx.Backup(ctx, "parent")
				if err != nil {
					return err
				}
				has = b.HasDependents
				all, err := tx.Backups(ctx, catalog.Query{Limit: 9, Filters: []catalog.Filter{{Field: "id", Values: []string{"parent"}}}})
				if len(all) != 1 || all[0].HasDependents != has {
					t.Errorf("the list says otherwise: %v", all)
				}
				return err
			})
			return has
		}
		child := aBackup("child")
		child.ParentID = "parent"
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.InsertBackup(ctx, aBackup("parent")) })
		if has() {
			t.Error("without a child")
		}
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.InsertBackup(ctx, child) })
		if !has() {
			t.Error("with a child")
		}
		for _, status := range []backup.Status{backup.Errored, backup.Deleted} {
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				return tx.SetBackupStatus(ctx, "child", status, "")
			})
			if has() {
				t.Errorf("with a child that is %s", status)
			}
		}
	})
}

func TestLatestBackup(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			for _, c := range []struct {
				id, project, volume string
				status              backup.Status
				minute              int
			}{
				{"old", "p", "v", backup.Available, 1},
				{"new", "p", "v", backup.Available, 3},
				{"middle", "p", "v", backup.Available, 2},
				{"failed", "p", "v", backup.Errored, 4},
				{"other project", "q", "v", backup.Available, 5},
				{"other volume", "p", "w", backup.Available, 6},
			} {
				b := aBackup(c.id)
				b.ProjectID, b.VolumeID, b.Status, b.DataTimestamp = c.project, c.volume, c.status, start.Add(time.Duration(c.minute)*time.Minute)
				if err := tx.InsertBackup(ctx, b); err != nil {
					return err
				}
			}
			return nil
		})
		for _, c := range []struct {
			before time.Time
			want   string
		}{
			{time.Time{}, "new"},
			{start.Add(3 * time.Minute), "middle"},
			{start.Add(3*time.Minute + 1), "middle"}, // stored to the microsecond
			{start.Add(4 * time.Minute), "new"},
			{start.Add(time.Minute), ""},
		} {
			view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				b, ok, err := tx.LatestBackup(ctx, "p", "v", c.before)
				if b.ID != c.want || ok != (c.want != "") {
					t.Errorf("before %v: got %q, %v", c.before, b.ID, ok)
				}
				return err
			})
		}
	})
}

func TestBackupRecord(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.InsertBackup(ctx, aBackup("b")) })
		for _, want := range []catalog.Record{
			{},
			{Vault: catalog.ID{1, 0, 255}, Object: "records/1", Hash: [32]byte{31: 7}, SourceState: "s", JobID: "j"},
			{Object: "records/2"},
		} {
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				if want.Object != "" {
					if err := tx.SetBackupRecord(ctx, "b", want); err != nil {
						return err
					}
				}
				got, err := tx.BackupRecord(ctx, "b")
				diff(t, "record", want, got)
				return err
			})
		}
		err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.SetBackupRecord(ctx, "no such backup", catalog.Record{Object: "o"})
		})
		if err == nil {
			t.Error("a record of no backup was stored")
		}
	})
}
