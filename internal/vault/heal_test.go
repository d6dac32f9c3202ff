package vault_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

// heal heals what a report calls damaged, as the worker does, and returns the
// objects that are dead by it.
func (r *rig) heal(damage []vault.DamagedPack) (vault.HealResult, []string) {
	r.t.Helper()
	result, err := r.vault.Heal(r.t.Context(), vault.HealRequest{
		Session: r.fence.Session(r.id, nil), Ledger: r.fence, Damage: damage,
	})
	if err != nil {
		r.t.Fatalf("heal: %v", err)
	}
	if n := len(result.Whole) + len(result.Damaged) + len(result.Gone); n != len(damage) {
		r.t.Fatalf("%d of %d packs are in the result: %+v", n, len(damage), result)
	}
	r.mark(result.Damaged)
	survey, err := r.fence.Survey(r.t.Context(), r.fence.Session(r.id, nil), func(vault.PackRow) error { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	return result, survey.Dead
}

// mark marks packs as damaged in the catalog, those that a restore meets.
func (r *rig) mark(damage []vault.DamagedPack) {
	var packs []vault.ID
	for _, d := range damage {
		if !d.Spare {
			packs = append(packs, d.Pack)
		}
	}
	r.fence.SetDamaged(packs)
}

// TestHealWhatIsThereTwice heals each kind of damage with no more than the
// store has: what is kept in two places is made whole, and nothing gets worse.
func TestHealWhatIsThereTwice(t *testing.T) {
	for _, c := range damageCases() {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifyRig(t)
			c.damage(v)
			v.open()
			before := v.verify(v.all())
			result, _ := v.heal(before.DamagedPacks)
			if c.healed != (len(result.Damaged) == 0 && len(result.Gone) == 0) {
				t.Fatalf("%+v", result)
			}
			v.open()
			after := v.verify(v.all())
			if c.healed {
				if !after.OK() {
					t.Fatalf("%+v", after)
				}
				for i, ref := range v.refs {
					v.same(ref, v.data[i])
				}
				return
			}
			c.check(t, v, after)
		})
	}
}

// TestBackupHoldsTheBytesAgain damages packs, backs the volume up again, and
// heals: the old backups restore.
func TestBackupHoldsTheBytesAgain(t *testing.T) {
	never := []string{"both copies of the directory", "a page", "pages that are missing", "a pack that the catalog doesn't know"}
	for _, c := range damageCases() {
		if c.spare || slices.Contains(never, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			v := newVerifyRig(t)
			c.damage(v)
			v.open()
			before := v.verify(v.all())
			v.mark(before.DamagedPacks)
			third, _ := v.backup(v.request(&vaulttest.Volume{Data: v.data[0]}, &v.refs[1]))
			v.same(third, v.data[0])
			fourth, _ := v.backup(v.request(&vaulttest.Volume{Data: v.data[1]}, &third))
			v.same(fourth, v.data[1])
			result, dead := v.heal(before.DamagedPacks)
			if len(result.Damaged) != 0 || result.Blocks == 0 || result.Packs != len(before.DamagedPacks) {
				t.Fatalf("%+v", result)
			}
			for _, d := range before.DamagedPacks {
				if !slices.Contains(dead, d.Object) {
					t.Errorf("%s is not dead", d.Object)
				}
			}
			for _, name := range dead {
				if err := v.store.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			v.open()
			refs := []vault.RecordRef{v.refs[0], v.refs[1], third, fourth}
			if report := v.verify(vault.VerifyRequest{Backups: refs, ReadData: true}); !report.OK() {
				t.Fatalf("%+v", report)
			}
			for i, ref := range refs {
				v.same(ref, v.data[i%2])
			}
			if next, result := v.backup(v.request(&vaulttest.Volume{Data: v.data[0]}, &fourth)); result.New > 0 {
				t.Errorf("%d bytes are stored again after healing", result.New)
			} else {
				v.same(next, v.data[0])
			}
		})
	}
}

// TestHealInSteps loses a pack of which a later backup has one part, and
// another one the rest: what is lost shrinks, and its digests are never lost.
func TestHealInSteps(t *testing.T) {
	v := newVerifyRig(t)
	v.alter(v.packs[0].Object, gone)
	v.open()
	damage := v.verify(v.all()).DamagedPacks
	v.mark(damage)
	parts := [2]int{5 * vault.GroupSize, 12 * vault.GroupSize}
	part := func(from, to int) []byte {
		b := make([]byte, 12*vault.GroupSize)
		copy(b[from:to], v.data[0][from:to])
		return b
	}
	v.backup(v.request(&vaulttest.Volume{Data: part(0, parts[0])}, nil))
	result, _ := v.heal(damage)
	if len(result.Damaged) != 1 || result.Blocks != 5*32 || result.Damaged[0].Blocks != 7*32 || result.Damaged[0].Generation != 2 {
		t.Fatalf("%+v", result)
	}
	again, _ := v.heal(damage)
	if again.Packs != 0 || again.Blocks != 0 || len(again.Damaged) != 1 || again.Damaged[0].Blocks != 7*32 {
		t.Errorf("healed again, with nothing new: %+v", again)
	}
	v.open()
	report := v.verify(v.all())
	if len(report.DamagedBackups) != 2 || !slices.Equal(report.DamagedBackups[0].Ranges, groups(5, 7)) {
		t.Fatalf("%+v", report)
	}
	if _, err := v.restored(v.refs[0], len(v.data[0])); !errors.Is(err, vault.ErrCorrupt) {
		t.Fatalf("lost blocks restore: %v", err)
	}
	for i, ref := range v.refs {
		v.compareRanges(0, ref, v.data[i], report)
	}
	if cheap := v.verify(vault.VerifyRequest{Backups: v.refs[:]}); !cmp.Equal(cheap.DamagedBackups, report.DamagedBackups) {
		t.Errorf("lost blocks are not seen without reading data: %+v", cheap)
	}
	for _, p := range v.fence.Placements() {
		if p.Pack != damage[0].Pack {
			continue
		}
		items := []vault.RewriteItem{{Place: p, Live: func(c, n int) bool { return c == 0 && n >= 5*32 && n < 12*32 }}}
		places, left, _, err := v.vault.Rewrite(t.Context(), v.collectSession(), items, vault.RewriteOptions{}, 0)
		if err != nil || len(places) != 0 || len(left) != 1 {
			t.Errorf("only lost blocks are rewritten: %+v, %+v, %v", places, left, err)
		}
		items[0].Live = func(c, n int) bool { return c == 0 && n >= 4*32 && n < 12*32 }
		places, left, _, err = v.vault.Rewrite(t.Context(), v.collectSession(), items, vault.RewriteOptions{}, 0)
		if err != nil || len(left) != 0 || len(places) != 1 || places[0].Live != 8*32 {
			t.Fatalf("%+v, %+v, %v", places, left, err)
		}
		if n, err := v.vault.Lost(t.Context(), places[0]); n != 7*32 || err != nil {
			t.Errorf("%d blocks are lost after rewriting, %v", n, err)
		}
	}
	if ref, _ := v.backup(v.request(&vaulttest.Volume{Data: part(parts[0], parts[1])}, nil)); ref.Object == "" {
		t.Fatal("no backup")
	}
	result, _ = v.heal(damage)
	if len(result.Damaged) != 0 || result.Blocks != 7*32 {
		t.Fatalf("%+v", result)
	}
	v.open()
	if report := v.verify(v.all()); !report.OK() {
		t.Fatalf("%+v", report)
	}
	for i, ref := range v.refs {
		v.same(ref, v.data[i])
	}
}

// TestHealingSourceMayBeDamaged has two copies of what was lost, one of which
// is damaged as well.
func TestHealingSourceMayBeDamaged(t *testing.T) {
	for which := range 2 {
		v := newVerifyRig(t)
		v.alter(v.packs[0].Object, flip(v.groups[3].Offset))
		damage := v.verify(v.all()).DamagedPacks
		copies := [2]vault.Placement{}
		marked := []vault.ID{v.packs[0].Pack}
		for i := range copies {
			v.fence.SetDamaged(marked)
			old := v.fence.Placements()
			v.backup(v.request(&vaulttest.Volume{Data: v.data[0][3*vault.GroupSize : 4*vault.GroupSize]}, nil))
			copies[i] = v.place(vault.DataPack, old)
			marked = append(marked, copies[i].Pack)
		}
		v.alter(copies[which].Object, flip(vault.HeaderSize+5))
		v.open()
		if result, _ := v.heal(damage); len(result.Damaged) != 0 || result.Blocks != 32 {
			t.Fatalf("%+v", result)
		}
		v.same(v.refs[0], v.data[0])
	}
}

// TestHealOfMergedObject damages packs that share an object with others.
func TestHealOfMergedObject(t *testing.T) {
	r := newRig(t)
	refs, data := manyBackups(r, 301, 5)
	r.rewrite(r.everything(), vault.RewriteOptions{})
	merged := objects(t, r.store, "packs")
	if len(merged) != 1 {
		t.Fatalf("%d objects", len(merged))
	}
	places := r.fence.Placements()
	i := slices.IndexFunc(places, func(p vault.Placement) bool { return p.Kind == vault.DataPack && p.Offset > 0 })
	p := places[i]
	r.alter(p.Object, flip(p.Offset+p.DirOffset+200))
	r.open()
	report := r.verify(vault.VerifyRequest{Backups: refs, ReadData: true})
	if len(report.DamagedPacks) != 1 || report.DamagedPacks[0].Pack != p.Pack || !report.DamagedPacks[0].Spare {
		t.Fatalf("%+v", report)
	}
	result, dead := r.heal(report.DamagedPacks)
	if len(result.Whole) != 1 || slices.Contains(dead, p.Object) {
		t.Fatalf("%+v, dead: %v", result, dead)
	}
	// Now all of it goes, and a later backup of each state has it again.
	r.alter(merged[0].Name, gone)
	r.open()
	report = r.verify(vault.VerifyRequest{Backups: refs})
	r.mark(report.DamagedPacks)
	for _, d := range data {
		r.backup(r.request(&vaulttest.Volume{Data: d}, nil))
	}
	if result, dead = r.heal(report.DamagedPacks); len(result.Damaged) != 0 || !slices.Contains(dead, merged[0].Name) {
		t.Fatalf("%+v, dead: %v", result, dead)
	}
	r.open()
	for i, ref := range refs {
		r.same(ref, data[i])
	}
}

// TestHealGoesOnAfterErrors fails each write and each transaction of a healing
// in turn; another attempt brings it to its end.
func TestHealGoesOnAfterErrors(t *testing.T) {
	boom := errors.New("boom")
	for n := 1; ; n++ {
		store := fault.New(mem.New())
		r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
		refs, data := manyBackups(r, 311, 2)
		p := r.place(vault.DataPack, nil)
		r.alter(p.Object, gone)
		r.open()
		report := r.verify(vault.VerifyRequest{Backups: refs})
		r.mark(report.DamagedPacks)
		for _, d := range data {
			r.backup(r.request(&vaulttest.Volume{Data: d}, nil))
		}
		req := vault.HealRequest{Session: r.fence.Session(r.id, nil), Ledger: r.fence, Damage: report.DamagedPacks}
		if n <= 4 {
			r.fence.Fail(n, boom)
		} else {
			store.Add(fault.Fault{Op: fault.Put, Nth: n - 4, Err: boom})
		}
		_, err := r.vault.Heal(t.Context(), req)
		store.Clear()
		if err == nil {
			if n <= 4 {
				t.Fatalf("call %d of the ledger didn't fail", n)
			}
			break
		}
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		req.Session.Token++
		result, err := r.vault.Heal(t.Context(), req)
		if err != nil || len(result.Damaged) != 0 {
			t.Fatalf("attempt after failure %d: %+v, %v", n, result, err)
		}
		r.open()
		for i, ref := range refs {
			r.same(ref, data[i])
		}
		if n > 20 {
			t.Fatal("it never comes to its end")
		}
	}
}

// TestHealLeavesOthersAlone has a backup under way, refuses an old catalog, and
// knows nothing of a pack that is gone.
func TestHealLeavesOthersAlone(t *testing.T) {
	v := newVerifyRig(t)
	v.alter(v.packs[0].DirObject, flip(v.packs[0].DirAt+300))
	open := v.fence.Session(v.id, &v.refs[1])
	if _, err := v.fence.Begin(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	damage := append(v.verify(v.all()).DamagedPacks, vault.DamagedPack{Pack: vault.ID{0xdd}})
	result, _ := v.heal(damage)
	if len(result.Gone) != 1 || len(result.Damaged) != 0 {
		t.Fatalf("%+v", result)
	}
	s := v.fence.Session(v.id, nil)
	ledger := &staleLedger{v.fence}
	if _, _, _, err := v.vault.Rewrite(t.Context(), v.collectSession(), nil, vault.RewriteOptions{}, 99); err != nil {
		t.Fatal(err)
	}
	if _, err := v.vault.Heal(t.Context(), vault.HealRequest{Session: s, Ledger: ledger, Damage: damage}); !errors.Is(err, vault.ErrOldCatalog) {
		t.Errorf("an old catalog heals: %v", err)
	}
	other := s
	other.Vault = vault.ID{1}
	if _, err := v.vault.Heal(t.Context(), vault.HealRequest{Session: other, Ledger: ledger}); err == nil {
		t.Error("a session of another vault heals")
	}
}

// staleLedger is that of a catalog that was brought back from a dump.
type staleLedger struct{ vault.Ledger }

func (l *staleLedger) Survey(ctx context.Context, s vault.SessionRef, pack func(vault.PackRow) error) (vault.Survey, error) {
	survey, err := l.Ledger.Survey(ctx, s, pack)
	survey.Announced = 1
	return survey, err
}
