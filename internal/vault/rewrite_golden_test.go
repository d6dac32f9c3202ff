package vault_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

const goldenMerged = "testdata/golden/v1-merged"

// mergedVolumes returns three states of a volume of 900,001 bytes; the first
// group of each is another one.
func mergedVolumes() [3][]byte {
	rng := newRand(78)
	var out [3][]byte
	base := make([]byte, 900_001)
	fill(rng, base[:300_000])
	for i := range out {
		out[i] = bytes.Clone(base)
		fill(rng, out[i][:vault.GroupSize])
		out[i][len(base)-1] = byte(i + 1)
	}
	return out
}

// TestGoldenMerged reads a vault whose packs were rewritten and put together
// in one object, one of them with lost blocks that no backup needs. It has an
// epoch, and an index segment of the new generations.
func TestGoldenMerged(t *testing.T) {
	if *update {
		writeMerged(t)
	}
	store := mem.New()
	err := filepath.WalkDir(goldenMerged, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(goldenMerged, path)
		if err != nil {
			return err
		}
		replace(t, store, filepath.ToSlash(name), b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := vault.OpenBare(t.Context(), store, testKeys)
	if err != nil {
		t.Fatal(err)
	}
	volumes := mergedVolumes()
	if len(bare.Backups()) != 2 {
		t.Fatalf("%d backups", len(bare.Backups()))
	}
	var refs []vault.RecordRef
	for i, b := range bare.Backups() {
		if b.Err != nil {
			t.Fatal(b.Err)
		}
		refs = append(refs, b.Ref)
		target := &vaulttest.Volume{Data: bytes.Repeat([]byte{1}, len(volumes[i+1]))}
		if err := bare.Restore(t.Context(), vault.RestoreRequest{Record: b.Ref, Target: target}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(target.Data, volumes[i+1]) {
			t.Errorf("backup %d restores to other bytes", i)
		}
	}
	report, err := bare.Verify(t.Context(), vault.VerifyRequest{Backups: refs, ReadData: true})
	if err != nil || !report.OK() || report.Packs < 5 || report.Objects != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	index := objects(t, store, "index")
	last := index[len(index)-1]
	n, generations, err := vault.OpenSegment(vaulttest.Keys{Vault: vault.ID{7}}, content(t, store, last))
	if err != nil || n == 0 || !generations[3] {
		t.Errorf("index segment: %d hooks of generations %v, %v", n, generations, err)
	}
	v, err := vault.Open(vault.Config{Store: store, Keys: vaulttest.Keys{Vault: vault.ID{7}}, Fence: vaulttest.NewFence()})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: store, fence: vaulttest.NewFence(), id: vault.ID{7}, vault: v}
	if _, err := v.Backup(t.Context(), r.request(&vaulttest.Volume{}, nil)); !errors.Is(err, vault.ErrOldCatalog) {
		t.Errorf("the epoch isn't seen: %v", err)
	}
}

func writeMerged(t *testing.T) {
	r := newRig(t, func(cfg *vault.Config) { cfg.Workers = 1 })
	volumes := mergedVolumes()
	var refs []vault.RecordRef
	var parent *vault.RecordRef
	for i := range volumes {
		ref, _ := r.backup(r.request(&vaulttest.Volume{Data: volumes[i]}, parent))
		refs = append(refs, ref)
		parent = &refs[i]
	}
	lossy := r.everything()[0].Place
	for _, item := range r.everything() {
		if item.Place.Kind == vault.DataPack && item.Place.Live > lossy.Live {
			lossy = item.Place
		}
	}
	groups, err := r.vault.Groups(t.Context(), lossy)
	if err != nil {
		t.Fatal(err)
	}
	// The first backup's group is lost, and so is the backup; the frame is
	// damaged too, so that healing makes the next generation.
	r.alter(lossy.Object, flip(groups[0].Offset))
	r.alter(lossy.Object, flip(lossy.Length+1))
	r.remove(refs[0])
	r.fence.Delete(refs[0])
	r.open(func(cfg *vault.Config) { cfg.Workers = 1 })
	_, dead := r.heal([]vault.DamagedPack{{Pack: lossy.Pack}})
	old := r.everything()
	s := r.collectSession()
	places, damaged, segment, err := r.vault.Rewrite(t.Context(), s, old, vault.RewriteOptions{Recompress: true, Compression: vault.Balanced}, 9)
	if err != nil || len(damaged) > 0 {
		t.Fatal(damaged, err)
	}
	if _, err := r.fence.Switch(t.Context(), s, vault.Switch{New: places, Segment: segment}); err != nil {
		t.Fatal(err)
	}
	lost := 0
	for _, p := range places {
		if p.Kind == vault.DataPack {
			n, err := r.vault.Lost(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			lost += n
		}
	}
	if lost != 32 {
		t.Fatalf("%d blocks are lost", lost)
	}
	for _, item := range old {
		dead = append(dead, item.Place.Object, item.Place.DirObject)
	}
	for _, name := range dead {
		if err := r.store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(goldenMerged); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, r.store, "") {
		path := filepath.Join(goldenMerged, filepath.FromSlash(o.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content(t, r.store, blob.Info{Name: o.Name, Size: o.Size}), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
