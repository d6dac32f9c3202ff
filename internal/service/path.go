package service

import (
	"context"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// pathSpace is the namespace of the ids of volumes that are known by a name
// alone, because no inventory has them.
var pathSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("holdfast:volume-by-name"))

// PathBackup asks for a backup of a file or device of this host.
type PathBackup struct {
	Volume string // a volume's id or name in the project, or any name
	Path   string
	Bytes  int64
}

// CreatePathBackup inserts a backup and a job that this process alone may
// run while it lives.
func (s *Service) CreatePathBackup(ctx context.Context, c backup.Caller, p PathBackup) (backup.Backup, jobs.Job, error) {
	var b backup.Backup
	var job jobs.Job
	if err := authorise(c, ruleBackupCreate); err != nil {
		return b, job, err
	}
	err := s.db.Update(ctx, func(tx *catalog.Tx) error {
		now := tx.Now()
		b = backup.Backup{
			ID: s.cfg.NewID(), ProjectID: c.ProjectID, UserID: c.UserID, Status: backup.Creating,
			SizeGiB: (p.Bytes + backup.GiB - 1) / backup.GiB, Bytes: p.Bytes, Zone: s.cfg.Zone,
			DataTimestamp: now, CreatedAt: now,
		}
		if err := s.nameVolume(ctx, tx, c, p.Volume, &b); err != nil {
			return err
		}
		b.Incremental = true
		err := s.continueParent(ctx, tx, &b)
		if backup.ReasonOf(err) == backup.NoParent {
			b.Incremental, err = false, nil
		}
		if err != nil {
			return err
		}
		if err := s.reserve(ctx, tx, b.ProjectID, demand{backups: 1, backupGigabytes: b.SizeGiB}); err != nil {
			return err
		}
		if err := tx.InsertBackup(ctx, b); err != nil {
			return err
		}
		job, err = s.cfg.Queue.Reserve(ctx, tx, jobs.New{
			Kind: JobPathBackup, ProjectID: b.ProjectID, Lane: vaultLane(b.VolumeID), Subject: b.ID,
			Payload: BackupWork{BackupID: b.ID, Path: p.Path},
		})
		return err
	})
	return b, job, err
}

// nameVolume finds the volume that a name means: one of the project's by id
// or name, else one that is known by this name alone.
func (s *Service) nameVolume(ctx context.Context, tx *catalog.Tx, c backup.Caller, name string, b *backup.Backup) error {
	for _, field := range []string{"id", "name"} {
		found, err := tx.Volumes(ctx, catalog.Query{
			Project: c.ProjectID, Filters: []catalog.Filter{{Field: field, Values: []string{name}}}, Limit: 2,
		})
		if err != nil {
			return err
		}
		if len(found) > 1 {
			return backup.Errorf(backup.Invalid, "more than one volume is called %q: give its id", name)
		}
		if len(found) == 1 {
			v := found[0]
			b.VolumeID, b.VolumeName, b.VolumeDesc = v.ID, v.Name, v.Description
			b.VolumeMetadata, b.VolumeBootable = v.Metadata, v.Bootable
			return nil
		}
	}
	b.VolumeID = uuid.NewSHA1(pathSpace, []byte(c.ProjectID+"/"+name)).String()
	b.VolumeName = name
	return nil
}

// RestoreToPath makes a job that writes a backup to a file or device of this
// host, and that this process alone may run while it lives.
func (s *Service) RestoreToPath(ctx context.Context, c backup.Caller, id, path string) (jobs.Job, error) {
	var job jobs.Job
	if err := authorise(c, ruleBackupRestore); err != nil {
		return job, err
	}
	err := s.db.Update(ctx, func(tx *catalog.Tx) error {
		b, err := s.backup(ctx, tx, c, id)
		if err != nil {
			return err
		}
		if b.Status != backup.Available && b.Status != backup.Restoring {
			return restorable(b)
		}
		job, err = s.cfg.Queue.Reserve(ctx, tx, jobs.New{
			Kind: JobPathRestore, ProjectID: b.ProjectID, Lane: pathLane(path), Subject: id,
			Payload: RestoreWork{BackupID: id, Path: path},
		})
		return err
	})
	return job, err
}
