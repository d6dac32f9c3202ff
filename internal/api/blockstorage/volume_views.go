package blockstorage

import (
	"strconv"

	"holdfast/internal/backup"
)

func (v view) volumeSummary(vol backup.Volume) object {
	return object{"id": vol.ID, "name": orNull(vol.Name), "links": v.links("volumes", vol.ID)}
}

// volume is what create and update answer. Its keys are a closed set: what
// clients' schemas do not list must not appear.
func (v view) volume(vol backup.Volume) object {
	o := object{
		"id":                  vol.ID,
		"name":                orNull(vol.Name),
		"description":         orNull(vol.Description),
		"status":              vol.Status,
		"size":                vol.SizeGiB,
		"availability_zone":   orNull(vol.Zone),
		"created_at":          timestamp(vol.CreatedAt),
		"updated_at":          timestampOrNull(vol.UpdatedAt),
		"volume_type":         orNull(vol.Type),
		"snapshot_id":         orNull(vol.SnapshotID),
		"source_volid":        orNull(vol.SourceVolumeID),
		"metadata":            orEmpty(vol.Metadata),
		"links":               v.links("volumes", vol.ID),
		"user_id":             vol.UserID,
		"bootable":            strconv.FormatBool(vol.Bootable), // a string on this wire
		"encrypted":           false,
		"replication_status":  nil,
		"consistencygroup_id": nil,
		"multiattach":         false,
		"attachments":         []object{},
	}
	if v.admin {
		o["migration_status"] = nil
	}
	if v.version.AtLeast(volumeGroup) {
		o["group_id"] = nil
	}
	if v.admin && v.version.AtLeast(volumeProvider) {
		o["provider_id"] = nil
	}
	if v.version.AtLeast(volumeSharedTargets) {
		o["service_uuid"] = nil
		o["shared_targets"] = false
	}
	if v.admin && v.version.AtLeast(volumeCluster) {
		o["cluster_name"] = nil
	}
	if v.version.AtLeast(volumeTypeID) {
		o["volume_type_id"] = orNull(v.typeIDs[vol.Type])
	}
	if v.version.AtLeast(consumesQuota) {
		o["consumes_quota"] = true
	}
	return o
}

// volumeDetail is what show and detail answer: the attributes that Cinder
// adds to them alone come on top.
func (v view) volumeDetail(vol backup.Volume) object {
	o := v.volume(vol)
	if v.admin {
		o["os-vol-host-attr:host"] = v.host
		o["os-vol-tenant-attr:tenant_id"] = vol.ProjectID
		o["os-vol-mig-status-attr:migstat"] = nil
		o["os-vol-mig-status-attr:name_id"] = nil
	}
	return o
}
