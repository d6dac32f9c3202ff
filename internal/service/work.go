package service

// The kinds of jobs. Each names the resource it works on as its subject.
const (
	JobVolumeCreate   = "volume.create"   // subject: volume
	JobVolumeDelete   = "volume.delete"   // subject: volume
	JobVolumeExtend   = "volume.extend"   // subject: volume
	JobVolumeTidy     = "volume.tidy"     // subject: volume; removes captured instants that nothing needs
	JobSnapshotCreate = "snapshot.create" // subject: snapshot
	JobSnapshotDelete = "snapshot.delete" // subject: snapshot
	JobBackupCapture  = "backup.capture"  // subject: backup; fixes the instant
	JobBackupStore    = "backup.store"    // subject: backup; reads it into the vault
	JobBackupDelete   = "backup.delete"   // subject: backup
	JobBackupRestore  = "backup.restore"  // subject: backup
	JobPathBackup     = "path.backup"     // subject: backup; the source is a path of this host
	JobPathRestore    = "path.restore"    // subject: backup; the target is a path of this host
	JobVaultCollect   = "vault.collect"   // subject: vault; frees what no backup needs
	JobVaultMaintain  = "vault.maintain"  // subject: vault; collects, merges, and has a sample verified
	JobVaultVerify    = "vault.verify"    // subject: vault
	JobVaultHeal      = "vault.heal"      // subject: vault; of packs that are marked as damaged
)

// VolumeWork is the payload of a volume's jobs.
type VolumeWork struct {
	VolumeID       string `json:"volume_id"`
	SnapshotID     string `json:"snapshot_id,omitempty"`      // create from it
	SourceVolumeID string `json:"source_volume_id,omitempty"` // create from it
	Bytes          int64  `json:"bytes"`                      // size to create or to grow to
	Before         int64  `json:"before,omitempty"`           // size to grow from
}

// SnapshotWork is the payload of a snapshot's jobs.
type SnapshotWork struct {
	SnapshotID string `json:"snapshot_id"`
	VolumeID   string `json:"volume_id"`
}

// BackupWork is the payload of a backup's jobs. The worker reads all else
// from the backup's row; what the end of the job has to give back is here,
// since the row may be gone by then.
type BackupWork struct {
	BackupID   string `json:"backup_id"`
	VolumeID   string `json:"volume_id,omitempty"`   // the source, of the inventory
	SnapshotID string `json:"snapshot_id,omitempty"` // the source where it is not the volume as it is now
	Path       string `json:"path,omitempty"`        // of a path job; "-" for a stream that only the process has which asked
	ParentID   string `json:"parent_id,omitempty"`   // of a path job: what it is compared with; empty: the newest of its volume
}

// captures reports whether the job's source is an instant that is captured
// for it.
func (w BackupWork) captures() bool { return w.VolumeID != "" && w.SnapshotID == "" }

// RestoreWork is the payload of a restore.
type RestoreWork struct {
	BackupID string `json:"backup_id"`
	VolumeID string `json:"volume_id"`
	New      bool   `json:"new"`              // the volume was made for this restore
	Path     string `json:"path,omitempty"`   // of a path job
	Offset   int64  `json:"offset,omitempty"` // of a path job: what of the backup is restored, to the target's beginning
	Length   int64  `json:"length,omitempty"` // 0: all of the backup
}

// VaultWork is the payload of a vault's jobs.
type VaultWork struct {
	VaultID  string   `json:"vault_id"`            // 32 hexadecimal digits
	ReadData bool     `json:"read_data,omitempty"` // verify: read all data
	Sample   float64  `json:"sample,omitempty"`    // verify, maintain: without that, the share of the data to read, 0 to 1
	Backups  []string `json:"backups,omitempty"`   // verify: these alone
	Alone    bool     `json:"alone,omitempty"`     // nothing is asked for that follows from it: the caller does
}

// Lanes keep jobs that touch the same files in the order they were asked
// for, one at a time.
func volumeLane(id string) string { return "volume:" + id }
func vaultLane(id string) string  { return "backups of:" + id }
func deleteLane(id string) string { return "backup:" + id }
func pathLane(path string) string { return "path:" + path }

func collectLane(vault string) string { return "vault:" + vault }
func verifyLane(vault string) string  { return "verify:" + vault }
