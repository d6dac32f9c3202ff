package blockstorage

import (
	"holdfast/internal/backup"
	"holdfast/internal/service"
)

func (v view) backupSummary(b backup.Backup) object {
	return object{"id": b.ID, "name": orNull(b.Name), "links": v.links("backups", b.ID)}
}

// backupDetail is what show and detail answer.
func (v view) backupDetail(b backup.Backup) object {
	o := object{
		"id":                    b.ID,
		"status":                b.Status,
		"size":                  b.SizeGiB,
		"object_count":          b.ObjectCount,
		"availability_zone":     orNull(b.Zone),
		"container":             orNull(b.Container),
		"created_at":            timestamp(b.CreatedAt),
		"updated_at":            timestampOrNull(b.UpdatedAt),
		"name":                  orNull(b.Name),
		"description":           orNull(b.Description),
		"fail_reason":           orNull(b.FailReason),
		"volume_id":             b.VolumeID,
		"links":                 v.links("backups", b.ID),
		"is_incremental":        b.Incremental,
		"has_dependent_backups": b.HasDependents,
		"snapshot_id":           orNull(b.SnapshotID),
		"data_timestamp":        timestampOrNull(b.DataTimestamp),
	}
	if v.admin && v.version.AtLeast(backupProject) {
		o["os-backup-project-attr:project_id"] = b.ProjectID
	}
	if v.version.AtLeast(backupMetadata) {
		o["metadata"] = orEmpty(b.Metadata)
	}
	if v.admin && v.version.AtLeast(backupUser) {
		o["user_id"] = b.UserID
	}
	return o
}

func restoreView(r service.Restored) object {
	return object{"backup_id": r.BackupID, "volume_id": r.VolumeID, "volume_name": r.VolumeName}
}
