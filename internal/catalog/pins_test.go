package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

func TestVaultIsPinned(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		const n = 703 // more than one call pins
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			for i := range n {
				b := aBackup(fmt.Sprintf("b%03d", i))
				if err := tx.InsertBackup(ctx, b); err != nil {
					return err
				}
				if err := tx.SetBackupRecord(ctx, b.ID, catalog.Record{Vault: vaultID, Object: b.ID}); err != nil {
					return err
				}
			}
			return errors.Join(tx.Pin(ctx, "b001", "reader"),
				tx.SetBackupStatus(ctx, "b001", backup.Deleted, ""), tx.SetBackupStatus(ctx, "b002", backup.Deleting, ""))
		})
		var all []string
		for after := ""; ; {
			var ids []string
			update(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
				var records []catalog.Record
				ids, records, err = tx.PinVault(ctx, vaultID, "reader", after)
				if len(records) != len(ids) || len(ids) > 0 && records[0].Object != ids[0] {
					t.Errorf("records %+v of %v", records, ids)
				}
				return err
			})
			if len(ids) == 0 {
				break
			}
			all, after = append(all, ids...), ids[len(ids)-1]
		}
		if len(all) != n-1 || all[1] != "b001" || all[2] != "b003" {
			t.Errorf("%d backups are pinned, first %v", len(all), all[:3])
		}
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.SetBackupStatus(ctx, "b702", backup.Deleted, "")
		})
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			gone, err := tx.DeletedPins(ctx, "reader")
			diff(t, "deleted and pinned", []string{"b001", "b702"}, gone)
			return err
		})
		if !pinned(t, db, "b500") || pinned(t, db, "b002") || pinned(t, db, "parent") {
			t.Error("the wrong backups are pinned")
		}
	})
}
