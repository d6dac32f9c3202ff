package service

import (
	"context"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// The methods of this file say what the end of a job means for the resources
// that it worked on. Workers call them inside the transaction that ends the
// job, after jobs.Run.Guard. A resource that was force-deleted or reset
// meanwhile keeps the status that it was given.

// VolumeCreated makes a new volume available.
func (s *Service) VolumeCreated(ctx context.Context, tx *catalog.Tx, id string) error {
	_, err := tx.MoveVolume(ctx, id, []backup.Status{backup.Creating}, backup.Available)
	return err
}

// VolumeFailed marks a volume whose creation failed.
func (s *Service) VolumeFailed(ctx context.Context, tx *catalog.Tx, id string) error {
	_, err := tx.MoveVolume(ctx, id, []backup.Status{backup.Creating}, backup.Errored)
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

// VolumeExtended gives a volume its new size in bytes.
func (s *Service) VolumeExtended(ctx context.Context, tx *catalog.Tx, id string, size int64) error {
	v, err := tx.Volume(ctx, id)
	if err != nil {
		return err
	}
	v.SizeGiB, v.UpdatedAt = size/backup.GiB, s.cfg.Clock.Now()
	if err := tx.UpdateVolume(ctx, v); err != nil {
		return err
	}
	_, err = tx.MoveVolume(ctx, id, []backup.Status{backup.Extending}, backup.Available)
	return err
}

// VolumeNotExtended marks a volume that could not grow.
func (s *Service) VolumeNotExtended(ctx context.Context, tx *catalog.Tx, id string) error {
	_, err := tx.MoveVolume(ctx, id, []backup.Status{backup.Extending}, backup.ErrorExtending)
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
