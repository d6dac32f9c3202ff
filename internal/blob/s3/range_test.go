package s3_test

import (
	"fmt"
	"testing"

	"holdfast/internal/blob/s3"
)

// Whatever is accepted is a part of an object, and is written just so.
func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-5/6", "bytes 9-5/10", "bytes 0-9/*", "bytes */10", "bytes 0-10/10", "bytes +1-2/3", "bytes 01-2/3", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, end, size, ok := s3.ParseRange(s)
		if !ok {
			return
		}
		if first < 0 || first >= end || end > size {
			t.Errorf("%q is from %d to %d of %d", s, first, end, size)
		}
		again, _, _, ok := s3.ParseRange(fmt.Sprintf("bytes %d-%d/%d", first, end-1, size))
		if !ok || again != first {
			t.Errorf("%q is not read again", s)
		}
	})
}
