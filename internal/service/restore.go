package service

import (
	"context"
	"fmt"
	"strconv"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// What Cinder calls a volume that a restore makes, and says of it.
const (
	restoredNamePrefix  = "restore_backup_"
	restoredDescription = "auto-created_from_restore_from_backup"
)

// RestoreBackup writes a backup's bytes to a new volume or over an existing
// one.
func (s *Service) RestoreBackup(ctx context.Context, c backup.Caller, id string, r RestoreRequest) (Restored, error) {
	if err := authorise(c, ruleBackupRestore); err != nil {
		return Restored{}, err
	}
	var v backup.Volume
	err := s.db.Update(ctx, func(tx *catalog.Tx) error {
		var target backup.Volume
		var missing error
		if r.VolumeID != "" { // volumes are locked before backups, here as elsewhere
			target, missing = s.volume(ctx, tx, c, r.VolumeID)
		}
		b, err := s.backup(ctx, tx, c, id)
		if err != nil {
			return err
		}
		if missing != nil {
			return missing
		}
		if v = target; r.VolumeID != "" {
			return s.restoreOver(ctx, tx, c, b, v)
		}
		typ, err := s.volumeType("")
		if err != nil {
			return err
		}
		v = backup.Volume{
			ID: s.cfg.NewID(), ProjectID: c.ProjectID, UserID: c.UserID,
			Name: r.Name, Description: restoredDescription, SizeGiB: b.SizeGiB,
			Type: typ.Name, Zone: s.cfg.Zone, CreatedAt: s.cfg.Clock.Now(),
		}
		if v.Name == "" {
			v.Name = restoredNamePrefix + b.ID
		}
		return s.restoreToNew(ctx, tx, c, b, &v)
	})
	return Restored{BackupID: id, VolumeID: v.ID, VolumeName: v.Name}, err
}

// restoreToNew inserts a volume and starts the restore that fills it.
func (s *Service) restoreToNew(ctx context.Context, tx *catalog.Tx, c backup.Caller, b backup.Backup, v *backup.Volume) error {
	v.Status = backup.RestoringBackup
	if v.BackupID != "" {
		v.Status = backup.Creating
	}
	if err := restorable(b); err != nil {
		return err
	}
	if err := s.insertVolume(ctx, tx, v); err != nil {
		return err
	}
	return s.startRestore(ctx, tx, c, b, RestoreWork{BackupID: b.ID, VolumeID: v.ID, New: true})
}

func restorable(b backup.Backup) error {
	if b.Status == backup.Available {
		return nil
	}
	return conflict(backup.BackupNotRestorable, "backup "+b.ID+" is "+string(b.Status),
		map[string]string{"id": b.ID, "status": string(b.Status)})
}

func (s *Service) restoreOver(ctx context.Context, tx *catalog.Tx, c backup.Caller, b backup.Backup, v backup.Volume) error {
	if err := restorable(b); err != nil {
		return err
	}
	if v.Status != backup.Available {
		return conflict(backup.RestoreTargetNotReady, "volume "+v.ID+" is "+string(v.Status),
			map[string]string{"id": v.ID, "status": string(v.Status)})
	}
	if v.SizeGiB < b.SizeGiB {
		return invalid(backup.RestoreTargetTooSmall,
			fmt.Sprintf("volume of %d GiB is too small for a backup of %d GiB", v.SizeGiB, b.SizeGiB),
			map[string]string{"size": strconv.FormatInt(v.SizeGiB, 10), "backup_size": strconv.FormatInt(b.SizeGiB, 10)})
	}
	if err := moved(tx.MoveVolume(ctx, v.ID, []backup.Status{backup.Available}, backup.RestoringBackup)); err != nil {
		return err
	}
	return s.startRestore(ctx, tx, c, b, RestoreWork{BackupID: b.ID, VolumeID: v.ID})
}

func (s *Service) startRestore(ctx context.Context, tx *catalog.Tx, c backup.Caller, b backup.Backup, w RestoreWork) error {
	if err := moved(tx.MoveBackup(ctx, b.ID, []backup.Status{backup.Available}, backup.Restoring)); err != nil {
		return err
	}
	b.RestoreVolumeID = w.VolumeID
	if err := tx.UpdateBackup(ctx, b); err != nil {
		return err
	}
	return s.enqueue(ctx, tx, c, jobs.New{
		Kind: JobBackupRestore, ProjectID: b.ProjectID, Lane: volumeLane(w.VolumeID), Subject: b.ID, Payload: w,
	})
}
