package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/backup"
)

var backups = &table[backup.Backup]{
	name:     "backups",
	missing:  backup.BackupNotFound,
	move:     backup.BackupMove,
	computed: "CASE WHEN EXISTS (SELECT 1 FROM backups c WHERE c.parent_id = r.id AND c.status NOT IN ('error', 'deleted')) THEN 1 ELSE 0 END",
	result:   func(b *backup.Backup) any { return &b.HasDependents },
	aliases: map[string]string{
		"display_name": "name", "display_description": "description", "tenant_id": "project_id", "is_incremental": "incremental",
	},
	columns: []column[backup.Backup]{
		{name: "id", fixed: true, field: func(b *backup.Backup) any { return &b.ID }},
		{name: "project_id", fixed: true, field: func(b *backup.Backup) any { return &b.ProjectID }},
		{name: "user_id", fixed: true, field: func(b *backup.Backup) any { return &b.UserID }},
		{name: "volume_id", fixed: true, field: func(b *backup.Backup) any { return &b.VolumeID }},
		{name: "status", fixed: true, field: func(b *backup.Backup) any { return &b.Status }},
		{name: "created_at", fixed: true, field: func(b *backup.Backup) any { return &b.CreatedAt }},
		{name: "volume_name", field: func(b *backup.Backup) any { return &b.VolumeName }},
		{name: "snapshot_id", field: func(b *backup.Backup) any { return &b.SnapshotID }},
		{name: "parent_id", field: func(b *backup.Backup) any { return &b.ParentID }},
		{name: "incremental", field: func(b *backup.Backup) any { return &b.Incremental }},
		{name: "name", field: func(b *backup.Backup) any { return &b.Name }},
		{name: "description", field: func(b *backup.Backup) any { return &b.Description }},
		{name: "container", field: func(b *backup.Backup) any { return &b.Container }},
		{name: "fail_reason", field: func(b *backup.Backup) any { return &b.FailReason }},
		{name: "size", field: func(b *backup.Backup) any { return &b.SizeGiB }},
		{name: "bytes", field: func(b *backup.Backup) any { return &b.Bytes }},
		{name: "object_count", field: func(b *backup.Backup) any { return &b.ObjectCount }},
		{name: "availability_zone", field: func(b *backup.Backup) any { return &b.Zone }},
		{name: "metadata", field: func(b *backup.Backup) any { return &b.Metadata }},
		{name: "volume_metadata", field: func(b *backup.Backup) any { return &b.VolumeMetadata }},
		{name: "volume_bootable", field: func(b *backup.Backup) any { return &b.VolumeBootable }},
		{name: "volume_desc", field: func(b *backup.Backup) any { return &b.VolumeDesc }},
		{name: "restore_volume_id", field: func(b *backup.Backup) any { return &b.RestoreVolumeID }},
		{name: "data_timestamp", field: func(b *backup.Backup) any { return &b.DataTimestamp }},
		{name: "updated_at", field: func(b *backup.Backup) any { return &b.UpdatedAt }},
		{name: "stats_read", field: func(b *backup.Backup) any { return &b.Stats.Read }},
		{name: "stats_new", field: func(b *backup.Backup) any { return &b.Stats.New }},
		{name: "stats_stored", field: func(b *backup.Backup) any { return &b.Stats.Stored }},
	},
}

// InsertBackup adds a backup.
func (tx *Tx) InsertBackup(ctx context.Context, b backup.Backup) error {
	return backups.insert(ctx, tx, &b)
}

// Backup returns a backup that is not deleted, or an error of kind NotFound.
// Within Update its row is locked until the transaction ends.
func (tx *Tx) Backup(ctx context.Context, id string) (backup.Backup, error) {
	return backups.get(ctx, tx, id, false)
}

// AnyBackup is Backup, but sees deleted ones until they are purged.
func (tx *Tx) AnyBackup(ctx context.Context, id string) (backup.Backup, error) {
	return backups.get(ctx, tx, id, true)
}

// Backups returns a page of backups.
func (tx *Tx) Backups(ctx context.Context, q Query) ([]backup.Backup, error) {
	return backups.list(ctx, tx, q)
}

// CountBackups counts what q matches, all pages together.
func (tx *Tx) CountBackups(ctx context.Context, q Query) (int, error) {
	return backups.count(ctx, tx, q)
}

// LatestBackup returns the available backup of a project's volume that holds
// the latest instant, of those before a time where that isn't zero.
func (tx *Tx) LatestBackup(ctx context.Context, project, volume string, before time.Time) (backup.Backup, bool, error) {
	a := args{volume, project}
	query := backups.selectSQL() + " WHERE r.volume_id = $1 AND r.project_id = $2 AND r.status = 'available'"
	if !before.IsZero() {
		query += " AND r.data_timestamp < " + a.add(before.UnixMicro())
	}
	query += " ORDER BY r.data_timestamp DESC, r.created_at DESC, r.id DESC LIMIT 1"
	b, err := backups.scan(tx.QueryRow(ctx, query, a...))
	if errors.Is(err, sql.ErrNoRows) {
		return backup.Backup{}, false, nil
	}
	if err != nil {
		return b, false, fmt.Errorf("read the latest backup of volume %s: %w", volume, err)
	}
	return b, true, nil
}

// UpdateBackup writes all fields but id, project, user, volume, status and
// creation time, and but what is computed.
func (tx *Tx) UpdateBackup(ctx context.Context, b backup.Backup) error {
	return backups.update(ctx, tx, b.ID, &b)
}

// MoveBackup changes a backup's status if it is one of from, and reports
// whether it was. A move that backup.BackupMove denies is an error.
func (tx *Tx) MoveBackup(ctx context.Context, id string, from []backup.Status, to backup.Status) (bool, error) {
	return backups.moveStatus(ctx, tx, id, from, to)
}

// SetBackupStatus changes a backup's status and fail reason, whatever they
// are.
func (tx *Tx) SetBackupStatus(ctx context.Context, id string, to backup.Status, failReason string) error {
	return backups.one(ctx, tx, id, "UPDATE backups SET status = $1, fail_reason = $2, updated_at = $3 WHERE id = $4",
		args{string(to), failReason, tx.now.UnixMicro(), id})
}

// DeletedBackups returns up to limit backups that are deleted but not purged,
// the longest deleted first.
func (tx *Tx) DeletedBackups(ctx context.Context, limit int) ([]backup.Backup, error) {
	return backups.all(ctx, tx, backups.selectSQL()+" WHERE r.status = 'deleted' ORDER BY r.updated_at, r.id LIMIT $1", args{int64(limit)})
}

// PurgeBackup forgets a deleted backup and its record. One that is pinned is
// an error of kind Conflict; one that is unknown is none.
func (tx *Tx) PurgeBackup(ctx context.Context, id string) error {
	b, err := tx.AnyBackup(ctx, id)
	if backup.KindOf(err) == backup.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if b.Status != backup.Deleted {
		return backup.Errorf(backup.Conflict, "backup %s is %s and can't be purged", id, b.Status)
	}
	pinned, err := tx.Pinned(ctx, id)
	if err != nil {
		return err
	}
	if pinned {
		return backup.Errorf(backup.Conflict, "backup %s is in use and can't be purged", id)
	}
	if _, err := tx.Exec(ctx, "DELETE FROM backups WHERE id = $1", id); err != nil {
		return fmt.Errorf("purge backup %s: %w", id, err)
	}
	return nil
}

// Record says where a backup's data is. Object is empty until the backup is
// whole.
type Record struct {
	Vault       ID
	Object      string   // name of the record object
	Hash        [32]byte // of its content
	Map         []byte   // where its map begins; empty: the record says it
	SourceState string   // the immutable instant that was read, or empty
	JobID       string   // the job that wrote it
}

// BackupRecord returns the record of a backup, deleted ones included; it is
// empty while the backup has none.
func (tx *Tx) BackupRecord(ctx context.Context, id string) (Record, error) {
	var r Record
	row := tx.QueryRow(ctx, "SELECT vault_id, object, hash, map, source_state, job_id FROM backup_records WHERE backup_id = $1", id)
	err := row.Scan(Cell{&r.Vault}, &r.Object, Cell{&r.Hash}, &r.Map, &r.SourceState, &r.JobID)
	if errors.Is(err, sql.ErrNoRows) {
		_, err := tx.AnyBackup(ctx, id)
		return Record{}, err
	}
	if err != nil {
		return Record{}, fmt.Errorf("read the record of backup %s: %w", id, err)
	}
	return r, nil
}

// SetBackupRecord says where a backup's data is.
func (tx *Tx) SetBackupRecord(ctx context.Context, id string, r Record) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO backup_records (backup_id, vault_id, object, hash, map, source_state, job_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (backup_id) DO UPDATE SET vault_id = excluded.vault_id, object = excluded.object,
			hash = excluded.hash, map = excluded.map, source_state = excluded.source_state, job_id = excluded.job_id`,
		id, Cell{&r.Vault}, r.Object, Cell{&r.Hash}, r.Map, r.SourceState, r.JobID)
	if err != nil {
		return fmt.Errorf("write the record of backup %s: %w", id, err)
	}
	return nil
}
