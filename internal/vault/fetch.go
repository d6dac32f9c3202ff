package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/sealing"
)

// A job's fetchers each hold up to 18 MiB.
const (
	minFetchers = 5
	maxFetchers = 6
	writeSize   = 1 << 20
	zeroPiece   = int64(1) << 30 // of one call of Target.Zero
)

// counters is what a restore tells of itself.
type counters struct {
	read, done atomic.Int64
	telling    sync.Mutex
}

// fetcher reads, checks and writes pieces on one goroutine.
type fetcher struct {
	x      *restorer
	dec    *compress.Decoder
	hasher *naming.Hasher
	sums   [format.GroupBlocks]format.Digest
	buf    []byte // of one read
	group  []byte
	order  []int32 // the first piece of each group

	out   []byte // what is to be written at outAt
	outAt int64  // in the volume
}

func (x *restorer) newFetchers() ([]*fetcher, error) {
	all := make([]*fetcher, x.fetchers)
	for i := range all {
		dec, err := compress.NewDecoder()
		if err != nil {
			for _, f := range all[:i] {
				f.dec.Close()
			}
			return nil, err
		}
		all[i] = &fetcher{
			x: x, dec: dec, hasher: x.r.names.Hasher(), group: make([]byte, format.GroupSize), out: aligned(writeSize)[:0],
		}
	}
	return all, nil
}

// aligned returns n bytes that begin at a multiple of a block's size, so that
// a target can hand them to a device as they are.
func aligned(n int) []byte {
	b := make([]byte, n+format.BlockSize)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % format.BlockSize
	return b[skip : skip+uintptr(n) : skip+uintptr(n)]
}

// run does tasks until there are no more.
func (f *fetcher) run(ctx context.Context, fail context.CancelCauseFunc) {
	defer f.dec.Close()
	for t := range f.x.tasks {
		if ctx.Err() == nil {
			if err := f.task(ctx, t); err != nil {
				fail(err)
			}
		}
		t.w.pending.Done()
	}
}

func (f *fetcher) task(ctx context.Context, t task) error {
	if t.object == "" {
		return f.zero(ctx, t.w.holes)
	}
	err := f.do(ctx, t)
	if errors.Is(err, ErrCorrupt) && ctx.Err() == nil {
		t.w.fail(t, err) // the packs may have been moved
		return nil
	}
	return err
}

// zero makes holes read as zeros.
func (f *fetcher) zero(ctx context.Context, holes []Extent) error {
	for _, h := range holes {
		for off := h.Offset; off < h.end(); off += zeroPiece {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n := min(zeroPiece, h.end()-off)
			if err := f.x.req.Target.Zero(off+f.x.shift, n); err != nil {
				return &TargetError{Err: err}
			}
			f.x.done.Add(n)
		}
	}
	f.x.tell()
	return nil
}

// tell tells the operation's progress.
func (x *restorer) tell() {
	if x.req.Progress == nil {
		return
	}
	x.telling.Lock()
	defer x.telling.Unlock()
	x.req.Progress(Progress{Done: min(x.done.Load(), x.total), Size: x.total, Read: x.read.Load()})
}

// do reads a run of groups and writes the pieces that lie in them, in the
// order of the volume.
func (f *fetcher) do(ctx context.Context, t task) error {
	f.out = f.out[:0]
	if int64(cap(f.buf)) < t.size {
		// At most two sizes, so that little garbage is made.
		n := int64(fetchSize / 8)
		if t.size > n {
			n = fetchSize
		}
		f.buf = make([]byte, n)
	}
	buf := f.buf[:t.size]
	if err := f.x.r.get(ctx, t.object, buf, t.off); err != nil {
		return err
	}
	f.x.read.Add(t.size)
	for _, first := range f.groups(t) {
		p := &t.w.pieces[first]
		at := t.w.at(p) - t.off
		if err := f.take(ctx, t, int(first), buf[at:at+int64(p.group.Length)]); err != nil {
			return err
		}
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	f.x.tell()
	return nil
}

// groups returns the first piece of each group of a task, in the order of the
// volume.
func (f *fetcher) groups(t task) []int32 {
	f.order = f.order[:0]
	pieces := t.w.pieces
	for i := t.first; i < t.end; i++ {
		if i == t.first || pieces[i].pack != pieces[i-1].pack || pieces[i].part != pieces[i-1].part {
			f.order = append(f.order, int32(i))
		}
	}
	slices.SortFunc(f.order, func(a, b int32) int { return cmp.Compare(pieces[a].offset, pieces[b].offset) })
	return f.order
}

// take opens one group and puts its pieces, from first on, in line for the
// target.
func (f *fetcher) take(ctx context.Context, t task, first int, sealed []byte) error {
	p := &t.w.pieces[first]
	end := first + 1
	for end < t.end && t.w.pieces[end].pack == p.pack && t.w.pieces[end].part == p.part {
		end++
	}
	size := p.group.Blocks() * format.BlockSize
	if end == first+1 && p.whole() {
		// The usual case: the group is what comes next in the volume.
		if err := f.room(ctx, p.offset, size); err != nil {
			return err
		}
		n := len(f.out)
		group, err := openPiece(t.w, p, f.dec, sealed, f.out[n:n+size])
		if err == nil {
			err = f.check(t.w, p, group)
		}
		if err != nil {
			return err
		}
		if f.out = f.out[:n+size]; &f.out[n] != &group[0] { // a raw group is where it was read
			copy(f.out[n:], group)
		}
		return nil
	}
	group, err := openPiece(t.w, p, f.dec, sealed, f.group[:size])
	if err != nil {
		return err
	}
	for i := first; i < end; i++ {
		p := &t.w.pieces[i]
		rank := p.group.Rank(int(p.slot))
		b := group[rank*format.BlockSize:][:int(p.count)*format.BlockSize]
		if err := f.check(t.w, p, b); err != nil {
			return err
		}
		if err := f.room(ctx, p.offset, len(b)); err != nil {
			return err
		}
		f.out = append(f.out, b...)
	}
	return nil
}

// openPiece opens and decompresses a piece's group, to dst or elsewhere. Sealed
// is used up.
func openPiece(w *window, p *piece, dec *compress.Decoder, sealed, dst []byte) ([]byte, error) {
	packed, err := w.packs[p.pack].box.Open(sealed[:0], sealed, sealing.GroupPart, uint64(p.part))
	if err == nil {
		var group []byte
		if group, err = dec.Decode(dst, packed, p.group.Codec); err == nil {
			return group, nil
		}
	}
	return nil, &CorruptError{Object: w.packs[p.pack].place.Object, What: fmt.Sprintf("group %d at byte %d", p.part, w.at(p)), Err: err}
}

// check compares the blocks of a piece with their digests.
func (f *fetcher) check(w *window, p *piece, b []byte) error {
	sums := f.sums[:p.count]
	f.hasher.Blocks(sums, b)
	for i := range sums {
		if sums[i] != w.digests[int(p.digest)+i] {
			return wrongBlock(w, p, i)
		}
	}
	return nil
}

// wrongBlock returns the error for a piece's i-th block.
func wrongBlock(w *window, p *piece, i int) error {
	return &CorruptError{
		Object: w.packs[p.pack].place.Object, What: fmt.Sprintf("block %d of group %d isn't that of its digest", int(p.slot)+i, p.part),
	}
}

// room makes room in the line for n bytes at an offset of the volume.
func (f *fetcher) room(ctx context.Context, off int64, n int) error {
	if len(f.out) > 0 && off == f.outAt+int64(len(f.out)) && len(f.out)+n <= cap(f.out) {
		return nil
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	f.outAt = off
	return nil
}

// flush writes what is in line, as far as it is wanted.
func (f *fetcher) flush(ctx context.Context) error {
	b, at := f.out, f.outAt
	f.out = f.out[:0]
	if len(b) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if cut := f.x.from - at; cut > 0 {
		b, at = b[min(cut, int64(len(b))):], at+cut
	}
	b = b[:max(0, min(int64(len(b)), f.x.end-at))]
	if len(b) == 0 {
		return nil
	}
	if _, err := f.x.req.Target.WriteAt(b, at+f.x.shift); err != nil {
		return &TargetError{Err: err}
	}
	f.x.done.Add(int64(len(b)))
	return nil
}
