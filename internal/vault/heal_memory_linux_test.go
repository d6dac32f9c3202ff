package vault_test

import (
	"path/filepath"
	"testing"

	"holdfast/internal/blob/local"
	"holdfast/internal/vault"
)

// TestMemoryOfCare verifies, rewrites and heals a vault of 192 MiB, a third of
// which is missing and was stored again, in the memory that a job may take.
func TestMemoryOfCare(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 1 GiB to disk")
	}
	const size = 192 << 20
	dir := t.TempDir()
	src := newSparse(t, filepath.Join(dir, "volume"), size)
	rng := newRand(5)
	buf := make([]byte, 4<<20)
	for off := int64(0); off < size; off += int64(len(buf)) {
		fill(rng, buf[:len(buf)/2])
		for i := len(buf) / 2; i < len(buf); i += 8 {
			v := rng.Uint64()
			for k := range 8 {
				buf[i+k] = byte(v >> (8 * k))
			}
		}
		if _, err := src.WriteAt(buf, off); err != nil {
			t.Fatal(err)
		}
	}
	store, err := local.Create(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
	ref, _ := r.backup(r.request(src, nil))
	refs := []vault.RecordRef{ref}

	base := resetPeak(t)
	report := r.verify(vault.VerifyRequest{Backups: refs, ReadData: true})
	check(t, "verify", base)
	if !report.OK() || report.Odds.Read != size/vault.GroupSize {
		t.Fatalf("%+v", report)
	}

	base = resetPeak(t)
	r.rewrite(r.everything(), vault.RewriteOptions{Recompress: true, Compression: vault.Balanced})
	check(t, "rewrite", base)

	for i, o := range objects(t, store, "packs") {
		if i%3 == 0 {
			r.alter(o.Name, gone)
		}
	}
	r.open()
	damage := r.verify(vault.VerifyRequest{Backups: refs}).DamagedPacks
	r.mark(damage)
	again, _ := r.backup(r.request(src, &ref))
	base = resetPeak(t)
	result, _ := r.heal(damage)
	check(t, "heal", base)
	if len(result.Damaged) != 0 || result.Blocks == 0 {
		t.Fatalf("%+v", result)
	}
	r.open()
	if report := r.verify(vault.VerifyRequest{Backups: append(refs, again), ReadData: true}); !report.OK() {
		t.Fatalf("%+v", report)
	}
}
