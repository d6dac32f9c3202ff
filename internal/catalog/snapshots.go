package catalog

import (
	"context"

	"holdfast/internal/backup"
)

var snapshots = &table[backup.Snapshot]{
	name:    "snapshots",
	missing: backup.SnapshotNotFound,
	move:    backup.SnapshotMove,
	aliases: map[string]string{
		"display_name": "name", "display_description": "description", "tenant_id": "project_id", "volume_size": "size",
	},
	columns: []column[backup.Snapshot]{
		{name: "id", fixed: true, field: func(s *backup.Snapshot) any { return &s.ID }},
		{name: "project_id", fixed: true, field: func(s *backup.Snapshot) any { return &s.ProjectID }},
		{name: "user_id", fixed: true, field: func(s *backup.Snapshot) any { return &s.UserID }},
		{name: "volume_id", fixed: true, field: func(s *backup.Snapshot) any { return &s.VolumeID }},
		{name: "status", fixed: true, field: func(s *backup.Snapshot) any { return &s.Status }},
		{name: "created_at", fixed: true, field: func(s *backup.Snapshot) any { return &s.CreatedAt }},
		{name: "name", field: func(s *backup.Snapshot) any { return &s.Name }},
		{name: "description", field: func(s *backup.Snapshot) any { return &s.Description }},
		{name: "size", field: func(s *backup.Snapshot) any { return &s.SizeGiB }},
		{name: "metadata", field: func(s *backup.Snapshot) any { return &s.Metadata }},
		{name: "updated_at", field: func(s *backup.Snapshot) any { return &s.UpdatedAt }},
	},
}

// InsertSnapshot adds a snapshot.
func (tx *Tx) InsertSnapshot(ctx context.Context, s backup.Snapshot) error {
	return snapshots.insert(ctx, tx, &s)
}

// Snapshot returns a snapshot, or an error of kind NotFound. Within Update its
// row is locked until the transaction ends.
func (tx *Tx) Snapshot(ctx context.Context, id string) (backup.Snapshot, error) {
	return snapshots.get(ctx, tx, id, false)
}

// Snapshots returns a page of snapshots.
func (tx *Tx) Snapshots(ctx context.Context, q Query) ([]backup.Snapshot, error) {
	return snapshots.list(ctx, tx, q)
}

// CountSnapshots counts what q matches, all pages together.
func (tx *Tx) CountSnapshots(ctx context.Context, q Query) (int, error) {
	return snapshots.count(ctx, tx, q)
}

// UpdateSnapshot writes all fields but id, project, user, volume, status and
// creation time.
func (tx *Tx) UpdateSnapshot(ctx context.Context, s backup.Snapshot) error {
	return snapshots.update(ctx, tx, s.ID, &s)
}

// MoveSnapshot changes a snapshot's status if it is one of from, and reports
// whether it was. A move that backup.SnapshotMove denies is an error.
func (tx *Tx) MoveSnapshot(ctx context.Context, id string, from []backup.Status, to backup.Status) (bool, error) {
	return snapshots.moveStatus(ctx, tx, id, from, to)
}

// SetSnapshotStatus changes a snapshot's status whatever it is.
func (tx *Tx) SetSnapshotStatus(ctx context.Context, id string, to backup.Status) error {
	return snapshots.setStatus(ctx, tx, id, to)
}

// DeleteSnapshot forgets a snapshot. Forgetting one that is unknown is no
// error.
func (tx *Tx) DeleteSnapshot(ctx context.Context, id string) error {
	_, err := tx.Exec(ctx, "DELETE FROM snapshots WHERE id = $1", id)
	return err
}
