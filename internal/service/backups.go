package service

import (
	"context"
	"slices"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// CreateBackup asks for a backup of a volume as it is now, or of one of its
// snapshots.
func (s *Service) CreateBackup(ctx context.Context, c backup.Caller, n NewBackup) (backup.Backup, error) {
	if err := authorise(c, ruleBackupCreate); err != nil {
		return backup.Backup{}, err
	}
	now := s.cfg.Clock.Now()
	b := backup.Backup{
		ID: s.cfg.NewID(), ProjectID: c.ProjectID, UserID: c.UserID,
		VolumeID: n.VolumeID, SnapshotID: n.SnapshotID, Incremental: n.Incremental,
		Name: n.Name, Description: n.Description, Container: n.Container,
		Status: backup.Creating, Zone: n.Zone, Metadata: n.Metadata,
		DataTimestamp: now, CreatedAt: now,
	}
	if b.Zone == "" {
		b.Zone = s.cfg.Zone
	}
	err := s.db.Update(ctx, func(tx *catalog.Tx) error {
		v, err := s.volume(ctx, tx, c, n.VolumeID)
		if err != nil {
			return err
		}
		b.VolumeName, b.VolumeDesc, b.VolumeMetadata, b.VolumeBootable = v.Name, v.Description, v.Metadata, v.Bootable
		b.SizeGiB, b.Bytes = v.SizeGiB, v.SizeGiB*backup.GiB
		job := jobs.New{
			ProjectID: b.ProjectID, Subject: b.ID,
			Payload: BackupWork{BackupID: b.ID, VolumeID: v.ID, SnapshotID: n.SnapshotID},
		}
		if n.SnapshotID != "" {
			job.Kind, job.Lane = JobBackupStore, vaultLane(v.ID)
			err = s.sourceSnapshot(ctx, tx, c, v, &b)
		} else {
			job.Kind, job.Lane = JobBackupCapture, volumeLane(v.ID)
			err = s.sourceVolume(ctx, tx, v, n.Force)
		}
		if err != nil {
			return err
		}
		if err := s.continueParent(ctx, tx, &b); err != nil {
			return err
		}
		if err := s.reserve(ctx, tx, b.ProjectID, demand{backups: 1, backupGigabytes: b.SizeGiB}); err != nil {
			return err
		}
		if err := tx.InsertBackup(ctx, b); err != nil {
			return err
		}
		return s.enqueue(ctx, tx, c, job)
	})
	return b, err
}

// sourceVolume takes a volume for the moment that fixing its instant needs.
func (s *Service) sourceVolume(ctx context.Context, tx *catalog.Tx, v backup.Volume, force bool) error {
	if v.Status != backup.Available && v.Status != backup.InUse {
		return conflict(backup.VolumeNotReady, "volume "+v.ID+" is "+string(v.Status),
			map[string]string{"id": v.ID, "status": string(v.Status)})
	}
	if v.Status == backup.InUse && !force {
		return conflict(backup.VolumeInUse, "volume "+v.ID+" is in use", map[string]string{"id": v.ID})
	}
	v.PreviousStatus = v.Status
	if err := tx.UpdateVolume(ctx, v); err != nil {
		return err
	}
	return moved(tx.MoveVolume(ctx, v.ID, []backup.Status{v.Status}, backup.BackingUp))
}

// sourceSnapshot takes a snapshot until it has been read.
func (s *Service) sourceSnapshot(ctx context.Context, tx *catalog.Tx, c backup.Caller, v backup.Volume, b *backup.Backup) error {
	snap, err := s.snapshot(ctx, tx, c, b.SnapshotID)
	if err != nil {
		return err
	}
	if snap.VolumeID != v.ID {
		return invalid(backup.SnapshotOfOther, "snapshot "+snap.ID+" is not one of volume "+v.ID,
			map[string]string{"volume_id": v.ID, "snapshot_volume_id": snap.VolumeID})
	}
	if snap.Status != backup.Available {
		return conflict(backup.SnapshotNotReady, "snapshot "+snap.ID+" is "+string(snap.Status),
			map[string]string{"id": snap.ID, "status": string(snap.Status)})
	}
	b.DataTimestamp = snap.CreatedAt
	b.SizeGiB, b.Bytes = snap.SizeGiB, snap.SizeGiB*backup.GiB
	return moved(tx.MoveSnapshot(ctx, snap.ID, []backup.Status{backup.Available}, backup.BackingUp))
}

// continueParent names the backup that an incremental one continues: of the
// available ones of that volume in the same project, the newest that is
// older than the instant to be backed up.
func (s *Service) continueParent(ctx context.Context, tx *catalog.Tx, b *backup.Backup) error {
	if !b.Incremental {
		return nil
	}
	var before time.Time
	if b.SnapshotID != "" {
		before = b.DataTimestamp
	}
	for {
		parent, ok, err := tx.LatestBackup(ctx, b.ProjectID, b.VolumeID, before)
		if err != nil {
			return err
		}
		if !ok {
			return invalid(backup.NoParent, "there is no backup that an incremental one could continue", nil)
		}
		// Its lock decides between this request and one that deletes it.
		held, err := tx.Backup(ctx, parent.ID)
		if err == nil && held.Status == backup.Available {
			b.ParentID = parent.ID
			return nil
		}
		if err != nil && backup.KindOf(err) != backup.NotFound {
			return err
		}
	}
}

// moved makes a lost compare-and-set a conflict that the caller may retry.
func moved(ok bool, err error) error {
	if err == nil && !ok {
		return backup.Errorf(backup.Unavailable, "the resource's status changed meanwhile")
	}
	return err
}

func (s *Service) backup(ctx context.Context, tx *catalog.Tx, c backup.Caller, id string) (backup.Backup, error) {
	b, err := tx.Backup(ctx, id)
	if err != nil {
		return b, err
	}
	return b, ours(c, b.ProjectID, backup.BackupNotFound, id)
}

// Backup returns a backup.
func (s *Service) Backup(ctx context.Context, c backup.Caller, id string) (backup.Backup, error) {
	var b backup.Backup
	if err := authorise(c, ruleBackupGet); err != nil {
		return b, err
	}
	err := s.db.View(ctx, func(tx *catalog.Tx) (err error) {
		b, err = s.backup(ctx, tx, c, id)
		return err
	})
	return b, err
}

// Backups lists backups.
func (s *Service) Backups(ctx context.Context, c backup.Caller, l List) (Page[backup.Backup], error) {
	if err := authorise(c, ruleBackupList); err != nil {
		return Page[backup.Backup]{}, err
	}
	return list(ctx, s.db, query(c, l), l.Count, (*catalog.Tx).Backups, (*catalog.Tx).CountBackups)
}

// UpdateBackup renames or describes a backup.
func (s *Service) UpdateBackup(ctx context.Context, c backup.Caller, id string, u Update) (backup.Backup, error) {
	var b backup.Backup
	if err := authorise(c, ruleBackupUpdate); err != nil {
		return b, err
	}
	err := s.db.Update(ctx, func(tx *catalog.Tx) (err error) {
		if b, err = s.backup(ctx, tx, c, id); err != nil {
			return err
		}
		u.apply(&b.Name, &b.Description, &b.Metadata)
		b.UpdatedAt = s.cfg.Clock.Now()
		return tx.UpdateBackup(ctx, b)
	})
	return b, err
}

var deletableBackup = []backup.Status{backup.Available, backup.Errored, backup.ErrorDeleting}

// DeleteBackup deletes a backup; what other backups share with it stays.
// force does so in any status, stops what works on it, and is for admins
// only.
func (s *Service) DeleteBackup(ctx context.Context, c backup.Caller, id string, force bool) error {
	rule := ruleBackupDelete
	if force {
		rule = ruleBackupForceDel
	}
	if err := authorise(c, rule); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		if force {
			if err := cancelJobs(ctx, tx, id, JobBackupDelete); err != nil {
				return err
			}
		}
		b, err := s.backup(ctx, tx, c, id)
		if err != nil {
			return err
		}
		if !force && !slices.Contains(deletableBackup, b.Status) {
			return conflict(backup.BackupNotDeletable, "backup "+id+" is "+string(b.Status),
				map[string]string{"id": id, "status": string(b.Status)})
		}
		if err := s.refuseDependents(ctx, tx, id); err != nil {
			return err
		}
		if b.Status == backup.Deleting {
			return nil
		}
		lane := deleteLane(id)
		if b.Status == backup.Creating { // after the job that is writing it
			lane = vaultLane(b.VolumeID)
		}
		if force { // else only readers are left, and what they pin stays for them
			if err := cancelJobs(ctx, tx, id, JobBackupDelete); err != nil {
				return err
			}
		}
		if err := tx.SetBackupStatus(ctx, id, backup.Deleting, b.FailReason); err != nil {
			return err
		}
		return s.enqueue(ctx, tx, c, jobs.New{
			Kind: JobBackupDelete, ProjectID: b.ProjectID, Lane: lane, Subject: id, Payload: BackupWork{BackupID: id},
		})
	})
}

// refuseDependents fails where a backup that others continue may not be
// deleted. The backup is locked already, so nothing can begin to continue it.
func (s *Service) refuseDependents(ctx context.Context, tx *catalog.Tx, id string) error {
	if !s.cfg.RefuseDeleteWithDependents {
		return nil
	}
	b, err := tx.Backup(ctx, id) // anew: the read that waited for the lock saw what was before
	if err == nil && b.HasDependents {
		err = conflict(backup.BackupHasDependents, "other backups continue backup "+id, map[string]string{"id": id})
	}
	return err
}

// ResetBackup sets a backup's status to available or error by hand, and
// stops what works on it. One whose data was never completed can't become
// available.
func (s *Service) ResetBackup(ctx context.Context, c backup.Caller, id string, status backup.Status) error {
	if err := authorise(c, ruleBackupReset); err != nil {
		return err
	}
	if status != backup.Available && status != backup.Errored {
		return invalid(backup.BackupStatusInvalid, "backup status "+string(status)+" can't be set",
			map[string]string{"status": string(status)})
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		if err := cancelJobs(ctx, tx, id); err != nil {
			return err
		}
		if _, err := s.backup(ctx, tx, c, id); err != nil {
			return err
		}
		rec, err := tx.BackupRecord(ctx, id)
		if err != nil {
			return err
		}
		if status == backup.Available && rec.Object == "" {
			return invalid(backup.BackupIncomplete, "backup "+id+" was never completed", map[string]string{"id": id})
		}
		if err := cancelJobs(ctx, tx, id); err != nil {
			return err
		}
		return tx.SetBackupStatus(ctx, id, status, "")
	})
}
