// Package lanes computes the keyed BLAKE3 of many blocks of 4 KiB side by side.
//
// A block is four chunks of BLAKE3, too few to fill the vectors of a
// processor: a call for each block leaves most of them idle. Here the chunks
// of several blocks share them, sixteen at a time, where the processor has
// AVX-512; elsewhere blocks are hashed one by one by the ordinary library. The
// results are the same.
package lanes

import (
	"encoding/binary"

	"github.com/zeebo/blake3"
)

// BlockSize is the size of a block in bytes.
const BlockSize = 4096

// Hasher hashes blocks under one key. One goroutine uses it.
type Hasher struct {
	key  [8]uint32
	one  *blake3.Hasher
	wide bool
	many many
}

// New returns a hasher for a key of 32 bytes.
func New(key []byte) (*Hasher, error) {
	one, err := blake3.NewKeyed(key)
	if err != nil {
		return nil, err
	}
	h := &Hasher{one: one, wide: available}
	for i := range h.key {
		h.key[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	return h, nil
}

// Sum hashes blocks and calls each with the index and the first 32 bytes of
// the hash of each, in order. The hash is good until each returns.
func (h *Hasher) Sum(blocks [][]byte, each func(i int, sum *[32]byte)) {
	for at := 0; at < len(blocks); {
		n := min(len(blocks)-at, batch)
		if !h.wide || n == 1 {
			h.single(blocks[at])
			each(at, &h.many.sums[0])
			at++
			continue
		}
		h.sum(blocks[at : at+n])
		for i := range n {
			each(at+i, &h.many.sums[i])
		}
		at += n
	}
}

// batch is how many blocks are hashed in one go: with sixteen of them the
// nodes above the chunks fill all lanes too.
const batch = 16

// single hashes a block by the ordinary library.
func (h *Hasher) single(block []byte) {
	h.one.Reset()
	h.one.Write(block[:BlockSize])
	h.one.Sum(h.many.sums[0][:0])
}
