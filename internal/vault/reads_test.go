package vault_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"holdfast/internal/blob/local"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

// discard is a target of which nothing is kept.
type discard int64

func (d discard) Size() int64                          { return int64(d) }
func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (discard) Zero(int64, int64) error                { return nil }
func (discard) Sync() error                            { return nil }

// TestRestoreReadsLittle guards how many requests a restore makes, how much it
// reads of what it doesn't need, and how much it allocates.
func TestRestoreReadsLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("backs up 200 MiB")
	}
	store := newCounted(mem.New())
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
	base := make([]byte, 128<<20)
	rng := newRand(17)
	fill(rng, base[:96<<20])
	ref, first := r.backup(r.request(&vaulttest.Volume{Data: base}, nil))
	changed := bytes.Clone(base)
	for off := 0; off < 96<<20; off += 256 << 10 {
		fill(rng, changed[off:off+8192])
	}
	next, more := r.backup(r.request(&vaulttest.Volume{Data: changed}, &ref))
	for _, c := range []struct {
		name   string
		ref    vault.RecordRef
		needed int64 // bytes
		gets   int
	}{
		// 3 packs of which each is read in two or three pieces, a directory
		// object, a page pack and the record.
		{"first", ref, first.Stored, 18},
		{"second", next, first.Stored + more.Stored, 24},
	} {
		store.reset()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: c.ref, Target: discard(len(base))}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		gets, read := store.total("get")
		stats, _ := store.total("stat")
		allocs := after.Mallocs - before.Mallocs
		if gets > c.gets || stats > 1 {
			t.Errorf("%s: %d GETs and %d stats", c.name, gets, stats)
		}
		if read > c.needed*105/100 {
			t.Errorf("%s: %d bytes were read of %d that are stored", c.name, read, c.needed)
		}
		if allocs > 6000 {
			t.Errorf("%s: %d allocations", c.name, allocs)
		}
	}
}

// TestReaderReadsLittle guards what reading at random costs, and reading on.
func TestReaderReadsLittle(t *testing.T) {
	store := newCounted(mem.New())
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
	data := make([]byte, 24<<20)
	fill(newRand(18), data)
	ref, result := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	store.reset()
	b := openReader(t, r, ref)
	p := make([]byte, 4096)
	for range 10 {
		if _, err := b.ReadAt(p, 9<<20); err != nil {
			t.Fatal(err)
		}
	}
	// The record, the pages, a directory, a group.
	if gets, _ := store.total("get"); gets > 5 {
		t.Errorf("one block takes %d GETs", gets)
	}
	store.reset()
	p = make([]byte, 1<<20)
	for off := int64(0); off < b.Size(); off += int64(len(p)) {
		if _, err := b.ReadAt(p, off); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	// However reads and those ahead of them meet, no group is read twice.
	if gets, read := store.total("get"); gets > 24*8+5 || read > result.Stored*105/100 {
		t.Errorf("reading all takes %d GETs of %d bytes, and %d are stored", gets, read, result.Stored)
	}
}

// BenchmarkRestoreCorpus restores real disks, gen1.img and its increment
// gen2.img of the folder that HOLDFAST_CORPUS names, and counts requests.
func BenchmarkRestoreCorpus(b *testing.B) {
	dir := os.Getenv("HOLDFAST_CORPUS")
	if dir == "" {
		b.Skip("HOLDFAST_CORPUS names no folder of disks")
	}
	disk, err := local.Create(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	store := newCounted(disk)
	r := newRig(b, func(cfg *vault.Config) { cfg.Store = store })
	var parent *vault.RecordRef
	for _, name := range []string{"gen1.img", "gen2.img"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			b.Fatal(err)
		}
		ref, _ := r.backup(r.request(sparseFile{f, info.Size()}, parent))
		f.Close()
		parent = &ref
		b.Run(name, func(b *testing.B) {
			b.SetBytes(info.Size())
			for b.Loop() {
				store.reset()
				var last vault.Progress
				err := r.vault.Restore(b.Context(), vault.RestoreRequest{
					Record: ref, Target: discard(info.Size()), Progress: func(p vault.Progress) { last = p },
				})
				if err != nil {
					b.Fatal(err)
				}
				gets, read := store.total("get")
				b.ReportMetric(float64(gets), "GETs")
				b.ReportMetric(float64(read)/(1<<20), "MiB-read")
				b.ReportMetric(float64(read)/float64(last.Read), "read/groups")
			}
		})
	}
}

// BenchmarkReadAt reads 4 KiB at random, and 1 MiB after the other.
func BenchmarkReadAt(b *testing.B) {
	var v vaulttest.Volume
	r := benchRig(b, &v)
	ref, _ := r.backup(r.request(&v, nil))
	for name, size := range map[string]int64{"random": 4096, "sequential": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			x := openReader(b, r, ref)
			rng := newRand(1)
			p := make([]byte, size)
			b.SetBytes(size)
			for off := int64(0); b.Loop(); off = (off + size) % benchSize {
				if name == "random" {
					off = rng.Int64N(benchSize/size) * size
				}
				if _, err := x.ReadAt(p, off); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
