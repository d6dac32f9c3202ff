package service

import (
	"context"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// What follows is for operators: it needs the administrator's role. The vault
// is that of the caller's project.

// VerifyOptions says what of a vault is verified.
type VerifyOptions struct {
	ReadData bool     // all data
	Sample   float64  // without that, the share of it that is read, 0 to 1
	Backups  []string // these alone; none: all of the vault's
}

// StartCollect makes a job that collects a vault, and that this process alone
// may run while it lives.
func (s *Service) StartCollect(ctx context.Context, c backup.Caller) (jobs.Job, error) {
	return s.start(ctx, c, JobVaultCollect, VaultWork{Alone: true})
}

// StartMaintain makes a job that maintains a vault, as StartCollect does.
func (s *Service) StartMaintain(ctx context.Context, c backup.Caller) (jobs.Job, error) {
	return s.start(ctx, c, JobVaultMaintain, VaultWork{Alone: true})
}

// StartVerify makes a job that verifies a vault or some of its backups, as
// StartCollect does.
func (s *Service) StartVerify(ctx context.Context, c backup.Caller, o VerifyOptions) (jobs.Job, error) {
	if !(o.Sample >= 0 && o.Sample <= 1) {
		return jobs.Job{}, backup.Errorf(backup.Invalid, "a sample of %v is not between 0 and 1", o.Sample)
	}
	return s.start(ctx, c, JobVaultVerify, VaultWork{ReadData: o.ReadData, Sample: o.Sample, Backups: o.Backups, Alone: true})
}

// StartHeal makes a job that heals a vault's damaged packs, as StartCollect
// does.
func (s *Service) StartHeal(ctx context.Context, c backup.Caller) (jobs.Job, error) {
	return s.start(ctx, c, JobVaultHeal, VaultWork{Alone: true})
}

func (s *Service) start(ctx context.Context, c backup.Caller, kind string, w VaultWork) (jobs.Job, error) {
	var job jobs.Job
	if err := authorise(c, ruleVaultOperate); err != nil {
		return job, err
	}
	err := s.db.Update(ctx, func(tx *catalog.Tx) error {
		v, err := tx.VaultOf(ctx, c.ProjectID)
		if err != nil {
			return err
		}
		for _, id := range w.Backups {
			b, err := s.backup(ctx, tx, c, id)
			if err != nil {
				return err
			}
			if b.ProjectID != c.ProjectID {
				return notFound(backup.BackupNotFound, id)
			}
		}
		if err := s.replaceQueued(ctx, tx, v, kind); err != nil {
			return err
		}
		job, err = s.cfg.Queue.Reserve(ctx, tx, careJob(v.ProjectID, v.ID, kind, w))
		return err
	})
	return job, err
}

// replaceQueued takes jobs out of the queue whose work one of a kind does, too;
// those that have run before are put to their end first.
func (s *Service) replaceQueued(ctx context.Context, tx *catalog.Tx, v catalog.Vault, kind string) error {
	kinds := map[string][]string{
		JobVaultCollect:  {JobVaultCollect},
		JobVaultMaintain: {JobVaultCollect, JobVaultMaintain},
		JobVaultHeal:     {JobVaultHeal},
	}
	if err := tx.LockProject(ctx, v.ProjectID); err != nil {
		return err
	}
	for _, k := range kinds[kind] {
		queued, ok, err := jobs.FindQueued(ctx, tx, vaultSubject(v.ID), k)
		switch {
		case err != nil:
			return err
		case ok && queued.Attempt > 0:
			err = s.cfg.Queue.Postpone(ctx, tx, queued.ID, tx.Now())
		case ok:
			err = jobs.Withdraw(ctx, tx, queued.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// VaultStats is what a vault holds. Sizes are in bytes.
type VaultStats struct {
	ID       catalog.ID
	Backups  int64
	Logical  int64 // of the volumes that the backups show
	Sessions int64 // of backups, under way
	Packs    []catalog.PackCount
	Segments int   // of the index
	Index    int64 // their size
	Dead     int   // objects that are to be removed from the store
	Damaged  int   // packs
	Hold     bool  // nothing is removed: see Vault.Hold of the catalog

	Epoch        int64
	CollectedAt  time.Time // zero: never
	MaintainedAt time.Time
	VerifiedAt   time.Time
}

// Stored returns the size of all packs.
func (v VaultStats) Stored() int64 {
	var n int64
	for _, p := range v.Packs {
		n += p.Bytes
	}
	return n
}

// Condemned returns the number and the size of packs that a collection has
// taken out of use and not removed yet. Part of it may be in use still.
func (v VaultStats) Condemned() (n, bytes int64) {
	for _, p := range v.Packs {
		if p.State == catalog.Condemned {
			n, bytes = n+p.N, bytes+p.Bytes
		}
	}
	return n, bytes
}

// VaultStats tells what the vault of the caller's project holds.
func (s *Service) VaultStats(ctx context.Context, c backup.Caller) (VaultStats, error) {
	var v VaultStats
	err := s.look(ctx, c, func(tx *catalog.Tx, row catalog.Vault) (err error) {
		v, err = vaultStats(ctx, tx, row)
		return err
	})
	return v, err
}

func vaultStats(ctx context.Context, tx *catalog.Tx, row catalog.Vault) (VaultStats, error) {
	v := VaultStats{
		ID: row.ID, Hold: row.Hold, Epoch: row.Epoch,
		CollectedAt: row.CollectedAt, MaintainedAt: row.MaintainedAt, VerifiedAt: row.VerifiedAt,
	}
	var err error
	if v.Backups, v.Logical, err = tx.BackupTotals(ctx, row.ID); err != nil {
		return v, err
	}
	if v.Sessions, err = tx.OpenSessions(ctx, row.ID); err != nil {
		return v, err
	}
	if v.Packs, err = tx.PackCounts(ctx, row.ID); err != nil {
		return v, err
	}
	segments, err := tx.Segments(ctx, row.ID)
	if err != nil {
		return v, err
	}
	v.Segments = len(segments)
	for _, g := range segments {
		v.Index += g.Size
	}
	dead, err := tx.Dead(ctx, row.ID)
	if err != nil {
		return v, err
	}
	damage, err := tx.Damage(ctx, row.ID)
	v.Dead, v.Damaged = len(dead), len(damage)
	return v, err
}

// Damage returns the packs of a vault that are known to be missing or damaged.
func (s *Service) Damage(ctx context.Context, c backup.Caller) ([]catalog.Damage, error) {
	var all []catalog.Damage
	err := s.look(ctx, c, func(tx *catalog.Tx, row catalog.Vault) (err error) {
		all, err = tx.Damage(ctx, row.ID)
		return err
	})
	return all, err
}

// look reads the vault of an administrator's project.
func (s *Service) look(ctx context.Context, c backup.Caller, read func(*catalog.Tx, catalog.Vault) error) error {
	if err := authorise(c, ruleVaultOperate); err != nil {
		return err
	}
	return s.db.View(ctx, func(tx *catalog.Tx) error {
		row, err := tx.VaultOf(ctx, c.ProjectID)
		if err != nil {
			return err
		}
		return read(tx, row)
	})
}
