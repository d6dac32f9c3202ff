package service

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// CreateVolume makes a volume: empty, from a snapshot, from another volume
// or from a backup.
func (s *Service) CreateVolume(ctx context.Context, c backup.Caller, n NewVolume) (backup.Volume, error) {
	if err := authorise(c, ruleVolumeCreate); err != nil {
		return backup.Volume{}, err
	}
	if n.ImageID != "" {
		return backup.Volume{}, invalid(backup.ImageSourceUnsupported,
			"image "+n.ImageID+" could not be found", map[string]string{"id": n.ImageID})
	}
	if n.Zone != "" && n.Zone != s.cfg.Zone {
		return backup.Volume{}, backup.Errorf(backup.Invalid, "Availability zone '%s' is invalid.", n.Zone)
	}
	typ, err := s.volumeType(n.Type)
	if err != nil {
		return backup.Volume{}, err
	}
	v := backup.Volume{
		ID: s.cfg.NewID(), ProjectID: c.ProjectID, UserID: c.UserID,
		Name: n.Name, Description: n.Description, Status: backup.Creating, SizeGiB: n.SizeGiB,
		Type: typ.Name, Zone: s.cfg.Zone, Metadata: n.Metadata,
		SnapshotID: n.SnapshotID, SourceVolumeID: n.SourceVolumeID, BackupID: n.BackupID,
		CreatedAt: s.cfg.Clock.Now(),
	}
	err = s.db.Update(ctx, func(tx *catalog.Tx) error { return s.createVolume(ctx, tx, c, &v) })
	return v, err
}

func (s *Service) createVolume(ctx context.Context, tx *catalog.Tx, c backup.Caller, v *backup.Volume) error {
	work := VolumeWork{VolumeID: v.ID, SnapshotID: v.SnapshotID, SourceVolumeID: v.SourceVolumeID}
	lane := volumeLane(v.ID)
	switch {
	case v.SnapshotID != "":
		snap, err := s.snapshot(ctx, tx, c, v.SnapshotID)
		if err != nil {
			return err
		}
		if snap.Status != backup.Available {
			return invalid(backup.SnapshotNotReady, "snapshot "+snap.ID+" is "+string(snap.Status),
				map[string]string{"id": snap.ID, "status": string(snap.Status)})
		}
		if err := fits(v, "snapshot", snap.SizeGiB); err != nil {
			return err
		}
		lane = volumeLane(snap.VolumeID)
	case v.SourceVolumeID != "":
		src, err := s.volume(ctx, tx, c, v.SourceVolumeID)
		if err != nil {
			return err
		}
		if src.Status != backup.Available && src.Status != backup.InUse {
			return busyVolume(src, "copied")
		}
		if err := fits(v, "volume", src.SizeGiB); err != nil {
			return err
		}
		v.Bootable = src.Bootable
		lane = volumeLane(src.ID)
	case v.BackupID != "":
		b, err := s.backup(ctx, tx, c, v.BackupID)
		if err != nil {
			return err
		}
		if err := fits(v, "backup", b.SizeGiB); err != nil {
			return err
		}
		return s.restoreToNew(ctx, tx, c, b, v)
	}
	if err := s.insertVolume(ctx, tx, v); err != nil {
		return err
	}
	work.Bytes = v.SizeGiB * backup.GiB
	return s.enqueue(ctx, tx, c, jobs.New{
		Kind: JobVolumeCreate, ProjectID: v.ProjectID, Lane: lane, Subject: v.ID, Payload: work,
	})
}

// fits sets the volume's size where the request left it open, and refuses
// one that is smaller than its source.
func fits(v *backup.Volume, source string, size int64) error {
	if v.SizeGiB == 0 {
		v.SizeGiB = size
	}
	if v.SizeGiB < size {
		return invalid(backup.SizeTooSmall,
			fmt.Sprintf("volume of %d GiB is smaller than the %s of %d GiB", v.SizeGiB, source, size),
			map[string]string{
				"size": strconv.FormatInt(v.SizeGiB, 10), "source": source,
				"source_size": strconv.FormatInt(size, 10),
			})
	}
	return nil
}

// maxVolumeGiB is the largest volume that a backup can hold: 1 PiB.
const maxVolumeGiB = 1 << 20

func validSize(size int64) error {
	if size < 1 || size > maxVolumeGiB {
		return backup.Errorf(backup.Invalid, "volume size must be 1 to %d GiB", maxVolumeGiB)
	}
	return nil
}

func (s *Service) insertVolume(ctx context.Context, tx *catalog.Tx, v *backup.Volume) error {
	if err := validSize(v.SizeGiB); err != nil {
		return err
	}
	err := s.reserve(ctx, tx, v.ProjectID, demand{volumes: 1, gigabytes: v.SizeGiB, volumeSize: v.SizeGiB})
	if err != nil {
		return err
	}
	return tx.InsertVolume(ctx, *v)
}

// volume reads a volume that the caller may know of.
func (s *Service) volume(ctx context.Context, tx *catalog.Tx, c backup.Caller, id string) (backup.Volume, error) {
	v, err := tx.Volume(ctx, id)
	if err != nil {
		return v, err
	}
	return v, ours(c, v.ProjectID, backup.VolumeNotFound, id)
}

// Volume returns a volume.
func (s *Service) Volume(ctx context.Context, c backup.Caller, id string) (backup.Volume, error) {
	var v backup.Volume
	if err := authorise(c, ruleVolumeGet); err != nil {
		return v, err
	}
	err := s.db.View(ctx, func(tx *catalog.Tx) (err error) {
		v, err = s.volume(ctx, tx, c, id)
		return err
	})
	return v, err
}

// Volumes lists volumes.
func (s *Service) Volumes(ctx context.Context, c backup.Caller, l List) (Page[backup.Volume], error) {
	if err := authorise(c, ruleVolumeList); err != nil {
		return Page[backup.Volume]{}, err
	}
	return list(ctx, s.db, query(c, l), l.Count, (*catalog.Tx).Volumes, (*catalog.Tx).CountVolumes)
}

// VolumeSummary returns how many volumes there are, and their size in GiB.
func (s *Service) VolumeSummary(ctx context.Context, c backup.Caller, all bool) (count, size int64, err error) {
	if err := authorise(c, ruleVolumeList); err != nil {
		return 0, 0, err
	}
	project := c.ProjectID
	if all && c.Admin() {
		project = ""
	}
	err = s.db.View(ctx, func(tx *catalog.Tx) (err error) {
		count, size, err = tx.VolumeTotals(ctx, project)
		return err
	})
	return count, size, err
}

// changeVolume reads a volume, lets f change it and writes it back.
func (s *Service) changeVolume(ctx context.Context, c backup.Caller, r Rule, id string, f func(*catalog.Tx, *backup.Volume) error) (backup.Volume, error) {
	var v backup.Volume
	if err := authorise(c, r); err != nil {
		return v, err
	}
	err := s.db.Update(ctx, func(tx *catalog.Tx) (err error) {
		if v, err = s.volume(ctx, tx, c, id); err != nil {
			return err
		}
		if err := f(tx, &v); err != nil {
			return err
		}
		v.UpdatedAt = s.cfg.Clock.Now()
		return tx.UpdateVolume(ctx, v)
	})
	return v, err
}

// UpdateVolume renames or describes a volume.
func (s *Service) UpdateVolume(ctx context.Context, c backup.Caller, id string, u Update) (backup.Volume, error) {
	return s.changeVolume(ctx, c, ruleVolumeUpdate, id, func(_ *catalog.Tx, v *backup.Volume) error {
		u.apply(&v.Name, &v.Description, &v.Metadata)
		return nil
	})
}

func (u Update) apply(name, description *string, metadata *map[string]string) {
	if u.Name != nil {
		*name = *u.Name
	}
	if u.Description != nil {
		*description = *u.Description
	}
	if u.Metadata != nil {
		*metadata = u.Metadata
	}
}

// SetVolumeMetadata adds to a volume's metadata, or replaces it, and returns
// what it is then.
func (s *Service) SetVolumeMetadata(ctx context.Context, c backup.Caller, id string, meta map[string]string, replace bool) (map[string]string, error) {
	v, err := s.changeVolume(ctx, c, ruleVolumeSetMeta, id, func(_ *catalog.Tx, v *backup.Volume) error {
		v.Metadata = merge(v.Metadata, meta, replace)
		return bounded(v.Metadata)
	})
	return v.Metadata, err
}

func merge(old, add map[string]string, replace bool) map[string]string {
	all := map[string]string{}
	if !replace {
		maps.Copy(all, old)
	}
	maps.Copy(all, add)
	return all
}

// maxMetadata is how many items a resource may have.
const maxMetadata = 128

func bounded(meta map[string]string) error {
	if len(meta) > maxMetadata {
		return backup.Errorf(backup.Invalid, "a resource may have %d metadata items, not %d", maxMetadata, len(meta))
	}
	return nil
}

// DeleteVolumeMetadata takes one key out of a volume's metadata.
func (s *Service) DeleteVolumeMetadata(ctx context.Context, c backup.Caller, id, key string) error {
	_, err := s.changeVolume(ctx, c, ruleVolumeDelMeta, id, func(_ *catalog.Tx, v *backup.Volume) error {
		return without(v.Metadata, key)
	})
	return err
}

func without(meta map[string]string, key string) error {
	if _, ok := meta[key]; !ok {
		return notFound(backup.KeyNotFound, key)
	}
	delete(meta, key)
	return nil
}

// SetBootable marks a volume as one that servers can boot from, or not.
func (s *Service) SetBootable(ctx context.Context, c backup.Caller, id string, bootable bool) error {
	_, err := s.changeVolume(ctx, c, ruleVolumeBootable, id, func(_ *catalog.Tx, v *backup.Volume) error {
		v.Bootable = bootable
		return nil
	})
	return err
}
