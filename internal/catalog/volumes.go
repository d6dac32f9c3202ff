package catalog

import (
	"context"
	"fmt"

	"holdfast/internal/backup"
)

var volumes = &table[backup.Volume]{
	name:    "volumes",
	missing: backup.VolumeNotFound,
	move:    backup.VolumeMove,
	aliases: map[string]string{"display_name": "name", "display_description": "description", "tenant_id": "project_id"},
	columns: []column[backup.Volume]{
		{name: "id", fixed: true, field: func(v *backup.Volume) any { return &v.ID }},
		{name: "project_id", fixed: true, field: func(v *backup.Volume) any { return &v.ProjectID }},
		{name: "user_id", fixed: true, field: func(v *backup.Volume) any { return &v.UserID }},
		{name: "status", fixed: true, field: func(v *backup.Volume) any { return &v.Status }},
		{name: "created_at", fixed: true, field: func(v *backup.Volume) any { return &v.CreatedAt }},
		{name: "name", field: func(v *backup.Volume) any { return &v.Name }},
		{name: "description", field: func(v *backup.Volume) any { return &v.Description }},
		{name: "previous_status", field: func(v *backup.Volume) any { return &v.PreviousStatus }},
		{name: "size", field: func(v *backup.Volume) any { return &v.SizeGiB }},
		{name: "volume_type", field: func(v *backup.Volume) any { return &v.Type }},
		{name: "availability_zone", field: func(v *backup.Volume) any { return &v.Zone }},
		{name: "bootable", field: func(v *backup.Volume) any { return &v.Bootable }},
		{name: "metadata", field: func(v *backup.Volume) any { return &v.Metadata }},
		{name: "snapshot_id", field: func(v *backup.Volume) any { return &v.SnapshotID }},
		{name: "source_volid", field: func(v *backup.Volume) any { return &v.SourceVolumeID }},
		{name: "backup_id", field: func(v *backup.Volume) any { return &v.BackupID }},
		{name: "updated_at", field: func(v *backup.Volume) any { return &v.UpdatedAt }},
	},
}

// InsertVolume adds a volume.
func (tx *Tx) InsertVolume(ctx context.Context, v backup.Volume) error {
	return volumes.insert(ctx, tx, &v)
}

// Volume returns a volume, or an error of kind NotFound. Within Update its row
// is locked until the transaction ends.
func (tx *Tx) Volume(ctx context.Context, id string) (backup.Volume, error) {
	return volumes.get(ctx, tx, id, false)
}

// Volumes returns a page of volumes.
func (tx *Tx) Volumes(ctx context.Context, q Query) ([]backup.Volume, error) {
	return volumes.list(ctx, tx, q)
}

// CountVolumes counts what q matches, all pages together.
func (tx *Tx) CountVolumes(ctx context.Context, q Query) (int, error) {
	return volumes.count(ctx, tx, q)
}

// UpdateVolume writes all fields but id, project, user, status and creation
// time. Read the volume in the same transaction, so that nothing is lost.
func (tx *Tx) UpdateVolume(ctx context.Context, v backup.Volume) error {
	return volumes.update(ctx, tx, v.ID, &v)
}

// MoveVolume changes a volume's status if it is one of from, and reports
// whether it was. A move that backup.VolumeMove denies is a defect of the
// caller and an error.
func (tx *Tx) MoveVolume(ctx context.Context, id string, from []backup.Status, to backup.Status) (bool, error) {
	return volumes.moveStatus(ctx, tx, id, from, to)
}

// SetVolumeStatus changes a volume's status whatever it is.
func (tx *Tx) SetVolumeStatus(ctx context.Context, id string, to backup.Status) error {
	return volumes.setStatus(ctx, tx, id, to)
}

// DeleteVolume forgets a volume. Forgetting one that is unknown is no error.
func (tx *Tx) DeleteVolume(ctx context.Context, id string) error {
	_, err := tx.Exec(ctx, "DELETE FROM volumes WHERE id = $1", id)
	return err
}

// VolumeTotals returns how many volumes a project has, or all projects where
// it is empty, and their size in GiB.
func (tx *Tx) VolumeTotals(ctx context.Context, project string) (count, size int64, err error) {
	query := "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM volumes WHERE status <> 'deleted'"
	var a args
	if project != "" {
		query += " AND project_id = " + a.add(project)
	}
	if err := tx.QueryRow(ctx, query, a...).Scan(&count, &size); err != nil {
		return 0, 0, fmt.Errorf("sum the volumes of project %s: %w", project, err)
	}
	return count, size, nil
}
