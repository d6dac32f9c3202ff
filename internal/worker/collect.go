package worker

import (
	"context"

	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
)

// The steps of jobs on a vault that have a session of their own.
const (
	collectStep = "collect"
	healStep    = "heal"
)

// CollectReport is what a collection did; see vault.CollectResult. Sizes are in
// bytes.
type CollectReport struct {
	Backups   int   `json:"backups"`
	Condemned int   `json:"condemned"` // packs
	Rewritten int   `json:"rewritten"`
	Removed   int   `json:"removed"`
	Deleted   int   `json:"deleted"` // objects
	Orphans   int   `json:"orphans"`
	Freed     int64 `json:"freed"`
	Written   int64 `json:"written"`
	PagesRead int64 `json:"pages_read"`
	Damaged   int   `json:"damaged"` // packs
	Waiting   bool  `json:"waiting"`
	Held      bool  `json:"held"`
}

func collectReport(res vault.CollectResult) *CollectReport {
	return &CollectReport{
		Backups: res.Backups, Condemned: res.Condemned, Rewritten: res.Rewritten, Removed: res.Removed,
		Deleted: res.Deleted, Orphans: res.Orphans, Freed: res.Freed, Written: res.Written,
		PagesRead: res.PagesRead, Damaged: len(res.Damaged), Waiting: res.Waiting, Held: res.Held,
	}
}

// add counts what an earlier attempt did, too.
func (r *CollectReport) add(o *CollectReport) {
	if o == nil {
		return
	}
	r.Condemned += o.Condemned
	r.Rewritten += o.Rewritten
	r.Removed += o.Removed
	r.Deleted += o.Deleted
	r.Orphans += o.Orphans
	r.Freed += o.Freed
	r.Written += o.Written
	r.PagesRead += o.PagesRead
}

// collectVault frees what no backup of a vault needs.
func (w *Worker) collectVault(ctx context.Context, r *jobs.Run, p service.VaultWork) error {
	c, err := w.care(r, p)
	if err != nil {
		return err
	}
	return c.collect(ctx, false, func(context.Context, *catalog.Tx) error { return nil })
}

// maintainVault frees more, puts together what is small, and has a sample of
// the data verified.
func (w *Worker) maintainVault(ctx context.Context, r *jobs.Run, p service.VaultWork) error {
	c, err := w.care(r, p)
	if err != nil {
		return err
	}
	return c.collect(ctx, true, func(ctx context.Context, tx *catalog.Tx) error {
		if err := tx.TookCare(ctx, c.vault, catalog.Maintained); err != nil || p.Sample == 0 {
			return err
		}
		return w.Service.VerifySoon(ctx, tx, r.Job.ProjectID, c.vault, p.Sample)
	})
}

// collect runs a collection and ends the job.
func (c *care) collect(ctx context.Context, maintain bool, more func(context.Context, *catalog.Tx) error) error {
	ref, ended, err := c.session(ctx, collectStep)
	if err != nil {
		return err
	}
	if c.report, err = c.before(); err != nil {
		return err
	}
	l := &ledger{db: c.DB, run: c.run}
	var res vault.CollectResult
	if !ended {
		if res, err = c.runCollect(ctx, ref, l, maintain); err != nil {
			return err
		}
	}
	return c.finish(ctx, c.run, func(tx *catalog.Tx) error {
		if err := c.collected(ctx, tx, ref, l, res); err != nil {
			return err
		}
		if ended { // what was deleted since then relies on this job
			if err := c.Service.CollectSoon(ctx, tx, c.run.Job.ProjectID, c.vault); err != nil {
				return err
			}
		}
		return more(ctx, tx)
	})
}

func (c *care) runCollect(ctx context.Context, ref vault.SessionRef, l *ledger, maintain bool) (vault.CollectResult, error) {
	v, err := c.open(ctx)
	if err != nil {
		return vault.CollectResult{}, err
	}
	before := c.report.Collect
	res, err := v.Collect(ctx, vault.CollectRequest{
		Session: ref, Ledger: l, Maintain: maintain, Compression: c.Dense,
		Progress: func(p vault.Progress) {
			c.report.Done, c.report.Size = p.Done, p.Size
			c.tell()
		},
	})
	c.Metrics.Freed(res.Freed)
	report := collectReport(res)
	report.add(before)
	c.report.Collect = report
	c.tell()
	return res, err
}

// collected records what a collection has come to.
func (c *care) collected(ctx context.Context, tx *catalog.Tx, ref vault.SessionRef, l *ledger, res vault.CollectResult) error {
	if err := tx.AbandonSession(ctx, ref.Session); err != nil { // where it has left something to the next
		return err
	}
	if _, err := tx.MarkDamaged(ctx, c.vault, marks(res.Damaged)); err != nil {
		return err
	}
	switch {
	case res.Held:
		return nil
	case !res.Waiting:
		return tx.TookCare(ctx, c.vault, catalog.Collected)
	}
	// The end of a session enqueues what waits for it; this is for one that
	// ended before anything was condemned.
	if _, err := tx.Vault(ctx, c.vault); err != nil {
		return err
	}
	free, err := tx.CameFree(ctx, c.vault, l.oldest)
	if err != nil || !free {
		return err
	}
	return c.Service.CollectNow(ctx, tx, c.run.Job.ProjectID, c.vault)
}
