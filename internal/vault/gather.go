package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// planner plans the windows of a restore, one after the other.
type planner struct {
	r        *reader
	pages    *pageReader
	tree     *maps.Tree
	hasher   *naming.Hasher
	size     int64 // of the volume
	from, to int64 // what of it is wanted
	leaves   int   // of the next window, at most
	leaf     maps.Leaf
	ahead    [2]uint64 // by level: 1 + the index of the inner page whose children were read last
	refs     []maps.Ref
}

func newPlanner(r *reader, rec *Record, from, to int64) *planner {
	pages := newPageReader(r)
	return &planner{
		r: r, pages: pages, tree: maps.NewTree(pages, rec.Root, rec.Height), hasher: r.names.Hasher(),
		size: rec.Size, from: from, to: to, leaves: firstLeaves,
	}
}

// A window is the part of a volume whose reads are sorted together; when it is
// done, all before its end can be made durable in the target.
const (
	windowLeaves = 256             // with data, 1 GiB
	firstLeaves  = 32              // of the first window, for which nothing else can be done
	windowRuns   = 48 << 10        // one leaf may add 1,024
	windowSpan   = int64(64) << 30 // holes included
)

// plan plans a window from a leaf on: what to read for its blocks, and what is
// holes. The digests of each leaf's blocks are checked against the leaf's check.
func (p *planner) plan(ctx context.Context, w *window, leaf int64) error {
	w.reset(p.leaves)
	if err := p.walk(ctx, w, leaf); err != nil {
		return err
	}
	if err := p.place(ctx, w); err != nil {
		return err
	}
	for i := range w.leaves {
		l := &w.leaves[i]
		if p.hasher.Leaf(w.leafDigests(i)) != l.check {
			return p.pages.Bad(l.ref, fmt.Errorf("%w: its blocks are not those of its check", maps.ErrPage))
		}
	}
	w.sort()
	return nil
}

// walk reads the window's part of the map.
func (p *planner) walk(ctx context.Context, w *window, leaf int64) error {
	limit := min((p.to+format.LeafSize-1)/format.LeafSize, leaf+windowSpan/format.LeafSize)
	for len(w.leaves) < p.leaves && len(w.runs) < windowRuns && leaf < limit {
		if err := p.prefetch(ctx, uint64(leaf)); err != nil {
			return err
		}
		next, ok, err := p.tree.Next(ctx, uint64(leaf))
		if err != nil {
			return err
		}
		if !ok || int64(next) >= limit {
			p.hole(w, leaf*format.LeafSize, limit*format.LeafSize)
			leaf = limit
			break
		}
		p.hole(w, leaf*format.LeafSize, int64(next)*format.LeafSize)
		if err := p.prefetch(ctx, next); err != nil {
			return err
		}
		if err := p.leafRuns(ctx, w, int64(next)); err != nil {
			return err
		}
		leaf = int64(next) + 1
	}
	w.end, p.leaves = leaf, windowLeaves
	return nil
}

// prefetch reads ahead the pages below the inner pages above a leaf, from that
// leaf on, as far as a window reaches.
func (p *planner) prefetch(ctx context.Context, leaf uint64) error {
	for level := 2; level >= 1; level-- {
		index := leaf >> (8 * level)
		if p.ahead[level-1] == index+1 {
			continue
		}
		p.ahead[level-1] = index + 1
		inner, _, err := p.tree.Inner(ctx, level, index)
		if err != nil {
			return err
		}
		if inner == nil {
			continue
		}
		p.refs = p.refs[:0]
		last := (uint64(p.to-1) / format.LeafSize) >> (8 * (level - 1))
		for i := leaf >> (8 * (level - 1)); i>>8 == index && i <= last; i++ {
			if ref := inner.Children[i%format.FanOut]; !ref.IsNull() {
				p.refs = append(p.refs, ref)
			}
		}
		if len(p.refs) > 1 {
			p.pages.prefetch(ctx, p.refs)
		}
	}
	return nil
}

// hole notes what is wanted of a range of zeros.
func (p *planner) hole(w *window, from, to int64) { w.hole(max(from, p.from), min(to, p.to)) }

// leafRuns notes the extents and holes of one leaf.
func (p *planner) leafRuns(ctx context.Context, w *window, index int64) error {
	ref, err := p.tree.Leaf(ctx, uint64(index), &p.leaf)
	if err != nil {
		return err
	}
	base, n := index*format.LeafSize, uint16(len(w.leaves))
	w.leaves = append(w.leaves, windowLeaf{index: index, ref: ref, check: p.leaf.Check})
	*w.leafDigests(int(n)) = [format.LeafBlocks]format.Digest{}
	at := 0
	for _, e := range p.leaf.Extents {
		p.hole(w, base+int64(at)*format.BlockSize, base+int64(e.Block)*format.BlockSize)
		at = int(e.Block + e.Count)
		w.runs = append(w.runs, run{
			pack: w.pack(p.leaf.Packs[e.Pack]), leaf: n, block: e.Block, count: e.Count, first: e.First, container: e.Container,
		})
	}
	if base+int64(at-1)*format.BlockSize >= p.size {
		return p.pages.Bad(ref, fmt.Errorf("%w: it maps blocks behind the volume's end", maps.ErrPage))
	}
	p.hole(w, base+int64(at)*format.BlockSize, base+format.LeafSize)
	return nil
}

// place finds out where the window's packs lie, reads their directories, and
// plans the pieces of all runs.
func (p *planner) place(ctx context.Context, w *window) error {
	ids := make([]ID, len(w.packs))
	for i := range w.packs {
		ids[i] = w.packs[i].place.Pack
	}
	places, err := p.r.placements(ctx, ids)
	if err != nil {
		return err
	}
	slices.SortFunc(w.runs, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.pack, b.pack), cmp.Compare(a.leaf, b.leaf), cmp.Compare(a.block, b.block))
	})
	return p.r.directories(ctx, places, func(place Placement, d *pack.Directory) error {
		i := w.index[place.Pack]
		box, err := sealing.New(p.r.keys, sealing.PackLabel, &d.Header)
		if err != nil {
			return &CorruptError{Object: place.Object, What: "header of pack " + place.Pack.String(), Err: err}
		}
		w.packs[i] = windowPack{place: place, box: box}
		at, _ := slices.BinarySearchFunc(w.runs, i, func(r run, i int32) int { return cmp.Compare(r.pack, i) })
		for ; at < len(w.runs) && w.runs[at].pack == i; at++ {
			if err := p.pieces(w, &w.runs[at], place.Object, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// pieces plans the reads of one run, and fills in its blocks' digests.
func (p *planner) pieces(w *window, r *run, object string, d *pack.Directory) error {
	if int(r.container) >= len(d.Containers) {
		return &CorruptError{Object: object, What: fmt.Sprintf("it has no container %d", r.container)}
	}
	c := d.Containers[r.container]
	digests := w.leafDigests(int(r.leaf))
	base := w.leaves[r.leaf].index * format.LeafSize
	for i := 0; i < int(r.count); {
		number := int(r.first) + i
		slot := number % format.GroupBlocks
		count := min(format.GroupBlocks-slot, int(r.count)-i)
		there := true
		for k := 0; k < count; k++ {
			digest, ok := c.Digest(number + k)
			if !ok && k > 0 {
				count = k // those before it first
				break
			}
			if !ok {
				if digest, ok = d.LostDigest(r.container, number); !ok {
					return absent(object, number, r.container)
				}
				there, count = false, 1
			}
			digests[int(r.block)+i+k] = digest
		}
		block := int(r.block) + i
		i += count
		offset := base + int64(block)*format.BlockSize
		if offset >= p.to || offset+int64(count)*format.BlockSize <= p.from {
			continue
		}
		if !there {
			w.lost = append(w.lost, lostBlock{offset: offset, pack: r.pack, block: number, container: r.container})
			continue
		}
		w.pieces = append(w.pieces, piece{
			group: c.Groups[number/format.GroupBlocks], part: uint16(int(r.container)*format.ContainerGroups + number/format.GroupBlocks),
			pack: r.pack, slot: uint8(slot), count: uint8(count), offset: offset, digest: int32(int(r.leaf)*format.LeafBlocks + block),
		})
	}
	return nil
}

// lostBlock is a block that is wanted and lost. Its digest is known, so that
// what lies beside it can be read.
type lostBlock struct {
	offset    int64 // in the volume
	pack      int32 // index in packs
	block     int
	container uint8
}

// lostIn returns the damage that a range of the volume has by lost blocks, nil
// for none, and the place of the pack that lost them.
func (w *window) lostIn(from, to int64) (Placement, error) {
	for i := range w.lost {
		if l := &w.lost[i]; l.offset < to && l.offset+format.BlockSize > from {
			place := w.packs[l.pack].place
			return place, &CorruptError{Object: place.Object, What: fmt.Sprintf("block %d of container %d is lost", l.block, l.container)}
		}
	}
	return Placement{}, nil
}

func absent(object string, block int, container uint8) error {
	return &CorruptError{Object: object, What: fmt.Sprintf("it has no block %d in container %d", block, container)}
}

// replan plans the reads that failed once more, by where their packs lie now.
// Where none of them has moved, the first failure is what it returns.
func (p *planner) replan(ctx context.Context, w *window) error {
	var pieces []piece
	for _, f := range w.failed {
		places, err := p.movedPacks(ctx, w, f)
		if err != nil {
			return err
		}
		first := len(pieces)
		pieces = append(pieces, w.pieces[f.first:f.end]...)
		err = p.r.directories(ctx, places, func(place Placement, d *pack.Directory) error {
			return p.moveTo(w, pieces[first:], place, d)
		})
		if err != nil {
			return err
		}
	}
	w.pieces, w.failed = append(w.pieces[:0], pieces...), w.failed[:0]
	w.sort()
	return nil
}

// movedPacks asks where the packs of a failed read lie now. All of them were
// in one object: unless that has lost them all, the failure stands.
func (p *planner) movedPacks(ctx context.Context, w *window, f failure) ([]Placement, error) {
	if !errors.Is(f.err, ErrCorrupt) {
		return nil, f.err
	}
	var old []int32
	for i := f.first; i < f.end; i++ {
		if k := w.pieces[i].pack; !slices.Contains(old, k) {
			old = append(old, k)
		}
	}
	places := make([]Placement, len(old))
	changed := false
	for i, k := range old {
		now, ok, err := p.r.moved(ctx, w.packs[k].place)
		if err != nil {
			return nil, err
		}
		places[i], changed = now, changed || ok
	}
	if !changed {
		return nil, f.err
	}
	return places, nil
}

// moveTo lets pieces of a pack name a newer generation of it.
func (p *planner) moveTo(w *window, pieces []piece, place Placement, d *pack.Directory) error {
	box, err := sealing.New(p.r.keys, sealing.PackLabel, &d.Header)
	if err != nil {
		return &CorruptError{Object: place.Object, What: "header of pack " + place.Pack.String(), Err: err}
	}
	to := int32(len(w.packs))
	w.packs = append(w.packs, windowPack{place: place, box: box})
	for i := range pieces {
		at := &pieces[i]
		if w.packs[at.pack].place.Pack != place.Pack {
			continue
		}
		container, group := int(at.part)/format.ContainerGroups, int(at.part)%format.ContainerGroups
		if container >= len(d.Containers) || group >= len(d.Containers[container].Groups) {
			return &CorruptError{Object: place.Object, What: fmt.Sprintf("it has no group %d", at.part)}
		}
		c := d.Containers[container]
		for k := range int(at.count) {
			number := group*format.GroupBlocks + int(at.slot) + k
			if digest, ok := c.Digest(number); !ok || digest != w.digests[int(at.digest)+k] {
				return absent(place.Object, number, uint8(container))
			}
		}
		at.group, at.pack = c.Groups[group], to
	}
	return nil
}
