package service

import (
	"context"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// Confirmed is what the confirmation of a recovery set free.
type Confirmed struct {
	Vaults  int // that were held
	Backups int // deleted meanwhile, whose records are removed now
}

// confirmAtOnce bounds how many deleted backups one transaction looks at.
const confirmAtOnce = 500

// ConfirmRecovery is the operator's word that the catalog which was lost is dead:
// from now on things may be deleted from the stores of recovered vaults. Backups
// that were deleted meanwhile lose their records, and what nothing needs is
// collected.
func (s *Service) ConfirmRecovery(ctx context.Context, c backup.Caller) (Confirmed, error) {
	var done Confirmed
	if err := authorise(c, ruleVaultOperate); err != nil {
		return done, err
	}
	var all []catalog.Vault
	err := s.db.View(ctx, func(tx *catalog.Tx) (err error) {
		all, err = tx.Vaults(ctx)
		return err
	})
	if err != nil {
		return done, err
	}
	for _, v := range all {
		if !v.Hold || !v.Ready {
			continue
		}
		if err := s.db.Update(ctx, func(tx *catalog.Tx) error { return s.release(ctx, tx, v) }); err != nil {
			return done, err
		}
		done.Vaults++
		n, err := s.removeKept(ctx, v.ID)
		done.Backups += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (s *Service) release(ctx context.Context, tx *catalog.Tx, v catalog.Vault) error {
	if err := tx.HoldVault(ctx, v.ID, false); err != nil {
		return err
	}
	return s.CollectSoon(ctx, tx, v.ProjectID, v.ID)
}

// removeKept starts the removal of the records of deleted backups. A deletion
// that comes later finds the vault free.
func (s *Service) removeKept(ctx context.Context, vault catalog.ID) (n int, err error) {
	for after := ""; ; {
		var ids []string
		err := s.db.Update(ctx, func(tx *catalog.Tx) error {
			var err error
			if ids, err = tx.DeletedIn(ctx, vault, after, confirmAtOnce); err != nil {
				return err
			}
			for _, id := range ids {
				if err := s.BackupReleased(ctx, tx, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(ids) == 0 {
			return n, err
		}
		n += len(ids)
		after = ids[len(ids)-1]
	}
}
