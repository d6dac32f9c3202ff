package service

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

const (
	// A collection waits a moment for more that is deleted, but not for ever:
	// a thousand deletions make few collections.
	collectAfter   = time.Second
	collectAtLeast = 10 * time.Second
)

// CollectSoon has a vault collected in a moment, since something in it is not
// needed any more. There is at most one such job in the queue.
func (s *Service) CollectSoon(ctx context.Context, tx *catalog.Tx, project string, vault catalog.ID) error {
	queued, err := s.queueCare(ctx, tx, careJob(project, vault, JobVaultCollect, VaultWork{}), collectAfter)
	if err != nil || queued.Attempt > 0 || !queued.RunAfter.After(tx.Now()) {
		return err
	}
	later := tx.Now().Add(collectAfter)
	if last := queued.CreatedAt.Add(collectAtLeast); later.After(last) {
		later = last
	}
	return s.cfg.Queue.Postpone(ctx, tx, queued.ID, later)
}

// SessionEnded is to be called in the transaction that ends a session of a
// backup, after that. Where a collection waited for it, that goes on at once;
// what an abandoned session left is collected in a moment.
func (s *Service) SessionEnded(ctx context.Context, tx *catalog.Tx, ended catalog.Session, committed bool) error {
	free, err := tx.CameFree(ctx, ended.Vault, ended.Epoch)
	if err != nil {
		return err
	}
	dead, err := tx.HasDead(ctx, ended.Vault)
	if err != nil {
		return err
	}
	if !free && !dead && committed {
		return nil
	}
	v, err := tx.Vault(ctx, ended.Vault)
	if err != nil || v.Hold {
		return err
	}
	if free || dead {
		return s.CollectNow(ctx, tx, v.ProjectID, v.ID)
	}
	return s.CollectSoon(ctx, tx, v.ProjectID, v.ID)
}

// CollectNow has a vault collected as soon as a worker is free.
func (s *Service) CollectNow(ctx context.Context, tx *catalog.Tx, project string, vault catalog.ID) error {
	queued, err := s.queueCare(ctx, tx, careJob(project, vault, JobVaultCollect, VaultWork{}), 0)
	if err != nil || queued.Attempt > 0 || !queued.RunAfter.After(tx.Now()) {
		return err
	}
	return s.cfg.Queue.Postpone(ctx, tx, queued.ID, tx.Now())
}

// queueCare adds a job of a vault, to be run after a while, unless one of its
// kind is queued, which it returns then.
func (s *Service) queueCare(ctx context.Context, tx *catalog.Tx, n jobs.New, after time.Duration) (queued jobs.Job, err error) {
	if err := tx.LockProject(ctx, n.ProjectID); err != nil { // else two don't see each other's job
		return queued, err
	}
	queued, ok, err := jobs.FindQueued(ctx, tx, n.Subject, n.Kind)
	if err != nil || ok {
		return queued, err
	}
	n.RunAfter = tx.Now().Add(after)
	return jobs.Job{}, s.enqueue(ctx, tx, backup.Caller{}, n)
}

// careJob is a job that cares for a project's vault.
func careJob(project string, vault catalog.ID, kind string, w VaultWork) jobs.New {
	w.VaultID = vaultSubject(vault)
	lane := collectLane(w.VaultID)
	if kind == JobVaultVerify { // it only reads
		lane = verifyLane(w.VaultID)
	}
	return jobs.New{Kind: kind, ProjectID: project, Lane: lane, Subject: w.VaultID, Payload: w}
}

func vaultSubject(id catalog.ID) string { return fmt.Sprintf("%x", id) }

// DamageFound marks packs of a vault as damaged that something met, and has a
// verification look for more, unless all of that is known already.
func (s *Service) DamageFound(
	ctx context.Context, tx *catalog.Tx, project string, vault catalog.ID, marks []catalog.Damage, look VaultWork,
) error {
	added, err := tx.MarkDamaged(ctx, vault, marks)
	if err != nil || added == 0 {
		return err
	}
	_, err = s.queueCare(ctx, tx, careJob(project, vault, JobVaultVerify, look), 0)
	return err
}

// What was found damaged long ago and could not be healed since is tried again
// now and then: a try may read all directories of the vault.
const (
	freshDamage = 24 * time.Hour
	healAgain   = 6 * time.Hour
)

// HealSoon has the damaged packs of a vault healed, where that is possible.
func (s *Service) HealSoon(ctx context.Context, tx *catalog.Tx, project string, vault catalog.ID) error {
	if s.cfg.NoHealing {
		return nil
	}
	damage, err := tx.Damage(ctx, vault)
	if err != nil || len(damage) == 0 {
		return err
	}
	after := healAgain
	for _, d := range damage {
		if tx.Now().Sub(d.FoundAt) < freshDamage {
			after = 0
		}
	}
	queued, err := s.queueCare(ctx, tx, careJob(project, vault, JobVaultHeal, VaultWork{}), after)
	if err != nil || queued.ID == "" || after > 0 {
		return err
	}
	return s.cfg.Queue.Postpone(ctx, tx, queued.ID, tx.Now())
}

// VerifySoon has a share of a vault's data verified.
func (s *Service) VerifySoon(ctx context.Context, tx *catalog.Tx, project string, vault catalog.ID, sample float64) error {
	_, err := s.queueCare(ctx, tx, careJob(project, vault, JobVaultVerify, VaultWork{Sample: sample}), 0)
	return err
}

// Maintain has every vault maintained that wasn't for an interval. Any process
// may call it at any time: the rows decide.
func (s *Service) Maintain(ctx context.Context, every time.Duration, sample float64) error {
	var all []catalog.Vault
	err := s.db.View(ctx, func(tx *catalog.Tx) (err error) {
		all, err = tx.Vaults(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, v := range all {
		if !s.due(v, every) {
			continue
		}
		err := s.db.Update(ctx, func(tx *catalog.Tx) error { return s.maintain(ctx, tx, v.ID, every, sample) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) due(v catalog.Vault, every time.Duration) bool {
	since := v.MaintainedAt
	if since.IsZero() {
		since = v.CreatedAt
	}
	return v.Ready && !since.Add(every).After(s.cfg.Clock.Now())
}

func (s *Service) maintain(ctx context.Context, tx *catalog.Tx, id catalog.ID, every time.Duration, sample float64) error {
	v, err := tx.Vault(ctx, id)
	if err != nil || !s.due(v, every) {
		return err
	}
	unfinished, err := jobs.Unfinished(ctx, tx, vaultSubject(id))
	if err != nil {
		return err
	}
	for _, j := range unfinished {
		if j.Kind == JobVaultMaintain {
			return nil
		}
	}
	_, err = s.queueCare(ctx, tx, careJob(v.ProjectID, id, JobVaultMaintain, VaultWork{Sample: sample}), 0)
	return err
}
