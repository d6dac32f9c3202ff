package worker

import (
	"context"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
)

// What a job keeps of a verification's report; the marks of packs are whole.
const (
	keptBackups = 1000
	keptRanges  = 10_000 // of all backups
	keptPacks   = 1000
	toldBackups = 20 // in the log
)

// VerifyReport is what a verification found.
type VerifyReport struct {
	vault.VerifyReport
	MoreBackups int `json:"more_backups"` // damaged ones that are left out
}

// verifyReport cuts a report to what a job keeps.
func verifyReport(full vault.VerifyReport) *VerifyReport {
	r := &VerifyReport{VerifyReport: full}
	if n := len(r.DamagedBackups) - keptBackups; n > 0 {
		r.DamagedBackups, r.MoreBackups = r.DamagedBackups[:keptBackups], n
	}
	r.DamagedBackups = append([]vault.DamagedBackup{}, r.DamagedBackups...)
	room := keptRanges
	for i := range r.DamagedBackups {
		b := &r.DamagedBackups[i]
		if n := len(b.Ranges) - room; n > 0 {
			b.Ranges, b.More = b.Ranges[:room], b.More+n
		}
		room -= len(b.Ranges)
	}
	if n := len(r.DamagedPacks) - keptPacks; n > 0 {
		r.DamagedPacks, r.MorePacks = r.DamagedPacks[:keptPacks], r.MorePacks+n
	}
	return r
}

// verifyVault checks what is stored for a vault's backups, or some of them.
func (w *Worker) verifyVault(ctx context.Context, r *jobs.Run, p service.VaultWork) error {
	c, err := w.care(r, p)
	if err != nil {
		return err
	}
	refs, err := c.pinned(ctx, p.Backups)
	if err != nil {
		return err
	}
	v, err := c.open(ctx)
	if err != nil {
		return err
	}
	report, err := v.Verify(ctx, vault.VerifyRequest{
		Backups: refs, ReadData: p.ReadData, Sample: p.Sample,
		Progress: func(now vault.VerifyProgress) {
			c.report.Done, c.report.Size = now.Done, now.Size
			c.tell()
		},
	})
	if err != nil {
		return err
	}
	for i := range min(len(report.DamagedBackups), toldBackups) {
		b := &report.DamagedBackups[i]
		w.Log.ErrorContext(ctx, "a backup can't be restored whole", "backup_id", b.Backup, "bytes", b.Bytes, "cause", b.What)
	}
	c.report.Verify = verifyReport(report)
	c.tell()
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return c.verified(ctx, tx, p, report) })
}

// verified records what a verification has found.
func (c *care) verified(ctx context.Context, tx *catalog.Tx, p service.VaultWork, report vault.VerifyReport) error {
	if len(p.Backups) == 0 {
		if err := tx.TookCare(ctx, c.vault, catalog.Verified); err != nil {
			return err
		}
	}
	if _, err := tx.MarkDamaged(ctx, c.vault, marks(report.DamagedPacks)); err != nil {
		return err
	}
	if err := c.releaseAll(ctx, tx, c.run.Job.ID); err != nil || p.Alone {
		return err
	}
	return c.Service.HealSoon(ctx, tx, c.run.Job.ProjectID, c.vault)
}

// pinned pins the backups to be verified, and returns their records. One that
// is being deleted is none of them.
func (c *care) pinned(ctx context.Context, ids []string) ([]vault.RecordRef, error) {
	var refs []vault.RecordRef
	for _, id := range ids {
		_, rec, err := c.pin(ctx, c.run, id)
		if k := backup.KindOf(err); k == backup.NotFound || k == backup.Canceled {
			continue
		}
		if err != nil {
			return nil, err
		}
		refs = append(refs, vault.RecordRef{Object: rec.Object, Hash: rec.Hash})
	}
	if len(ids) > 0 {
		return refs, nil
	}
	for after := ""; ; {
		var found []string
		var records []catalog.Record
		err := c.DB.Update(ctx, func(tx *catalog.Tx) error {
			err := c.run.Guard(ctx, tx)
			if err == nil {
				found, records, err = tx.PinVault(ctx, c.vault, c.run.Job.ID, after)
			}
			return err
		})
		if err != nil || len(found) == 0 {
			return refs, err
		}
		for _, rec := range records {
			refs = append(refs, vault.RecordRef{Object: rec.Object, Hash: rec.Hash})
		}
		after = found[len(found)-1]
	}
}
