package worker

import (
	"context"

	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
)

// HealReport is what became of the packs that were marked as damaged. Sizes are
// in bytes.
type HealReport struct {
	Whole   int                 `json:"whole"`   // packs that are whole now, or were
	Gone    int                 `json:"gone"`    // packs that nothing needs any more
	Damaged []vault.DamagedPack `json:"damaged"` // packs that still are, the first of them
	More    int                 `json:"more"`    // such packs that are left out
	Blocks  int64               `json:"blocks"`  // that were found elsewhere
	Packs   int                 `json:"packs"`   // that have a next generation
	Written int64               `json:"written"`
}

func healReport(res vault.HealResult) *HealReport {
	r := &HealReport{
		Whole: len(res.Whole), Gone: len(res.Gone), Damaged: res.Damaged,
		Blocks: res.Blocks, Packs: res.Packs, Written: res.Written,
	}
	if n := len(r.Damaged) - keptPacks; n > 0 {
		r.Damaged, r.More = r.Damaged[:keptPacks], n
	}
	if r.Damaged == nil {
		r.Damaged = []vault.DamagedPack{}
	}
	return r
}

// healVault makes packs whole that are marked as damaged.
func (w *Worker) healVault(ctx context.Context, r *jobs.Run, p service.VaultWork) error {
	c, err := w.care(r, p)
	if err != nil {
		return err
	}
	var damage []catalog.Damage
	err = w.DB.View(ctx, func(tx *catalog.Tx) (err error) {
		damage, err = tx.Damage(ctx, c.vault)
		return err
	})
	if err != nil {
		return err
	}
	ref, ended, err := c.session(ctx, healStep)
	if err != nil {
		return err
	}
	var res vault.HealResult
	if len(damage) > 0 && !ended {
		if res, err = c.heal(ctx, ref, damage); err != nil {
			return err
		}
	}
	return w.finish(ctx, r, func(tx *catalog.Tx) error { return c.healed(ctx, tx, res) })
}

func (c *care) heal(ctx context.Context, ref vault.SessionRef, damage []catalog.Damage) (vault.HealResult, error) {
	v, err := c.open(ctx)
	if err != nil {
		return vault.HealResult{}, err
	}
	req := vault.HealRequest{
		Session: ref, Ledger: &ledger{db: c.DB, run: c.run}, Damage: make([]vault.DamagedPack, len(damage)),
		Progress: func(p vault.Progress) {
			c.report.Done, c.report.Size = p.Done, p.Size
			c.tell()
		},
	}
	for i, d := range damage {
		req.Damage[i].Pack = d.Pack
	}
	res, err := v.Heal(ctx, req)
	if err != nil {
		return res, err
	}
	c.report.Heal = healReport(res)
	c.tell()
	c.Log.InfoContext(ctx, "damaged packs were looked after", "vault", c.vault,
		"whole", len(res.Whole), "gone", len(res.Gone), "damaged", len(res.Damaged), "blocks_found", res.Blocks)
	return res, nil
}

// healed removes the marks of packs that are whole. What took damaged
// generations' place may have left objects that nothing names.
func (c *care) healed(ctx context.Context, tx *catalog.Tx, res vault.HealResult) error {
	for _, packs := range [][]vault.ID{res.Whole, res.Gone} {
		ids := make([]catalog.ID, len(packs))
		for i, p := range packs {
			ids[i] = p
		}
		if err := tx.ClearDamage(ctx, c.vault, ids); err != nil {
			return err
		}
	}
	if _, err := tx.MarkDamaged(ctx, c.vault, marks(res.Damaged)); err != nil {
		return err
	}
	dead, err := tx.HasDead(ctx, c.vault)
	if err != nil || !dead {
		return err
	}
	return c.Service.CollectSoon(ctx, tx, c.run.Job.ProjectID, c.vault)
}
