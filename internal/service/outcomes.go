package service

import (
	"context"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// The methods of this file say what the end of a job means for the resources
// that it worked on. Workers call them inside the transaction that ends the
// job, after jobs.Run.Guard. A resource that was force-deleted or reset
// meanwhile keeps the status that it was given.

// VolumeCreated makes a new volume available. Where it was deleted meanwhile
// its bytes are removed: a copy waits for its source's turn, not for its own.
func (s *Service) VolumeCreated(ctx context.Context, tx *catalog.Tx, job jobs.Job, id string) error {
	made, err := tx.MoveVolume(ctx, id, []backup.Status{backup.Creating}, backup.Available)
	if err != nil || made {
		return err
	}
	return s.removeLeftover(ctx, tx, job, id)
}

// VolumeFailed marks a volume whose creation failed.
func (s *Service) VolumeFailed(ctx context.Context, tx *catalog.Tx, job jobs.Job, id string) error {
	marked, err := tx.MoveVolume(ctx, id, []backup.Status{backup.Creating}, backup.Errored)
	if err != nil || marked {
		return err
	}
	return s.removeLeftover(ctx, tx, job, id)
}

// removeLeftover has the bytes of a volume removed that was deleted while it
// was made.
func (s *Service) removeLeftover(ctx context.Context, tx *catalog.Tx, job jobs.Job, id string) error {
	v, err := tx.Volume(ctx, id)
	if err == nil && v.Status != backup.Deleting { // its status was set by hand
		return nil
	}
	if err != nil && backup.KindOf(err) != backup.NotFound {
		return err
	}
	return s.enqueue(ctx, tx, backup.Caller{RequestID: job.RequestID}, jobs.New{
		Kind: JobVolumeDelete, ProjectID: job.ProjectID, Lane: volumeLane(id), Subject: id, Payload: VolumeWork{VolumeID: id},
	})
}

// VolumeUnwanted fails with Canceled where a volume that was to be deleted had
// its status set by hand meanwhile.
func (s *Service) VolumeUnwanted(ctx context.Context, tx *catalog.Tx, id string) error {
	v, err := tx.Volume(ctx, id)
	if backup.KindOf(err) == backup.NotFound {
		return nil
	}
	if err == nil && v.Status != backup.Deleting {
		err = backup.Errorf(backup.Canceled, "volume %s is %s", id, v.Status)
	}
	return err
}

// VolumeDeleted forgets a volume whose bytes are gone.
func (s *Service) VolumeDeleted(ctx context.Context, tx *catalog.Tx, id string) error {
	return tx.DeleteVolume(ctx, id)
}

// VolumeNotDeleted marks a volume whose bytes could not be removed.
func (s *Service) VolumeNotDeleted(ctx context.Context, tx *catalog.Tx, id string) error {
	_, err := tx.MoveVolume(ctx, id, []backup.Status{backup.Deleting}, backup.ErrorDeleting)
	return err
}

// VolumeExtended makes a volume that has grown available.
func (s *Service) VolumeExtended(ctx context.Context, tx *catalog.Tx, id string) error {
	_, err := tx.MoveVolume(ctx, id, []backup.Status{backup.Extending}, backup.Available)
	return err
}

// VolumeNotExtended marks a volume that could not grow, and gives what it was
// to grow by back to the project's quota.
func (s *Service) VolumeNotExtended(ctx context.Context, tx *catalog.Tx, w VolumeWork) error {
	v, err := tx.Volume(ctx, w.VolumeID)
	if backup.KindOf(err) == backup.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if v.SizeGiB == w.Bytes/backup.GiB {
		v.SizeGiB = w.Before / backup.GiB
		if err := tx.UpdateVolume(ctx, v); err != nil {
			return err
		}
	}
	_, err = tx.MoveVolume(ctx, v.ID, []backup.Status{backup.Extending}, backup.ErrorExtending)
	return err
}

// SnapshotCreated makes a new snapshot available.
func (s *Service) SnapshotCreated(ctx context.Context, tx *catalog.Tx, id string) error {
	_, err := tx.MoveSnapshot(ctx, id, []backup.Status{backup.Creating}, backup.Available)
	return err
}

// SnapshotFailed marks a snapshot that could not be taken.
func (s *Service) SnapshotFailed(ctx context.Context, tx *catalog.Tx, id string) error {
	_, err := tx.MoveSnapshot(ctx, id, []backup.Status{backup.Creating}, backup.Errored)
	return err
}

// SnapshotDeleted forgets a snapshot whose bytes are gone.
func (s *Service) SnapshotDeleted(ctx context.Context, tx *catalog.Tx, id string) error {
	return tx.DeleteSnapshot(ctx, id)
}

// SnapshotNotDeleted marks a snapshot whose bytes could not be removed.
func (s *Service) SnapshotNotDeleted(ctx context.Context, tx *catalog.Tx, id string) error {
	_, err := tx.MoveSnapshot(ctx, id, []backup.Status{backup.Deleting}, backup.ErrorDeleting)
	return err
}
