package vault_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
)

// work is what a run costs, in numbers that are the same on every machine.
type work struct {
	Read, New          int64 // bytes
	Raw, S2, Zstd      int64 // groups
	Packs, Pages, Rest int   // objects put
	Gets, Stats        int
}

// TestWork is a guard against regressions: it fixes what a first backup, a busy
// day with and without a change map, and an unchanged volume cost.
func TestWork(t *testing.T) {
	if testing.Short() {
		t.Skip("it backs up 128 MiB several times")
	}
	const size, mib = 1 << 30, 1 << 20
	store := newCounted(mem.New())
	exact := func(c *vault.Config) {
		c.Store, c.Workers = store, 1
		c.CheckpointEvery, c.CheckpointBytes = time.Hour, size
	}
	r := newRig(t, exact)
	base := []written{{0, 16 << 10, 1}, {64 << 10, 80 << 10, 1}} // 128 MiB
	busy := []written{{100, 1000, 3}, {10_000, 10_512, 1}, {70_000, 78_000, 50}}
	extents := []vault.Extent{{Offset: 100 * 4096, Length: 900 * 4096}, {Offset: 10_000 * 4096, Length: 512 * 4096}, {Offset: 70_000 * 4096, Length: 8000 * 4096}}
	v := &sparse{size: size, history: base}

	run := func(name string, parent *vault.RecordRef, m *vault.ChangeMap, stored, allocs int64, want work) vault.RecordRef {
		t.Helper()
		r.open(exact) // as another process does it
		store.reset()
		req := r.request(v, parent)
		req.Changes = m
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ref, result := r.backup(req)
		runtime.ReadMemStats(&after)
		puts, _ := store.total("put")
		packs, _ := store.total("put packs")
		pages, _ := store.total("put pages")
		gets, _ := store.total("get")
		stats, _ := store.total("stat")
		got := work{
			Read: result.Read, New: result.New, Raw: result.Groups.Raw, S2: result.Groups.S2, Zstd: result.Groups.Zstd,
			Packs: packs, Pages: pages, Rest: puts - packs - pages, Gets: gets, Stats: stats,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if result.Stored > stored {
			t.Errorf("%s: %d bytes were stored, %d are enough", name, result.Stored, stored)
		}
		if n := int64(after.Mallocs - before.Mallocs); n > allocs {
			t.Errorf("%s: %d allocations, %d are enough", name, n, allocs)
		}
		t.Logf("%s: stored %d, allocations %d", name, result.Stored, after.Mallocs-before.Mallocs)
		return ref
	}
	const data, fresh, again = 32 << 10 * 4096, 972 * 4096, 460 * 4096
	first := run("first", nil, nil, 66*mib, 5000, work{Read: data, New: data, S2: 1024, Packs: 4, Pages: 1, Rest: 4})
	run("unchanged", &first, nil, 1<<10, 2000, work{Read: data, Rest: 1, Gets: 3, Stats: 5})
	v.history = append(v.history, busy...)
	run("busy day", &first, nil, 2060<<10, 3000, work{Read: data, New: fresh, Zstd: 31, Packs: 1, Pages: 1, Rest: 4, Gets: 7, Stats: 5})
	// What another backup has is found, but for blocks that stand alone.
	run("busy day again", &first, nil, 980<<10, 3000, work{Read: data, New: again, Zstd: 15, Packs: 1, Pages: 1, Rest: 4, Gets: 9, Stats: 6})
	run("busy day by map", &first, &vault.ChangeMap{Since: "state 1", Extents: extents}, 980<<10, 5000,
		work{Read: 43253760, New: again, Zstd: 15, Packs: 1, Pages: 1, Rest: 4, Gets: 11, Stats: 7})
}
