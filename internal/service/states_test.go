package service_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/service"
)

func foreignTo(x things) func(context.Context, *catalog.Tx) error {
	return func(ctx context.Context, tx *catalog.Tx) error {
		for table, id := range map[string]string{"volumes": x.volume, "snapshots": x.snapshot, "backups": x.backup} {
			if _, err := tx.Exec(ctx, "UPDATE "+table+" SET project_id = 'p2' WHERE id = $1", id); err != nil {
				return err
			}
		}
		return nil
	}
}

var (
	volumeStates = []backup.Status{
		backup.Creating, backup.Available, backup.InUse, backup.BackingUp, backup.RestoringBackup, backup.Extending,
		backup.Deleting, backup.Errored, backup.ErrorDeleting, backup.ErrorRestoring, backup.ErrorExtending,
	}
	backupStates = []backup.Status{
		backup.Creating, backup.Available, backup.Restoring, backup.Deleting, backup.Errored, backup.ErrorDeleting,
	}
)

func TestBackupOfVolumeInEachState(t *testing.T) {
	x := newSite(t, "", options{})
	for _, force := range []bool{false, true} {
		for _, status := range volumeStates {
			v := x.volume(status, 3)
			b, err := x.s.CreateBackup(x.ctx(), member, service.NewBackup{VolumeID: v, Force: force})
			switch {
			case status == backup.Available, status == backup.InUse && force:
				must(t, err)
				if b.Status != backup.Creating || b.SizeGiB != 3 || x.volumeStatus(v) != backup.BackingUp {
					t.Errorf("backup %s of %d GiB, volume %s", b.Status, b.SizeGiB, x.volumeStatus(v))
				}
				if k := x.kinds(b.ID); !slices.Equal(k, []string{service.JobBackupCapture}) {
					t.Errorf("jobs %v", k)
				}
			case status == backup.InUse:
				wantReason(t, err, backup.Conflict, backup.VolumeInUse)
			default:
				wantReason(t, err, backup.Conflict, backup.VolumeNotReady)
			}
			if err != nil && x.volumeStatus(v) != status {
				t.Errorf("a refused request made the volume %s", x.volumeStatus(v))
			}
		}
	}
}

func TestBackupOfSnapshot(t *testing.T) {
	x := newSite(t, "", options{})
	v := x.volume(backup.InUse, 1)
	for _, status := range []backup.Status{backup.Creating, backup.BackingUp, backup.Deleting, backup.Errored, backup.ErrorDeleting} {
		_, err := x.s.CreateBackup(x.ctx(), member, service.NewBackup{VolumeID: v, SnapshotID: x.snapshot(v, status)})
		wantReason(t, err, backup.Conflict, backup.SnapshotNotReady)
	}
	s := x.snapshot(v, backup.Available)
	_, err := x.s.CreateBackup(x.ctx(), member, service.NewBackup{VolumeID: x.volume(backup.Available, 1), SnapshotID: s})
	wantReason(t, err, backup.Invalid, backup.SnapshotOfOther)
	taken, err := x.s.Snapshot(x.ctx(), member, s)
	must(t, err)
	b, err := x.s.CreateBackup(x.ctx(), member, service.NewBackup{VolumeID: v, SnapshotID: s})
	must(t, err)
	if !b.DataTimestamp.Equal(taken.CreatedAt) {
		t.Errorf("the backup holds %v, the snapshot is of %v", b.DataTimestamp, taken.CreatedAt)
	}
	if x.volumeStatus(v) != backup.InUse {
		t.Errorf("the volume is %s", x.volumeStatus(v))
	}
	if taken, _ = x.s.Snapshot(x.ctx(), member, s); taken.Status != backup.BackingUp {
		t.Errorf("the snapshot is %s", taken.Status)
	}
}

func TestParent(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		v := x.volume(backup.Available, 1)
		want := func(n service.NewBackup, c backup.Caller, parent string) {
			t.Helper()
			n.VolumeID, n.Incremental = v, true
			b, err := x.s.CreateBackup(x.ctx(), c, n)
			must(t, x.s.ResetVolume(x.ctx(), admin, v, backup.Available))
			if parent == "" {
				wantReason(t, err, backup.Invalid, backup.NoParent)
				return
			}
			must(t, err)
			if b.ParentID != parent || !b.Incremental {
				t.Errorf("parent %s, want %s", b.ParentID, parent)
			}
		}
		want(service.NewBackup{}, member, "")
		for _, status := range backupStates {
			if status != backup.Available {
				x.backup(v, status, nil)
			}
		}
		x.backup(x.volume(backup.Available, 1), backup.Available, nil) // of another volume
		want(service.NewBackup{}, member, "")

		old := x.backup(v, backup.Available, nil)
		snap := x.snapshot(v, backup.Available)
		young := x.backup(v, backup.Available, nil)
		x.backup(v, backup.Available, func(b *backup.Backup) { b.ProjectID = "p2" })
		x.backup(v, backup.Available, func(b *backup.Backup) { b.DataTimestamp = start.Add(-time.Hour) }) // newer, of an older instant
		want(service.NewBackup{}, member, young)
		want(service.NewBackup{SnapshotID: snap}, member, old)
		want(service.NewBackup{}, admin, "") // a chain of its own
	})
}

func TestDeleteBackupInEachState(t *testing.T) {
	x := newSite(t, "", options{})
	for _, status := range backupStates {
		id := x.backup("v", status, nil)
		err := x.s.DeleteBackup(x.ctx(), member, id, false)
		if status == backup.Available || status == backup.Errored || status == backup.ErrorDeleting {
			must(t, err)
			if s := x.backupStatus(id); s != backup.Deleting {
				t.Errorf("the backup is %s", s)
			}
			if k := x.kinds(id); !slices.Equal(k, []string{service.JobBackupDelete}) {
				t.Errorf("jobs %v", k)
			}
			continue
		}
		wantReason(t, err, backup.Conflict, backup.BackupNotDeletable)
		must(t, x.s.DeleteBackup(x.ctx(), admin, id, true))
		if s := x.backupStatus(id); s != backup.Deleting {
			t.Errorf("%s, force-deleted: %s", status, s)
		}
	}
}

func TestDependents(t *testing.T) {
	for _, strict := range []bool{false, true} {
		x := newSite(t, "", options{strict: strict})
		parent := x.backup("v", backup.Available, nil)
		child := x.backup("v", backup.Available, func(b *backup.Backup) { b.ParentID, b.Incremental = parent, true })
		for _, force := range []bool{false, true} {
			if err := x.s.DeleteBackup(x.ctx(), admin, parent, force); strict {
				wantReason(t, err, backup.Conflict, backup.BackupHasDependents)
			} else {
				must(t, err)
			}
		}
		must(t, x.s.DeleteBackup(x.ctx(), member, child, false))
	}
}

// While a backup is being continued it can't be deleted where that is refused,
// whichever request is first.
func TestDependentsRace(t *testing.T) {
	eachDB(t, options{strict: true}, func(t *testing.T, x *site) {
		for range 25 {
			v := x.volume(backup.Available, 1)
			parent := x.backup(v, backup.Available, nil)
			var made, deleted error
			together(
				func() {
					_, made = x.s.CreateBackup(x.ctx(), member, service.NewBackup{VolumeID: v, Incremental: true})
				},
				func() { deleted = x.s.DeleteBackup(x.ctx(), member, parent, false) },
			)
			if (made == nil) == (deleted == nil) {
				t.Fatalf("continued: %v; deleted: %v", made, deleted)
			}
		}
	})
}

func TestRestoreRules(t *testing.T) {
	x := newSite(t, "", options{})
	small, large := x.volume(backup.Available, 1), x.volume(backup.Available, 5)
	two := func(b *backup.Backup) { b.SizeGiB = 2 }
	for _, status := range backupStates {
		if status != backup.Available {
			_, err := x.s.RestoreBackup(x.ctx(), member, x.backup("v", status, two), service.RestoreRequest{})
			wantReason(t, err, backup.Conflict, backup.BackupNotRestorable)
		}
	}
	id := x.backup("v", backup.Available, two)
	for _, status := range volumeStates {
		if status != backup.Available {
			_, err := x.s.RestoreBackup(x.ctx(), member, id, service.RestoreRequest{VolumeID: x.volume(status, 5)})
			wantReason(t, err, backup.Conflict, backup.RestoreTargetNotReady)
		}
	}
	_, err := x.s.RestoreBackup(x.ctx(), member, id, service.RestoreRequest{VolumeID: small})
	wantReason(t, err, backup.Invalid, backup.RestoreTargetTooSmall)
	if x.backupStatus(id) != backup.Available || x.volumeStatus(small) != backup.Available {
		t.Error("a refused restore changed something")
	}
	r, err := x.s.RestoreBackup(x.ctx(), member, id, service.RestoreRequest{VolumeID: large})
	must(t, err)
	if r.VolumeID != large || r.VolumeName != "vol" || x.volumeStatus(large) != backup.RestoringBackup || x.backupStatus(id) != backup.Restoring {
		t.Errorf("%+v, volume %s, backup %s", r, x.volumeStatus(large), x.backupStatus(id))
	}
	_, err = x.s.RestoreBackup(x.ctx(), member, id, service.RestoreRequest{})
	wantReason(t, err, backup.Conflict, backup.BackupNotRestorable)

	id = x.backup("v", backup.Available, two)
	r, err = x.s.RestoreBackup(x.ctx(), member, id, service.RestoreRequest{})
	must(t, err)
	v, err := x.s.Volume(x.ctx(), member, r.VolumeID)
	must(t, err)
	if v.Name != "restore_backup_"+id || v.Description != "auto-created_from_restore_from_backup" || v.SizeGiB != 2 ||
		v.Status != backup.RestoringBackup || v.Type != "local" || v.Zone != "nova" {
		t.Errorf("new volume %+v", v)
	}
	r, err = x.s.RestoreBackup(x.ctx(), member, x.backup("v", backup.Available, nil), service.RestoreRequest{Name: "mine"})
	must(t, err)
	if r.VolumeName != "mine" {
		t.Errorf("the new volume is called %q", r.VolumeName)
	}
}

// What the end of a restore gives the target.
func TestRestoredAttributes(t *testing.T) {
	x := newSite(t, "", options{})
	src := x.volume(backup.Available, 1)
	for n, c := range map[string]struct {
		target, name string
		want         backup.Volume
	}{
		"new":           {"", "", backup.Volume{Name: "disk", Description: "of old", Metadata: map[string]string{"m": "1"}}},
		"new with name": {"", "mine", backup.Volume{Name: "mine", Description: "auto-created_from_restore_from_backup", Metadata: map[string]string{"m": "1"}}},
		"other":         {x.volume(backup.Available, 1), "", backup.Volume{Name: "vol", Description: "text", Metadata: map[string]string{"m": "1"}}},
		"source":        {src, "", backup.Volume{Name: "vol", Description: "text", Metadata: map[string]string{"m": "1"}}},
	} {
		id := x.backup(src, backup.Available, func(b *backup.Backup) {
			b.VolumeName, b.VolumeDesc, b.VolumeBootable = "disk", "of old", true
			b.VolumeMetadata = map[string]string{"m": "1"}
		})
		r, err := x.s.RestoreBackup(x.ctx(), member, id, service.RestoreRequest{VolumeID: c.target, Name: c.name})
		must(t, err)
		x.update(func(ctx context.Context, tx *catalog.Tx) error {
			return x.s.Restored(ctx, tx, service.RestoreWork{BackupID: id, VolumeID: r.VolumeID, New: c.target == ""})
		})
		v, err := x.s.Volume(x.ctx(), member, r.VolumeID)
		must(t, err)
		if c.target != src {
			c.want.Metadata["src_backup_id"] = id
		}
		if v.Name != c.want.Name || v.Description != c.want.Description || !v.Bootable ||
			fmt.Sprint(v.Metadata) != fmt.Sprint(c.want.Metadata) || v.Status != backup.Available {
			t.Errorf("%s: %+v", n, v)
		}
		if s := x.backupStatus(id); s != backup.Available {
			t.Errorf("%s: the backup is %s", n, s)
		}
	}
}

func TestResetBackup(t *testing.T) {
	x := newSite(t, "", options{})
	for _, status := range []backup.Status{backup.Creating, backup.Deleting, "foo"} {
		wantReason(t, x.s.ResetBackup(x.ctx(), admin, x.backup("v", backup.Available, nil), status), backup.Invalid, backup.BackupStatusInvalid)
	}
	for _, status := range backupStates {
		id := x.backup("v", status, nil)
		must(t, x.s.ResetBackup(x.ctx(), admin, id, backup.Errored))
		if s := x.backupStatus(id); s != backup.Errored {
			t.Errorf("%s, reset to error: %s", status, s)
		}
		err := x.s.ResetBackup(x.ctx(), admin, id, backup.Available)
		if status == backup.Available { // the one that has a record
			must(t, err)
			continue
		}
		wantReason(t, err, backup.Invalid, backup.BackupIncomplete)
	}
}

func TestDeleteVolumeRules(t *testing.T) {
	x := newSite(t, "", options{})
	ok := []backup.Status{backup.Available, backup.Errored, backup.ErrorRestoring, backup.ErrorExtending, backup.ErrorDeleting}
	for _, status := range volumeStates {
		id := x.volume(status, 1)
		if err := x.s.DeleteVolume(x.ctx(), member, id, service.Delete{}); slices.Contains(ok, status) {
			must(t, err)
		} else {
			wantReason(t, err, backup.Conflict, backup.VolumeBusy)
			must(t, x.s.DeleteVolume(x.ctx(), admin, id, service.Delete{Force: true}))
		}
		if s := x.volumeStatus(id); s != backup.Deleting {
			t.Errorf("the volume is %s", s)
		}
	}
	id := x.volume(backup.Available, 1)
	var snaps []string
	for range 3 {
		snaps = append(snaps, x.snapshot(id, backup.Available))
	}
	wantReason(t, x.s.DeleteVolume(x.ctx(), member, id, service.Delete{}), backup.Invalid, backup.VolumeHasSnapshots)
	wantReason(t, x.s.DeleteVolume(x.ctx(), admin, id, service.Delete{Force: true}), backup.Invalid, backup.VolumeHasSnapshots)
	must(t, x.s.DeleteVolume(x.ctx(), member, id, service.Delete{Cascade: true}))
	for _, s := range snaps {
		if k := x.kinds(s); !slices.Equal(k, []string{service.JobSnapshotDelete}) {
			t.Errorf("jobs %v", k)
		}
	}

	busy := x.volume(backup.Available, 1)
	x.snapshot(busy, backup.Available)
	x.snapshot(busy, backup.BackingUp)
	wantReason(t, x.s.DeleteVolume(x.ctx(), member, busy, service.Delete{Cascade: true}), backup.Conflict, backup.SnapshotBusy)
	if s := x.volumeStatus(busy); s != backup.Available {
		t.Errorf("a refused deletion made the volume %s", s)
	}
}

// A deletion that is forced twice is still one.
func TestForceDeleteTwice(t *testing.T) {
	x := newSite(t, "", options{})
	id := x.volume(backup.Available, 1)
	must(t, x.s.DeleteVolume(x.ctx(), member, id, service.Delete{}))
	must(t, x.s.DeleteVolume(x.ctx(), admin, id, service.Delete{Force: true}))
	x.update(func(ctx context.Context, tx *catalog.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM jobs WHERE subject = $1 AND canceled = 1", id).Scan(&n)
		if n != 0 {
			t.Errorf("%d deletions were cancelled", n)
		}
		return err
	})
}

func TestVolumeSources(t *testing.T) {
	x := newSite(t, "", options{})
	v := x.volume(backup.Available, 3)
	for _, status := range volumeStates {
		if status != backup.Available && status != backup.InUse {
			_, err := x.s.CreateVolume(x.ctx(), member, service.NewVolume{SourceVolumeID: x.volume(status, 1)})
			wantReason(t, err, backup.Conflict, backup.VolumeBusy)
		}
	}
	_, err := x.s.CreateVolume(x.ctx(), member, service.NewVolume{SourceVolumeID: v, SizeGiB: 2})
	wantReason(t, err, backup.Invalid, backup.SizeTooSmall)
	got, err := x.s.CreateVolume(x.ctx(), member, service.NewVolume{SourceVolumeID: v})
	must(t, err)
	if got.SizeGiB != 3 {
		t.Errorf("%d GiB", got.SizeGiB)
	}
	_, err = x.s.CreateVolume(x.ctx(), member, service.NewVolume{SnapshotID: x.snapshot(v, backup.Creating)})
	wantReason(t, err, backup.Invalid, backup.SnapshotNotReady)
	_, err = x.s.CreateVolume(x.ctx(), member, service.NewVolume{BackupID: x.backup(v, backup.Restoring, nil)})
	wantReason(t, err, backup.Conflict, backup.BackupNotRestorable)
	_, err = x.s.CreateVolume(x.ctx(), member, service.NewVolume{ImageID: "i", SizeGiB: 1})
	wantReason(t, err, backup.Invalid, backup.ImageSourceUnsupported)
	_, err = x.s.CreateVolume(x.ctx(), member, service.NewVolume{Type: "gold", SizeGiB: 1})
	wantReason(t, err, backup.NotFound, backup.TypeNotFound)
	for _, size := range []int64{0, -1, 1 << 50, 1<<63 - 1} {
		_, err = x.s.CreateVolume(x.ctx(), member, service.NewVolume{SizeGiB: size})
		wantReason(t, err, backup.Invalid, "")
	}
	for _, size := range []int64{1 << 50, 1<<63 - 1} {
		wantReason(t, x.s.ExtendVolume(x.ctx(), member, v, size), backup.Invalid, "")
	}
	wantReason(t, x.s.ExtendVolume(x.ctx(), member, v, 3), backup.Invalid, backup.SizeNotGrowing)
}

func TestSnapshotRules(t *testing.T) {
	x := newSite(t, "", options{})
	for _, force := range []bool{false, true} {
		for _, status := range volumeStates {
			_, err := x.s.CreateSnapshot(x.ctx(), member, service.NewSnapshot{VolumeID: x.volume(status, 1), Force: force})
			switch {
			case status == backup.Available, status == backup.InUse && force:
				must(t, err)
			case status == backup.InUse:
				wantReason(t, err, backup.Conflict, backup.SnapshotOfInUse)
			default:
				wantReason(t, err, backup.Conflict, backup.VolumeBusy)
			}
		}
	}
	v := x.volume(backup.Available, 1)
	for _, status := range []backup.Status{backup.Creating, backup.BackingUp, backup.Deleting} {
		id := x.snapshot(v, status)
		wantReason(t, x.s.DeleteSnapshot(x.ctx(), member, id, false), backup.Conflict, backup.SnapshotBusy)
		must(t, x.s.DeleteSnapshot(x.ctx(), admin, id, true))
	}
}
