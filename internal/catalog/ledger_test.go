package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

var collectionID = catalog.ID{0: 0xfc, 15: 3}

func collector(token int64) catalog.SessionRef {
	return catalog.SessionRef{Vault: vaultID, ID: collectionID, Token: token}
}

func openCollection(t *testing.T, db *catalog.DB, token int64) error {
	t.Helper()
	return tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
		return tx.OpenCollection(ctx, catalog.BeginSession{ID: collectionID, Vault: vaultID, Token: token, JobID: "c"})
	})
}

func gens(packs ...catalog.Pack) []catalog.PackGen {
	var all []catalog.PackGen
	for _, p := range packs {
		all = append(all, catalog.PackGen{ID: p.ID, Generation: p.Generation})
	}
	return all
}

func condemn(t *testing.T, db *catalog.DB, ref catalog.SessionRef, packs ...catalog.Pack) (epoch int64, err error) {
	t.Helper()
	err = tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
		epoch, err = tx.Condemn(ctx, ref, gens(packs...))
		return err
	})
	return epoch, err
}

func switchPacks(t *testing.T, db *catalog.DB, ref catalog.SessionRef, w catalog.Switch) (epoch int64, err error) {
	t.Helper()
	err = tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
		epoch, err = tx.Switch(ctx, ref, w)
		return err
	})
	return epoch, err
}

func forget(t *testing.T, db *catalog.DB, ref catalog.SessionRef, done bool, objects ...string) error {
	t.Helper()
	return tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.Forget(ctx, ref, objects, done) })
}

// survey returns a vault's survey and all its packs.
func survey(t *testing.T, db *catalog.DB) (v catalog.Survey, rows []catalog.PackRow) {
	t.Helper()
	view(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
		if v, err = tx.Survey(ctx, vaultID); err != nil {
			return err
		}
		return tx.EachPack(ctx, vaultID, func(r catalog.PackRow) error {
			rows = append(rows, r)
			return nil
		})
	})
	return v, rows
}

// stored commits packs in a session of their own, and with them a segment of
// the session's name.
func stored(t *testing.T, db *catalog.DB, session byte, ps ...catalog.Pack) {
	t.Helper()
	id := catalog.ID{0: session}
	update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
		if _, err := tx.BeginSession(ctx, catalog.BeginSession{ID: id, Vault: vaultID, Token: 1}); err != nil {
			return err
		}
		return tx.CommitSession(ctx, catalog.SessionRef{Vault: vaultID, ID: id, Token: 1}, ps,
			&catalog.Segment{Object: "seg" + string(rune('0'+session)), Size: int64(session)})
	})
}

func at(p catalog.Pack, object, copyIn string) catalog.Pack {
	p.Object, p.DirObject = object, copyIn
	return p
}

func wantNothingDone(t *testing.T, db *catalog.DB, what string, do func() error) {
	t.Helper()
	before, rowsBefore := survey(t, db)
	if err := do(); err == nil {
		t.Errorf("%s: no error", what)
	}
	after, rowsAfter := survey(t, db)
	diff(t, what, before, after)
	diff(t, what, rowsBefore, rowsAfter)
}

func TestCollectionFreesAPack(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		stored(t, db, 1, at(pack(1, 1), "a", "d1"), at(pack(2, 1), "b", "d2"), at(pack(3, 1), "b", "d2"))
		if err := openCollection(t, db, 1); err != nil {
			t.Fatal(err)
		}
		v, rows := survey(t, db)
		if v.Oldest != math.MaxInt64 || v.Vault.Announced != 0 || len(v.Sessions) != 2 || v.Sessions[collectionID] || !v.Sessions[catalog.ID{1}] {
			t.Errorf("survey is %+v", v)
		}
		if len(rows) != 3 || rows[0].ID != packID(1) || rows[2].ID != packID(3) || rows[1].State != "writable" || rows[1].Session != (catalog.ID{1}) {
			t.Errorf("rows are %+v", rows)
		}
		wantNothingDone(t, db, "gone before it is condemned", func() error {
			_, err := switchPacks(t, db, collector(1), catalog.Switch{Gone: gens(pack(1, 1))})
			return err
		})
		epoch, err := condemn(t, db, collector(1), pack(1, 1), pack(2, 1))
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "writable", []catalog.ID{packID(3)}, writable(t, db))
		if again, err := condemn(t, db, collector(1), pack(1, 1)); err != nil || again <= epoch {
			t.Errorf("condemned again: %d, %v", again, err)
		}
		v, rows = survey(t, db)
		if v.Vault.Announced != v.Vault.Epoch || rows[0].Epoch != epoch || rows[0].State != "condemned" || rows[2].Epoch != 0 {
			t.Errorf("after the condemnation: %+v, %+v", v, rows)
		}
		fresh := at(pack(2, 2), "c", "d3")
		fresh.Live = 5
		w := catalog.Switch{New: []catalog.Pack{fresh}, Gone: gens(pack(1, 1)), Dead: []string{"a", "d1"}}
		for range 2 { // the answer to the first may have been lost
			epoch, err = switchPacks(t, db, collector(1), w)
			if err != nil {
				t.Fatal(err)
			}
		}
		v, rows = survey(t, db)
		if v.Vault.Announced != epoch || v.Vault.Epoch != epoch {
			t.Errorf("epoch %d, announced %d, want %d", v.Vault.Epoch, v.Vault.Announced, epoch)
		}
		diff(t, "dead", []string{"a", "d1"}, v.Dead)
		diff(t, "rows", []catalog.PackRow{
			{Pack: fresh, State: "writable", Session: collectionID},
			{Pack: at(pack(3, 1), "b", "d2"), State: "writable", Session: catalog.ID{1}},
		}, rows)
		if err := forget(t, db, collector(1), false, "a"); err != nil {
			t.Fatal(err)
		}
		if err := forget(t, db, collector(1), true, "d1", "a"); err != nil {
			t.Fatal(err)
		}
		if v, _ := survey(t, db); len(v.Dead) != 0 || !v.Sessions[collectionID] {
			t.Errorf("at the end: %+v", v)
		}
		if err := openCollection(t, db, 2); !errors.Is(err, catalog.ErrFenced) {
			t.Errorf("the session begins again: %v", err)
		}
	})
}

func TestSwitchRefuses(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		page := at(pack(4, 1), "pages", "d")
		page.Kind = 2
		stored(t, db, 1, at(pack(1, 1), "a", "d"), at(pack(2, 2), "b", "d"), at(pack(3, 1), "c", "d"), page)
		if err := openCollection(t, db, 1); err != nil {
			t.Fatal(err)
		}
		// A session that began before the condemnation is open, and has a pack
		// of its own.
		if _, err := begin(t, db, 1, ""); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint(t, db, 1, catalog.Checkpoint{Packs: []catalog.Pack{at(pack(9, 1), "own", "owndir")}}); err != nil {
			t.Fatal(err)
		}
		if _, err := condemn(t, db, collector(1), pack(1, 1)); err != nil {
			t.Fatal(err)
		}
		less := at(pack(1, 2), "n", "nd")
		less.Live = 1
		for what, w := range map[string]catalog.Switch{
			"an older session is open":              {Gone: gens(pack(1, 1))},
			"less is live, an older session open":   {New: []catalog.Pack{less}},
			"not condemned":                         {Gone: gens(pack(3, 1))},
			"an older generation comes":             {New: []catalog.Pack{at(pack(2, 1), "n", "nd")}},
			"two new generations of a pack":         {New: []catalog.Pack{at(pack(3, 2), "n", "nd"), at(pack(3, 3), "n", "nd")}},
			"a session's own pack":                  {Gone: gens(pack(9, 1))},
			"a session's own pack, moved":           {New: []catalog.Pack{at(pack(9, 2), "n", "nd")}},
			"an object is in use":                   {Dead: []string{"x", "a"}},
			"an object of copies is in use":         {Dead: []string{"d"}},
			"an object of a session":                {Dead: []string{"own"}},
			"a segment in use":                      {Dead: []string{"seg1"}},
			"a merged segment is not there":         {Segment: &catalog.Segment{Object: "s"}, Merged: []string{"seg1", "seg7"}},
			"a merged segment is named twice":       {Merged: []string{"seg1", "seg1"}},
			"a pack lies where another was said to": {New: []catalog.Pack{at(pack(9, 1), "n", "nd")}},
		} {
			wantNothingDone(t, db, what, func() error {
				_, err := switchPacks(t, db, collector(1), w)
				return err
			})
		}
		wantNothingDone(t, db, "condemn what is not committed", func() error {
			_, err := condemn(t, db, collector(1), pack(3, 1), pack(9, 1))
			return err
		})
		wantNothingDone(t, db, "condemn what is not there", func() error {
			_, err := condemn(t, db, collector(1), pack(3, 1), pack(77, 1))
			return err
		})

		// What needs no waiting: pages, moved packs, and all that is not less.
		moved := at(pack(2, 3), "n", "nd")
		if _, err := switchPacks(t, db, collector(1), catalog.Switch{New: []catalog.Pack{moved}, Gone: gens(page), Dead: []string{"b", "pages"}}); err != nil {
			t.Error(err)
		}
		// A session that began later is none that could refer to the pack.
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.BeginSession(ctx, catalog.BeginSession{ID: catalog.ID{0x77}, Vault: vaultID, Token: 1})
			return errors.Join(err, tx.AbandonSession(ctx, sessionID))
		})
		w := catalog.Switch{Gone: gens(pack(1, 1), pack(9, 1)), Dead: []string{"a", "own", "owndir"}}
		if _, err := switchPacks(t, db, collector(1), w); err != nil {
			t.Errorf("after the session's end: %v", err)
		}
		_, rows := survey(t, db)
		if len(rows) != 2 || rows[0].ID != packID(2) || rows[1].ID != packID(3) {
			t.Errorf("left: %+v", rows)
		}
	})
}

func TestCollectionIsFenced(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		stored(t, db, 1, at(pack(1, 1), "a", "d1"))
		for _, token := range []int64{1, 3} {
			if err := openCollection(t, db, token); err != nil {
				t.Fatal(err)
			}
		}
		for what, do := range map[string]func() error{
			"open":    func() error { return openCollection(t, db, 2) },
			"condemn": func() error { _, err := condemn(t, db, collector(1), pack(1, 1)); return err },
			"switch":  func() error { _, err := switchPacks(t, db, collector(2), catalog.Switch{}); return err },
			"forget":  func() error { return forget(t, db, collector(1), true) },
			"as a backup": func() error {
				return tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
					_, err := tx.BeginSession(ctx, catalog.BeginSession{ID: collectionID, Vault: vaultID, Token: 9})
					return err
				})
			},
		} {
			wantNothingDone(t, db, what, func() error {
				err := do()
				if !errors.Is(err, catalog.ErrFenced) {
					t.Errorf("%s: %v", what, err)
				}
				return err
			})
		}
		if _, err := begin(t, db, 1, ""); err != nil {
			t.Fatal(err)
		}
		err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.OpenCollection(ctx, catalog.BeginSession{ID: sessionID, Vault: vaultID, Token: 9})
		})
		if !errors.Is(err, catalog.ErrFenced) {
			t.Errorf("a backup's session is opened as a collection's: %v", err)
		}
		if v, _ := survey(t, db); v.Oldest == math.MaxInt64 {
			t.Error("the open session of a backup is not seen")
		}
	})
}

func TestRootsAreWhatCanBeReadOrMayShowAgain(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			for _, id := range []string{"kept", "deleted", "old", "pinned", "deleting", "other", "never"} {
				if err := tx.InsertBackup(ctx, aBackup(id)); err != nil {
					return err
				}
				v, root := vaultID, []byte(id)
				switch id {
				case "never":
					continue
				case "other":
					v = catalog.ID{1}
				case "old":
					root = nil
				}
				if err := tx.SetBackupRecord(ctx, id, catalog.Record{Vault: v, Object: id, Hash: [32]byte{1}, Map: root}); err != nil {
					return err
				}
			}
			return errors.Join(
				tx.SetBackupRecord(ctx, "parent", catalog.Record{Vault: vaultID, Object: "parent"}),
				tx.Pin(ctx, "pinned", "somebody"),
				tx.SetBackupStatus(ctx, "pinned", backup.Deleted, ""),
				tx.SetBackupStatus(ctx, "deleted", backup.Deleted, ""),
				tx.SetBackupStatus(ctx, "old", backup.Deleted, ""),
				tx.SetBackupStatus(ctx, "deleting", backup.Deleting, ""))
		})
		v, _ := survey(t, db)
		var got []string
		for _, r := range v.Roots {
			if string(r.Map) != r.Object && r.Object != "parent" || r.Object == "parent" && len(r.Map) != 0 {
				t.Errorf("record %s has the map %q", r.Object, r.Map)
			}
			got = append(got, r.Object)
		}
		diff(t, "roots", []string{"deleted", "deleting", "kept", "parent", "pinned"}, got)
	})
}

func TestMergedSegmentTakesTheOldestsPlace(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		for i := range byte(5) {
			stored(t, db, i, pack(int(i), 1))
		}
		if err := openCollection(t, db, 1); err != nil {
			t.Fatal(err)
		}
		order := func() string {
			v, _ := survey(t, db)
			var names []string
			for _, s := range v.Segments {
				names = append(names, s.Object)
			}
			return strings.Join(names, " ")
		}
		for _, step := range []struct {
			w    catalog.Switch
			want string
		}{
			{catalog.Switch{Segment: &catalog.Segment{Object: "m"}, Merged: []string{"seg3", "seg1"}, Dead: []string{"seg1", "seg3"}}, "seg0 m seg2 seg4"},
			{catalog.Switch{Segment: &catalog.Segment{Object: "n"}}, "seg0 m seg2 seg4 n"},
			{catalog.Switch{Merged: []string{"seg0", "n"}}, "m seg2 seg4"},
		} {
			if _, err := switchPacks(t, db, collector(1), step.w); err != nil {
				t.Fatal(err)
			}
			diff(t, "order", step.want, order())
		}
	})
}

// Steps over more packs than one statement takes, of several generations.
func TestManyPacksAreSwitched(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		const n = 1203
		var all, fresh []catalog.Pack
		var dead []string
		for i := range n {
			p := at(pack(i, uint32(1+i%3)), fmt.Sprint("o", i), fmt.Sprint("d", i))
			all, dead = append(all, p), append(dead, p.Object, p.DirObject)
			if i%2 == 0 {
				p.Generation, p.Live = 9, 1
				p.Object, p.DirObject = "new", "newdir"
				fresh = append(fresh, p)
			}
		}
		stored(t, db, 1, all...)
		if err := openCollection(t, db, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := condemn(t, db, collector(1), all...); err != nil {
			t.Fatal(err)
		}
		if ids := writable(t, db); len(ids) != 0 {
			t.Errorf("%d packs are writable", len(ids))
		}
		if _, err := switchPacks(t, db, collector(1), catalog.Switch{New: fresh, Gone: gens(all...), Dead: dead}); err != nil {
			t.Fatal(err)
		}
		v, rows := survey(t, db)
		if len(v.Dead) != 2*n || len(rows) != len(fresh) || !slices.IsSortedFunc(rows, func(a, b catalog.PackRow) int {
			return strings.Compare(string(a.ID[:]), string(b.ID[:]))
		}) {
			t.Errorf("%d dead, %d rows", len(v.Dead), len(rows))
		}
		if err := forget(t, db, collector(1), true, dead...); err != nil {
			t.Fatal(err)
		}
		if v, _ := survey(t, db); len(v.Dead) != 0 {
			t.Errorf("%d dead objects are left", len(v.Dead))
		}
	})
}

func TestVaultStats(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		stored(t, db, 1, packs(0, 3)...)
		if err := openCollection(t, db, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := condemn(t, db, collector(1), pack(1, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := begin(t, db, 1, ""); err != nil {
			t.Fatal(err)
		}
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return errors.Join(tx.SetBackupRecord(ctx, "parent", catalog.Record{Vault: vaultID, Object: "r"}),
				tx.HoldVault(ctx, vaultID, true), tx.TookCare(ctx, vaultID, catalog.Collected))
		})
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			counts, err1 := tx.PackCounts(ctx, vaultID)
			diff(t, "counts", []catalog.PackCount{
				{Kind: 1, State: "condemned", N: 1, Bytes: 1 << 20, Live: 8192},
				{Kind: 1, State: "writable", N: 2, Bytes: 2 << 20, Live: 2 * 8192},
			}, counts)
			n, bytes, err2 := tx.BackupTotals(ctx, vaultID)
			b, err3 := tx.Backup(ctx, "parent")
			if n != 1 || bytes != b.Bytes {
				t.Errorf("%d backups of %d bytes", n, bytes)
			}
			open, err4 := tx.OpenSessions(ctx, vaultID)
			v, err5 := tx.Vault(ctx, vaultID)
			care, err6 := tx.CareTotals(ctx)
			diff(t, "totals", catalog.CareTotals{Condemned: 1}, care)
			if open != 1 || !v.Hold || !v.CollectedAt.Equal(start) || !v.VerifiedAt.IsZero() {
				t.Errorf("%d sessions are open, vault %+v", open, v)
			}
			return errors.Join(err1, err2, err3, err4, err5, err6)
		})
	})
}

func TestCameFree(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		check := func(what string, ask func(context.Context, *catalog.Tx) (bool, error), want bool) {
			t.Helper()
			view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				got, err := ask(ctx, tx)
				if got != want {
					t.Errorf("%s: %v", what, got)
				}
				return err
			})
		}
		since := func(epoch int64) func(context.Context, *catalog.Tx) (bool, error) {
			return func(ctx context.Context, tx *catalog.Tx) (bool, error) { return tx.CameFree(ctx, vaultID, epoch) }
		}
		dead := func(ctx context.Context, tx *catalog.Tx) (bool, error) { return tx.HasDead(ctx, vaultID) }
		stored(t, db, 1, packs(0, 3)...)
		if err := openCollection(t, db, 1); err != nil {
			t.Fatal(err)
		}
		old, err := begin(t, db, 1, "")
		if err != nil {
			t.Fatal(err)
		}
		check("nothing is condemned", since(0), false)
		epoch, err := condemn(t, db, collector(1), pack(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		check("an older session is open", since(0), false)
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.BeginSession(ctx, catalog.BeginSession{ID: catalog.ID{0x77}, Vault: vaultID, Token: 1})
			return err
		})
		if err := commit(t, db, 1, nil, nil); err != nil {
			t.Fatal(err)
		}
		check("the older session has ended", since(old.Epoch), true)
		check("nobody waited", since(epoch), false)
		check("nothing is dead", dead, false)
		if _, err := switchPacks(t, db, collector(1), catalog.Switch{Dead: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
		check("an object is dead", dead, true)
	})
}
