package backup

// Status is a resource's state as the block storage API spells it.
type Status string

// Statuses of volumes, snapshots and backups
// (https://docs.openstack.org/api-ref/block-storage/v3/).
const (
	Creating        Status = "creating"
	Available       Status = "available"
	InUse           Status = "in-use"
	BackingUp       Status = "backing-up"
	RestoringBackup Status = "restoring-backup"
	Restoring       Status = "restoring"
	Extending       Status = "extending"
	Deleting        Status = "deleting"
	Deleted         Status = "deleted" // never shown: the row stays while a job still needs it
	Errored         Status = "error"
	ErrorDeleting   Status = "error_deleting"
	ErrorRestoring  Status = "error_restoring"
	ErrorExtending  Status = "error_extending"
)

type moves map[Status][]Status

// The legal moves. A status that is absent is final.
var (
	volumeMoves = moves{
		Creating:        {Available, Errored, RestoringBackup, Deleting},
		Available:       {BackingUp, RestoringBackup, Extending, InUse, Deleting, Errored},
		InUse:           {BackingUp, Available, Extending, Errored},
		BackingUp:       {Available, InUse, Errored, Deleting},
		RestoringBackup: {Available, Errored, ErrorRestoring, Deleting},
		Extending:       {Available, InUse, ErrorExtending},
		Errored:         {Available, Deleting},
		ErrorRestoring:  {Available, Deleting, RestoringBackup},
		ErrorExtending:  {Available, Deleting},
		ErrorDeleting:   {Available, Errored, Deleting},
		Deleting:        {Deleted, ErrorDeleting},
	}
	snapshotMoves = moves{
		Creating:      {Available, Errored, Deleting},
		Available:     {BackingUp, Deleting, Errored},
		BackingUp:     {Available, Errored},
		Errored:       {Available, Deleting},
		ErrorDeleting: {Available, Errored, Deleting},
		Deleting:      {Deleted, ErrorDeleting},
	}
	backupMoves = moves{
		Creating:      {Available, Errored, Deleting},
		Available:     {Restoring, Deleting, Errored},
		Restoring:     {Available, Errored, Deleting},
		Errored:       {Available, Deleting},
		Deleting:      {Deleted, Errored, ErrorDeleting},
		ErrorDeleting: {Deleting, Available, Errored},
	}
)

func (m moves) ok(from, to Status) bool {
	for _, s := range m[from] {
		if s == to {
			return true
		}
	}
	return false
}

// VolumeMove reports whether a volume may go from one status to another.
func VolumeMove(from, to Status) bool { return volumeMoves.ok(from, to) }

// SnapshotMove reports whether a snapshot may go from one status to another.
func SnapshotMove(from, to Status) bool { return snapshotMoves.ok(from, to) }

// BackupMove reports whether a backup may go from one status to another.
func BackupMove(from, to Status) bool { return backupMoves.ok(from, to) }
