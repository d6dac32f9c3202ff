package vault

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast/internal/vault/format"
)

// TestBlockMarks compares marks with sets, exact and by a sample.
func TestBlockMarks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	ids := make([]ID, 300)
	for i := range ids {
		for k := range ids[i] {
			ids[i][k] = byte(rng.Uint32())
		}
		if i%3 == 0 {
			ids[i][0], ids[i][1] = 7, 7
		}
	}
	slices.SortFunc(ids, compareID)
	for shift := uint(0); shift <= maxMarkShift; shift++ {
		m := newBlockMarks(ids, nil)
		m.shift = shift
		m.words = m.words[:len(ids)*(packBlocks/64)>>shift]
		want := map[int]map[int]bool{}
		for range 2000 {
			p := rng.IntN(len(ids))
			if got := m.find(ids[p]); got != p {
				t.Fatalf("pack %d is found as %d", p, got)
			}
			c, first := rng.IntN(format.PackContainers), rng.IntN(format.ContainerBlocks)
			count := 1 + rng.IntN(format.ContainerBlocks-first)
			if rng.IntN(3) > 0 {
				count = min(count, 9)
			}
			m.mark(p, uint8(c), uint16(first), uint16(count))
			if want[p] == nil {
				want[p] = map[int]bool{}
			}
			for n := first; n < first+count; n++ {
				want[p][c*format.ContainerBlocks+n] = true
			}
		}
		for p := range ids {
			sampled := 0
			for n := range want[p] {
				if n%(1<<shift) == 0 {
					sampled++
				}
			}
			if got := m.count(p); got != sampled<<shift {
				t.Fatalf("shift %d: %d blocks of pack %d live, want %d", shift, got, p, sampled<<shift)
			}
			if shift > 0 {
				continue
			}
			sets := m.blocks(p)
			for n := range packBlocks {
				has := sets[n/format.ContainerBlocks].group(n%format.ContainerBlocks/format.GroupBlocks)>>(n%format.GroupBlocks)&1 == 1
				if has != want[p][n] {
					t.Fatalf("block %d of pack %d: %v", n, p, has)
				}
			}
		}
		if m.find(ID{7, 7}) >= 0 || m.find(ID{0xff, 0xff, 0xff}) >= 0 {
			t.Error("a pack is found that isn't there")
		}
	}
}

func TestMarksKeepToTheirMemory(t *testing.T) {
	for _, n := range []int{0, 1, maxExact, maxExact + 1, 20 * maxExact} {
		m := newBlockMarks(make([]ID, n), nil)
		if got := 8 * len(m.words); got > markBytes || m.exact() != (n <= maxExact) {
			t.Errorf("%d packs: %d bytes, exact %v", n, got, m.exact())
		}
	}
}

func TestObjectTable(t *testing.T) {
	table := newObjectTable()
	names := make([]string, 5000)
	for i := range names {
		names[i] = format.Name(ID{1}, format.Packs, ID{byte(i), byte(i >> 8)}, 1, ID{2})
		for range 1 + i%3 {
			if got := table.add(names[i]); int(got) != i {
				t.Fatalf("object %d is the %d-th", i, got)
			}
		}
	}
	for i, name := range names {
		for n := range 1 + i%3 {
			if !table.named(name) {
				t.Fatalf("object %d is not named", i)
			}
			if last := table.drop(name); last != (n == i%3) {
				t.Fatalf("object %d: drop %d is the last: %v", i, n, last)
			}
		}
		if table.named(name) || table.drop(name) {
			t.Fatalf("object %d is named still", i)
		}
	}
	if table.find("another") >= 0 {
		t.Error("an object is found that isn't there")
	}
}

// TestEstimatesRemoveNothing gives verdicts by marks of more packs than can be
// marked exactly, as a recovery may have condemned, and cuts them to as many.
func TestEstimatesRemoveNothing(t *testing.T) {
	rows := make([]PackRow, maxExact+2)
	for i := range rows {
		rows[i].State = Condemned
		binary.BigEndian.PutUint32(rows[i].Pack[:], uint32(i))
	}
	m := &marker{blocks: newBlockMarks(condemnedIDs(rows), nil)}
	m.blocks.mark(5, 0, 1, 1)
	if got := m.verdict(&rows[5]); got != leave {
		t.Errorf("a pack with one block that lives: verdict %d by an estimate", got)
	}
	kept := firstCondemned(append(rows, PackRow{State: Uncommitted}), maxExact)
	if len(kept) != maxExact+1 || kept[maxExact].State != Uncommitted {
		t.Fatalf("%d rows are kept", len(kept))
	}
	m.blocks = newBlockMarks(condemnedIDs(kept), nil)
	m.blocks.mark(5, 0, 1, 1)
	for i, want := range map[int]verdict{4: goes, 5: stays, maxExact: goes} {
		if got := m.verdict(&kept[i]); got != want {
			t.Errorf("pack %d: verdict %d, want %d", i, got, want)
		}
	}
}
