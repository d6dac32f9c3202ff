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
	Path   string // "-" for a stream that the caller has
	Bytes  int64
	Parent string // the backup to compare with; empty: the newest of the volume
	Since  string // the source state that the parent must show; empty: any
}

// PathVolume returns the id of the volume that a PathBackup's Volume means.
func (s *Service) PathVolume(ctx context.Context, c backup.Caller, name string) (string, error) {
	var b backup.Backup
	err := authorise(c, ruleBackupCreate)
	if err == nil {
		err = s.db.View(ctx, func(tx *catalog.Tx) error { return s.nameVolume(ctx, tx, c, name, &b) })
	}
	return b.VolumeID, err
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
		err := s.pathParent(ctx, tx, c, p, &b)
		if err != nil {
			return err
		}
		if p.Since != "" { // the map is about this one, whatever comes meanwhile
			p.Parent = b.ParentID
		}
		if err := s.reserve(ctx, tx, b.ProjectID, demand{backups: 1, backupGigabytes: b.SizeGiB}); err != nil {
			return err
		}
		if err := tx.InsertBackup(ctx, b); err != nil {
			return err
		}
		job, err = s.cfg.Queue.Reserve(ctx, tx, jobs.New{
			Kind: JobPathBackup, ProjectID: b.ProjectID, Lane: vaultLane(b.VolumeID), Subject: b.ID,
			Payload: BackupWork{BackupID: b.ID, Path: p.Path, ParentID: p.Parent},
		})
		return err
	})
	return b, job, err
}

// pathParent finds what a backup of a path continues, and checks that it is
// what the caller says.
func (s *Service) pathParent(ctx context.Context, tx *catalog.Tx, c backup.Caller, p PathBackup, b *backup.Backup) error {
	b.Incremental = true
	if p.Parent != "" {
		parent, err := s.backup(ctx, tx, c, p.Parent)
		switch {
		case err != nil:
			return err
		case parent.ProjectID != b.ProjectID:
			return notFound(backup.BackupNotFound, p.Parent)
		case parent.Status != backup.Available && parent.Status != backup.Restoring:
			return backup.Errorf(backup.Invalid, "backup %s can't be a parent: it is %s", parent.ID, parent.Status)
		}
		b.ParentID = parent.ID
	} else {
		err := s.continueParent(ctx, tx, b)
		if backup.ReasonOf(err) == backup.NoParent {
			b.Incremental, err = false, nil
		}
		if err != nil {
			return err
		}
	}
	return provesState(ctx, tx, p, b)
}

// provesState checks that what b continues shows the state that a change map
// begins at.
func provesState(ctx context.Context, tx *catalog.Tx, p PathBackup, b *backup.Backup) error {
	if p.Since == "" {
		return nil
	}
	if b.ParentID == "" {
		return backup.Errorf(backup.Invalid, "the change map continues state %q, and there is no earlier backup of %s", p.Since, b.VolumeName)
	}
	rec, err := tx.BackupRecord(ctx, b.ParentID)
	if err == nil && rec.SourceState != p.Since {
		err = backup.Errorf(backup.Invalid, "the change map continues state %q, and backup %s shows another one", p.Since, b.ParentID)
	}
	return err
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

// PathRestore asks for a backup's bytes in a file or device of this host.
type PathRestore struct {
	Path   string
	Offset int64 // of the backup, where Length is given
	Length int64 // 0: all of the backup
}

// RestoreToPath makes a job that writes a backup to a file or device of this
// host, and that this process alone may run while it lives.
func (s *Service) RestoreToPath(ctx context.Context, c backup.Caller, id string, p PathRestore) (jobs.Job, error) {
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
			Kind: JobPathRestore, ProjectID: b.ProjectID, Lane: pathLane(p.Path), Subject: id,
			Payload: RestoreWork{BackupID: id, Path: p.Path, Offset: p.Offset, Length: p.Length},
		})
		return err
	})
	return job, err
}
