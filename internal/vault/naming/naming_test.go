package naming_test

import (
	"testing"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
)

type keys struct{}

func (keys) ID() [16]byte    { return [16]byte{1} }
func (keys) Current() uint32 { return 1 }
func (keys) Derive(_ uint32, label string, _ []byte, size int) []byte {
	b := make([]byte, size)
	copy(b, label)
	return b
}

func BenchmarkBlock(b *testing.B) {
	s, _ := naming.New(keys{})
	h := s.Hasher()
	block := make([]byte, format.BlockSize)
	b.SetBytes(format.BlockSize)
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Block(block)
	}
}

func BenchmarkLeaf(b *testing.B) {
	s, _ := naming.New(keys{})
	h := s.Hasher()
	var d [format.LeafBlocks]format.Digest
	b.SetBytes(format.LeafSize)
	b.ReportAllocs()
	for b.Loop() {
		_ = h.Leaf(&d)
	}
}

func BenchmarkIsZero(b *testing.B) {
	block := make([]byte, format.BlockSize)
	b.SetBytes(format.BlockSize)
	for b.Loop() {
		_ = naming.IsZero(block)
	}
}
