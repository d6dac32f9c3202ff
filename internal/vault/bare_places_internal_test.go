package vault

import (
	"encoding/binary"
	"runtime"
	"testing"

	"holdfast/internal/vault/format"
)

// TestPlacesOf16TiBTakeLittleMemory fills a table with what the placement
// segments and the footers of 16 TiB of unique blocks say.
func TestPlacesOf16TiBTakeLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("a table of half a million packs")
	}
	const packs, sessions, limit = 16 << 40 / (32 << 20), 10_000, 170 << 20
	vault := ID{7}
	id := func(kind, n int) (id ID) {
		id[0] = byte(kind)
		binary.LittleEndian.PutUint64(id[4:], uint64(n)*0x9e3779b97f4a7c15)
		return id
	}
	place := func(n int) Placement {
		session := id(1, n/(packs/sessions))
		return Placement{
			Pack: id(2, n), Generation: 1 + uint32(n%3), Kind: DataPack, Object: format.Name(vault, format.Packs, session, 1, id(3, n)),
			Length: 20 << 20, DirOffset: 19 << 20, Live: 8000,
			DirObject: format.Name(vault, format.Dirs, session, 1, id(4, n/50)), DirAt: 160,
		}
	}
	memory := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := memory()
	table := newPlaceTable(vault)
	for n := range packs {
		p := place(n)
		if err := table.add([]Placement{p}); err != nil {
			t.Fatal(err)
		}
		footer := []format.FooterEntry{{Pack: p.Pack, Generation: p.Generation, Kind: format.KindDataPack, Length: p.Length, DirOffset: p.DirOffset}}
		if err := table.addFooter(format.Packs, p.Object, footer); err != nil {
			t.Fatal(err)
		}
		footer[0].Offset, footer[0].Length, footer[0].DirOffset = p.DirAt, p.Length-p.DirOffset, 0
		if err := table.addFooter(format.Dirs, p.DirObject, footer); err != nil {
			t.Fatal(err)
		}
	}
	filled := memory() - before
	table.sort()
	if len(table.rows) != packs {
		t.Fatalf("%d rows of %d packs", len(table.rows), packs)
	}
	for _, n := range []int{0, 1, packs / 2, packs - 1} {
		rows := table.of(id(2, n))
		if len(rows) != 1 || table.placement(&rows[0]).Object != place(n).Object || table.placement(&rows[0]).DirObject != place(n).DirObject {
			t.Fatalf("pack %d: %+v", n, rows)
		}
	}
	sorted := memory() - before
	t.Logf("%d packs: %d MiB while it is filled, %d MiB sorted", packs, filled>>20, sorted>>20)
	if filled > limit {
		t.Errorf("%d bytes, at most %d", filled, limit)
	}
	runtime.KeepAlive(table)
}
