package backup

import "time"

// GiB is the unit of volume sizes at the faces.
const GiB = 1 << 30

// Volume is a block device of the inventory.
type Volume struct {
	ID             string // UUID
	ProjectID      string
	UserID         string
	Name           string
	Description    string
	Status         Status
	PreviousStatus Status // what Status goes back to after backing-up
	SizeGiB        int64
	Type           string // name of its volume type
	Zone           string // availability zone
	Bootable       bool
	Metadata       map[string]string
	SnapshotID     string // the snapshot it was made from, or empty
	SourceVolumeID string // the volume it was made from, or empty
	BackupID       string // the backup it was made from, or empty
	CreatedAt      time.Time
	UpdatedAt      time.Time // zero: never changed
}

// Snapshot is an instant of a volume, kept in the inventory.
type Snapshot struct {
	ID          string
	ProjectID   string
	UserID      string
	VolumeID    string
	Name        string
	Description string
	Status      Status
	SizeGiB     int64
	Metadata    map[string]string
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Backup is a recovery point of one volume. Every backup is complete in
// itself; ParentID is the label that clients see as is_incremental.
type Backup struct {
	ID              string
	ProjectID       string
	UserID          string
	VolumeID        string
	VolumeName      string // the volume's name at that moment
	SnapshotID      string // the snapshot it was taken from, or empty
	ParentID        string // the backup it continues; kept when that one is deleted
	Incremental     bool
	HasDependents   bool // computed: another backup, neither failed nor deleted, names this one as parent
	Name            string
	Description     string
	Container       string // a label, never a path
	Status          Status
	FailReason      string
	SizeGiB         int64 // the volume's size
	Bytes           int64 // the volume's exact size
	ObjectCount     int64
	Zone            string
	Metadata        map[string]string
	VolumeMetadata  map[string]string
	VolumeBootable  bool
	VolumeDesc      string
	RestoreVolumeID string    // the target while Restoring
	DataTimestamp   time.Time // the instant that it holds
	CreatedAt       time.Time
	UpdatedAt       time.Time
	Stats           Stats
}

// Stats counts what taking a backup did, in bytes.
type Stats struct {
	Read   int64 `json:"read"`   // from the source
	New    int64 `json:"new"`    // of these, in blocks that the vault did not have
	Stored int64 `json:"stored"` // added to the store, all metadata included
}

// VolumeType is a kind of volume that tenants may ask for.
type VolumeType struct {
	ID          string
	Name        string
	Description string
	Public      bool
	ExtraSpecs  map[string]string
}

// Usage is a project's limit of one resource beside what it uses.
// Limit -1 is unlimited.
type Usage struct {
	Limit    int64
	InUse    int64
	Reserved int64
}

// The quota resources, as the block storage API names them.
const (
	QuotaVolumes         = "volumes"
	QuotaGigabytes       = "gigabytes"
	QuotaSnapshots       = "snapshots"
	QuotaBackups         = "backups"
	QuotaBackupGigabytes = "backup_gigabytes"
	QuotaPerVolume       = "per_volume_gigabytes"
	QuotaGroups          = "groups"
)

// Caller is who asks: the content of a validated token.
type Caller struct {
	UserID      string
	UserName    string
	ProjectID   string // empty: the token has no scope
	ProjectName string
	Roles       []string
	RequestID   string
}

// Has reports whether the caller holds a role.
func (c Caller) Has(role string) bool {
	for _, r := range c.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// Admin reports whether the caller administers the installation.
func (c Caller) Admin() bool { return c.Has("admin") }
