package vault_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

func testKeys(_ context.Context, id vault.ID) (vault.Keys, error) {
	return vaulttest.Keys{Vault: id}, nil
}

// TestBareStore reads a store with keys alone: with its placement segments,
// without them, and where they lie.
func TestBareStore(t *testing.T) {
	for _, how := range []string{"whole", "no placements", "damaged placements", "moved"} {
		r, refs, data := damageRig(t, mem.New())
		for _, o := range objects(t, r.store, "placement") {
			b := content(t, r.store, o)
			switch how {
			case "no placements":
				if err := r.store.Delete(t.Context(), o.Name); err != nil {
					t.Fatal(err)
				}
			case "damaged placements":
				b[len(b)/2] ^= 1
				replace(t, r.store, o.Name, b)
			}
		}
		if how == "moved" {
			for _, o := range objects(t, r.store, "packs") {
				replace(t, r.store, o.Name+"-moved", content(t, r.store, o))
				if err := r.store.Delete(t.Context(), o.Name); err != nil {
					t.Fatal(err)
				}
			}
		}
		bare, err := vault.OpenBare(t.Context(), r.store, testKeys)
		if err != nil {
			t.Fatal(err)
		}
		list := bare.Backups()
		if len(list) != 2 || list[0].Ref.Object != refs[0].Object || list[1].Ref.Object != refs[1].Object {
			t.Fatalf("%s: %+v", how, list)
		}
		target := &vaulttest.Volume{Data: make([]byte, len(data))}
		if err := bare.Restore(t.Context(), vault.RestoreRequest{Record: list[1].Ref, Target: target}); err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if !bytes.Equal(target.Data, data) {
			t.Fatalf("%s: the restored volume differs", how)
		}
	}
}

// TestBareStoreShowsTheNewestAttempt leaves two records of one backup.
func TestBareStoreShowsTheNewestAttempt(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 1<<20)
	fill(newRand(1), data)
	req := r.request(&vaulttest.Volume{Data: data}, nil)
	r.fence.FailCommit(errBroken)
	if _, err := r.vault.Backup(t.Context(), req); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	req.Session.Token++
	ref, _ := r.backup(req)
	if n := len(objects(t, r.store, "records")); n != 2 {
		t.Fatalf("%d records", n)
	}
	bare, err := vault.OpenBare(t.Context(), r.store, testKeys)
	if err != nil {
		t.Fatal(err)
	}
	if list := bare.Backups(); len(list) != 1 || list[0].Ref.Object != ref.Object {
		t.Fatalf("%+v", list)
	}
	// Removing the backup removes what both attempts left.
	r.remove(ref)
	if n := len(objects(t, r.store, "records")); n != 0 {
		t.Fatalf("%d records are left", n)
	}
}

func TestBareStoreWithoutKeys(t *testing.T) {
	r, _, _ := damageRig(t, mem.New())
	noKeys := errors.New("no key")
	bare, err := vault.OpenBare(t.Context(), r.store, func(context.Context, vault.ID) (vault.Keys, error) { return nil, noKeys })
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bare.Backups() {
		if !errors.Is(b.Err, noKeys) {
			t.Error(b.Err)
		}
		err := bare.Restore(t.Context(), vault.RestoreRequest{Record: b.Ref, Target: &vaulttest.Volume{}})
		if !errors.Is(err, noKeys) {
			t.Error(err)
		}
	}
	wrong, err := vault.OpenBare(t.Context(), r.store, func(context.Context, vault.ID) (vault.Keys, error) {
		return vaulttest.Keys{Vault: vault.ID{0xee}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range wrong.Backups() {
		if b.Err == nil {
			t.Error("a record was read with another vault's keys")
		}
	}
}
