package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/obs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/worker"
)

// Collected is what a collection or a maintenance did, Verified what a
// verification found, Healed what of it was put right. Sizes are in bytes.
type (
	Collected = worker.CollectReport
	Verified  = worker.VerifyReport
	Healed    = worker.HealReport
)

// Deleted says what became of a backup that was to be deleted.
type Deleted struct {
	ID string `json:"id"`
	// InUse says that something still reads it: nobody sees it any more, and its
	// data stays until that has ended.
	InUse bool `json:"in_use"`
	// Held says that nothing is deleted from the store before a recovery is
	// confirmed: nobody sees the backup any more, and its data stays until then.
	Held bool `json:"held"`
}

// VerifyRequest says what of a vault is verified.
type VerifyRequest struct {
	Project  string   // name or id; empty: the admin's
	ReadData bool     // all data
	Sample   float64  // without that, the share of it that is read, 0 to 1
	Backups  []string // ids of these alone; none: all
	Progress func(Progress)
}

// Stats is what a project's vault holds. Sizes are in bytes.
type Stats struct {
	Vault          string      `json:"vault"`
	Backups        int64       `json:"backups"`
	Logical        int64       `json:"logical"`  // of the volumes that the backups show
	Stored         int64       `json:"stored"`   // of all packs, of blocks and of maps
	Packs          []PackStats `json:"packs"`    // by kind and state
	Sessions       int64       `json:"sessions"` // backups under way
	CondemnedPacks int64       `json:"condemned_packs"`
	Condemned      int64       `json:"condemned"`    // size of packs that are out of use; some of it may be rewritten
	DeadObjects    int         `json:"dead_objects"` // that are to be removed from the store
	Segments       int         `json:"segments"`     // of the index
	Index          int64       `json:"index"`        // their size
	DamagedPacks   int         `json:"damaged_packs"`
	Hold           bool        `json:"hold"` // nothing is removed: the catalog was recovered, and the old one may be alive
	CollectedAt    *time.Time  `json:"collected_at"`
	MaintainedAt   *time.Time  `json:"maintained_at"`
	VerifiedAt     *time.Time  `json:"verified_at"` // all of its backups
}

// PackStats counts packs of one kind that are in one state.
type PackStats struct {
	Kind  string `json:"kind"`  // "data" or "pages"
	State string `json:"state"` // "uncommitted", "writable" or "condemned"
	Packs int64  `json:"packs"`
	Size  int64  `json:"size"`
	Live  int64  `json:"live"` // blocks or pages that they hold
}

// DamagedPack is a pack that is known to be missing or damaged.
type DamagedPack struct {
	Pack    string    `json:"pack"`
	What    string    `json:"what"`
	FoundAt time.Time `json:"found_at"`
}

// Delete deletes a backup, whatever the others need of it stays. Force does so
// in any status.
func (v *Vault) Delete(ctx context.Context, project, id string, force bool) (Deleted, error) {
	now, err := v.Show(ctx, project, id)
	if err != nil {
		return Deleted{}, err
	}
	c, err := v.caller(ctx, project)
	if err == nil && (force || now.Status != string(backup.Deleting)) { // else it is gone on with
		err = v.service.DeleteBackup(ctx, c, id, force)
	}
	if err != nil {
		return Deleted{}, err
	}
	var all []jobs.Job
	err = v.db.View(ctx, func(tx *catalog.Tx) (err error) {
		all, err = jobs.Unfinished(ctx, tx, id)
		return err
	})
	if err != nil {
		return Deleted{}, err
	}
	for _, j := range all {
		if j.Kind != service.JobBackupDelete {
			continue
		}
		ended, err := v.queue.RunReserved(ctx, j.ID, v.worker.Handlers())
		if err != nil {
			return Deleted{}, err
		}
		if ended.State == jobs.Failed {
			return Deleted{}, errors.New(ended.Error)
		}
	}
	return v.deleted(ctx, id)
}

// deleted reports whether a deleted backup's data is kept, and why.
func (v *Vault) deleted(ctx context.Context, id string) (Deleted, error) {
	var held bool
	err := v.db.View(ctx, func(tx *catalog.Tx) error {
		rec, err := tx.BackupRecord(ctx, id)
		if err != nil || rec.Object == "" {
			return err
		}
		home, err := tx.Vault(ctx, rec.Vault)
		held = home.Hold
		return err
	})
	if backup.KindOf(err) == backup.NotFound {
		return Deleted{ID: id}, nil
	}
	return Deleted{ID: id, InUse: !held, Held: held}, err
}

// Collect frees what no backup of a project needs any more. What sessions may
// still refer to is freed when they have ended, by whoever runs jobs then.
func (v *Vault) Collect(ctx context.Context, project string, tell func(Progress)) (Collected, error) {
	return v.collect(ctx, project, v.service.StartCollect, tell)
}

// Maintain does what Collect does, and also puts together what is small and
// compresses anew what was stored fast.
func (v *Vault) Maintain(ctx context.Context, project string, tell func(Progress)) (Collected, error) {
	return v.collect(ctx, project, v.service.StartMaintain, tell)
}

func (v *Vault) collect(
	ctx context.Context, project string, start func(context.Context, backup.Caller) (jobs.Job, error), tell func(Progress),
) (Collected, error) {
	report, err := v.care(ctx, project, start, tell)
	if report.Collect == nil {
		return Collected{}, err
	}
	return *report.Collect, err
}

// Verify checks what is stored for a project's backups. Damage is no error: the
// report names it, and it is marked, so that later backups store the data
// again. Heal puts right what it can.
func (v *Vault) Verify(ctx context.Context, r VerifyRequest) (Verified, error) {
	report, err := v.care(ctx, r.Project, func(ctx context.Context, c backup.Caller) (jobs.Job, error) {
		return v.service.StartVerify(ctx, c, service.VerifyOptions{ReadData: r.ReadData, Sample: r.Sample, Backups: r.Backups})
	}, r.Progress)
	if report.Verify == nil {
		return Verified{}, err
	}
	return *report.Verify, err
}

// Heal makes packs of a project whole that are marked as damaged, where their
// blocks are found elsewhere.
func (v *Vault) Heal(ctx context.Context, project string, tell func(Progress)) (Healed, error) {
	report, err := v.care(ctx, project, v.service.StartHeal, tell)
	if report.Heal == nil {
		return Healed{Damaged: []vault.DamagedPack{}}, err
	}
	return *report.Heal, err
}

// care runs a job on a project's vault in this process.
func (v *Vault) care(
	ctx context.Context, project string, start func(context.Context, backup.Caller) (jobs.Job, error), tell func(Progress),
) (worker.VaultReport, error) {
	var report worker.VaultReport
	c, err := v.caller(ctx, project)
	if err != nil {
		return report, err
	}
	job, err := start(ctx, c)
	if err != nil {
		return report, err
	}
	failed := v.run(ctx, job, tell)
	if ctx.Err() != nil {
		return report, failed
	}
	err = v.db.View(ctx, func(tx *catalog.Tx) (err error) {
		job, err = jobs.Get(ctx, tx, job.ID)
		return err
	})
	if err == nil && len(job.Progress) > 0 {
		err = json.Unmarshal(job.Progress, &report)
	}
	if failed != nil {
		return report, failed
	}
	if err != nil {
		return report, fmt.Errorf("read what job %s did: %w", job.ID, err)
	}
	return report, nil
}

// Stats tells what a project's vault holds.
func (v *Vault) Stats(ctx context.Context, project string) (Stats, error) {
	c, err := v.caller(ctx, project)
	if err != nil {
		return Stats{}, err
	}
	s, err := v.service.VaultStats(ctx, c)
	if err != nil {
		return Stats{}, err
	}
	out := Stats{
		Vault: fmt.Sprintf("%x", s.ID), Backups: s.Backups, Logical: s.Logical, Stored: s.Stored(), Sessions: s.Sessions,
		DeadObjects: s.Dead, Segments: s.Segments, Index: s.Index, DamagedPacks: s.Damaged, Hold: s.Hold,
		CollectedAt: known(s.CollectedAt), MaintainedAt: known(s.MaintainedAt), VerifiedAt: known(s.VerifiedAt),
		Packs: []PackStats{},
	}
	out.CondemnedPacks, out.Condemned = s.Condemned()
	for _, p := range s.Packs {
		kind := "data"
		if p.Kind != 1 {
			kind = "pages"
		}
		out.Packs = append(out.Packs, PackStats{Kind: kind, State: string(p.State), Packs: p.N, Size: p.Bytes, Live: p.Live})
	}
	return out, nil
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Damage returns the packs of a project's vault that are known to be missing or
// damaged.
func (v *Vault) Damage(ctx context.Context, project string) ([]DamagedPack, error) {
	c, err := v.caller(ctx, project)
	if err != nil {
		return nil, err
	}
	found, err := v.service.Damage(ctx, c)
	all := make([]DamagedPack, len(found))
	for i, d := range found {
		all[i] = DamagedPack{Pack: fmt.Sprintf("%x", d.Pack), What: d.What, FoundAt: d.FoundAt}
	}
	return all, err
}

// maintainEvery is how often the service looks for vaults to maintain.
const maintainEvery = time.Minute

// maintain has vaults maintained when it is time, until ctx ends.
func (a *App) maintain(ctx context.Context) {
	m := a.cfg.Maintenance
	if m.Every == 0 {
		return
	}
	tick := time.NewTicker(maintainEvery)
	defer tick.Stop()
	for {
		err := a.service.Maintain(ctx, m.Every, m.VerifySamplePercent/100)
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "vaults can't be looked after now", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// vaultsCare sums up the vaults for the metrics.
func (a *App) vaultsCare(ctx context.Context) (obs.Care, error) {
	var c catalog.CareTotals
	err := a.db.View(ctx, func(tx *catalog.Tx) (err error) {
		c, err = tx.CareTotals(ctx)
		return err
	})
	return obs.Care{Condemned: c.Condemned, Damaged: c.Damaged, Verified: c.Verified}, err
}
