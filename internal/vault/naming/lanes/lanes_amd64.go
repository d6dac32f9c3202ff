package lanes

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// available says whether the processor, and the system, have what hash16 uses.
var available = cpu.X86.HasAVX512F

// What BLAKE3 calls flags.
const (
	chunkStart = 1 << 0
	chunkEnd   = 1 << 1
	parent     = 1 << 2
	root       = 1 << 3
	keyed      = 1 << 4
)

const (
	lanes     = 16
	chunkSize = 1024
	nodeSize  = 32
	chunks    = BlockSize / chunkSize
)

// many is what a batch of blocks is hashed in.
type many struct {
	sums   [batch][32]byte
	chunks [batch * chunks][nodeSize]byte     // the chaining values of the chunks
	pairs  [batch * chunks / 2][nodeSize]byte // of the nodes above them
	lanes  [lanes]unsafe.Pointer
}

// counters are the numbers of the chunks in their blocks, by lane.
var counters = [lanes]uint32{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}

var noCounters [lanes]uint32

// work is what hash16 is asked to do. Its layout is known to the assembly.
type work struct {
	key      *[8]uint32
	in       *[lanes]unsafe.Pointer // the input of each lane
	out      *[lanes][nodeSize]byte // of each lane
	counters *[lanes]uint32
	blocks   uint64 // of 64 bytes, of each lane
	flags    uint32 // of all of these
	first    uint32 // of the first besides
	last     uint32 // of the last besides
}

// hash16 compresses the input of sixteen lanes, each from the key on. It reads
// nothing but blocks × 64 bytes of each input.
//
//go:noescape
func hash16(w *work)

// sum hashes up to batch blocks into h.many.sums. Lanes that are left hash the
// last input again, for nobody.
func (h *Hasher) sum(blocks [][]byte) {
	m := &h.many
	w := work{key: &h.key, in: &m.lanes, counters: &counters, blocks: chunkSize / 64, flags: keyed, first: chunkStart, last: chunkEnd}
	for at := 0; at < len(blocks); at += lanes / chunks {
		for i := range m.lanes {
			block := blocks[min(at+i/chunks, len(blocks)-1)]
			m.lanes[i] = unsafe.Pointer(&block[:BlockSize:BlockSize][i%chunks*chunkSize])
		}
		w.out = (*[lanes][nodeSize]byte)(m.chunks[at*chunks:])
		hash16(&w)
	}
	w.counters, w.blocks, w.first, w.last = &noCounters, 1, 0, parent
	for at := 0; at < 2*len(blocks); at += lanes {
		h.above(m.chunks[:], at, 2*len(blocks))
		w.out = (*[lanes][nodeSize]byte)(m.pairs[at:])
		hash16(&w)
	}
	w.last = parent | root
	h.above(m.pairs[:], 0, len(blocks))
	w.out = &m.sums
	hash16(&w)
	m.lanes = [lanes]unsafe.Pointer{}
}

// above has each lane read the pair of nodes below its own, which is number at
// and up, of n.
func (h *Hasher) above(nodes [][nodeSize]byte, at, n int) {
	for i := range h.many.lanes {
		h.many.lanes[i] = unsafe.Pointer(&nodes[2*min(at+i, n-1)])
	}
}
