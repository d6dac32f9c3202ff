package worker

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
)

// VaultReport is what a job that cares for a vault says of itself: it is kept
// as the job's progress. Sizes are in bytes.
type VaultReport struct {
	Done    int64          `json:"done,omitempty"` // of Size: how far the job is
	Size    int64          `json:"size,omitempty"`
	Collect *CollectReport `json:"collect,omitempty"`
	Verify  *VerifyReport  `json:"verify,omitempty"`
	Heal    *HealReport    `json:"heal,omitempty"`
}

// care is one attempt at a job on a vault.
type care struct {
	*Worker
	run    *jobs.Run
	vault  vault.ID
	report VaultReport
}

func (w *Worker) care(r *jobs.Run, p service.VaultWork) (*care, error) {
	id, err := vaultOf(p)
	return &care{Worker: w, run: r, vault: id}, err
}

func vaultOf(p service.VaultWork) (id vault.ID, err error) {
	raw, err := hex.DecodeString(p.VaultID)
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("vault id %q", p.VaultID)
	}
	return vault.ID(raw), nil
}

// tell keeps what is known so far. What the report points at isn't changed
// afterwards.
func (c *care) tell() {
	c.run.Progress(c.report)
	if c.watch != nil {
		c.watch(Progress{Done: c.report.Done, Size: c.report.Size})
	}
}

// before returns what earlier attempts left.
func (c *care) before() (VaultReport, error) {
	var v VaultReport
	if len(c.run.Job.Progress) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(c.run.Job.Progress, &v); err != nil {
		return v, fmt.Errorf("read progress of job %s: %w", c.run.Job.ID, err)
	}
	return v, nil
}

// open returns the vault for a job that writes no backup.
func (c *care) open(ctx context.Context) (*vault.Vault, error) {
	return c.Vaults.Open(ctx, c.vault, &fence{db: c.DB})
}

// session returns the session of a step of the job, and whether an earlier
// attempt has brought it to its end.
func (c *care) session(ctx context.Context, step string) (ref vault.SessionRef, ended bool, err error) {
	id, err := stepOf(c.run.Job.ID, step)
	if err != nil {
		return ref, false, err
	}
	err = c.DB.View(ctx, func(tx *catalog.Tx) error {
		s, ok, err := tx.Session(ctx, id)
		ended = ok && s.State != catalog.SessionOpen
		return err
	})
	return vault.SessionRef{Vault: c.vault, Session: id, Token: c.run.Job.Attempt}, ended, err
}

// marks says how the packs of a report are marked as damaged.
func marks(damaged []vault.DamagedPack) []catalog.Damage {
	all := make([]catalog.Damage, len(damaged))
	for i, d := range damaged {
		all[i] = catalog.Damage{Pack: d.Pack, What: "damaged", Spare: d.Spare}
		if len(d.What) > 0 {
			all[i].What = d.What[0]
		}
	}
	return all
}

// careFailed gives up the sessions of a job on a vault, and marks what it found
// damaged. The next job tries again.
func (w *Worker) careFailed(ctx context.Context, tx *catalog.Tx, job jobs.Job, p service.VaultWork, cause error) error {
	id, err := vaultOf(p)
	if err != nil {
		return err
	}
	for _, step := range []string{collectStep, healStep} {
		session, err := stepOf(job.ID, step)
		if err != nil {
			return err
		}
		if err := tx.AbandonSession(ctx, session); err != nil {
			return err
		}
	}
	if err := w.releaseAll(ctx, tx, job.ID); err != nil {
		return err
	}
	if job.Kind == service.JobVaultMaintain { // not again before its time
		if err := tx.TookCare(ctx, id, catalog.Maintained); err != nil {
			return err
		}
	}
	return w.damaged(ctx, tx, id, cause, func(marks []catalog.Damage) error {
		_, err := tx.MarkDamaged(ctx, id, marks)
		return err
	})
}

// damaged hands the packs to mark that lie in the object which an error calls
// damaged.
func (w *Worker) damaged(ctx context.Context, tx *catalog.Tx, id vault.ID, cause error, mark func([]catalog.Damage) error) error {
	var corrupt *vault.CorruptError
	if !errors.As(cause, &corrupt) {
		return nil
	}
	packs, err := tx.PacksIn(ctx, id, corrupt.Object)
	if err != nil || len(packs) == 0 {
		return err
	}
	all := make([]catalog.Damage, len(packs))
	for i, p := range packs {
		all[i] = catalog.Damage{Pack: p, What: corrupt.What}
	}
	return mark(all)
}

// releaseAll ends all pins of a holder, and starts what waited for that.
func (w *Worker) releaseAll(ctx context.Context, tx *catalog.Tx, holder string) error {
	gone, err := tx.DeletedPins(ctx, holder)
	if err != nil {
		return err
	}
	if err := tx.Unpin(ctx, holder); err != nil {
		return err
	}
	for _, id := range gone {
		if err := w.Service.BackupReleased(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}
