package vault

import (
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
)

// leafJob is one leaf's way through the pipeline: the planner says what to
// read of it, a worker finds out what its blocks are, the planner puts the
// result into the map.
type leafJob struct {
	index  uint64
	level  int         // above 0: the parent's inner page ref is taken as it is
	blocks int         // of the volume in the leaf's range
	data   []blockSpan // to be read, in order
	keep   []blockSpan // to be taken from the parent unread
	audit  bool        // compare with the parent and store nothing
	parent maps.Leaf   // the parent's leaf; undefined where old is null
	old    maps.Ref

	done chan struct{} // closed by the worker; nil where there was nothing to do

	// The result.
	page []byte   // of a leaf that changed; empty: see ref
	ref  maps.Ref // of a leaf that didn't change; null for holes
	lied bool     // an audited leaf differs
	gone bool     // an audited leaf names a pack that is gone
	err  error
}

// blockSpan is a range of a leaf's blocks.
type blockSpan struct{ first, end int }

// add appends blocks to spans, joining what touches.
func addSpan(spans []blockSpan, first, end int) []blockSpan {
	if n := len(spans); n > 0 && first <= spans[n-1].end {
		spans[n-1].end = max(spans[n-1].end, end)
		return spans
	}
	return append(spans, blockSpan{first, end})
}

func (j *leafJob) reset() {
	*j = leafJob{
		data: j.data[:0], keep: j.keep[:0], page: j.page[:0],
		parent: maps.Leaf{Packs: j.parent.Packs[:0], Extents: j.parent.Extents[:0]},
	}
}

// end returns the leaf after those that the job is about.
func (j *leafJob) end() int64 { return int64(j.index+1) << (8 * j.level) }

// offset returns where a block of the leaf lies in the volume.
func (j *leafJob) offset(block int) int64 {
	return int64(j.index)*format.LeafSize + int64(block)*format.BlockSize
}
