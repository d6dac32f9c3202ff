package app

import (
	"cmp"
	"context"
	"path"
	"slices"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/catalog"
	"holdfast/internal/vault"
	"holdfast/internal/worker"
)

// Transactions of a recovery are bounded by these.
const (
	packsAtOnce   = 5000
	backupsAtOnce = 500
)

// recoveredEpochs is how far the epoch of a recovered vault is ahead of what the
// store tells of: what the old catalog still announces, by a collection that
// nobody has stopped, stays below.
const recoveredEpochs = 1 << 20

// vaults recovers all vaults. Of two of one project, the one with the newer
// backups becomes the project's.
func (r *recoverer) vaults(ctx context.Context, bare *vault.Bare, incarnations map[vault.ID]catalog.ID) error {
	all := bare.Vaults()
	newest := map[vault.ID]time.Time{}
	for _, b := range bare.Backups() {
		if b.Err == nil {
			newest[b.Vault] = b.Record.Info.DataTime // the oldest come first
		}
	}
	slices.SortStableFunc(all, func(a, b vault.BareVault) int { return newest[b.ID].Compare(newest[a.ID]) })
	taken := map[string]bool{}
	for i, v := range all {
		out := RecoveredVault{Vault: v.ID.String(), Damaged: []LostBackup{}}
		if v.Err != nil {
			if out.Error = v.Err.Error(); v.Backups == 0 { // keys of which not all were ever made
				r.log.WarnContext(ctx, "the keys of a vault without backups can't be opened", "vault", v.ID, "error", v.Err)
				out.Error = ""
			}
			r.lostKeys(&out, bare, v.ID)
			r.out.Vaults = append(r.out.Vaults, out)
			continue
		}
		found, err := bare.Recover(ctx, v.ID, vault.RecoverRequest{
			ReadData: r.req.ReadData,
			Progress: func(p vault.RecoverProgress) {
				r.req.Progress(RecoverProgress{Vault: i + 1, Vaults: len(all), Step: string(p.Step), Done: p.Done, Size: p.Size})
			},
		})
		if err != nil {
			return err
		}
		if err := r.vault(ctx, found, &out, incarnations[v.ID], taken); err != nil {
			return err
		}
		found.Release()
	}
	return nil
}

// lostKeys tells of the backups of a vault whose keys can't be opened.
func (r *recoverer) lostKeys(out *RecoveredVault, bare *vault.Bare, id vault.ID) {
	for _, b := range bare.Backups() {
		if b.Vault == id {
			out.Damaged = append(out.Damaged, LostBackup{ID: recordID(b), Whole: true, Ranges: []LostRange{}, What: b.Err.Error()})
		}
	}
	r.out.Damaged += len(out.Damaged)
}

// recordID returns the id in the name of a record.
func recordID(b vault.BareBackup) string { return path.Base(b.Ref.Object)[:len(uuid.Nil.String())] }

// vault tells of one vault, and writes it into the catalog.
func (r *recoverer) vault(ctx context.Context, found *vault.Recovered, out *RecoveredVault, incarnation catalog.ID, taken map[string]bool) error {
	out.Packs, out.Size = found.Packs, found.Bytes
	out.LostPacks = found.Report.MorePacks
	for _, p := range found.Report.DamagedPacks {
		if !p.Spare {
			out.LostPacks++
		}
	}
	for _, b := range found.Backups {
		if b.Err == nil {
			out.Project = b.Record.Info.Project // the newest comes last
		}
	}
	rows := make([]worker.Recovered, 0, len(found.Backups))
	for _, b := range found.Backups {
		row, err := worker.RecoveredBackup(b, out.Project)
		if err != nil {
			return err
		}
		if taken["backup "+row.Backup.ID] {
			r.log.WarnContext(ctx, "a backup is there twice, in two vaults; the older one is left out", "backup_id", row.Backup.ID)
			continue
		}
		taken["backup "+row.Backup.ID] = true
		rows = append(rows, row)
		out.ProjectName = cmp.Or(row.Project, out.ProjectName)
		if b.Damage == nil {
			out.Whole++
			continue
		}
		out.Damaged = append(out.Damaged, lostBackup(b))
	}
	if len(found.Backups) > 0 && out.Project == "" {
		out.Error = "no record says whose it is: the vault is left out"
	}
	r.out.Vaults = append(r.out.Vaults, *out)
	r.out.Whole += out.Whole
	r.out.Damaged += len(out.Damaged)
	if r.db == nil || out.Project == "" {
		return nil
	}
	row := catalog.RecoveredVault{KeySet: r.sets[found.Vault], Vault: catalog.Vault{
		ID: found.Vault, ProjectID: out.Project, Epoch: found.Epoch + recoveredEpochs, Announced: found.Epoch + recoveredEpochs,
		Incarnation: incarnation,
	}}
	if taken["project "+out.Project] { // one that a second catalog made: its backups can be read and deleted
		row.ProjectID += "/" + out.Vault
	}
	taken["project "+out.Project] = true
	return r.write(ctx, found, row, rows, out)
}

func lostBackup(b vault.RecoveredBackup) LostBackup {
	d := b.Damage
	info := b.Record.Info
	lost := LostBackup{
		ID: recordID(b.BareBackup), Volume: info.VolumeName, Name: info.Name, TakenAt: info.DataTime, Size: b.Record.Size,
		Lost: d.Bytes, Whole: d.Whole, Ranges: make([]LostRange, len(d.Ranges)), More: d.More, What: d.What,
	}
	for i, e := range d.Ranges {
		lost.Ranges[i] = LostRange{Offset: e.Offset, Length: e.Length}
	}
	return lost
}

// write fills the catalog with a vault.
func (r *recoverer) write(ctx context.Context, found *vault.Recovered, v catalog.RecoveredVault, rows []worker.Recovered, out *RecoveredVault) error {
	var segments []catalog.Segment
	for _, s := range found.Segments {
		segments = append(segments, catalog.Segment{Object: s.Object, Size: s.Size})
	}
	err := r.db.Update(ctx, func(tx *catalog.Tx) error {
		if err := tx.InsertRecovered(ctx, v); err != nil {
			return err
		}
		if err := addProject(ctx, tx, out); err != nil {
			return err
		}
		if err := tx.AddSegments(ctx, v.ID, segments); err != nil {
			return err
		}
		_, err := tx.MarkDamaged(ctx, v.ID, worker.Marks(found.Report.DamagedPacks))
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(found.Sessions(), packsAtOnce) {
		ids := make([]catalog.ID, len(part))
		for i := range part {
			ids[i] = part[i]
		}
		if err := r.db.Update(ctx, func(tx *catalog.Tx) error { return tx.AddEndedSessions(ctx, v.ID, ids) }); err != nil {
			return err
		}
	}
	if err := r.writePacks(ctx, found, v); err != nil {
		return err
	}
	for part := range slices.Chunk(rows, backupsAtOnce) {
		if err := r.db.Update(ctx, func(tx *catalog.Tx) error { return addBackups(ctx, tx, part) }); err != nil {
			return err
		}
	}
	return nil
}

// addProject makes the project one that operators can name. Where its name is
// unknown, or is another one's now, its id stands for it.
func addProject(ctx context.Context, tx *catalog.Tx, out *RecoveredVault) error {
	added, err := tx.AddIdentityProject(ctx, catalog.IdentityProject{ID: out.Project, Name: cmp.Or(out.ProjectName, out.Project)})
	if err != nil || added {
		return err
	}
	_, err = tx.AddIdentityProject(ctx, catalog.IdentityProject{ID: out.Project, Name: out.Project})
	return err
}

func (r *recoverer) writePacks(ctx context.Context, found *vault.Recovered, v catalog.RecoveredVault) error {
	var batch []catalog.PackRow
	flush := func() error {
		err := r.db.Update(ctx, func(tx *catalog.Tx) error { return tx.AddPacks(ctx, v.ID, batch) })
		batch = batch[:0]
		return err
	}
	err := found.EachPack(func(p vault.RecoveredPack) error {
		row := catalog.PackRow{Pack: worker.Packs([]vault.Placement{p.Placement})[0], State: catalog.Writable, Session: p.Session}
		if p.Retired {
			row.State, row.Epoch = catalog.Condemned, v.Epoch
		}
		if batch = append(batch, row); len(batch) == packsAtOnce {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

func addBackups(ctx context.Context, tx *catalog.Tx, rows []worker.Recovered) error {
	for _, row := range rows {
		b := row.Backup
		if b.CreatedAt.IsZero() {
			b.CreatedAt, b.UpdatedAt, b.DataTimestamp = tx.Now(), tx.Now(), tx.Now()
		}
		if err := tx.InsertBackup(ctx, b); err != nil {
			return err
		}
		if err := tx.SetBackupRecord(ctx, b.ID, row.Record); err != nil {
			return err
		}
	}
	return nil
}
