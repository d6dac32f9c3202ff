package volume_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"unsafe"
)

// alignedContent returns n bytes that begin at a multiple of 4 KiB in memory,
// or elsewhere.
func alignedContent(seed byte, n, shift int) []byte {
	b := make([]byte, n+8192)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b)))%4096) + shift
	copy(b[skip:], content(seed, n))
	return b[skip : skip+n]
}

// TestTargetPastThePageCache mixes writes that go past the page cache with
// others, and with zeros, on neighbouring blocks.
func TestTargetPastThePageCache(t *testing.T) {
	everywhere(t, func(t *testing.T, dir string) {
		const size = 3<<20 + 777
		path := rawFile(t, filepath.Join(dir, "raw"), size)
		tg := openTarget(t, path)
		defer tg.Close()
		direct := tg.PastCache()
		rng := rand.New(rand.NewPCG(5, 0))
		model := make([]byte, size)
		for i := range 150 {
			off := rng.IntN(size)
			n := rng.IntN(min(size-off, 400_000) + 1)
			if rng.IntN(4) > 0 {
				off = off / 4096 * 4096
			}
			switch rng.IntN(4) {
			case 0:
				must(t, tg.Zero(int64(off), int64(n)))
				clear(model[off : off+n])
			default:
				p := alignedContent(byte(i), n, rng.IntN(2)*rng.IntN(2)*512)
				_, err := tg.WriteAt(p, int64(off))
				must(t, err)
				copy(model[off:], p)
			}
			if i%50 == 49 {
				must(t, tg.Sync())
				if !bytes.Equal(read(t, path), model) {
					t.Fatal("the target differs from what was written")
				}
			}
		}
		before := tg.Cached()
		_, err := tg.WriteAt(alignedContent(1, 1<<20, 0), 0)
		must(t, err)
		if direct && tg.Cached() != before {
			t.Error("a large write went through the page cache")
		}
	})
}

// TestSmallTargetStaysCached writes less than what goes past the page cache.
func TestSmallTargetStaysCached(t *testing.T) {
	path := rawFile(t, filepath.Join(t.TempDir(), "raw"), 4<<20)
	tg := openTarget(t, path)
	defer tg.Close()
	_, err := tg.WriteAt(alignedContent(1, 4<<20, 0), 0)
	must(t, err)
	if tg.Cached() != 4<<20 {
		t.Errorf("%d bytes of a small target were written through the page cache", tg.Cached())
	}
}

// TestZeroOfAHoleTakesNothing zeroes what is a hole, what is half one, and what
// is data that isn't on the device yet.
func TestZeroOfAHoleTakesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, dir string) {
		path := rawFile(t, filepath.Join(dir, "raw"), 4<<20)
		tg := openTarget(t, path)
		defer tg.Close()
		_, err := tg.WriteAt(content(1, 1<<20), 2<<20)
		must(t, err)
		must(t, tg.Zero(0, 1<<20))
		must(t, tg.Zero(1<<20, 3<<19))
		want := make([]byte, 4<<20)
		copy(want[5<<19:], content(1, 1<<20)[1<<19:])
		if !bytes.Equal(read(t, path), want) {
			t.Error("zeros are not where they should be")
		}
	})
}
