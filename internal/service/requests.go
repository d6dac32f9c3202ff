package service

import "holdfast/internal/backup"

// List says which resources of a kind are wanted, and in which order.
type List struct {
	AllProjects bool // honoured for admins, ignored for others
	Filters     []Filter
	Sort        []Sort // empty: newest first
	Limit       int    // 0 and below: none are returned
	Offset      int
	Marker      string // id of the last resource of the page before
	Count       bool   // also count what matches, all pages together
}

// Filter keeps resources whose field has one of the values. Fields are
// named as the block storage API names them: "name", "status", "volume_id",
// "metadata" (Key names which), "project_id" and so on. An unknown field
// matches nothing.
type Filter struct {
	Field  string
	Key    string
	Values []string
}

// Sort is one key of an order.
type Sort struct {
	Field string
	Desc  bool
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	Count int // of all that match, where List.Count asked for it
}

// NewVolume asks for a volume.
type NewVolume struct {
	Name           string
	Description    string
	SizeGiB        int64 // 0: as large as what it is made from
	Type           string
	Zone           string
	SnapshotID     string
	SourceVolumeID string
	BackupID       string
	ImageID        string
	Metadata       map[string]string
}

// Update changes what people call a resource; nil fields stay.
type Update struct {
	Name        *string
	Description *string
	Metadata    map[string]string // nil: stays; else replaces all
}

// NewSnapshot asks for a snapshot.
type NewSnapshot struct {
	VolumeID    string
	Name        string
	Description string
	Force       bool // also of a volume that is in use
	Metadata    map[string]string
}

// NewBackup asks for a backup.
type NewBackup struct {
	VolumeID    string
	SnapshotID  string
	Name        string
	Description string
	Container   string
	Zone        string
	Incremental bool
	Force       bool // also of a volume that is in use
	Metadata    map[string]string
}

// RestoreRequest asks for a backup's bytes on a volume.
type RestoreRequest struct {
	VolumeID string // empty: a new volume
	Name     string // of the new volume; empty: restore_backup_<id>
}

// Restored names the volume that a restore writes.
type Restored struct {
	BackupID   string
	VolumeID   string
	VolumeName string
}

// ServiceInfo is a row of the services list.
type ServiceInfo struct {
	Binary         string // as Cinder names it: cinder-backup, cinder-volume, cinder-scheduler
	Host           string
	Zone           string
	Enabled        bool
	Up             bool
	UpdatedAt      int64 // Unix microseconds
	DisabledReason string
}

// Usages maps quota resources to their limits and use.
type Usages map[string]backup.Usage
