package service

import (
	"context"
	"slices"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// CreateSnapshot fixes an instant of a volume.
func (s *Service) CreateSnapshot(ctx context.Context, c backup.Caller, n NewSnapshot) (backup.Snapshot, error) {
	if err := authorise(c, ruleSnapshotCreate); err != nil {
		return backup.Snapshot{}, err
	}
	snap := backup.Snapshot{
		ID: s.cfg.NewID(), ProjectID: c.ProjectID, UserID: c.UserID, VolumeID: n.VolumeID,
		Name: n.Name, Description: n.Description, Status: backup.Creating,
		Metadata: n.Metadata, CreatedAt: s.cfg.Clock.Now(),
	}
	err := s.db.Update(ctx, func(tx *catalog.Tx) error {
		v, err := s.volume(ctx, tx, c, n.VolumeID)
		if err != nil {
			return err
		}
		if v.Status == backup.InUse && !n.Force {
			return conflict(backup.SnapshotOfInUse, "volume "+v.ID+" is in use",
				map[string]string{"id": v.ID, "status": string(v.Status)})
		}
		if v.Status != backup.Available && v.Status != backup.InUse {
			return busyVolume(v, "snapshotted")
		}
		snap.SizeGiB, snap.ProjectID = v.SizeGiB, v.ProjectID
		if err := s.reserve(ctx, tx, snap.ProjectID, demand{snapshots: 1, gigabytes: snap.SizeGiB}); err != nil {
			return err
		}
		if err := tx.InsertSnapshot(ctx, snap); err != nil {
			return err
		}
		return s.enqueue(ctx, tx, c, jobs.New{
			Kind: JobSnapshotCreate, ProjectID: snap.ProjectID, Lane: volumeLane(v.ID), Subject: snap.ID,
			Payload: SnapshotWork{SnapshotID: snap.ID, VolumeID: v.ID},
		})
	})
	return snap, err
}

func (s *Service) snapshot(ctx context.Context, tx *catalog.Tx, c backup.Caller, id string) (backup.Snapshot, error) {
	snap, err := tx.Snapshot(ctx, id)
	if err != nil {
		return snap, err
	}
	return snap, ours(c, snap.ProjectID, backup.SnapshotNotFound, id)
}

// Snapshot returns a snapshot.
func (s *Service) Snapshot(ctx context.Context, c backup.Caller, id string) (backup.Snapshot, error) {
	var snap backup.Snapshot
	if err := authorise(c, ruleSnapshotGet); err != nil {
		return snap, err
	}
	err := s.db.View(ctx, func(tx *catalog.Tx) (err error) {
		snap, err = s.snapshot(ctx, tx, c, id)
		return err
	})
	return snap, err
}

// Snapshots lists snapshots.
func (s *Service) Snapshots(ctx context.Context, c backup.Caller, l List) (Page[backup.Snapshot], error) {
	if err := authorise(c, ruleSnapshotList); err != nil {
		return Page[backup.Snapshot]{}, err
	}
	return list(ctx, s.db, query(c, l), l.Count, (*catalog.Tx).Snapshots, (*catalog.Tx).CountSnapshots)
}

func (s *Service) changeSnapshot(ctx context.Context, c backup.Caller, r Rule, id string, f func(*backup.Snapshot) error) (backup.Snapshot, error) {
	var snap backup.Snapshot
	if err := authorise(c, r); err != nil {
		return snap, err
	}
	err := s.db.Update(ctx, func(tx *catalog.Tx) (err error) {
		if snap, err = s.snapshot(ctx, tx, c, id); err != nil {
			return err
		}
		if err := f(&snap); err != nil {
			return err
		}
		snap.UpdatedAt = s.cfg.Clock.Now()
		return tx.UpdateSnapshot(ctx, snap)
	})
	return snap, err
}

// UpdateSnapshot renames or describes a snapshot.
func (s *Service) UpdateSnapshot(ctx context.Context, c backup.Caller, id string, u Update) (backup.Snapshot, error) {
	return s.changeSnapshot(ctx, c, ruleSnapshotUpdate, id, func(snap *backup.Snapshot) error {
		u.apply(&snap.Name, &snap.Description, &snap.Metadata)
		return nil
	})
}

// SetSnapshotMetadata adds to a snapshot's metadata, or replaces it, and
// returns what it is then.
func (s *Service) SetSnapshotMetadata(ctx context.Context, c backup.Caller, id string, meta map[string]string, replace bool) (map[string]string, error) {
	snap, err := s.changeSnapshot(ctx, c, ruleSnapshotSetMeta, id, func(snap *backup.Snapshot) error {
		snap.Metadata = merge(snap.Metadata, meta, replace)
		return bounded(snap.Metadata)
	})
	return snap.Metadata, err
}

// DeleteSnapshotMetadata takes one key out of a snapshot's metadata.
func (s *Service) DeleteSnapshotMetadata(ctx context.Context, c backup.Caller, id, key string) error {
	_, err := s.changeSnapshot(ctx, c, ruleSnapshotDelMeta, id, func(snap *backup.Snapshot) error {
		return without(snap.Metadata, key)
	})
	return err
}

// DeleteSnapshot deletes a snapshot; force does so in any status and is for
// admins only.
func (s *Service) DeleteSnapshot(ctx context.Context, c backup.Caller, id string, force bool) error {
	rule := ruleSnapshotDelete
	if force {
		rule = ruleSnapshotForceDel
	}
	if err := authorise(c, rule); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		if err := cancelJobs(ctx, tx, id, JobSnapshotDelete); err != nil {
			return err
		}
		snap, err := s.snapshot(ctx, tx, c, id)
		if err != nil {
			return err
		}
		if !force && !slices.Contains(deletableSnapshot, snap.Status) {
			return busySnapshot(snap, "deleted")
		}
		if err := cancelJobs(ctx, tx, id, JobSnapshotDelete); err != nil {
			return err
		}
		return s.deleteSnapshot(ctx, tx, c, snap)
	})
}

func (s *Service) deleteSnapshot(ctx context.Context, tx *catalog.Tx, c backup.Caller, snap backup.Snapshot) error {
	if err := tx.SetSnapshotStatus(ctx, snap.ID, backup.Deleting); err != nil {
		return err
	}
	return s.enqueue(ctx, tx, c, jobs.New{
		Kind: JobSnapshotDelete, ProjectID: snap.ProjectID, Lane: volumeLane(snap.VolumeID), Subject: snap.ID,
		Payload: SnapshotWork{SnapshotID: snap.ID, VolumeID: snap.VolumeID},
	})
}

// ResetSnapshot sets a snapshot's status by hand.
func (s *Service) ResetSnapshot(ctx context.Context, c backup.Caller, id string, status backup.Status) error {
	if err := authorise(c, ruleSnapshotReset); err != nil {
		return err
	}
	if !slices.Contains(settableSnapshot, status) {
		return backup.Errorf(backup.Invalid, "snapshot status %q can't be set", status)
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		if _, err := s.snapshot(ctx, tx, c, id); err != nil {
			return err
		}
		return tx.SetSnapshotStatus(ctx, id, status)
	})
}
