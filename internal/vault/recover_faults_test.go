package vault_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// TestDamagedRecordIsListed has a record that can't be read.
func TestDamagedRecordIsListed(t *testing.T) {
	r, refs, _ := damageRig(t, mem.New())
	r.alter(refs[0].Object, flip(300))
	found := r.recovered()
	damaged := 0
	for _, b := range found.Backups {
		if b.Damage != nil {
			damaged++
			if !b.Damage.Whole || b.Ref.Object != refs[0].Object || !strings.Contains(refs[0].Object, b.Damage.Backup) {
				t.Errorf("%+v", b.Damage)
			}
		}
	}
	if len(found.Backups) != 2 || damaged != 1 {
		t.Fatalf("%+v", found.Backups)
	}
}

// TestTakeOver puts incarnations one after another: the catalog that was there
// before can't write, and reads.
func TestTakeOver(t *testing.T) {
	r, refs, data := damageRig(t, mem.New())
	bare, err := vault.OpenBare(t.Context(), r.store, testKeys)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := bare.TakeOver(t.Context(), r.id, vault.ID{byte(i + 1)}, rand.Reader); err != nil {
			t.Fatal(err)
		}
		_, err = r.vault.Backup(t.Context(), r.request(&vaulttest.Volume{Data: data}, nil))
		if !errors.Is(err, vault.ErrOldCatalog) || !strings.Contains(err.Error(), vault.ID{byte(i + 1)}.String()) {
			t.Fatal(err)
		}
		_, err = r.vault.Collect(t.Context(), vault.CollectRequest{Session: r.fence.Session(r.id, nil), Ledger: r.fence})
		if !errors.Is(err, vault.ErrOldCatalog) {
			t.Fatal(err)
		}
	}
	r.same(refs[1], data)
	// The one that the fence says it is.
	if err := bare.TakeOver(t.Context(), r.id, vault.ID{0xfe}, rand.Reader); err != nil {
		t.Fatal(err)
	}
	r.backup(r.request(&vaulttest.Volume{Data: data}, &refs[1]))
}

// TestVaultsOfABareStore has a vault with keys and no record, and one whose keys
// can't be opened.
func TestVaultsOfABareStore(t *testing.T) {
	r, _, _ := damageRig(t, mem.New())
	noKeys := errors.New("no key")
	replace(t, r.store, format.RoomPrefix(vault.ID{8}, format.Keys)+"something", []byte("x"))
	replace(t, r.store, format.RoomPrefix(vault.ID{9}, format.Keys)+"something", []byte("x"))
	bare, err := vault.OpenBare(t.Context(), r.store, func(_ context.Context, id vault.ID) (vault.Keys, error) {
		if id == (vault.ID{9}) {
			return nil, noKeys
		}
		return vaulttest.Keys{Vault: id}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all := bare.Vaults()
	if len(all) != 3 || all[0] != (vault.BareVault{ID: r.id, Backups: 2}) || all[1] != (vault.BareVault{ID: vault.ID{8}}) ||
		!errors.Is(all[2].Err, noKeys) {
		t.Fatalf("%+v", all)
	}
	found, err := bare.Recover(t.Context(), vault.ID{8}, vault.RecoverRequest{})
	if err != nil || len(found.Backups) != 0 || found.Packs != 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err := bare.Recover(t.Context(), vault.ID{9}, vault.RecoverRequest{}); !errors.Is(err, noKeys) {
		t.Fatal(err)
	}
}

// TestRecoveryOfGenerations finds the newest generations in merged objects, and
// the ones before where those are lost.
func TestRecoveryOfGenerations(t *testing.T) {
	r := newRig(t)
	refs, data := manyBackups(r, 77, 3)
	before := map[string][]byte{}
	for _, o := range objects(t, r.store, "") {
		before[o.Name] = content(t, r.store, o)
	}
	places := r.rewrite(r.everything(), vault.RewriteOptions{})
	for name, b := range before { // as if nothing had been deleted
		replace(t, r.store, name, b)
	}
	for _, want := range []uint32{2, 1} {
		found := r.recovered()
		n := 0
		err := found.EachPack(func(p vault.RecoveredPack) error {
			if n++; p.Generation != want || p.Retired != (want == 1 && p.Kind == vault.DataPack) {
				t.Errorf("%+v", p)
			}
			return nil
		})
		if err != nil || n != len(places) || int(found.Packs) != n {
			t.Fatalf("%d packs of %d, %v", n, len(places), err)
		}
		again := r.rebuilt(found)
		for i, b := range found.Backups {
			if b.Damage != nil || b.Ref != refs[i] {
				t.Fatalf("%+v", b)
			}
			again.same(b.Ref, data[i])
		}
		for _, p := range places {
			r.put(p.Object, nil)
			r.put(p.DirObject, nil)
		}
	}
}

// TestRecoveryMeetsFaults has single calls of the store fail: that is an error,
// and never taken for damage.
func TestRecoveryMeetsFaults(t *testing.T) {
	store := fault.New(mem.New())
	r, _, _ := damageRig(t, store)
	r.junk()
	for _, op := range []fault.Op{fault.Get, fault.Stat, fault.List} {
		for n := 1; ; n++ {
			before := store.Calls(op)
			store.Add(fault.Fault{Op: op, Nth: n, Err: errBroken})
			bare, err := vault.OpenBareTwice(t.Context(), store, testKeys)
			var found *vault.Recovered
			if err == nil {
				found, err = bare.Recover(t.Context(), r.id, vault.RecoverRequest{})
			}
			store.Clear()
			if store.Calls(op)-before < n { // it has not struck
				break
			}
			if err != nil {
				if !errors.Is(err, errBroken) {
					t.Fatalf("%s %d: %v", op, n, err)
				}
				continue
			}
			for _, b := range found.Backups { // it was read ahead
				if b.Damage != nil {
					t.Fatalf("%s %d: %+v", op, n, b.Damage)
				}
			}
		}
	}
	for _, late := range []bool{false, true} {
		bare, err := vault.OpenBare(t.Context(), store, testKeys)
		if err != nil {
			t.Fatal(err)
		}
		store.Add(fault.Fault{Op: fault.Put, Nth: 1, Err: errBroken, Late: late})
		if err := bare.TakeOver(t.Context(), r.id, vault.ID{1}, rand.Reader); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		store.Clear()
		if err := bare.TakeOver(t.Context(), r.id, vault.ID{2}, rand.Reader); err != nil {
			t.Fatal(err)
		}
		_, err = r.vault.Backup(t.Context(), r.request(&vaulttest.Volume{Data: make([]byte, 4096)}, nil))
		if !errors.Is(err, vault.ErrOldCatalog) || !strings.Contains(err.Error(), vault.ID{2}.String()) {
			t.Fatal(err)
		}
	}
}
