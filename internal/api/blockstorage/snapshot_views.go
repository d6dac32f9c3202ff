package blockstorage

import "holdfast/internal/backup"

// snapshot is what create, update and the plain list answer.
func (v view) snapshot(s backup.Snapshot) object {
	o := object{
		"id":          s.ID,
		"name":        orNull(s.Name),
		"description": orNull(s.Description),
		"status":      s.Status,
		"created_at":  timestamp(s.CreatedAt),
		"updated_at":  timestampOrNull(s.UpdatedAt),
		"volume_id":   s.VolumeID,
		"size":        s.SizeGiB,
		"metadata":    orEmpty(s.Metadata),
	}
	if v.version.AtLeast(snapshotGroup) {
		o["group_snapshot_id"] = nil
	}
	if v.version.AtLeast(snapshotUser) {
		o["user_id"] = s.UserID
	}
	if v.version.AtLeast(consumesQuota) {
		o["consumes_quota"] = true
	}
	return o
}

// snapshotDetail is what show and detail answer.
func (v view) snapshotDetail(s backup.Snapshot) object {
	o := v.snapshot(s)
	o["os-extended-snapshot-attributes:project_id"] = s.ProjectID
	o["os-extended-snapshot-attributes:progress"] = progress(s.Status)
	return o
}

func progress(s backup.Status) string {
	if s == backup.Creating || s == backup.Errored {
		return "0%"
	}
	return "100%"
}
