package vault

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/internal/vault/format"
)

// groupKey names a group of a pack's generation.
type groupKey struct {
	pack       ID
	generation uint32
	part       uint16
}

// openGroup is a group's blocks.
type openGroup struct {
	data    []byte
	checked atomic.Uint32 // by slot: the block is that of its digest
}

// load is a group that is not in the cache yet.
type load struct {
	flight *flight[groupKey, *openGroup]
	piece  *piece
}

// hold returns the groups of pieces of a leaf, which are loaded or being
// loaded. It returns once it has loaded all that nobody else does.
func (b *BackupReader) hold(w *window, pieces []piece) []*flight[groupKey, *openGroup] {
	held := make([]*flight[groupKey, *openGroup], len(pieces))
	var loads []load
	for i := range pieces {
		x := &pieces[i]
		place := &w.packs[x.pack].place
		f, mine := b.groups.claim(groupKey{place.Pack, place.Generation, x.part}, int64(x.group.Blocks()*format.BlockSize))
		held[i] = f
		if mine {
			loads = append(loads, load{flight: f, piece: x})
		}
	}
	slices.SortFunc(loads, func(x, y load) int {
		return cmp.Or(cmp.Compare(w.packs[x.piece.pack].place.Object, w.packs[y.piece.pack].place.Object),
			cmp.Compare(w.at(x.piece), w.at(y.piece)))
	})
	var wg sync.WaitGroup
	for len(loads) > 0 {
		n := nextLoads(w, loads)
		some := loads[:n]
		if loads = loads[n:]; len(loads) == 0 {
			b.load(w, some)
			break
		}
		wg.Go(func() { b.load(w, some) })
	}
	wg.Wait()
	return held
}

// nextLoads returns how many groups the next read of the store has.
func nextLoads(w *window, loads []load) int {
	first := loads[0].piece
	off, size := w.at(first), int64(first.group.Length)
	for i := 1; i < len(loads); i++ {
		x := loads[i].piece
		end := w.at(x) + int64(x.group.Length) - off
		if w.packs[x.pack].place.Object != w.packs[first.pack].place.Object || w.at(x) > off+size+readerGap || end > readerFetch {
			return i
		}
		size = max(size, end)
	}
	return len(loads)
}

// load reads groups that lie close together, and lands them all.
func (b *BackupReader) load(w *window, loads []load) {
	fail := func(err error) {
		for _, l := range loads {
			b.groups.land(l.flight, nil, err)
		}
	}
	o, err := b.opener()
	if err != nil {
		fail(err)
		return
	}
	defer func() { b.openers <- o }()
	first := loads[0].piece
	off, end := w.at(first), int64(0)
	for _, l := range loads {
		end = max(end, w.at(l.piece)+int64(l.piece.group.Length))
	}
	if int64(cap(o.buf)) < end-off {
		o.buf = make([]byte, end-off)
	}
	buf := o.buf[:end-off]
	if err := b.r.get(b.life, w.packs[first.pack].place.Object, buf, off); err != nil {
		fail(err)
		return
	}
	for _, l := range loads {
		at := w.at(l.piece) - off
		data := make([]byte, l.piece.group.Blocks()*format.BlockSize)
		group, err := openPiece(w, l.piece, o.dec, buf[at:at+int64(l.piece.group.Length)], data)
		if err != nil {
			b.groups.land(l.flight, nil, err)
			continue
		}
		copy(data, group) // a raw group is still in buf
		b.groups.land(l.flight, &openGroup{data: data}, nil)
	}
}

// streams knows where the last reads ended, so as to see who reads on.
type streams struct {
	ends [8]int64
	next int
	last int64 // 1 + the leaf that was last loaded ahead
}

// goesOn reports whether a read continues an earlier one.
func (s *streams) goesOn(from, to int64) bool {
	for i, end := range s.ends {
		if end == from && from > 0 {
			s.ends[i] = to
			return true
		}
	}
	s.ends[s.next] = to
	s.next = (s.next + 1) % len(s.ends)
	return false
}

// readAhead loads the rest of a leaf and the next ones in the background, for
// who reads one range after the other.
func (b *BackupReader) readAhead(from, to int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || !b.streams.goesOn(from, to) {
		return
	}
	leaf := to / format.LeafSize
	first, last := leaf, b.streams.last
	if leaf < last && last <= leaf+aheadLeaves+1 {
		first = last
	}
	for next := first; next <= leaf+aheadLeaves && next*format.LeafSize < b.rec.Size; next++ {
		b.streams.last = next + 1
		b.users.Go(func() {
			_ = b.readLeaf(next, nil, 0) // what fails is met again when it is read
		})
	}
}
