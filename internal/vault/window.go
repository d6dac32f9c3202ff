package vault

import (
	"cmp"
	"slices"
	"sync"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/sealing"
)

// window is what one window of a restore has to do. Its memory is bounded by
// the window's blocks and is used again.
type window struct {
	end     int64 // the leaf after it
	leaves  []windowLeaf
	runs    []run
	pieces  []piece
	packs   []windowPack
	index   map[ID]int32
	digests []format.Digest // of all blocks, by leaf and block
	holes   []Extent        // sorted, joined
	lost    []lostBlock     // that are wanted

	pending sync.WaitGroup // for tasks

	mu     sync.Mutex
	failed []failure
}

// windowLeaf is a leaf with data.
type windowLeaf struct {
	index int64
	ref   maps.Ref
	check [32]byte
}

// run is an extent of a leaf.
type run struct {
	pack      int32 // index in packs
	leaf      uint16
	block     uint16
	count     uint16
	first     uint16
	container uint8
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

// whole reports whether the piece is all blocks of its group.
func (p *piece) whole() bool { return int(p.count) == p.group.Blocks() }

// windowPack is a pack's generation that the window reads.
type windowPack struct {
	place Placement
	box   *sealing.Box
}

// failure is a read whose bytes were not there, or were not right.
type failure struct {
	first, end int // pieces
	err        error
}

// task is one read of the store, of the pieces from first to end; or, without
// an object, the window's holes.
type task struct {
	w          *window
	object     string
	off        int64
	size       int64
	first, end int
}

// Reads join what lies close together. A long stretch is cut into reads of the
// same size.
const (
	fetchGap  = 512 << 10
	fetchSize = 65 << 18 // half of the largest pack
)

// reset empties the window, which will have at most that many leaves.
func (w *window) reset(leaves int) {
	w.leaves, w.runs, w.pieces, w.packs = w.leaves[:0], w.runs[:0], w.pieces[:0], w.packs[:0]
	w.holes, w.lost, w.failed = w.holes[:0], w.lost[:0], w.failed[:0]
	w.index = map[ID]int32{}
	if n := leaves * format.LeafBlocks; len(w.digests) < n {
		w.digests = make([]format.Digest, n)
	}
}

// leafDigests returns the digests of the window's n-th leaf.
func (w *window) leafDigests(n int) *[format.LeafBlocks]format.Digest {
	return (*[format.LeafBlocks]format.Digest)(w.digests[n*format.LeafBlocks:])
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
func (w *window) pack(id ID) int32 {
	i, ok := w.index[id]
	if !ok {
		i = int32(len(w.packs))
		w.packs = append(w.packs, windowPack{place: Placement{Pack: id}})
		w.index[id] = i
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

// tasks hands out the window's reads; it ends early where give returns false.
func (w *window) tasks(give func(task) bool) {
	for first := 0; first < len(w.pieces); {
		end, size := w.stretch(first)
		reads := (size + fetchSize - 1) / fetchSize
		for limit := (size + reads - 1) / reads; first < end; {
			t := w.next(first, end, limit)
			if first = t.end; !give(t) {
				return
			}
		}
	}
}

// stretch returns the end of the pieces that lie close together from piece
// first on, and over how many bytes.
func (w *window) stretch(first int) (end int, size int64) {
	p := &w.pieces[first]
	object, off := w.packs[p.pack].place.Object, w.at(p)
	for end = first; end < len(w.pieces); end++ {
		p := &w.pieces[end]
		at := w.at(p) - off
		if at > size+fetchGap || w.packs[p.pack].place.Object != object {
			break
		}
		size = max(size, at+int64(p.group.Length))
	}
	return end, size
}

// next returns the read that begins with piece first: up to end, and of about
// limit bytes.
func (w *window) next(first, end int, limit int64) task {
	p := &w.pieces[first]
	t := task{w: w, object: w.packs[p.pack].place.Object, off: w.at(p), first: first}
	for t.end = first; t.end < end; t.end++ {
		p := &w.pieces[t.end]
		at := w.at(p) - t.off
		if t.size >= limit && at >= t.size || at+int64(p.group.Length) > fetchSize {
			break
		}
		t.size = max(t.size, at+int64(p.group.Length))
	}
	return t
}

// fail notes a read that has to be made again, or ends the restore.
func (w *window) fail(t task, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, failure{first: t.first, end: t.end, err: err})
}
