package blockstorage

import (
	"strings"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/service"
)

// What Cinder's schemas ask of texts.
var (
	nameRule        = kit.TextRule{Trim: true}
	descriptionRule = kit.TextRule{Trim: true, Printable: true}
	textRule        = kit.TextRule{}
)

// firstText reads a text that has an older name too; the newer one counts.
func firstText(o *kit.Object, rule kit.TextRule, key, older string) kit.Field[string] {
	first, second := o.Text(key, rule), o.Text(older, rule)
	if first.Set {
		return first
	}
	return second
}

// decodeNewVolume reads {"volume":{…}}. Before 3.53 unknown keys are
// accepted, as Cinder did.
func decodeNewVolume(body *kit.Object, v kit.Version) (service.NewVolume, error) {
	o := body.Child("volume")
	n := service.NewVolume{
		Name:           firstText(o, nameRule, "name", "display_name").Value,
		Description:    firstText(o, nameRule, "description", "display_description").Value,
		SizeGiB:        o.Int("size", kit.IntRule{Min: 1}).Value,
		Type:           o.Text("volume_type", textRule).Value,
		Zone:           o.Text("availability_zone", kit.TextRule{Min: 1}).Value,
		SnapshotID:     o.UUID("snapshot_id", false).Value,
		SourceVolumeID: o.UUID("source_volid", false).Value,
		BackupID:       o.UUID("backup_id", false).Value,
		ImageID:        imageID(o),
		Metadata:       o.Metadata("metadata", kit.MetadataRule{}).Value,
	}
	multiattach := !o.IsNull("multiattach") && o.Bool("multiattach").Value
	group := o.Text("group_id", textRule).Value + o.UUID("consistencygroup_id", false).Value
	if v.AtLeast(strictVolumes) {
		o.Only("name", "description", "display_name", "display_description", "volume_type", "metadata",
			"snapshot_id", "source_volid", "consistencygroup_id", "group_id", "size", "availability_zone",
			"multiattach", "image_id", "imageRef", "backup_id")
	}
	body.Only("volume", "OS-SCH-HNT:scheduler_hints")
	if err := o.Err(); err != nil {
		return n, err
	}
	switch {
	case multiattach:
		return n, badRequest("multiattach parameter has been removed. The default behavior is to use multiattach enabled " +
			"volume types. Contact your administrator to create a multiattach enabled volume type and use it to create " +
			"multiattach volumes.")
	case group != "": // there are none
		return n, notFound("Group %s could not be found.", clip(group))
	case n.BackupID != "" && !v.AtLeast(volumeFromBackup):
		// Other keys that are too new are dropped silently. Dropping this one
		// would leave an empty volume where somebody expects their data.
		return n, badRequest("Invalid input for field/attribute backup_id. Value: %s. Volumes are made from backups "+
			"from version %s on", n.BackupID, volumeFromBackup)
	case n.SizeGiB == 0 && n.SnapshotID == "" && n.SourceVolumeID == "" && n.BackupID == "" && n.ImageID == "":
		return n, badRequest("Invalid input received: Volume size 'None' must be an integer and greater than 0")
	}
	return n, nil
}

// imageID reads imageRef: an image's id, or an address that ends in one.
func imageID(o *kit.Object) string {
	ref := o.Text("imageRef", textRule).Value
	if id := ref[strings.LastIndexByte(ref, '/')+1:]; id != "" {
		return id
	}
	return ref
}

// decodeVolumeUpdate reads {"volume":{…}}, which from 3.53 on must change
// something.
func decodeVolumeUpdate(body *kit.Object, v kit.Version) (service.Update, error) {
	o := body.Child("volume")
	u := service.Update{
		Name:        firstText(o, nameRule, "name", "display_name").Pointer(),
		Description: firstText(o, nameRule, "description", "display_description").Pointer(),
		Metadata:    o.Metadata("metadata", kit.MetadataRule{NotNull: true}).Value,
	}
	o.Only("name", "description", "display_name", "display_description", "metadata")
	if v.AtLeast(strictVolumes) {
		requireChange(o, "volume")
	}
	body.Only("volume")
	return u, o.Err()
}

// requireChange refuses an update that names nothing.
func requireChange(o *kit.Object, name string) {
	if len(o.Keys()) == 0 {
		o.Fail(badRequest("Invalid input for field/attribute %s. Value: {}. {} is not valid under any of the given schemas", name))
	}
}

// decodeNewSnapshot reads {"snapshot":{…}}. From 3.66 on a volume in use
// needs no force, and to refuse force is an error.
func decodeNewSnapshot(body *kit.Object, v kit.Version) (service.NewSnapshot, error) {
	o := body.Child("snapshot")
	force := o.Bool("force")
	n := service.NewSnapshot{
		VolumeID:    o.UUID("volume_id", false).Value,
		Name:        firstText(o, nameRule, "name", "display_name").Value,
		Description: o.Text("description", descriptionRule).Value,
		Force:       force.Value,
		Metadata:    o.Metadata("metadata", kit.MetadataRule{}).Value,
	}
	o.Require("volume_id")
	o.Only("name", "display_name", "description", "volume_id", "force", "metadata")
	body.Only("snapshot")
	if err := o.Err(); err != nil {
		return n, err
	}
	if o.IsNull("volume_id") {
		return n, notFound("Volume None could not be found.")
	}
	if v.AtLeast(snapshotInUseUnasked) {
		if force.Set && !force.Value {
			return n, badRequest("Since microversion %s the 'force' flag is invalid for this request.  For backward "+
				"compatability, however, when the 'force' flag is passed with a value evaluating to True, it is silently "+
				"ignored.", snapshotInUseUnasked)
		}
		n.Force = true
	}
	return n, nil
}

// decodeSnapshotUpdate reads {"snapshot":{…}}, which must change something.
func decodeSnapshotUpdate(body *kit.Object) (service.Update, error) {
	o := body.Child("snapshot")
	u := service.Update{
		Name:        firstText(o, nameRule, "name", "display_name").Pointer(),
		Description: firstText(o, descriptionRule, "description", "display_description").Pointer(),
	}
	o.Only("name", "description", "display_name", "display_description")
	requireChange(o, "snapshot")
	body.Only("snapshot")
	return u, o.Err()
}

// decodeNewBackup reads {"backup":{…}}.
func decodeNewBackup(body *kit.Object, v kit.Version) (service.NewBackup, error) {
	o := body.Child("backup")
	keys := []string{"volume_id", "container", "description", "incremental", "force", "name", "snapshot_id"}
	if v.AtLeast(backupMetadata) {
		keys = append(keys, "metadata")
	}
	if v.AtLeast(backupZone) {
		keys = append(keys, "availability_zone")
	}
	n := service.NewBackup{
		VolumeID:    o.UUID("volume_id", true).Value,
		SnapshotID:  o.UUID("snapshot_id", false).Value,
		Name:        o.Text("name", nameRule).Value,
		Description: o.Text("description", descriptionRule).Value,
		Container:   o.Text("container", textRule).Value,
		Zone:        o.Text("availability_zone", textRule).Value,
		Incremental: o.Bool("incremental").Value,
		Force:       o.Bool("force").Value,
		Metadata:    o.Metadata("metadata", kit.MetadataRule{}).Value,
	}
	o.Require("volume_id")
	o.Only(keys...)
	body.Only("backup")
	return n, o.Err()
}

// decodeBackupUpdate reads {"backup":{…}}. The widespread Go client sends
// the inner object alone, which Cinder refuses and this face takes.
func decodeBackupUpdate(body *kit.Object, v kit.Version) (service.Update, error) {
	keys := []string{"name", "description"}
	if v.AtLeast(backupMetadata) {
		keys = append(keys, "metadata")
	}
	o, wrapped := body, body.Has("backup") || len(body.Keys()) == 0
	if wrapped {
		o = body.Child("backup")
	}
	u := service.Update{
		Name:        o.Text("name", nameRule).Pointer(),
		Description: o.Text("description", descriptionRule).Pointer(),
		Metadata:    o.Metadata("metadata", kit.MetadataRule{NotNull: true}).Value,
	}
	o.Only(keys...)
	if wrapped {
		body.Only("backup")
	}
	return u, o.Err()
}

// decodeRestore reads {"restore":{…}}; {"restore":null} asks for nothing
// special.
func decodeRestore(body *kit.Object) (service.RestoreRequest, error) {
	if body.IsNull("restore") {
		body.Only("restore")
		return service.RestoreRequest{}, body.Err()
	}
	o := body.Child("restore")
	req := service.RestoreRequest{
		VolumeID: o.UUID("volume_id", false).Value,
		Name:     o.Text("name", nameRule).Value,
	}
	o.Only("volume_id", "name")
	body.Only("restore")
	return req, o.Err()
}

// decodeStatus reads the status that {"os-reset_status":{"status":…}} asks
// for, in any case.
func decodeStatus(body *kit.Object) (backup.Status, error) {
	o := body.Child(resetStatus)
	status := o.Text("status", kit.TextRule{NotNull: true}).Value
	o.Require("status")
	o.Only("status")
	return backup.Status(strings.ToLower(status)), o.Err()
}

// decodeVolumeStatus reads what a volume's os-reset_status asks for. Volumes
// here have no other status than their own: the two that Cinder keeps beside
// it can't be reset.
func decodeVolumeStatus(body *kit.Object) (backup.Status, error) {
	o := body.Child(resetStatus)
	status := o.Text("status", textRule).Value
	attach, migration := o.Text("attach_status", textRule).Value, o.Text("migration_status", textRule).Value
	o.Only("status", "attach_status", "migration_status")
	switch {
	case o.Err() != nil:
	case attach != "", migration != "":
		return "", badRequest("attach_status and migration_status can't be reset.")
	case status == "":
		return "", badRequest("Must specify 'status', 'attach_status' or 'migration_status' for update.")
	}
	return backup.Status(strings.ToLower(status)), o.Err()
}
