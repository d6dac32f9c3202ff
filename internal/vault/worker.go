package vault

import (
	"context"
	"errors"
	"io"
	"slices"

	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
)

// worker finds out what the blocks of leaves are and stores the new ones. All
// that it needs for a leaf is allocated once.
type worker struct {
	s      *session
	packer *packer
	source Source
	size   int64 // of the volume
	hasher *naming.Hasher
	sealer *sealer
	finder finder

	buf     []byte // the leaf's bytes, where they were read
	digests [format.LeafBlocks]format.Digest
	where   [format.LeafBlocks]location
	packs   []ID // that locations name by index
	leaf    maps.Leaf
}

// location is where a block lies.
type location struct {
	pack      uint16 // index in packs, from 1; 0: not known
	container uint8
	found     bool // by a hook: short runs of these are stored again
	block     uint16
}

func newWorker(s *session, p *packer, src Source, usual, dense compress.Method) (*worker, error) {
	sealer, err := newSealer(s, usual, dense)
	if err != nil {
		return nil, err
	}
	return &worker{
		s: s, packer: p, source: src, size: src.Size(), hasher: s.v.names.Hasher(), sealer: sealer,
		buf: make([]byte, format.LeafSize),
	}, nil
}

// run works on jobs until there are no more.
func (w *worker) run(ctx context.Context, jobs <-chan *leafJob) {
	for j := range jobs {
		if ctx.Err() != nil {
			j.err = context.Cause(ctx)
		} else {
			j.err = w.do(ctx, j)
		}
		close(j.done)
	}
}

func (w *worker) do(ctx context.Context, j *leafJob) error {
	w.digests = [format.LeafBlocks]format.Digest{}
	w.where = [format.LeafBlocks]location{}
	w.packs = w.packs[:0]
	if j.audit {
		return w.audit(ctx, j)
	}
	if err := w.take(ctx, j); err != nil {
		return err
	}
	for _, span := range j.data {
		if err := w.readSpan(j, span); err != nil {
			return err
		}
	}
	if w.digests == [format.LeafBlocks]format.Digest{} {
		return nil
	}
	check := w.hasher.Leaf(&w.digests)
	if !j.old.IsNull() && check == j.parent.Check {
		ok, err := w.s.allThere(ctx, j.parent.Packs)
		if err != nil {
			return err
		}
		if ok {
			j.ref = j.old
			return nil
		}
	}
	return w.change(ctx, j, check)
}

// audit compares what the change map leaves out of a leaf with the parent.
// Where the parent's digests can't be read, it says nothing.
func (w *worker) audit(ctx context.Context, j *leafJob) error {
	for _, span := range j.data {
		if err := w.readSpan(j, span); err != nil {
			return err
		}
	}
	if !j.old.IsNull() {
		there, err := w.s.allThere(ctx, j.parent.Packs)
		if err != nil {
			return err
		}
		j.gone = !there
	}
	if !j.old.IsNull() && len(j.keep) == 1 && j.keep[0] == (blockSpan{0, j.blocks}) {
		j.lied = w.hasher.Leaf(&w.digests) != j.parent.Check
		return nil
	}
	var want [format.LeafBlocks]format.Digest
	if !j.old.IsNull() {
		for _, e := range j.parent.Extents {
			ok, err := w.inherit(ctx, j, e, func(d *format.Digest, block int) bool {
				want[block] = *d
				return false
			})
			if !ok || err != nil {
				return err
			}
		}
	}
	for _, span := range j.keep {
		if !slices.Equal(w.digests[span.first:span.end], want[span.first:span.end]) {
			j.lied = true
		}
	}
	return nil
}

// take takes from the parent what the change map leaves out. Where that can't
// be had, the whole leaf is read.
func (w *worker) take(ctx context.Context, j *leafJob) error {
	if len(j.keep) == 0 || j.old.IsNull() {
		return nil
	}
	whole := true
	for _, e := range j.parent.Extents {
		ok, err := w.inherit(ctx, j, e, func(d *format.Digest, block int) bool {
			if kept(j.keep, block) {
				w.digests[block] = *d
				return true
			}
			return false
		})
		if err != nil {
			return err
		}
		whole = whole && (ok || !overlaps(j.keep, e))
	}
	if !whole {
		w.digests = [format.LeafBlocks]format.Digest{}
		w.where = [format.LeafBlocks]location{}
		j.data = append(j.data[:0], blockSpan{0, j.blocks})
		j.keep = j.keep[:0]
	}
	return nil
}

func kept(spans []blockSpan, block int) bool {
	return slices.ContainsFunc(spans, func(s blockSpan) bool { return s.first <= block && block < s.end })
}

func overlaps(spans []blockSpan, e maps.Extent) bool {
	first, end := int(e.Block), int(e.Block+e.Count)
	return slices.ContainsFunc(spans, func(s blockSpan) bool { return s.first < end && first < s.end })
}

// readSpan reads a range of blocks and computes their digests.
func (w *worker) readSpan(j *leafJob, span blockSpan) error {
	off := j.offset(span.first)
	end := min(j.offset(span.end), w.size)
	b := w.buf[span.first*format.BlockSize : span.end*format.BlockSize]
	n, err := w.source.ReadAt(b[:end-off], off)
	if int64(n) != end-off {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return &SourceError{Err: err}
	}
	clear(b[n:])
	w.s.bytesRead.Add(int64(n))
	w.hasher.Blocks(w.digests[span.first:span.end], b)
	return nil
}

// change finds or stores the blocks of a leaf that isn't the parent's, and
// encodes its page.
func (w *worker) change(ctx context.Context, j *leafJob, check [32]byte) error {
	if !j.old.IsNull() {
		for _, e := range j.parent.Extents {
			if _, err := w.inherit(ctx, j, e, func(d *format.Digest, block int) bool { return w.digests[block] == *d }); err != nil {
				return err
			}
		}
	}
	if err := w.find(ctx); err != nil {
		return err
	}
	w.dropShortRuns()
	if err := w.store(ctx); err != nil {
		return err
	}
	w.encode(j, check)
	return nil
}

// inherit offers the digests of a parent's extent to accept, which says
// whether the block is taken from there. It reports whether all of the
// extent's blocks could be offered.
func (w *worker) inherit(ctx context.Context, j *leafJob, e maps.Extent, accept func(d *format.Digest, block int) bool) (bool, error) {
	id := j.parent.Packs[e.Pack]
	d, err := w.s.directory(ctx, id)
	if err != nil || d == nil || int(e.Container) >= len(d.Containers) {
		return false, err
	}
	c := d.Containers[e.Container]
	all := true
	for i := range int(e.Count) {
		n, block := int(e.First)+i, int(e.Block)+i
		if _, ok := c.Digest(n); !ok {
			all = false
			continue
		}
		if accept(&c.Digests[n], block) {
			w.where[block] = location{pack: w.packIndex(id), container: e.Container, block: e.First + uint16(i)}
		}
	}
	return all, nil
}

// packIndex returns an index, from 1, for a pack in the leaf's locations.
func (w *worker) packIndex(id ID) uint16 {
	// The pack that was named last is the likeliest.
	for i := len(w.packs) - 1; i >= 0; i-- {
		if w.packs[i] == id {
			return uint16(i + 1)
		}
	}
	w.packs = append(w.packs, id)
	return uint16(len(w.packs))
}

// shortRun is how many blocks in a row a duplicate must have to be referred
// to rather than stored again, which keeps restores and maps from fraying.
const shortRun = 4

// dropShortRuns forgets duplicates that stand nearly alone.
func (w *worker) dropShortRuns() {
	for i := 0; i < len(w.where); {
		n := i + 1
		if !w.where[i].found {
			i = n
			continue
		}
		for n < len(w.where) && w.where[n].found && w.where[n].follows(w.where[n-1]) {
			n++
		}
		if n-i < shortRun {
			clear(w.where[i:n])
		}
		i = n
	}
}

func (l location) follows(prev location) bool {
	return l.pack == prev.pack && l.pack != 0 && l.container == prev.container && l.block == prev.block+1
}

// store puts the blocks that were not found into packs.
func (w *worker) store(ctx context.Context) error {
	var c *slot
	var pack uint16
	stored := int64(0)
	for i := 0; i < len(w.where); {
		if !w.wanted(i) {
			i++
			continue
		}
		if c == nil {
			var err error
			if c, err = w.packer.take(ctx); err != nil {
				return err
			}
			pack = w.packIndex(c.pack.header.Identity)
		}
		n := w.fresh(i, c.room())
		first := c.add(w.sealer, w.digests[i:i+n], w.buf[i*format.BlockSize:(i+n)*format.BlockSize])
		for k := range n {
			w.where[i+k] = location{pack: pack, container: c.number, block: first + uint16(k)}
		}
		i += n
		stored += int64(n)
		if c.full() {
			w.packer.give(ctx, c)
			c = nil
		}
	}
	if c != nil {
		w.packer.give(ctx, c)
	}
	w.s.bytesNew.Add(stored * format.BlockSize)
	return nil
}

// fresh returns how many blocks from i on, at most limit, are to be stored.
func (w *worker) fresh(i, limit int) int {
	n := 1
	for n < limit && i+n < len(w.where) && w.wanted(i+n) {
		n++
	}
	return n
}

// encode writes the leaf's page.
func (w *worker) encode(j *leafJob, check [32]byte) {
	l := &w.leaf
	*l = maps.Leaf{Index: j.index, Check: check, Packs: l.Packs[:0], Extents: l.Extents[:0]}
	for i := range w.where {
		at := w.where[i]
		if at.pack == 0 {
			continue
		}
		if i > 0 && at.follows(w.where[i-1]) {
			l.Extents[len(l.Extents)-1].Count++
			continue
		}
		id := w.packs[at.pack-1]
		index := slices.Index(l.Packs, id)
		if index < 0 {
			index = len(l.Packs)
			l.Packs = append(l.Packs, id)
		}
		l.Extents = append(l.Extents, maps.Extent{
			Block: uint16(i), Count: 1, Pack: uint16(index), Container: at.container, First: at.block,
		})
	}
	j.page = l.Append(j.page[:0])
}
