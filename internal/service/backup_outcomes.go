package service

import (
	"context"
	"strings"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// BackupCaptured gives the source volume back, now that its instant is
// fixed, and starts the reading, unless the backup was given up meanwhile.
func (s *Service) BackupCaptured(ctx context.Context, tx *catalog.Tx, job jobs.Job, w BackupWork) error {
	if err := s.returnVolume(ctx, tx, w.VolumeID); err != nil {
		return err
	}
	b, err := tx.Backup(ctx, w.BackupID)
	if backup.KindOf(err) == backup.NotFound || err == nil && b.Status != backup.Creating {
		return s.tidy(ctx, tx, job.ProjectID, w)
	}
	if err != nil {
		return err
	}
	return s.enqueue(ctx, tx, backup.Caller{RequestID: job.RequestID}, jobs.New{
		Kind: JobBackupStore, ProjectID: job.ProjectID, Lane: vaultLane(w.VolumeID), Subject: w.BackupID, Payload: w,
	})
}

// BackupNotCaptured marks a backup whose source's instant could not be fixed,
// for a reason that a person understands, and gives the volume back.
func (s *Service) BackupNotCaptured(ctx context.Context, tx *catalog.Tx, job jobs.Job, w BackupWork, reason string) error {
	if err := s.returnVolume(ctx, tx, w.VolumeID); err != nil {
		return err
	}
	return s.BackupFailed(ctx, tx, job, w, reason)
}

// BackupStored makes a backup available. Its record and all that the record
// names are durable.
func (s *Service) BackupStored(ctx context.Context, tx *catalog.Tx, job jobs.Job, w BackupWork, b backup.Backup, rec catalog.Record) error {
	ok, err := tx.MoveBackup(ctx, b.ID, []backup.Status{backup.Creating}, backup.Available)
	if err != nil {
		return err
	}
	if !ok {
		return backup.Errorf(backup.Canceled, "backup %s was given up meanwhile", b.ID)
	}
	now, err := tx.Backup(ctx, b.ID) // its name may have changed while it was read
	if err != nil {
		return err
	}
	now.Stats, now.ObjectCount, now.Bytes = b.Stats, b.ObjectCount, b.Bytes
	now.SizeGiB = max(now.SizeGiB, (b.Bytes+backup.GiB-1)/backup.GiB) // a new volume of this size must hold it
	now.UpdatedAt = s.cfg.Clock.Now()
	if err := tx.UpdateBackup(ctx, now); err != nil {
		return err
	}
	if err := tx.SetBackupRecord(ctx, b.ID, rec); err != nil {
		return err
	}
	return s.sourceRead(ctx, tx, job, w)
}

// BackupFailed marks a backup that could not be made, for a reason that a
// person understands.
func (s *Service) BackupFailed(ctx context.Context, tx *catalog.Tx, job jobs.Job, w BackupWork, reason string) error {
	b, err := tx.AnyBackup(ctx, w.BackupID)
	if err == nil && b.Status == backup.Creating {
		err = tx.SetBackupStatus(ctx, w.BackupID, backup.Errored, reason)
	}
	if err != nil && backup.KindOf(err) != backup.NotFound { // it may be deleted already
		return err
	}
	return s.sourceRead(ctx, tx, job, w)
}

// returnVolume puts a volume whose instant was to be captured back into the
// status that it had.
func (s *Service) returnVolume(ctx context.Context, tx *catalog.Tx, id string) error {
	v, err := tx.Volume(ctx, id)
	if backup.KindOf(err) == backup.NotFound {
		return nil
	}
	if err != nil || v.Status != backup.BackingUp {
		return err
	}
	_, err = tx.MoveVolume(ctx, id, []backup.Status{backup.BackingUp}, v.PreviousStatus)
	return err
}

// sourceRead gives back what a backup was read from, now that this has ended
// well or badly.
func (s *Service) sourceRead(ctx context.Context, tx *catalog.Tx, job jobs.Job, w BackupWork) error {
	if w.SnapshotID == "" {
		return s.tidy(ctx, tx, job.ProjectID, w)
	}
	_, err := tx.MoveSnapshot(ctx, w.SnapshotID, []backup.Status{backup.BackingUp}, backup.Available)
	return err
}

// tidy has the captured instants of a volume removed that nothing needs any
// more.
func (s *Service) tidy(ctx context.Context, tx *catalog.Tx, project string, w BackupWork) error {
	if !w.captures() {
		return nil
	}
	return s.enqueue(ctx, tx, backup.Caller{}, jobs.New{
		Kind: JobVolumeTidy, ProjectID: project, Lane: volumeLane(w.VolumeID), Subject: w.VolumeID,
		Payload: VolumeWork{VolumeID: w.VolumeID},
	})
}

// HideBackup makes a backup that is being deleted vanish from the faces, and
// reports whether its data may go now. While something still reads it, the
// data stays; BackupReleased starts the removal later. One whose status was set by
// hand meanwhile is left alone, with an error of kind Canceled.
func (s *Service) HideBackup(ctx context.Context, tx *catalog.Tx, id string) (bool, error) {
	b, err := tx.AnyBackup(ctx, id)
	if backup.KindOf(err) == backup.NotFound { // removed already
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if b.Status != backup.Deleting && b.Status != backup.Deleted {
		return false, backup.Errorf(backup.Canceled, "backup %s is %s", id, b.Status)
	}
	if err := tx.SetBackupStatus(ctx, id, backup.Deleted, ""); err != nil {
		return false, err
	}
	pinned, err := tx.Pinned(ctx, id)
	return !pinned, err
}

// BackupReleased is to be called after a pin of a backup has ended. It starts
// the removal of one that was deleted while it was pinned.
func (s *Service) BackupReleased(ctx context.Context, tx *catalog.Tx, id string) error {
	b, err := tx.AnyBackup(ctx, id)
	if backup.KindOf(err) == backup.NotFound {
		return nil
	}
	if err != nil || b.Status != backup.Deleted {
		return err
	}
	pinned, err := tx.Pinned(ctx, id)
	if err != nil || pinned {
		return err
	}
	return s.enqueue(ctx, tx, backup.Caller{}, jobs.New{
		Kind: JobBackupDelete, ProjectID: b.ProjectID, Lane: deleteLane(id), Subject: id, Payload: BackupWork{BackupID: id},
	})
}

// BackupDeleted forgets a backup whose record is gone, and has what it alone
// needed collected.
func (s *Service) BackupDeleted(ctx context.Context, tx *catalog.Tx, project, id string) error {
	rec, err := tx.BackupRecord(ctx, id)
	if backup.KindOf(err) == backup.NotFound {
		return nil
	}
	if err == nil {
		err = tx.PurgeBackup(ctx, id)
	}
	if err != nil || rec.Object == "" { // it was never whole: the end of its session has seen to that
		return err
	}
	return s.CollectSoon(ctx, tx, project, rec.Vault)
}

// BackupNotDeleted shows a backup again whose record could not be removed.
func (s *Service) BackupNotDeleted(ctx context.Context, tx *catalog.Tx, id, reason string) error {
	b, err := tx.AnyBackup(ctx, id)
	if backup.KindOf(err) == backup.NotFound {
		return nil
	}
	if err != nil || b.Status != backup.Deleting && b.Status != backup.Deleted {
		return err
	}
	return tx.SetBackupStatus(ctx, id, backup.ErrorDeleting, reason)
}

// Restored makes the target of a finished restore available, with what the
// backup knows of its volume, as Cinder does
// (cinder/backup/manager.py, restore_backup).
func (s *Service) Restored(ctx context.Context, tx *catalog.Tx, w RestoreWork) error {
	v, missing := tx.Volume(ctx, w.VolumeID)
	if missing != nil && backup.KindOf(missing) != backup.NotFound {
		return missing
	}
	b, err := s.endRestore(ctx, tx, w)
	if err != nil || missing != nil {
		return err
	}
	v.Metadata = merge(nil, b.VolumeMetadata, true)
	if v.ID != b.VolumeID {
		v.Metadata["src_backup_id"] = b.ID
	}
	v.Bootable = b.VolumeBootable
	if v.BackupID == "" && (v.Name == "" || strings.HasPrefix(v.Name, restoredNamePrefix)) && b.VolumeName != "" {
		v.Name, v.Description = b.VolumeName, b.VolumeDesc
	}
	v.UpdatedAt = s.cfg.Clock.Now()
	if err := tx.UpdateVolume(ctx, v); err != nil {
		return err
	}
	_, err = tx.MoveVolume(ctx, v.ID, []backup.Status{backup.RestoringBackup, backup.Creating}, backup.Available)
	return err
}

// RestoreFailed marks the target of a failed restore: its content is part of
// the backup's at most.
func (s *Service) RestoreFailed(ctx context.Context, tx *catalog.Tx, w RestoreWork) error {
	from, to := []backup.Status{backup.RestoringBackup}, backup.ErrorRestoring
	if w.New {
		from, to = []backup.Status{backup.RestoringBackup, backup.Creating}, backup.Errored
	}
	if _, err := tx.MoveVolume(ctx, w.VolumeID, from, to); err != nil {
		return err
	}
	_, err := s.endRestore(ctx, tx, w)
	return err
}

// endRestore puts a restored backup back into available. One that was deleted
// or reset meanwhile, and perhaps is restored elsewhere since, is left alone.
func (s *Service) endRestore(ctx context.Context, tx *catalog.Tx, w RestoreWork) (backup.Backup, error) {
	b, err := tx.AnyBackup(ctx, w.BackupID)
	if backup.KindOf(err) == backup.NotFound {
		return backup.Backup{ID: w.BackupID}, nil
	}
	if err != nil || b.Status != backup.Restoring || b.RestoreVolumeID != w.VolumeID {
		return b, err
	}
	_, err = tx.MoveBackup(ctx, b.ID, []backup.Status{backup.Restoring}, backup.Available)
	return b, err
}
