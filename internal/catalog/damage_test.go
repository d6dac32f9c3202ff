package catalog_test

import (
	"context"
	"strings"
	"testing"

	"holdfast/internal/catalog"
)

func TestDamage(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		stored(t, db, 1, at(pack(1, 1), "a", "d"), at(pack(2, 1), "a", "e"), at(pack(3, 1), "b", "a"))
		mark := func(what string, ids ...int) (n int) {
			var marks []catalog.Damage
			for _, i := range ids {
				marks = append(marks, catalog.Damage{Pack: packID(i), What: what})
			}
			update(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
				n, err = tx.MarkDamaged(ctx, vaultID, marks)
				return err
			})
			return n
		}
		if n := mark("first", 2, 1); n != 2 {
			t.Errorf("%d marks", n)
		}
		if n := mark("second", 1, 3, 8); n != 2 {
			t.Errorf("%d new marks", n)
		}
		damage := func() (all []catalog.Damage) {
			view(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
				all, err = tx.Damage(ctx, vaultID)
				return err
			})
			return all
		}
		diff(t, "damage", []catalog.Damage{
			{packID(1), "first", false, start},
			{packID(2), "first", false, start},
			{packID(3), "second", false, start},
			{packID(8), "second", false, start},
		}, damage())
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { // text of errors, and what is found to be worse
			var counts []int
			for _, spare := range []bool{true, true, false, true} {
				n, err := tx.MarkDamaged(ctx, vaultID, []catalog.Damage{{Pack: packID(9), What: strings.Repeat("a\x00\xff", 900), Spare: spare}})
				if err != nil {
					return err
				}
				counts = append(counts, n)
			}
			diff(t, "new marks", []int{1, 0, 1, 0}, counts)
			return tx.ClearDamage(ctx, vaultID, []catalog.ID{packID(9)})
		})
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.ClearDamage(ctx, vaultID, []catalog.ID{packID(2)})
		})
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			in, err := tx.PacksIn(ctx, vaultID, "a")
			diff(t, "packs in a", []catalog.ID{packID(1), packID(2), packID(3)}, in)
			return err
		})

		// A pack that goes takes its mark along; one that moves keeps it.
		if err := openCollection(t, db, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := condemn(t, db, collector(1), pack(1, 1)); err != nil {
			t.Fatal(err)
		}
		w := catalog.Switch{New: []catalog.Pack{at(pack(3, 2), "n", "nd")}, Gone: gens(pack(1, 1))}
		if _, err := switchPacks(t, db, collector(1), w); err != nil {
			t.Fatal(err)
		}
		diff(t, "damage", []catalog.Damage{{packID(3), "second", false, start}, {packID(8), "second", false, start}}, damage())
	})
}
