package service

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// What may be deleted, and what a reset may set
// (https://docs.openstack.org/api-ref/block-storage/v3/#delete-a-volume).
var (
	deletableVolume = []backup.Status{
		backup.Available, backup.Errored, backup.ErrorRestoring, backup.ErrorExtending, backup.ErrorDeleting,
	}
	deletableSnapshot = []backup.Status{backup.Available, backup.Errored, backup.ErrorDeleting}

	settableVolume = []backup.Status{
		backup.Creating, backup.Available, backup.Deleting, backup.Errored, backup.ErrorDeleting,
		backup.InUse, backup.ErrorRestoring, backup.ErrorExtending,
	}
	settableSnapshot = []backup.Status{
		backup.Creating, backup.Available, backup.Deleting, backup.Errored, backup.ErrorDeleting,
	}
)

// Delete says how far a volume's deletion may go.
type Delete struct {
	Cascade bool // its snapshots too
	Force   bool // in any status; admins only
}

// DeleteVolume deletes a volume. One with snapshots stays, unless they may go
// with it.
func (s *Service) DeleteVolume(ctx context.Context, c backup.Caller, id string, d Delete) error {
	rule := ruleVolumeDelete
	if d.Force {
		rule = ruleVolumeForceDel
	}
	if err := authorise(c, rule); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		if d.Force {
			if err := cancelVolumeJobs(ctx, tx, id); err != nil {
				return err
			}
		}
		v, err := s.volume(ctx, tx, c, id)
		if err != nil {
			return err
		}
		if !d.Force && !slices.Contains(deletableVolume, v.Status) {
			return busyVolume(v, "deleted")
		}
		snaps, err := tx.Snapshots(ctx, catalog.Query{
			Filters: []catalog.Filter{{Field: "volume_id", Values: []string{id}}}, Limit: math.MaxInt32,
		})
		if err != nil {
			return err
		}
		if len(snaps) > 0 && !d.Cascade {
			return invalid(backup.VolumeHasSnapshots, "volume "+id+" still has snapshots", map[string]string{"id": id})
		}
		for _, snap := range snaps {
			if !slices.Contains(deletableSnapshot, snap.Status) {
				return busySnapshot(snap, "deleted")
			}
			if err := s.deleteSnapshot(ctx, tx, c, snap); err != nil {
				return err
			}
		}
		if d.Force {
			if err := cancelVolumeJobs(ctx, tx, id); err != nil {
				return err
			}
		}
		if err := tx.SetVolumeStatus(ctx, id, backup.Deleting); err != nil {
			return err
		}
		return s.enqueue(ctx, tx, c, jobs.New{
			Kind: JobVolumeDelete, ProjectID: v.ProjectID, Lane: volumeLane(id), Subject: id,
			Payload: VolumeWork{VolumeID: id},
		})
	})
}

// cancelVolumeJobs asks what writes a volume to stop.
func cancelVolumeJobs(ctx context.Context, tx *catalog.Tx, id string) error {
	restores, err := tx.Backups(ctx, catalog.Query{Limit: math.MaxInt32, Filters: []catalog.Filter{
		{Field: "restore_volume_id", Values: []string{id}},
		{Field: "status", Values: []string{string(backup.Restoring)}},
	}})
	if err != nil {
		return err
	}
	for _, b := range restores {
		if err := cancelJobs(ctx, tx, b.ID, JobPathRestore, JobBackupDelete); err != nil {
			return err
		}
	}
	return cancelJobs(ctx, tx, id, JobVolumeDelete, JobVolumeTidy)
}

// cancelJobs asks what works on a resource to stop, some kinds of jobs aside.
// It is called twice: first before the resource is locked, because the ends of
// jobs lock them in this order too, and again once it is, for jobs that came
// about meanwhile.
func cancelJobs(ctx context.Context, tx *catalog.Tx, subject string, keep ...string) error {
	running, err := jobs.Unfinished(ctx, tx, subject)
	if err != nil {
		return err
	}
	for _, j := range running {
		if slices.Contains(keep, j.Kind) {
			continue
		}
		if err := jobs.Cancel(ctx, tx, j.ID); err != nil {
			return err
		}
	}
	return nil
}

// ExtendVolume makes a volume larger, to a size in GiB.
func (s *Service) ExtendVolume(ctx context.Context, c backup.Caller, id string, size int64) error {
	if err := authorise(c, ruleVolumeExtend); err != nil {
		return err
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		v, err := s.volume(ctx, tx, c, id)
		if err != nil {
			return err
		}
		if v.Status != backup.Available {
			return busyVolume(v, "extended")
		}
		if size <= v.SizeGiB {
			return invalid(backup.SizeNotGrowing,
				fmt.Sprintf("new size of %d GiB must be more than the current %d GiB", size, v.SizeGiB),
				map[string]string{"size": strconv.FormatInt(size, 10), "current": strconv.FormatInt(v.SizeGiB, 10)})
		}
		if err := validSize(size); err != nil {
			return err
		}
		if err := s.reserve(ctx, tx, v.ProjectID, demand{gigabytes: size - v.SizeGiB, volumeSize: size}); err != nil {
			return err
		}
		before := v.SizeGiB
		v.SizeGiB = size // from now on, so that nobody else is given the room
		if err := tx.UpdateVolume(ctx, v); err != nil {
			return err
		}
		if err := moved(tx.MoveVolume(ctx, id, []backup.Status{v.Status}, backup.Extending)); err != nil {
			return err
		}
		return s.enqueue(ctx, tx, c, jobs.New{
			Kind: JobVolumeExtend, ProjectID: v.ProjectID, Lane: volumeLane(id), Subject: id,
			Payload: VolumeWork{VolumeID: id, Bytes: size * backup.GiB, Before: before * backup.GiB},
		})
	})
}

// ResetVolume sets a volume's status by hand.
func (s *Service) ResetVolume(ctx context.Context, c backup.Caller, id string, status backup.Status) error {
	if err := authorise(c, ruleVolumeReset); err != nil {
		return err
	}
	if !slices.Contains(settableVolume, status) {
		return backup.Errorf(backup.Invalid, "volume status %q can't be set", status)
	}
	return s.db.Update(ctx, func(tx *catalog.Tx) error {
		if _, err := s.volume(ctx, tx, c, id); err != nil {
			return err
		}
		return tx.SetVolumeStatus(ctx, id, status)
	})
}

func busyVolume(v backup.Volume, action string) error {
	return conflict(backup.VolumeBusy, fmt.Sprintf("volume %s is %s and can't be %s", v.ID, v.Status, action),
		map[string]string{"id": v.ID, "status": string(v.Status), "action": action})
}

func busySnapshot(sn backup.Snapshot, action string) error {
	return conflict(backup.SnapshotBusy, fmt.Sprintf("snapshot %s is %s and can't be %s", sn.ID, sn.Status, action),
		map[string]string{"id": sn.ID, "status": string(sn.Status), "action": action})
}
