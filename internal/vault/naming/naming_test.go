package naming_test

import (
	"bytes"
	"encoding/hex"
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

// TestKnownAnswers fixes the hashes by which blocks are known, for good.
func TestKnownAnswers(t *testing.T) {
	s, err := naming.New(keys{})
	if err != nil {
		t.Fatal(err)
	}
	h := s.Hasher()
	block := bytes.Repeat([]byte("holdfast"), format.BlockSize/8)
	digest := h.Block(block)
	var leaf [format.LeafBlocks]format.Digest
	leaf[3] = digest
	for _, c := range []struct {
		what, want string
		got        []byte
	}{
		{"block", "3b454ca111a0079162528d00dda5b151da225272", digest[:]},
		{"leaf", "7cd9639a509ebd9b7cb4be8819d418276eabbdc3a5e544a34fd2680efbcc0a1c", sum(h.Leaf(&leaf))},
		{"page", "172b120fa020cf7b75960fd9483e48279bac580e177fd08a166fcf05e2ef5a53", sum(h.Page(block))},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s", c.what, got)
		}
	}
}

func sum(b [32]byte) []byte { return b[:] }

func TestIsZero(t *testing.T) {
	block := make([]byte, format.BlockSize)
	if !naming.IsZero(block) {
		t.Error("a block of zeros is none")
	}
	for _, at := range []int{0, 1, 2047, 4095} {
		block[at] = 1
		if naming.IsZero(block) {
			t.Errorf("byte %d is not seen", at)
		}
		block[at] = 0
	}
}

// Blocks says what Block says, and zero for zeros.
func TestBlocks(t *testing.T) {
	s, err := naming.New(keys{})
	if err != nil {
		t.Fatal(err)
	}
	h := s.Hasher()
	data := make([]byte, 150*format.BlockSize)
	for i := range 150 {
		if i%7 != 3 {
			data[i*format.BlockSize+i] = byte(i + 1)
		}
	}
	digests := make([]format.Digest, 150)
	digests[3] = format.Digest{1}
	h.Blocks(digests, data)
	for i, got := range digests {
		want := format.Digest{}
		if i%7 != 3 {
			want = h.Block(data[i*format.BlockSize : (i+1)*format.BlockSize])
		}
		if got != want {
			t.Errorf("block %d: %x, not %x", i, got, want)
		}
	}
}
