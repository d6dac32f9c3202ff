package service

import (
	"context"
	"strings"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// BackupCaptured gives the source volume back, now that its instant is
// fixed, and starts the reading. It reports false where the backup was given
// up meanwhile: then nobody will read what was captured.
func (s *Service) BackupCaptured(ctx context.Context, tx *catalog.Tx, job jobs.Job, b backup.Backup) (bool, error) {
	if err := s.returnSource(ctx, tx, b); err != nil {
		return false, err
	}
	now, err := tx.Backup(ctx, b.ID)
	if backup.KindOf(err) == backup.NotFound {
		return false, nil
	}
	if err != nil || now.Status != backup.Creating {
		return false, err
	}
	return true, s.enqueue(ctx, tx, backup.Caller{RequestID: job.RequestID}, jobs.New{
		Kind: JobBackupStore, ProjectID: b.ProjectID, Lane: vaultLane(b.VolumeID), Subject: b.ID,
		Payload: BackupWork{BackupID: b.ID},
	})
}

// BackupStored makes a backup available. Its record and all that the record
// names are durable.
func (s *Service) BackupStored(ctx context.Context, tx *catalog.Tx, b backup.Backup, rec catalog.Record) error {
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
	now.UpdatedAt = s.cfg.Clock.Now()
	if err := tx.UpdateBackup(ctx, now); err != nil {
		return err
	}
	if err := tx.SetBackupRecord(ctx, b.ID, rec); err != nil {
		return err
	}
	return s.returnSource(ctx, tx, b)
}

// BackupFailed marks a backup that could not be made, for a reason that a
// person understands, and gives its source back.
func (s *Service) BackupFailed(ctx context.Context, tx *catalog.Tx, id, reason string) error {
	b, err := tx.AnyBackup(ctx, id)
	if err != nil {
		return err
	}
	if b.Status == backup.Creating {
		if err := tx.SetBackupStatus(ctx, id, backup.Errored, reason); err != nil {
			return err
		}
	}
	return s.returnSource(ctx, tx, b)
}

// returnSource puts the volume or snapshot that a backup reads back into the
// status that it had.
func (s *Service) returnSource(ctx context.Context, tx *catalog.Tx, b backup.Backup) error {
	if b.SnapshotID != "" {
		_, err := tx.MoveSnapshot(ctx, b.SnapshotID, []backup.Status{backup.BackingUp}, backup.Available)
		return err
	}
	v, err := tx.Volume(ctx, b.VolumeID)
	if backup.KindOf(err) == backup.NotFound { // deleted meanwhile, or never of this inventory
		return nil
	}
	if err != nil || v.Status != backup.BackingUp {
		return err
	}
	_, err = tx.MoveVolume(ctx, v.ID, []backup.Status{backup.BackingUp}, v.PreviousStatus)
	return err
}

// HideBackup makes a backup that is being deleted vanish from the faces, and
// reports whether its data may go now. While something still reads it, the
// data stays; BackupReleased starts the removal later.
func (s *Service) HideBackup(ctx context.Context, tx *catalog.Tx, id string) (bool, error) {
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

// BackupDeleted forgets a backup whose record is gone.
func (s *Service) BackupDeleted(ctx context.Context, tx *catalog.Tx, id string) error {
	return tx.PurgeBackup(ctx, id)
}

// BackupNotDeleted shows a backup again whose record could not be removed.
func (s *Service) BackupNotDeleted(ctx context.Context, tx *catalog.Tx, id, reason string) error {
	return tx.SetBackupStatus(ctx, id, backup.ErrorDeleting, reason)
}

// Restored makes the target of a finished restore available, with what the
// backup knows of its volume, as Cinder does
// (cinder/backup/manager.py, restore_backup).
func (s *Service) Restored(ctx context.Context, tx *catalog.Tx, w RestoreWork) error {
	b, err := s.endRestore(ctx, tx, w)
	if err != nil {
		return err
	}
	v, err := tx.Volume(ctx, w.VolumeID)
	if backup.KindOf(err) == backup.NotFound {
		return nil
	}
	if err != nil {
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
	if _, err := s.endRestore(ctx, tx, w); err != nil {
		return err
	}
	status := backup.ErrorRestoring
	if w.New {
		status = backup.Errored
	}
	_, err := tx.MoveVolume(ctx, w.VolumeID, []backup.Status{backup.RestoringBackup, backup.Creating}, status)
	return err
}

// endRestore puts a restored backup back into available.
func (s *Service) endRestore(ctx context.Context, tx *catalog.Tx, w RestoreWork) (backup.Backup, error) {
	b, err := tx.AnyBackup(ctx, w.BackupID)
	if err != nil || b.Status != backup.Restoring {
		return b, err
	}
	_, err = tx.MoveBackup(ctx, b.ID, []backup.Status{backup.Restoring}, backup.Available)
	return b, err
}
