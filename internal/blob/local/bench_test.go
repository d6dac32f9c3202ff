package local_test

import (
	"context"
	"fmt"
	"testing"

	"holdfast/internal/blob/blobtest"
)

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, data := create(b, b.TempDir()), make([]byte, size)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				name := fmt.Sprintf("vaults/a/packs/%d", i%8)
				if err := s.Put(context.Background(), name, blobtest.Body(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s, p := create(b, b.TempDir()), make([]byte, 128<<10)
	blobtest.Put(b, s, "vaults/a/packs/0", make([]byte, 32<<20))
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		if _, err := s.Get(context.Background(), "vaults/a/packs/0", p, i%256*int64(len(p))); err != nil {
			b.Fatal(err)
		}
	}
}
