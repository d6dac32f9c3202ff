package vault

import (
	"cmp"
	"slices"

	"holdfast/internal/vault/format"
)

// window is what one window of a restore has to do. Its memory is bounded by
// the window's blocks and is used again.
type window struct {
	pieces  []piece
	packs   []windowPack
	index   map[ID]int32
	digests []format.Digest // of all blocks, by leaf and block
	holes   []Extent        // sorted, joined
}

// piece is a run of blocks that lie in one group.
type piece struct {
	group  format.Group
	offset int64 // in the volume
	pack   int32 // index in packs
	digest int32 // index in digests
	part   uint16
	slot   uint8
	count  uint8
}

// windowPack is a pack that the window reads.
type windowPack struct {
	place  Placement
	header format.Header
}

// fetch is one read of the store: the pieces from first to end.
type fetch struct {
	object     string
	off        int64
	size       int64
	first, end int
}

// Reads join what lies close together.
const (
	fetchGap  = 512 << 10
	fetchSize = 8 << 20
)

func (w *window) reset() {
	w.pieces, w.packs, w.holes = w.pieces[:0], w.packs[:0], w.holes[:0]
	w.index = map[ID]int32{}
	if w.digests == nil {
		w.digests = make([]format.Digest, windowLeaves*format.LeafBlocks)
	}
}

// hole notes that a range of the volume is zeros.
func (w *window) hole(from, to int64) {
	if from >= to {
		return
	}
	if n := len(w.holes); n > 0 && w.holes[n-1].end() == from {
		w.holes[n-1].Length += to - from
		return
	}
	w.holes = append(w.holes, Extent{Offset: from, Length: to - from})
}

// pack returns a pack's index.
func (w *window) pack(p Placement, h *format.Header) int32 {
	i, ok := w.index[p.Pack]
	if !ok {
		i = int32(len(w.packs))
		w.packs = append(w.packs, windowPack{place: p, header: *h})
		w.index[p.Pack] = i
	}
	return i
}

// at returns where a piece's group lies in its object.
func (w *window) at(p *piece) int64 { return w.packs[p.pack].place.Offset + int64(p.group.Offset) }

// sort orders the pieces by where they lie in the store.
func (w *window) sort() {
	slices.SortFunc(w.pieces, func(a, b piece) int {
		if a.pack != b.pack {
			if c := cmp.Compare(w.packs[a.pack].place.Object, w.packs[b.pack].place.Object); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(w.at(&a), w.at(&b)), cmp.Compare(a.offset, b.offset))
	})
}

// next returns the read that begins with piece first.
func (w *window) next(first int) fetch {
	p := &w.pieces[first]
	f := fetch{object: w.packs[p.pack].place.Object, off: w.at(p), first: first}
	for f.end = first; f.end < len(w.pieces); f.end++ {
		p := &w.pieces[f.end]
		at := w.at(p)
		end := at + int64(p.group.Length) - f.off
		if w.packs[p.pack].place.Object != f.object || at > f.off+f.size+fetchGap || end > fetchSize {
			break
		}
		f.size = max(f.size, end)
	}
	return f
}
