package app

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/vault"
)

// Of says whose vault something is about.
type Of struct {
	Project string `json:"project"`                // id; empty: of all in a bare store
	Name    string `json:"project_name,omitempty"` // empty where nobody knows it
}

// CollectedOf is what a collection or a maintenance of one vault did.
type CollectedOf struct {
	Of
	Collected
	Sessions int64 `json:"sessions"` // backups under way; where it waits, older ones among them
}

// VerifiedOf is what a verification of one vault found, and what was done
// about it.
type VerifiedOf struct {
	Of
	Verified
	Whole     bool    `json:"whole"`            // nothing is damaged
	Statement string  `json:"statement"`        // what can have been missed
	Healed    *Healed `json:"healed,omitempty"` // nil: there was nothing to heal, or no catalog to do it with
}

// StatsOf is what one vault holds.
type StatsOf struct {
	Of
	Stats
	Dedup float64 `json:"dedup"` // how many times more the backups show than is stored; 0: nothing is
}

// CollectAll collects the vault of a project, or of all where it is empty; with
// maintain it does what Maintain does. What was done before an error is
// returned with it.
func (v *Vault) CollectAll(ctx context.Context, project string, maintain bool, tell func(Progress)) ([]CollectedOf, error) {
	do := v.Collect
	if maintain {
		do = v.Maintain
	}
	return eachVault(ctx, v, project, func(of Of) (CollectedOf, error) {
		c, err := do(ctx, of.Project, tell)
		if err != nil {
			return CollectedOf{}, err
		}
		s, err := v.Stats(ctx, of.Project)
		return CollectedOf{Of: of, Collected: c, Sessions: s.Sessions}, err
	})
}

// VerifyAll verifies the vault of a project, or of all where it is empty, marks
// damaged packs, and heals them where their blocks are found elsewhere. What
// was found before an error is returned with it.
func (v *Vault) VerifyAll(ctx context.Context, r VerifyRequest) ([]VerifiedOf, error) {
	if len(r.Backups) > 0 && r.Project == "" {
		c, err := v.caller(ctx, "")
		if err != nil {
			return nil, err
		}
		r.Project = c.ProjectID
	}
	return eachVault(ctx, v, r.Project, func(of Of) (VerifiedOf, error) {
		one := r
		one.Project = of.Project
		found, err := v.Verify(ctx, one)
		if err != nil {
			return VerifiedOf{}, err
		}
		res := verifiedOf(of, found)
		if len(found.DamagedPacks) == 0 {
			return res, nil
		}
		healed, err := v.Heal(ctx, of.Project, r.Progress)
		if err == nil {
			res.Healed = &healed
		}
		return res, err
	})
}

func verifiedOf(of Of, v Verified) VerifiedOf {
	v.DamagedBackups = append([]vault.DamagedBackup{}, v.DamagedBackups...) // never null
	v.DamagedPacks = append([]vault.DamagedPack{}, v.DamagedPacks...)
	return VerifiedOf{Of: of, Verified: v, Whole: v.OK(), Statement: v.Odds.String()}
}

// StatsAll tells what the vault of a project holds, or what all hold where it
// is empty.
func (v *Vault) StatsAll(ctx context.Context, project string) ([]StatsOf, error) {
	return eachVault(ctx, v, project, func(of Of) (StatsOf, error) {
		s, err := v.Stats(ctx, of.Project)
		return StatsOf{Of: of, Stats: s, Dedup: dedup(s.Logical, s.Stored)}, err
	})
}

func dedup(logical, stored int64) float64 {
	if stored == 0 {
		return 0
	}
	return float64(logical) / float64(stored)
}

// eachVault does something with the vault of a project, or with all. What was
// done before an error is returned with it.
func eachVault[T any](ctx context.Context, v *Vault, project string, do func(Of) (T, error)) ([]T, error) {
	all, err := v.vaults(ctx, project)
	done := make([]T, 0, len(all))
	for _, of := range all {
		var one T
		if one, err = do(of); err != nil {
			return done, about(of, len(all), err)
		}
		done = append(done, one)
	}
	return done, err
}

// about says which of several vaults an error is about.
func about(of Of, n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("project %s: %w", of.Name, err)
}

// vaults returns the projects that have a vault, or the one that is asked for.
// It is no error that it has none: nothing was ever backed up then.
func (v *Vault) vaults(ctx context.Context, project string) ([]Of, error) {
	var rows []catalog.Vault
	err := v.db.View(ctx, func(tx *catalog.Tx) (err error) {
		rows, err = tx.Vaults(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	only := ""
	if project != "" {
		c, err := v.caller(ctx, project)
		if err != nil {
			return nil, err
		}
		only = c.ProjectID
	}
	var all []Of
	for _, row := range rows {
		if !row.Ready || only != "" && only != row.ProjectID {
			continue
		}
		c, err := v.caller(ctx, row.ProjectID)
		if err != nil {
			return nil, err
		}
		all = append(all, Of{Project: c.ProjectID, Name: c.ProjectName})
	}
	return all, nil
}

// DeleteAll deletes backups, in their order. One that can't be deleted doesn't
// stop the others; those that were are returned with the errors.
func (v *Vault) DeleteAll(ctx context.Context, project string, ids []string, force bool) ([]Deleted, error) {
	done := make([]Deleted, 0, len(ids))
	var errs []error
	for _, id := range ids {
		d, err := v.Delete(ctx, project, id, force)
		if err == nil {
			done = append(done, d)
			continue
		}
		if ctx.Err() != nil {
			return done, errors.Join(append(errs, fmt.Errorf("given up: %w", context.Cause(ctx)))...)
		}
		if len(ids) > 1 && backup.KindOf(err) != backup.NotFound { // which names it
			err = fmt.Errorf("delete %s: %w", id, err)
		}
		errs = append(errs, err)
	}
	return done, errors.Join(errs...)
}
