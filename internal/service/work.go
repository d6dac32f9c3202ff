package service

// The kinds of jobs. Each names the resource it works on as its subject.
const (
	JobVolumeCreate   = "volume.create"   // subject: volume
	JobVolumeDelete   = "volume.delete"   // subject: volume
	JobVolumeExtend   = "volume.extend"   // subject: volume
	JobSnapshotCreate = "snapshot.create" // subject: snapshot
	JobSnapshotDelete = "snapshot.delete" // subject: snapshot
	JobBackupCapture  = "backup.capture"  // subject: backup; fixes the instant
	JobBackupStore    = "backup.store"    // subject: backup; reads it into the vault
	JobBackupDelete   = "backup.delete"   // subject: backup
	JobBackupRestore  = "backup.restore"  // subject: backup
	JobPathBackup     = "path.backup"     // subject: backup; the source is a path of this host
	JobPathRestore    = "path.restore"    // subject: backup; the target is a path of this host
)

// VolumeWork is the payload of a volume's jobs.
type VolumeWork struct {
	VolumeID       string `json:"volume_id"`
	SnapshotID     string `json:"snapshot_id,omitempty"`      // create from it
	SourceVolumeID string `json:"source_volume_id,omitempty"` // create from it
	Bytes          int64  `json:"bytes"`                      // size to create or to grow to
}

// SnapshotWork is the payload of a snapshot's jobs.
type SnapshotWork struct {
	SnapshotID string `json:"snapshot_id"`
	VolumeID   string `json:"volume_id"`
}

// BackupWork is the payload of a backup's jobs. The worker reads all else
// from the backup's row.
type BackupWork struct {
	BackupID string `json:"backup_id"`
	Path     string `json:"path,omitempty"` // of a path job
}

// RestoreWork is the payload of a restore.
type RestoreWork struct {
	BackupID string `json:"backup_id"`
	VolumeID string `json:"volume_id"`
	New      bool   `json:"new"`            // the volume was made for this restore
	Path     string `json:"path,omitempty"` // of a path job
}

// Lanes keep jobs that touch the same files in the order they were asked
// for, one at a time.
func volumeLane(id string) string { return "volume:" + id }
func vaultLane(id string) string  { return "backups of:" + id }
func deleteLane(id string) string { return "backup:" + id }
