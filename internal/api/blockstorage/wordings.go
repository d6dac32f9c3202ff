package blockstorage

import (
	"errors"
	"maps"
	"net/http"
	"strings"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

// wording is how Cinder words one broken rule: a status and a text in which
// {name} stands for the error's argument of that name.
type wording struct {
	code int
	text string
}

// situation is what a rule was broken in, where the same rule is worded
// differently there. The zero situation is every other one.
type situation string

const (
	inBackupList   situation = "backup list"
	inVolumeList   situation = "volume list"
	inSnapshotList situation = "snapshot list"
	inVolumeCreate situation = "volume create"
	inRestore      situation = "restore"
)

// situationArg is the argument under which an error carries its situation.
const situationArg = "situation"

// in returns err with the situation that the caller was in, by which its
// words may differ.
func in(s situation, err error) error {
	var e *backup.Error
	if !errors.As(err, &e) {
		return err
	}
	told := *e
	told.Args = maps.Clone(e.Args)
	if told.Args == nil {
		told.Args = map[string]string{}
	}
	told.Args[situationArg] = string(s)
	told.Err = err
	return &told
}

// broken names a row of wordings: a rule, the variant that the service tells
// by an argument ("action" or "source"), and the situation.
type broken struct {
	reason  backup.Reason
	variant string
	where   situation
}

// What Cinder answers to any deletion of a volume that it refuses, whichever
// of the listed conditions was the one.
const volumeNotDeletable = "Invalid volume: Volume status must be available or error or error_restoring or " +
	"error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, " +
	"awaiting a transfer, or be disassociated from snapshots after volume transfer."

// wordings is the closed table of what each broken rule looks like on the
// wire. The texts are Cinder's, byte for byte: clients and test suites search
// them. A rule without a row falls back to its kind.
var wordings = map[broken]wording{
	{reason: backup.VolumeNotFound}:   {http.StatusNotFound, "Volume {id} could not be found."},
	{reason: backup.SnapshotNotFound}: {http.StatusNotFound, "Snapshot {id} could not be found."},
	{reason: backup.BackupNotFound}:   {http.StatusNotFound, "Backup {id} could not be found."},
	{reason: backup.TypeNotFound}:     {http.StatusNotFound, "Volume type {id} could not be found."},

	// A marker is just another resource that is looked up.
	{reason: backup.MarkerNotFound, where: inBackupList}:   {http.StatusNotFound, "Backup {id} could not be found."},
	{reason: backup.MarkerNotFound, where: inVolumeList}:   {http.StatusNotFound, "Volume {id} could not be found."},
	{reason: backup.MarkerNotFound, where: inSnapshotList}: {http.StatusNotFound, "Snapshot {id} could not be found."},

	{reason: backup.PolicyDenied}: {http.StatusForbidden, "Policy doesn't allow {rule} to be performed."},

	// What a resource's state forbids is a bad request in Cinder, never a
	// conflict.
	{reason: backup.VolumeNotReady}: {http.StatusBadRequest, "Invalid volume: Volume to be backed up must be available or in-use, " +
		`but the current status is "{status}".`},
	{reason: backup.VolumeInUse}:                    {http.StatusBadRequest, "Invalid volume: Backing up an in-use volume must use the force flag."},
	{reason: backup.VolumeBusy, variant: "deleted"}: {http.StatusBadRequest, volumeNotDeletable},
	// The quotes around the quotes are a Python dictionary that Cinder prints.
	{reason: backup.VolumeBusy, variant: "extended"}: {
		http.StatusBadRequest,
		"Invalid volume: Volume {id} status must be '{'status': 'available'}' to extend, currently {status}.",
	},
	{reason: backup.VolumeBusy, variant: "snapshotted"}: {
		http.StatusBadRequest,
		"Invalid volume: Volume {id} status must be available, in-use, but current status is: {status}.",
	},
	{reason: backup.VolumeBusy, variant: "copied"}: {
		http.StatusBadRequest,
		"Invalid volume: Originating source volume status must be one of 'available, in-use' values",
	},
	{reason: backup.VolumeBusy}:         {http.StatusBadRequest, "Invalid volume: Volume {id} is {status} and can't be {action}."},
	{reason: backup.VolumeHasSnapshots}: {http.StatusBadRequest, volumeNotDeletable},
	{reason: backup.SnapshotOfInUse}: {
		http.StatusBadRequest,
		"Invalid volume: Volume {id} status must be available, but current status is: in-use.",
	},

	{reason: backup.SnapshotNotReady}: {http.StatusBadRequest, "Invalid snapshot: Snapshot to be backed up must be available, " +
		`but the current status is "{status}".`},
	{reason: backup.SnapshotNotReady, where: inVolumeCreate}: {
		http.StatusBadRequest,
		"Invalid snapshot: Originating snapshot status must be one of 'available' values",
	},
	{reason: backup.SnapshotBusy, variant: "deleted"}: {
		http.StatusBadRequest,
		"Invalid snapshot: Snapshot status must be available or error and must not be part of a group.",
	},
	{reason: backup.SnapshotBusy}: {http.StatusBadRequest, "Invalid snapshot: Snapshot {id} is {status} and can't be {action}."},
	{reason: backup.SnapshotOfOther}: {
		http.StatusBadRequest,
		"Invalid volume: Volume {volume_id} does not match with snapshot.volume_id {snapshot_volume_id}.",
	},

	{reason: backup.NoParent}:            {http.StatusBadRequest, "Invalid backup: No backups available to do an incremental backup."},
	{reason: backup.BackupNotDeletable}:  {http.StatusBadRequest, "Invalid backup: Backup status must be available or error"},
	{reason: backup.BackupHasDependents}: {http.StatusBadRequest, "Invalid backup: Incremental backups exist for this backup."},
	{reason: backup.BackupNotRestorable}: {http.StatusBadRequest, "Invalid backup: Backup status must be available"},
	{reason: backup.BackupNotRestorable, where: inVolumeCreate}: {
		http.StatusBadRequest,
		"Invalid backup: Originating backup status must be one of 'available' values",
	},
	{reason: backup.RestoreTargetNotReady}: {http.StatusBadRequest, "Invalid volume: Volume to be restored to must be available"},
	{reason: backup.RestoreTargetTooSmall}: {
		http.StatusBadRequest,
		"Invalid volume: volume size {size} is too small to restore backup of size {backup_size}.",
	},
	// Cinder knows no such rule: it lets an admin declare data complete that
	// was never stored.
	{reason: backup.BackupIncomplete}: {
		http.StatusBadRequest,
		"Invalid backup: Backup {id} was never completed and can't be made available.",
	},
	{reason: backup.BackupStatusInvalid}: {
		http.StatusBadRequest,
		"Backup status: {status} is invalid, valid statuses are: ['available', 'error'].",
	},

	{reason: backup.SizeTooSmall, variant: "snapshot"}: {
		http.StatusBadRequest,
		"Invalid input received: Volume size '{size}'GB cannot be smaller than the snapshot size {source_size}GB. " +
			"They must be >= original snapshot size.",
	},
	// Two blanks before the size, as in Cinder.
	{reason: backup.SizeTooSmall, variant: "volume"}: {
		http.StatusBadRequest,
		"Invalid input received: Volume size '{size}'GB cannot be smaller than original volume size  {source_size}GB. " +
			"They must be >= original volume size.",
	},
	{reason: backup.SizeTooSmall, variant: "backup"}: {
		http.StatusBadRequest,
		"Invalid input received: Volume size {size}GB cannot be smaller than the backup size {source_size}GB. " +
			"It must be >= backup size.",
	},
	{reason: backup.SizeNotGrowing}: {
		http.StatusBadRequest,
		"Invalid input received: New size for extend must be greater than current size. (current: {current}, extended: {size}).",
	},
	{reason: backup.ImageSourceUnsupported}: {http.StatusBadRequest, "Invalid image identifier or unable to access requested image."},

	// Quotas: 413 with the name of Cinder's exception class in front, which
	// only the restore route leaves out.
	{reason: backup.BackupCountExceeded}: {
		http.StatusRequestEntityTooLarge,
		"BackupLimitExceeded: Maximum number of backups allowed ({limit}) exceeded",
	},
	{reason: backup.BackupBytesExceeded}: {
		http.StatusRequestEntityTooLarge,
		"VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. " +
			"Requested {requested}G, quota is {limit}G and {used}G has been consumed.",
	},
	{reason: backup.VolumeCountExceeded}: {
		http.StatusRequestEntityTooLarge,
		"VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota 'volumes'.",
	},
	{reason: backup.VolumeCountExceeded, where: inRestore}: {
		http.StatusRequestEntityTooLarge,
		"Maximum number of volumes allowed ({limit}) exceeded for quota 'volumes'.",
	},
	{reason: backup.VolumeBytesExceeded}: {
		http.StatusRequestEntityTooLarge,
		"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. " +
			"Requested {requested}G, quota is {limit}G and {used}G has been consumed.",
	},
	{reason: backup.VolumeBytesExceeded, where: inRestore}: {
		http.StatusRequestEntityTooLarge,
		"Requested volume or snapshot exceeds allowed gigabytes quota. " +
			"Requested {requested}G, quota is {limit}G and {used}G has been consumed.",
	},
	{reason: backup.VolumeSizeExceeded}: {
		http.StatusRequestEntityTooLarge,
		"VolumeSizeExceedsLimit: Requested volume size {requested}G is larger than maximum allowed limit {limit}G.",
	},
	{reason: backup.SnapshotCountExceeded}: {
		http.StatusRequestEntityTooLarge,
		"SnapshotLimitExceeded: Maximum number of snapshots allowed ({limit}) exceeded",
	},
	{reason: backup.QuotaKeyUnknown}: {http.StatusBadRequest, "Invalid input received: Bad key(s) in quota set: {keys}"},
	{reason: backup.QuotaBelowUse}: {http.StatusBadRequest, "Quota {resource} limit must be equal or greater than existing resources. " +
		"Current usage is {used} and the requested limit is {limit}."},

	// 404, not 503: compliance suites look for the binary's name in it.
}

// word returns the fault for an error of the service whose rule has a row,
// else nil.
func word(e *backup.Error) *kit.Fault {
	key := broken{
		reason: e.Reason, variant: e.Args["action"] + e.Args["source"], where: situation(e.Args[situationArg]),
	}
	for _, k := range []broken{
		key,
		{reason: key.reason, where: key.where},
		{reason: key.reason, variant: key.variant},
		{reason: key.reason},
	} {
		if w, ok := wordings[k]; ok {
			return fault(w.code, fill(w.text, e.Args))
		}
	}
	if e.Kind == backup.OverQuota {
		return fault(http.StatusRequestEntityTooLarge, e.Error())
	}
	return nil
}

// fill puts the arguments into a text, each once: an argument that looks
// like a place is not filled again.
func fill(text string, args map[string]string) string {
	pairs := make([]string, 0, 2*len(args))
	for name, value := range args {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
