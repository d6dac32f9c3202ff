package vault

import (
	"context"
	"fmt"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
)

// maxPending bounds the leaves that wait for an earlier one's result.
const maxPending = 1024

func (b *backup) leaves() int64 { return (b.size + format.LeafSize - 1) / format.LeafSize }

// plan hands out all leaves from b.next on.
func (b *backup) plan(ctx context.Context) error {
	if b.changed == nil {
		return b.planWhole(ctx, b.next, b.leaves())
	}
	for leaf, i := b.next, 0; leaf < b.leaves(); {
		for i < len(b.changed) && b.changed[i].end() <= leaf*format.LeafSize {
			i++
		}
		if i == len(b.changed) {
			return b.inherit(ctx, leaf, b.leaves())
		}
		if first := b.changed[i].Offset / format.LeafSize; first > leaf {
			if err := b.inherit(ctx, leaf, first); err != nil {
				return err
			}
			leaf = first
		}
		end, err := b.planChanged(ctx, leaf, i)
		if err != nil {
			return err
		}
		leaf = end
	}
	return nil
}

func (e Extent) end() int64 { return e.Offset + e.Length }

// planChanged plans a leaf that the change map's extent i touches, and those
// after it that the extent covers whole. It returns the leaf after these.
func (b *backup) planChanged(ctx context.Context, leaf int64, i int) (int64, error) {
	e := b.changed[i]
	if e.Offset <= leaf*format.LeafSize {
		end := e.end() / format.LeafSize
		if e.end() == b.size {
			end = b.leaves()
		}
		if end > leaf {
			return end, b.planWhole(ctx, leaf, end)
		}
	}
	j := b.job(leaf)
	for _, span := range b.split(j, i) {
		if err := b.dataIn(j, span); err != nil {
			return 0, err
		}
	}
	return leaf + 1, b.submit(ctx, j)
}

// split divides a leaf's blocks into those that the change map leaves out, and
// those, which it returns, that it names from its extent i on.
func (b *backup) split(j *leafJob, i int) []blockSpan {
	var changed []blockSpan
	at := 0
	for ; i < len(b.changed) && b.changed[i].Offset < j.offset(j.blocks); i++ {
		first, end := b.span(int64(j.index), b.changed[i].Offset, b.changed[i].end())
		changed = addSpan(changed, first, end)
		if first > at {
			j.keep = addSpan(j.keep, at, first)
		}
		at = end
	}
	if at < j.blocks {
		j.keep = addSpan(j.keep, at, j.blocks)
	}
	return changed
}

// span returns the blocks of a leaf that a range of the volume touches.
func (b *backup) span(leaf, from, to int64) (first, end int) {
	base := leaf * format.LeafSize
	first = int(max(from-base, 0) / format.BlockSize)
	return first, int((min(to-base, format.LeafSize) + format.BlockSize - 1) / format.BlockSize)
}

// dataIn adds the source's data in some blocks of a leaf to what a job reads.
func (b *backup) dataIn(j *leafJob, span blockSpan) error {
	to := min(j.offset(span.end), b.size)
	for from := j.offset(span.first); from < to; {
		start, end, err := b.nextData(from)
		if err != nil {
			return err
		}
		if start >= to {
			return nil
		}
		first, last := b.span(int64(j.index), start, min(end, to))
		j.data = addSpan(j.data, first, last)
		from = end
	}
	return nil
}

// nextData asks the source for data and makes sure that the answer makes sense.
func (b *backup) nextData(off int64) (start, end int64, err error) {
	start, end, err = b.req.Source.NextData(off)
	if err != nil {
		return 0, 0, &SourceError{Err: err}
	}
	if start < off || end > b.size || end < start || start == end && start != b.size {
		return 0, 0, &SourceError{Err: fmt.Errorf("data from %d to %d after %d of %d bytes", start, end, off, b.size)}
	}
	return start, end, nil
}

// planWhole plans the leaves from first to end by the source's data alone.
func (b *backup) planWhole(ctx context.Context, first, end int64) error {
	off, limit := first*format.LeafSize, min(end*format.LeafSize, b.size)
	var j *leafJob
	for off < limit {
		start, stop, err := b.nextData(off)
		if err != nil {
			return err
		}
		off = stop
		for stop = min(stop, limit); start < stop; {
			leaf := start / format.LeafSize
			if j != nil && int64(j.index) != leaf {
				if err := b.submit(ctx, j); err != nil {
					return err
				}
				j = nil
			}
			if j == nil {
				j = b.job(leaf)
			}
			from, to := b.span(leaf, start, stop)
			j.data = addSpan(j.data, from, to)
			start = (leaf + 1) * format.LeafSize
		}
	}
	if j != nil {
		return b.submit(ctx, j)
	}
	return nil
}

// inherit takes the leaves from first to end from the parent, whole subtrees of
// them unread. Where packs are known to be damaged, each leaf is looked at, and
// those that name a pack which is gone are read.
func (b *backup) inherit(ctx context.Context, first, end int64) error {
	if b.wary {
		return b.inheritLeaves(ctx, first, end)
	}
	limit := uint64(end)
	if end == b.leaves() && b.parent.Size == b.size {
		limit = 1 << (8 * maps.Height(b.size)) // nothing lies behind the volume's end
	}
	for first < end {
		level, index, ref, err := b.tree.Below(ctx, uint64(first), limit)
		if err != nil {
			if !b.tolerable(ctx, err) {
				return err
			}
			return b.planWhole(ctx, first, end)
		}
		first = int64(index+1) << (8 * level)
		if ref.IsNull() {
			continue
		}
		j := b.newJob()
		j.index, j.level, j.ref = index, level, ref
		if err := b.push(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// inheritLeaves is inherit leaf by leaf.
func (b *backup) inheritLeaves(ctx context.Context, first, end int64) error {
	for first < end {
		leaf, ok, err := b.tree.Next(ctx, uint64(first))
		if err != nil {
			if !b.tolerable(ctx, err) {
				return err
			}
			return b.planWhole(ctx, first, end)
		}
		if !ok || int64(leaf) >= end {
			return nil
		}
		first = int64(leaf) + 1
		j := b.job(int64(leaf))
		if _, err := b.loadOld(ctx, j); err != nil {
			return err
		}
		there := false
		if !j.old.IsNull() {
			if there, err = b.s.allThere(ctx, j.parent.Packs); err != nil {
				return err
			}
		}
		if there {
			j.ref = j.old
			err = b.push(ctx, j)
		} else {
			b.free = append(b.free, j)
			err = b.planWhole(ctx, int64(leaf), first)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// loadOld reads the parent's leaf, and reports whether it could. One that is
// damaged is none.
func (b *backup) loadOld(ctx context.Context, j *leafJob) (bool, error) {
	j.old = maps.Ref{}
	if b.tree == nil {
		return true, nil
	}
	ref, err := b.tree.Leaf(ctx, j.index, &j.parent)
	if err == nil {
		j.old = ref
		return true, nil
	}
	if !b.tolerable(ctx, err) {
		return false, err
	}
	if len(j.keep) > 0 {
		j.data = append(j.data[:0], blockSpan{0, j.blocks})
		j.keep = j.keep[:0]
	}
	return false, nil
}

// job returns an empty job for a leaf.
func (b *backup) job(leaf int64) *leafJob {
	j := b.newJob()
	j.index = uint64(leaf)
	j.blocks = int((min(b.size-leaf*format.LeafSize, format.LeafSize) + format.BlockSize - 1) / format.BlockSize)
	return j
}

func (b *backup) newJob() *leafJob {
	n := len(b.free)
	if n == 0 {
		return &leafJob{}
	}
	j := b.free[n-1]
	b.free = b.free[:n-1]
	j.reset()
	return j
}

// submit gives a leaf to the workers.
func (b *backup) submit(ctx context.Context, j *leafJob) error {
	if _, err := b.loadOld(ctx, j); err != nil {
		return err
	}
	j.done = make(chan struct{})
	for b.running == cap(b.jobs) {
		if err := b.collect(ctx); err != nil {
			return err
		}
	}
	b.running++
	b.jobs <- j
	return b.push(ctx, j)
}

// push puts a leaf into the queue of results, and writes a checkpoint when one
// is due.
func (b *backup) push(ctx context.Context, j *leafJob) error {
	b.pending = append(b.pending, j)
	b.next = j.end()
	for len(b.pending) > maxPending {
		if err := b.collect(ctx); err != nil {
			return err
		}
	}
	if err := b.s.list(ctx, false); err != nil {
		return err
	}
	if b.due() {
		return b.checkpoint(ctx)
	}
	return nil
}

// collect puts the oldest leaf's result into the map.
func (b *backup) collect(ctx context.Context) error {
	j := b.pending[0]
	copy(b.pending, b.pending[1:])
	b.pending = b.pending[:len(b.pending)-1]
	if j.done != nil {
		<-j.done
		b.running--
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if j.err != nil {
		return j.err
	}
	ref := j.ref
	if len(j.page) > 0 {
		var err error
		if ref, err = b.pages.add(ctx, j.page); err != nil {
			return err
		}
	}
	if !ref.IsNull() {
		if err := b.builder.Add(ctx, b.pages, j.level, j.index, ref); err != nil {
			return err
		}
	}
	b.done = min(j.end()*format.LeafSize, b.size)
	b.free = append(b.free, j)
	b.report(false)
	return nil
}

// drain puts all leaves that were handed out into the map.
func (b *backup) drain(ctx context.Context) error {
	for len(b.pending) > 0 {
		if err := b.collect(ctx); err != nil {
			return err
		}
	}
	return nil
}
