package worker

import (
	"context"
	"encoding/json"
	"io"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/volume"
)

// restore writes a backup to a volume of this host.
func (w *Worker) restore(ctx context.Context, r *jobs.Run, p service.RestoreWork) error {
	if p.New {
		v, err := w.volume(ctx, p.VolumeID)
		if err != nil {
			return err
		}
		if err := w.Volumes.Create(ctx, p.VolumeID, v.SizeGiB*backup.GiB); err != nil {
			return err
		}
	}
	target, err := w.Volumes.OpenTarget(p.VolumeID)
	if err != nil {
		return err
	}
	return w.restoreTo(ctx, r, p, target, func(tx *catalog.Tx) error { return w.Service.Restored(ctx, tx, p) })
}

func (w *Worker) volume(ctx context.Context, id string) (backup.Volume, error) {
	var v backup.Volume
	err := w.DB.View(ctx, func(tx *catalog.Tx) (err error) {
		v, err = tx.Volume(ctx, id)
		return err
	})
	return v, err
}

// restorePath writes a backup to a file or device of this host.
func (w *Worker) restorePath(ctx context.Context, r *jobs.Run, p service.RestoreWork) error {
	target, err := volume.OpenFileTarget(p.Path)
	if err != nil {
		return err
	}
	return w.restoreTo(ctx, r, p, target, func(*catalog.Tx) error { return nil })
}

// restoreTo writes a backup to a target, which it closes. It goes on where an
// earlier attempt stopped.
func (w *Worker) restoreTo(
	ctx context.Context, r *jobs.Run, p service.RestoreWork, target *volume.FileTarget, outcome func(*catalog.Tx) error,
) error {
	err := closeAfter(target, w.fill(ctx, r, p, target))
	if err != nil {
		return err
	}
	return w.finish(ctx, r, func(tx *catalog.Tx) error {
		if err := outcome(tx); err != nil {
			return err
		}
		return w.unpin(ctx, tx, r.Job.ID, p.BackupID)
	})
}

func (w *Worker) fill(ctx context.Context, r *jobs.Run, p service.RestoreWork, target vault.Target) error {
	b, rec, err := w.pin(ctx, r, p.BackupID)
	if err != nil {
		return err
	}
	v, err := w.Vaults.Open(ctx, rec.Vault, &fence{db: w.DB})
	if err != nil {
		return err
	}
	var before Progress
	if len(r.Job.Progress) > 0 {
		if err := json.Unmarshal(r.Job.Progress, &before); err != nil {
			return err
		}
	}
	part := vault.Range{Length: b.Bytes}
	if p.Length > 0 {
		part = vault.Range{Offset: p.Offset, Length: p.Length}
	}
	now := Progress{Done: max(0, before.Reached-part.Offset), Size: part.Length, Reached: before.Reached}
	return v.Restore(ctx, vault.RestoreRequest{
		Record: vault.RecordRef{Object: rec.Object, Hash: rec.Hash}, Target: target, Range: &part, From: before.Reached,
		Reached: func(offset int64) error {
			now.Done, now.Reached = max(now.Done, offset-part.Offset), offset
			w.tell(r, now)
			return ctx.Err()
		},
		Progress: func(p vault.Progress) {
			now.Done = p.Done
			w.tell(r, now)
		},
	})
}

// closeAfter closes c and returns the first of two errors.
func closeAfter(c io.Closer, err error) error {
	if cerr := c.Close(); err == nil {
		return cerr
	}
	return err
}

// pin keeps a backup's data from being removed while this job reads it.
func (w *Worker) pin(ctx context.Context, r *jobs.Run, id string) (b backup.Backup, rec catalog.Record, err error) {
	err = w.DB.Update(ctx, func(tx *catalog.Tx) error {
		if err := r.Guard(ctx, tx); err != nil {
			return err
		}
		if b, err = tx.AnyBackup(ctx, id); err != nil {
			return err
		}
		if rec, err = tx.BackupRecord(ctx, id); err != nil {
			return err
		}
		err = tx.Pin(ctx, id, r.Job.ID) // one that an earlier attempt pinned is there still
		if rec.Object == "" || backup.KindOf(err) == backup.NotFound {
			return backup.Errorf(backup.Canceled, "backup %s is %s", id, b.Status)
		}
		return err
	})
	return b, rec, err
}

func (w *Worker) unpin(ctx context.Context, tx *catalog.Tx, holder, id string) error {
	if err := tx.Unpin(ctx, holder); err != nil {
		return err
	}
	return w.Service.BackupReleased(ctx, tx, id)
}

func (w *Worker) restoreFailed(ctx context.Context, tx *catalog.Tx, job jobs.Job, p service.RestoreWork, cause error) error {
	if err := w.Service.RestoreFailed(ctx, tx, p); err != nil {
		return err
	}
	return w.restorePathFailed(ctx, tx, job, p, cause)
}

// restorePathFailed ends the pin. What the restore found damaged is marked, and
// all that the backup needs is verified.
func (w *Worker) restorePathFailed(ctx context.Context, tx *catalog.Tx, job jobs.Job, p service.RestoreWork, cause error) error {
	rec, err := tx.BackupRecord(ctx, p.BackupID)
	if backup.KindOf(err) == backup.NotFound {
		return tx.Unpin(ctx, job.ID)
	}
	if err != nil {
		return err
	}
	if err := w.unpin(ctx, tx, job.ID, p.BackupID); err != nil {
		return err
	}
	return w.damaged(ctx, tx, rec.Vault, cause, func(marks []catalog.Damage) error {
		return w.Service.DamageFound(ctx, tx, job.ProjectID, rec.Vault, marks,
			service.VaultWork{ReadData: true, Backups: []string{p.BackupID}})
	})
}

// deleteBackup removes a backup's record, after which nothing of it can be
// restored. What still reads it keeps it until it has ended. Where nothing may
// be deleted from the store, the backup vanishes alone; its record goes when
// that ends, see Service.ConfirmRecovery.
func (w *Worker) deleteBackup(ctx context.Context, r *jobs.Run, p service.BackupWork) error {
	var rec catalog.Record
	var home catalog.Vault
	var free bool
	err := w.DB.Update(ctx, func(tx *catalog.Tx) error {
		err := r.Guard(ctx, tx)
		if err != nil {
			return err
		}
		rec, err = tx.BackupRecord(ctx, p.BackupID)
		if err != nil && backup.KindOf(err) != backup.NotFound {
			return err
		}
		if home, err = homeOf(ctx, tx, r.Job.ProjectID, rec); err != nil { // it is locked before the backup is
			return err
		}
		if free, err = w.Service.HideBackup(ctx, tx, p.BackupID); err != nil {
			return err
		}
		if home.Hold && rec.Object != "" {
			free = false
		}
		if !free {
			return r.Done(ctx, tx)
		}
		return nil
	})
	if err != nil || !free {
		return err
	}
	if home.Ready {
		if err := w.Vaults.RemoveRecords(ctx, home.ID, p.BackupID, vault.RecordRef{Object: rec.Object, Hash: rec.Hash}); err != nil {
			return err
		}
	}
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return w.Service.BackupDeleted(ctx, tx, r.Job.ProjectID, p.BackupID) })
}

// homeOf returns the vault that a backup's record is in, or its project's. It is
// empty where nothing was ever stored.
func homeOf(ctx context.Context, tx *catalog.Tx, project string, rec catalog.Record) (catalog.Vault, error) {
	var home catalog.Vault
	var err error
	if rec.Object != "" {
		home, err = tx.Vault(ctx, rec.Vault)
	} else {
		home, err = tx.VaultOf(ctx, project)
	}
	if backup.KindOf(err) == backup.NotFound {
		return catalog.Vault{}, nil
	}
	return home, err
}

func (w *Worker) backupNotDeleted(ctx context.Context, tx *catalog.Tx, _ jobs.Job, p service.BackupWork, cause error) error {
	return w.Service.BackupNotDeleted(ctx, tx, p.BackupID, reason(cause))
}
