package worker

import (
	"context"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/volume"
)

func (w *Worker) createVolume(ctx context.Context, r *jobs.Run, p service.VolumeWork) error {
	var err error
	var c volume.Copy
	switch {
	case p.SnapshotID != "":
		err = w.Volumes.CloneFromSnapshot(ctx, p.SnapshotID, p.VolumeID, p.Bytes)
	case p.SourceVolumeID != "":
		c, err = w.Volumes.CloneFromVolume(ctx, p.SourceVolumeID, p.VolumeID, p.Bytes)
		w.warnWritten(ctx, c, p.SourceVolumeID)
	default:
		err = w.Volumes.Create(ctx, p.VolumeID, p.Bytes)
	}
	if err != nil {
		return err
	}
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return w.Service.VolumeCreated(ctx, tx, r.Job, p.VolumeID) })
}

func (w *Worker) volumeFailed(ctx context.Context, tx *catalog.Tx, job jobs.Job, p service.VolumeWork, _ error) error {
	return w.Service.VolumeFailed(ctx, tx, job, p.VolumeID)
}

// deleteVolume removes a volume and its retained base. An instant that an
// unfinished backup still reads stays until that one ends.
func (w *Worker) deleteVolume(ctx context.Context, r *jobs.Run, p service.VolumeWork) error {
	err := w.DB.View(ctx, func(tx *catalog.Tx) error { return w.Service.VolumeUnwanted(ctx, tx, p.VolumeID) })
	if err != nil {
		return err
	}
	if err := w.Volumes.Delete(ctx, p.VolumeID); err != nil {
		return err
	}
	if err := w.dropBases(ctx, p.VolumeID); err != nil {
		return err
	}
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return w.Service.VolumeDeleted(ctx, tx, p.VolumeID) })
}

func (w *Worker) volumeNotDeleted(ctx context.Context, tx *catalog.Tx, _ jobs.Job, p service.VolumeWork, _ error) error {
	return w.Service.VolumeNotDeleted(ctx, tx, p.VolumeID)
}

func (w *Worker) extendVolume(ctx context.Context, r *jobs.Run, p service.VolumeWork) error {
	if err := w.Volumes.Grow(ctx, p.VolumeID, p.Bytes); err != nil {
		return err
	}
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return w.Service.VolumeExtended(ctx, tx, p.VolumeID) })
}

func (w *Worker) volumeNotExtended(ctx context.Context, tx *catalog.Tx, _ jobs.Job, p service.VolumeWork, _ error) error {
	return w.Service.VolumeNotExtended(ctx, tx, p)
}

func (w *Worker) createSnapshot(ctx context.Context, r *jobs.Run, p service.SnapshotWork) error {
	c, err := w.Volumes.Snapshot(ctx, p.VolumeID, p.SnapshotID)
	if err != nil {
		return err
	}
	w.warnWritten(ctx, c, p.VolumeID)
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return w.Service.SnapshotCreated(ctx, tx, p.SnapshotID) })
}

func (w *Worker) snapshotFailed(ctx context.Context, tx *catalog.Tx, _ jobs.Job, p service.SnapshotWork, _ error) error {
	return w.Service.SnapshotFailed(ctx, tx, p.SnapshotID)
}

func (w *Worker) deleteSnapshot(ctx context.Context, r *jobs.Run, p service.SnapshotWork) error {
	if err := w.Volumes.DeleteSnapshot(ctx, p.SnapshotID); err != nil {
		return err
	}
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return w.Service.SnapshotDeleted(ctx, tx, p.SnapshotID) })
}

func (w *Worker) snapshotNotDeleted(ctx context.Context, tx *catalog.Tx, _ jobs.Job, p service.SnapshotWork, _ error) error {
	return w.Service.SnapshotNotDeleted(ctx, tx, p.SnapshotID)
}

// capture fixes the instant that a backup holds, and frees the volume.
func (w *Worker) capture(ctx context.Context, r *jobs.Run, p service.BackupWork) error {
	b, err := w.backup(ctx, p.BackupID)
	if err == nil && b.Status != backup.Creating {
		err = backup.Errorf(backup.Canceled, "backup %s is %s", b.ID, b.Status)
	}
	if err != nil {
		return err
	}
	_, c, err := w.Volumes.TakeBase(ctx, p.VolumeID, p.BackupID)
	if err != nil {
		return err
	}
	w.warnWritten(ctx, c, p.VolumeID)
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return w.Service.BackupCaptured(ctx, tx, r.Job, p) })
}

func (w *Worker) captureFailed(ctx context.Context, tx *catalog.Tx, job jobs.Job, p service.BackupWork, cause error) error {
	return w.Service.BackupNotCaptured(ctx, tx, job, p, reason(cause))
}

// tidyVolume removes a volume's captured instants that nothing needs any more.
func (w *Worker) tidyVolume(ctx context.Context, r *jobs.Run, p service.VolumeWork) error {
	if err := w.dropBases(ctx, p.VolumeID); err != nil {
		return err
	}
	return w.finish(ctx, r, func(*catalog.Tx) error { return nil })
}

// volumeNotTidied has nothing to put right: the next time does.
func (w *Worker) volumeNotTidied(context.Context, *catalog.Tx, jobs.Job, service.VolumeWork, error) error {
	return nil
}

// warnWritten says that a copy mixes two moments, because the volume was
// written while it was copied.
func (w *Worker) warnWritten(ctx context.Context, c volume.Copy, id string) {
	if c.Written {
		w.Log.WarnContext(ctx, "the volume was written while it was copied: the copy is not one instant; "+
			"put the volumes on XFS or btrfs, or pause the writer", "volume_id", id)
	}
}

// backup reads a backup's row, deleted ones too.
func (w *Worker) backup(ctx context.Context, id string) (backup.Backup, error) {
	var b backup.Backup
	err := w.DB.View(ctx, func(tx *catalog.Tx) (err error) {
		b, err = tx.AnyBackup(ctx, id)
		return err
	})
	return b, err
}
