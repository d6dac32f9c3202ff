package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
)

// extra is what a record keeps for rebuilding a backup's row.
type extra struct {
	User        string            `json:"user,omitempty"`
	Project     string            `json:"project_name,omitempty"`
	Container   string            `json:"container,omitempty"`
	Snapshot    string            `json:"snapshot,omitempty"`
	Zone        string            `json:"zone,omitempty"`
	SizeGiB     int64             `json:"size_gib,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	VolumeMeta  map[string]string `json:"volume_metadata,omitempty"`
	VolumeDesc  string            `json:"volume_description,omitempty"`
	VolumeBoots bool              `json:"volume_bootable,omitempty"`
}

// recordInfo returns what a backup's record says besides the data.
func (w *Worker) recordInfo(ctx context.Context, b backup.Backup) (vault.Info, error) {
	var project *catalog.IdentityProject
	err := w.DB.View(ctx, func(tx *catalog.Tx) (err error) {
		project, err = tx.IdentityProject(ctx, catalog.IdentityByID, b.ProjectID)
		return err
	})
	if err != nil {
		return vault.Info{}, err
	}
	e := extra{
		User: b.UserID, Container: b.Container, Snapshot: b.SnapshotID, Zone: b.Zone, SizeGiB: b.SizeGiB, Metadata: b.Metadata,
		VolumeMeta: b.VolumeMetadata, VolumeDesc: b.VolumeDesc, VolumeBoots: b.VolumeBootable,
	}
	if project != nil {
		e.Project = project.Name
	}
	more, err := json.Marshal(e)
	return vault.Info{
		Backup: b.ID, Project: b.ProjectID, Volume: b.VolumeID, VolumeName: b.VolumeName,
		Name: b.Name, Description: b.Description, Parent: b.ParentID, Incremental: b.Incremental,
		DataTime: b.DataTimestamp, Created: b.CreatedAt, Extra: more,
	}, err
}

// Recovered is what a catalog is told of a backup that was found in a store.
type Recovered struct {
	Backup  backup.Backup // available, or in error where data of it is lost
	Record  catalog.Record
	Project string // the project's name, empty where the record doesn't say
}

// maxToldRanges bounds the lost ranges that a fail reason names.
const maxToldRanges = 8

// RecoveredBackup returns the rows of a backup that was found in a store. One
// without a record that can be read belongs to the project given.
func RecoveredBackup(f vault.RecoveredBackup, project string) (Recovered, error) {
	out := Recovered{Record: catalog.Record{Vault: f.Vault, Object: f.Ref.Object, Hash: f.Ref.Hash, Map: f.Map}}
	if f.Err != nil {
		name, err := format.ParseRecordName(f.Ref.Object)
		if err != nil {
			return out, err
		}
		out.Backup = backup.Backup{
			ID: format.UUID(name.Backup), ProjectID: project, Status: backup.Errored, FailReason: lostReason(f.Damage),
		}
		return out, nil
	}
	rec := &f.Record
	info := &rec.Info
	var e extra
	if len(info.Extra) > 0 {
		_ = json.Unmarshal(info.Extra, &e) // what another version wrote otherwise is left out: the data counts
	}
	out.Project, out.Record.SourceState = e.Project, rec.SourceState
	out.Backup = backup.Backup{
		ID: info.Backup, ProjectID: info.Project, UserID: e.User, VolumeID: info.Volume, VolumeName: info.VolumeName,
		SnapshotID: e.Snapshot, ParentID: info.Parent, Incremental: info.Incremental, Name: info.Name,
		Description: info.Description, Container: e.Container, Status: backup.Available,
		SizeGiB: max(e.SizeGiB, (rec.Size+backup.GiB-1)/backup.GiB), Bytes: rec.Size, ObjectCount: rec.Result.Objects + 1, // and the record itself
		Zone: e.Zone, Metadata: e.Metadata, VolumeMetadata: e.VolumeMeta, VolumeBootable: e.VolumeBoots, VolumeDesc: e.VolumeDesc,
		DataTimestamp: info.DataTime, CreatedAt: info.Created, UpdatedAt: info.Created,
		Stats: backup.Stats{Read: rec.Result.Read, New: rec.Result.New, Stored: rec.Result.Stored + f.Size},
	}
	if f.Damage != nil {
		out.Backup.Status, out.Backup.FailReason = backup.Errored, lostReason(f.Damage)
	}
	return out, nil
}

// lostReason says to a tenant what of a backup is lost.
func lostReason(d *vault.DamagedBackup) string {
	if d.Whole {
		return "Lost: the backup's record is damaged or missing."
	}
	var ranges []string
	for _, r := range d.Ranges[:min(len(d.Ranges), maxToldRanges)] {
		ranges = append(ranges, fmt.Sprintf("%d-%d", r.Offset, r.Offset+r.Length-1))
	}
	text := fmt.Sprintf("Lost: %d of %d bytes: %s", d.Bytes, d.Size, strings.Join(ranges, ", "))
	if more := len(d.Ranges) - len(ranges) + d.More; more > 0 {
		text += fmt.Sprintf(" and %d ranges more", more)
	}
	return text + "."
}

// Packs returns how a catalog calls places of packs.
func Packs(places []vault.Placement) []catalog.Pack { return packs(places) }

// Marks returns how a catalog marks damaged packs.
func Marks(damaged []vault.DamagedPack) []catalog.Damage { return marks(damaged) }
