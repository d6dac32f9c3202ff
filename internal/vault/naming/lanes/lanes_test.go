package lanes

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/zeebo/blake3"
)

func hasher(t testing.TB, key []byte, wide bool) *Hasher {
	t.Helper()
	h, err := New(key)
	if err != nil {
		t.Fatal(err)
	}
	if wide && !available {
		t.Skip("the processor has no AVX-512")
	}
	h.wide = wide
	return h
}

func sums(h *Hasher, blocks [][]byte) [][32]byte {
	out := make([][32]byte, len(blocks))
	next := 0
	h.Sum(blocks, func(i int, sum *[32]byte) {
		if i != next {
			panic("out of order")
		}
		next++
		out[i] = *sum
	})
	return out[:next]
}

// The official test vectors' key and input, and what they say of 4,096 bytes.
func TestVector(t *testing.T) {
	key := []byte("whats the Elvish word for friend")
	block := make([]byte, BlockSize)
	for i := range block {
		block[i] = byte(i % 251)
	}
	const want = "befc660aea2f1718884cd8deb9902811d332f4fc4a38cf7c7300d597a081bfc0"
	for _, wide := range []bool{false, true} {
		if wide && !available {
			continue
		}
		for _, sum := range sums(hasher(t, key, wide), [][]byte{block, block, block}) {
			if got := hex.EncodeToString(sum[:]); got != want {
				t.Errorf("wide %v: %s", wide, got)
			}
		}
	}
}

// Both ways agree, for any number of blocks that lie anywhere.
func TestBothWaysAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := make([]byte, 32)
	memory := make([]byte, 80*BlockSize)
	for n := range 70 {
		for i := range key {
			key[i] = byte(rng.Uint32())
		}
		for i := range memory {
			memory[i] = byte(rng.Uint32())
		}
		wide, one := hasher(t, key, true), hasher(t, key, false)
		var blocks [][]byte
		for range n {
			at := rng.IntN(len(memory) - BlockSize)
			blocks = append(blocks, memory[at:at+BlockSize:at+BlockSize])
		}
		a, b := sums(wide, blocks), sums(one, blocks)
		if len(a) != n || len(b) != n {
			t.Fatalf("%d and %d hashes of %d blocks", len(a), len(b), n)
		}
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("block %d of %d: %x and %x", i, n, a[i], b[i])
			}
		}
	}
}

func FuzzBothWaysAgree(f *testing.F) {
	f.Add(bytes.Repeat([]byte("k"), 32), []byte("seed"), 5)
	f.Fuzz(func(t *testing.T, key, seed []byte, n int) {
		if len(key) != 32 || n < 0 || n > 40 {
			t.Skip()
		}
		fill := blake3.New()
		fill.Write(seed)
		memory := make([]byte, n*BlockSize)
		if _, err := fill.Digest().Read(memory); err != nil {
			t.Fatal(err)
		}
		var blocks [][]byte
		for i := range n {
			blocks = append(blocks, memory[i*BlockSize:(i+1)*BlockSize])
		}
		a, b := sums(hasher(t, key, true), blocks), sums(hasher(t, key, false), blocks)
		for i := range b {
			if a[i] != b[i] {
				t.Fatalf("block %d of %d", i, n)
			}
		}
	})
}

func BenchmarkSum(b *testing.B) {
	for _, wide := range []bool{false, true} {
		name := map[bool]string{false: "one by one", true: "side by side"}[wide]
		b.Run(name, func(b *testing.B) {
			h := hasher(b, bytes.Repeat([]byte("k"), 32), wide)
			memory := make([]byte, 256*BlockSize)
			var blocks [][]byte
			for i := range 256 {
				blocks = append(blocks, memory[i*BlockSize:(i+1)*BlockSize])
			}
			b.SetBytes(int64(len(memory)))
			for b.Loop() {
				h.Sum(blocks, func(int, *[32]byte) {})
			}
		})
	}
}
