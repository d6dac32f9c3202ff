package vault_test

import (
	"bytes"
	"path/filepath"
	"runtime"
	"testing"

	"holdfast/internal/blob/local"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

const benchSize = 512 << 20

// benchRig is a vault over a store on disk, and a volume of 512 MiB of which
// an eighth each is random, holes, and repeated, and the rest compresses by half.
func benchRig(b *testing.B, c *vaulttest.Volume) *rig {
	b.Helper()
	dir := b.TempDir()
	store, err := local.Create(filepath.Join(dir, "store"))
	if err != nil {
		b.Fatal(err)
	}
	c.Data = make([]byte, benchSize)
	c.Holes = 64 << 10
	rng := newRand(9)
	fill(rng, c.Data[:benchSize*5/8])
	for i := benchSize * 5 / 8; i < benchSize*6/8; i++ {
		c.Data[i] = byte(rng.Uint32())
	}
	copy(c.Data[benchSize*7/8:], c.Data[:benchSize/8])
	return newRig(b, func(cfg *vault.Config) {
		cfg.Store = store
		cfg.Workers = runtime.GOMAXPROCS(0)
	})
}

func benchBackup(b *testing.B, how vault.Compression) {
	var v vaulttest.Volume
	for b.Loop() {
		b.StopTimer()
		r := benchRig(b, &v)
		req := r.request(&v, nil)
		req.Compression = how
		b.SetBytes(benchSize)
		b.StartTimer()
		_, result := r.backup(req)
		b.ReportMetric(float64(result.Stored)/(1<<20), "MiB-stored")
	}
}

func BenchmarkFirstS2(b *testing.B)   { benchBackup(b, vault.Fast) }
func BenchmarkFirstZstd(b *testing.B) { benchBackup(b, vault.Balanced) }

func BenchmarkUnchanged(b *testing.B) {
	var v vaulttest.Volume
	r := benchRig(b, &v)
	ref, _ := r.backup(r.request(&v, nil))
	b.SetBytes(benchSize)
	for b.Loop() {
		r.backup(r.request(&v, &ref))
	}
}

// BenchmarkChanged changes a block in every 256 KiB.
func BenchmarkChanged(b *testing.B) {
	var v vaulttest.Volume
	r := benchRig(b, &v)
	ref, _ := r.backup(r.request(&v, nil))
	rng := newRand(10)
	b.SetBytes(benchSize)
	for b.Loop() {
		b.StopTimer()
		changed := &vaulttest.Volume{Data: bytes.Clone(v.Data), Holes: v.Holes}
		for off := 0; off < benchSize; off += 256 << 10 {
			fill(rng, changed.Data[off:off+4096])
		}
		b.StartTimer()
		_, result := r.backup(r.request(changed, &ref))
		b.ReportMetric(float64(result.Stored)/(1<<20), "MiB-stored")
	}
}

func BenchmarkRestore(b *testing.B) {
	var v vaulttest.Volume
	r := benchRig(b, &v)
	ref, _ := r.backup(r.request(&v, nil))
	target := &vaulttest.Volume{Data: make([]byte, benchSize)}
	b.SetBytes(benchSize)
	for b.Loop() {
		if err := r.vault.Restore(b.Context(), vault.RestoreRequest{Record: ref, Target: target}); err != nil {
			b.Fatal(err)
		}
	}
}
