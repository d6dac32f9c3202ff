package backup

// Reason names the rule that an Error reports, so that each face can word it
// as its own service does. The comment lists the keys of Error.Args.
type Reason string

// The rules.
const (
	VolumeNotFound   Reason = "volume not found"   // id
	SnapshotNotFound Reason = "snapshot not found" // id
	BackupNotFound   Reason = "backup not found"   // id
	TypeNotFound     Reason = "type not found"     // id
	KeyNotFound      Reason = "metadata key not found"

	PolicyDenied Reason = "policy denied" // rule

	VolumeNotReady         Reason = "volume not ready"          // id, status: neither available nor in-use, for a backup
	VolumeInUse            Reason = "volume in use"             // id: a backup of it needs force
	VolumeBusy             Reason = "volume busy"               // id, status, action: delete, extend, snapshot, update, reset
	VolumeHasSnapshots     Reason = "volume has snapshots"      // id
	SnapshotNotReady       Reason = "snapshot not ready"        // id, status: not available, for a backup or a volume
	SnapshotBusy           Reason = "snapshot busy"             // id, status, action
	SnapshotOfOther        Reason = "snapshot of other volume"  // volume_id, snapshot_volume_id
	NoParent               Reason = "no parent"                 // incremental without an earlier backup
	BackupNotDeletable     Reason = "backup not deletable"      // id, status
	BackupHasDependents    Reason = "backup has dependents"     // id
	BackupNotRestorable    Reason = "backup not restorable"     // id, status
	RestoreTargetNotReady  Reason = "restore target not ready"  // id, status
	RestoreTargetTooSmall  Reason = "restore target too small"  // size, backup_size (GiB)
	BackupIncomplete       Reason = "backup incomplete"         // id: reset to available, but it was never stored whole
	BackupStatusInvalid    Reason = "backup status invalid"     // status: not one that can be set
	SizeTooSmall           Reason = "size too small"            // size, source, source_size (GiB); source: snapshot, volume, backup
	SizeNotGrowing         Reason = "size not growing"          // size, current (GiB)
	BackupCountExceeded    Reason = "backup count exceeded"     // limit
	BackupBytesExceeded    Reason = "backup gigabytes exceeded" // requested, limit, used (GiB)
	VolumeCountExceeded    Reason = "volume count exceeded"     // limit
	VolumeBytesExceeded    Reason = "volume gigabytes exceeded" // requested, limit, used (GiB)
	VolumeSizeExceeded     Reason = "volume size exceeded"      // requested, limit (GiB): one volume's ceiling
	SnapshotCountExceeded  Reason = "snapshot count exceeded"   // limit
	QuotaKeyUnknown        Reason = "quota key unknown"         // keys, comma-separated
	QuotaBelowUse          Reason = "quota below use"           // resource, used, limit
	MarkerNotFound         Reason = "marker not found"          // id
	SnapshotOfInUse        Reason = "snapshot of in-use volume" // id: needs force
	ImageSourceUnsupported Reason = "image source unsupported"  // id
)
