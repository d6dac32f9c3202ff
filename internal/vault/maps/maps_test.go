package maps_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
)

// shelf keeps pages in memory; it is a builder's sink and a tree's source.
type shelf struct {
	pages  [][]byte
	parent *maps.Tree
	loads  int
}

func (s *shelf) put(b []byte) maps.Ref {
	s.pages = append(s.pages, b)
	return maps.Ref{Pack: format.ID{1}, Page: uint32(len(s.pages) - 1), Hash: sha256.Sum256(b)}
}

func (s *shelf) Store(_ context.Context, p *maps.Inner) (maps.Ref, error) {
	return s.put(p.Append(nil)), nil
}

func (s *shelf) Inherit(ctx context.Context, p *maps.Inner) (maps.Ref, bool) {
	if s.parent == nil {
		return maps.Ref{}, false
	}
	old, ref, err := s.parent.Inner(ctx, int(p.Level), p.Index)
	return ref, err == nil && old != nil && old.Children == p.Children
}

func (s *shelf) Page(_ context.Context, ref maps.Ref) ([]byte, error) {
	s.loads++
	return s.pages[ref.Page], nil
}

func (s *shelf) Bad(ref maps.Ref, err error) error { return fmt.Errorf("page %d: %w", ref.Page, err) }

func leaf(index uint64) []byte {
	l := maps.Leaf{Index: index, Packs: []format.ID{{9}}, Extents: []maps.Extent{{Block: uint16(index % 1000), Count: 1}}}
	return l.Append(nil)
}

const exbi = int64(format.MaxVolume)

func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, exbi).Draw(t, "size")
		leaves := (size + format.LeafSize - 1) / format.LeafSize
		indexes := rapid.SliceOfNDistinct(rapid.Int64Range(0, leaves-1), 0, int(min(leaves, 40)), rapid.ID).Draw(t, "leaves")
		want := map[uint64]maps.Ref{}
		s := &shelf{}
		b := maps.NewBuilder(maps.Height(size))
		sorted := append([]int64(nil), indexes...)
		for i := range sorted {
			for k := i; k > 0 && sorted[k] < sorted[k-1]; k-- {
				sorted[k], sorted[k-1] = sorted[k-1], sorted[k]
			}
		}
		for _, i := range sorted {
			ref := s.put(leaf(uint64(i)))
			want[uint64(i)] = ref
			if err := b.Add(t.Context(), s, 0, uint64(i), ref); err != nil {
				t.Fatal(err)
			}
			// A builder that is written down and read again goes on the same.
			again, rest, err := maps.ParseBuilder(b.Append(nil))
			if err != nil || len(rest) != 0 {
				t.Fatal(err, len(rest))
			}
			if diff := cmp.Diff(b, again, cmp.AllowUnexported(maps.Builder{})); diff != "" {
				t.Fatal(diff)
			}
			b = again
		}
		root, err := b.Finish(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		tree := maps.NewTree(s, root, maps.Height(size))
		got := map[uint64]maps.Ref{}
		for at := uint64(0); ; at++ {
			next, ok, err := tree.Next(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			var l maps.Leaf
			if got[next], err = tree.Leaf(t.Context(), next, &l); err != nil || l.Index != next {
				t.Fatal(l.Index, next, err)
			}
			at = next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		// The same leaves again share all pages, whatever the volume's size.
		stored := len(s.pages)
		s.parent = tree
		b = maps.NewBuilder(maps.Height(size))
		for _, i := range sorted {
			if err := b.Add(t.Context(), s, 0, uint64(i), want[uint64(i)]); err != nil {
				t.Fatal(err)
			}
		}
		same, err := b.Finish(t.Context(), s)
		if err != nil || same != root || len(s.pages) != stored {
			t.Errorf("%d pages were stored again: %v", len(s.pages)-stored, err)
		}
	})
}

func TestBuilderRefusesDisorder(t *testing.T) {
	s := &shelf{}
	b := maps.NewBuilder(1)
	if err := b.Add(t.Context(), s, 0, 5, s.put(leaf(5))); err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint64{5, 4, 256} {
		if b.Add(t.Context(), s, 0, i, s.put(leaf(i))) == nil {
			t.Errorf("leaf %d was added after leaf 5 to a tree of 256", i)
		}
	}
}

func TestPageOfAnotherPlaceIsRefused(t *testing.T) {
	s := &shelf{}
	tree := maps.NewTree(s, s.put(leaf(3)), 0)
	var l maps.Leaf
	if _, err := tree.Leaf(t.Context(), 0, &l); !errors.Is(err, maps.ErrPage) {
		t.Error(err)
	}
}

func TestHeight(t *testing.T) {
	for size, want := range map[int64]int{0: 0, 1: 0, 4 << 20: 0, 4<<20 + 1: 1, 1 << 30: 1, 1<<30 + 1: 2, exbi: 4} {
		if got := maps.Height(size); got != want {
			t.Errorf("height of %d bytes is %d", size, got)
		}
	}
}

func TestHolesAreSkipped(t *testing.T) {
	s := &shelf{}
	b := maps.NewBuilder(maps.Height(exbi))
	last := uint64(exbi/format.LeafSize - 1)
	for _, i := range []uint64{0, last} {
		if err := b.Add(t.Context(), s, 0, i, s.put(leaf(i))); err != nil {
			t.Fatal(err)
		}
	}
	root, err := b.Finish(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	tree := maps.NewTree(s, root, maps.Height(exbi))
	if next, ok, err := tree.Next(t.Context(), 1); next != last || !ok || err != nil {
		t.Error(next, ok, err)
	}
	if s.loads > 12 {
		t.Errorf("%d pages were read to skip a PiB", s.loads)
	}
}

func FuzzLeaf(f *testing.F) {
	f.Add(leaf(7), uint64(7))
	l := maps.Leaf{Packs: []format.ID{{1}, {2}}, Extents: []maps.Extent{{Block: 0, Count: 1000}, {Block: 1010, Count: 14, Pack: 1, Container: 7, First: 1010}}}
	f.Add(l.Append(nil), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, index uint64) {
		var l maps.Leaf
		if err := l.Parse(b, index); err != nil {
			return
		}
		if !bytes.Equal(l.Append(nil), b) {
			t.Error("the leaf isn't what it was")
		}
		var again maps.Leaf
		if err := again.Parse(l.Append(nil), index); err != nil || !cmp.Equal(l, again, cmpopts.EquateEmpty()) {
			t.Error(err)
		}
	})
}

func FuzzInner(f *testing.F) {
	p := maps.Inner{Level: 1, Index: 2}
	p.Children[3] = maps.Ref{Pack: format.ID{1}, Page: 4}
	p.Children[255] = maps.Ref{Pack: format.ID{2}, Page: 5}
	f.Add(p.Append(nil), byte(1), uint64(2))
	f.Fuzz(func(t *testing.T, b []byte, level byte, index uint64) {
		var p, again maps.Inner
		if err := p.Parse(b, level, index); err != nil {
			return
		}
		if err := again.Parse(p.Append(nil), level, index); err != nil || p != again {
			t.Error(err)
		}
	})
}

// A tree that takes from another what lies between some leaves is the same as one
// built of all leaves, and the pages that are loaded for it follow the leaves
// that are new.
func TestSubtreesAreTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := rapid.SampledFrom([]uint64{1, 255, 256, 257, 3000, 65_536, 70_001}).Draw(t, "leaves")
		step := rapid.Uint64Range(leaves/1000+1, leaves/1000+600).Draw(t, "step")
		fresh := rapid.SliceOfNDistinct(rapid.Uint64Range(0, leaves-1), 0, int(min(leaves, 8)), rapid.ID).Draw(t, "fresh")
		slices.Sort(fresh)
		height := maps.Height(int64(leaves) * format.LeafSize)
		// Of leaves, only the references matter here.
		s, want := &shelf{}, map[uint64]maps.Ref{}
		first := maps.NewBuilder(height)
		for i := uint64(0); i < leaves; i += step {
			want[i] = maps.Ref{Pack: format.ID{3}, Page: uint32(i)}
			add(t, first, s, 0, i, want[i])
		}
		root, err := first.Finish(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		s.parent = maps.NewTree(s, root, height)
		tree := maps.NewTree(s, root, height)
		s.loads = 0
		second := maps.NewBuilder(height)
		at := uint64(0)
		upTo := func(end uint64) {
			for at < end {
				level, index, ref, err := tree.Below(t.Context(), at, end)
				if err != nil {
					t.Fatal(err)
				}
				add(t, second, s, level, index, ref)
				at = (index + 1) << (8 * level)
			}
		}
		for _, i := range fresh {
			upTo(i)
			want[i] = maps.Ref{Pack: format.ID{4}, Page: uint32(i)}
			add(t, second, s, 0, i, want[i])
			at = i + 1
		}
		upTo(leaves)
		if limit := 4 * (len(fresh) + 1) * (1 + height); s.loads > limit {
			t.Errorf("%d pages were loaded for %d leaves", s.loads, len(fresh))
		}
		if root, err = second.Finish(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		tree = maps.NewTree(s, root, height)
		got := map[uint64]maps.Ref{}
		for at := uint64(0); ; at++ {
			next, ok, err := tree.Next(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if got[next], err = tree.Ref(t.Context(), 0, next); err != nil {
				t.Fatal(err)
			}
			at = next
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func add(t *rapid.T, b *maps.Builder, s *shelf, level int, index uint64, ref maps.Ref) {
	if ref.IsNull() {
		return
	}
	if err := b.Add(t.Context(), s, level, index, ref); err != nil {
		t.Fatal(err)
	}
}

func FuzzBuilder(f *testing.F) {
	s := &shelf{}
	b := maps.NewBuilder(2)
	_ = b.Add(f.Context(), s, 0, 700, s.put(leaf(700)))
	f.Add(b.Append(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		b, _, err := maps.ParseBuilder(src)
		if err != nil {
			return
		}
		if _, _, err := maps.ParseBuilder(b.Append(nil)); err != nil {
			t.Error(err)
		}
	})
}
