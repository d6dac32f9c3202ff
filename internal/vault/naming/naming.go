// Package naming computes the keyed hashes by which a vault knows its blocks,
// leaves and pages. They come from the naming secret, which is never rotated,
// and differ between vaults, so that equal data can't be told across them.
package naming

import (
	"bytes"
	"fmt"

	"github.com/zeebo/blake3"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming/lanes"
	"holdfast/internal/vault/sealing"
)

// Secret holds a vault's hash keys.
type Secret struct {
	block, leaf, page []byte
}

// New derives the hash keys of a vault.
func New(keys sealing.Keys) (*Secret, error) {
	s := &Secret{
		block: keys.Derive(0, "holdfast/1 block", nil, 32),
		leaf:  keys.Derive(0, "holdfast/1 leaf", nil, 32),
		page:  keys.Derive(0, "holdfast/1 page hash", nil, 32),
	}
	if len(s.block) != 32 || len(s.leaf) != 32 || len(s.page) != 32 {
		return nil, fmt.Errorf("derive naming keys: %w: 0", sealing.ErrKeyVersion)
	}
	return s, nil
}

// Hasher computes one goroutine's hashes.
type Hasher struct {
	block, leaf, page *blake3.Hasher
	blocks            blocks
	sum               [32]byte
}

// Hasher returns a new hasher.
func (s *Secret) Hasher() *Hasher {
	many, err := lanes.New(s.block)
	if err != nil {
		panic("naming: " + err.Error()) // New made sure of the key's length
	}
	return &Hasher{block: keyed(s.block), leaf: keyed(s.leaf), page: keyed(s.page), blocks: blocks{lanes: many}}
}

func keyed(key []byte) *blake3.Hasher {
	h, err := blake3.NewKeyed(key)
	if err != nil {
		panic("naming: " + err.Error()) // New made sure of the key's length
	}
	return h
}

// Block returns the digest of a block that is not zero.
func (h *Hasher) Block(b []byte) format.Digest {
	h.hash(h.block, b)
	return format.Digest(h.sum[:format.DigestSize])
}

// Leaf returns the check of a leaf: over the digests of its
// format.LeafBlocks blocks, zero for holes.
func (h *Hasher) Leaf(digests *[format.LeafBlocks]format.Digest) [32]byte {
	h.leaf.Reset()
	for i := range digests {
		h.leaf.Write(digests[i][:])
	}
	h.leaf.Sum(h.sum[:0])
	return h.sum
}

// Page returns the hash of a page's content.
func (h *Hasher) Page(b []byte) [32]byte {
	h.hash(h.page, b)
	return h.sum
}

func (h *Hasher) hash(with *blake3.Hasher, b []byte) {
	with.Reset()
	with.Write(b)
	with.Sum(h.sum[:0])
}

var zeros [format.BlockSize]byte

// IsZero reports whether a block holds nothing but zeros.
func IsZero(block []byte) bool { return bytes.Equal(block, zeros[:len(block)]) }
