package vault

import (
	"math/bits"
	"slices"
	"sync/atomic"

	"holdfast/internal/vault/format"
)

// markBytes bounds the memory of a collection's marks of blocks. As many packs
// as have room in it, 32 GiB of blocks in each MiB, can be marked exactly at
// once.
const markBytes = 32 << 20

const (
	packBlocks   = format.PackContainers * format.ContainerBlocks
	maxExact     = markBytes * 8 / packBlocks
	maxMarkShift = 6
)

// blockMarks says which blocks of some data packs live. Of more packs than
// maxExact it looks at one block in 1<<shift, which is good for an estimate
// alone.
type blockMarks struct {
	ids   []ID     // sorted
	first []uint32 // for each value of an id's top 16 bits: where these begin in ids
	shift uint
	words []uint64
}

// newBlockMarks returns marks of packs whose ids are sorted. It takes words for
// its memory where they suffice.
func newBlockMarks(ids []ID, words []uint64) *blockMarks {
	m := &blockMarks{ids: ids, first: make([]uint32, 1<<16+1)}
	for len(ids)>>m.shift > maxExact && m.shift < maxMarkShift {
		m.shift++
	}
	n := len(ids) * (packBlocks / 64) >> m.shift
	if cap(words) < n {
		words = make([]uint64, n)
	}
	m.words = words[:n]
	clear(m.words)
	for _, id := range ids {
		m.first[top(id)+1]++
	}
	for i := range 1 << 16 {
		m.first[i+1] += m.first[i]
	}
	return m
}

func top(id ID) int { return int(id[0])<<8 | int(id[1]) }

// find returns a pack's ordinal, -1 for one that isn't marked.
func (m *blockMarks) find(id ID) int {
	from, to := m.first[top(id)], m.first[top(id)+1]
	i, ok := slices.BinarySearchFunc(m.ids[from:to], id, compareID)
	if !ok {
		return -1
	}
	return int(from) + i
}

// mark says that count blocks of a pack's container live, from first on. It
// may be called concurrently.
func (m *blockMarks) mark(pack int, container uint8, first, count uint16) {
	up := 1<<m.shift - 1
	base := (pack*packBlocks + int(container)*format.ContainerBlocks) >> m.shift
	from := base + (int(first)+up)>>m.shift
	to := base + (int(first)+int(count)+up)>>m.shift
	for from < to {
		n := min(64-from%64, to-from)
		mask := (^uint64(0) >> (64 - n)) << (from % 64)
		if w := &m.words[from/64]; atomic.LoadUint64(w)&mask != mask {
			atomic.OrUint64(w, mask)
		}
		from += n
	}
}

// exact reports whether every block is looked at.
func (m *blockMarks) exact() bool { return m.shift == 0 }

// count returns how many blocks of a pack live, by estimate where the marks
// aren't exact.
func (m *blockMarks) count(pack int) int {
	n := 0
	for _, w := range m.of(pack) {
		n += bits.OnesCount64(w)
	}
	return n << m.shift
}

func (m *blockMarks) of(pack int) []uint64 {
	n := (packBlocks / 64) >> m.shift
	return m.words[pack*n : (pack+1)*n]
}

// blocks returns a copy of a pack's marks, which are exact.
func (m *blockMarks) blocks(pack int) *[format.PackContainers]blockSet {
	var out [format.PackContainers]blockSet
	for i, w := range m.of(pack) {
		out[i/len(out[0])][i%len(out[0])] = w
	}
	return &out
}
