package vault_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"

	"holdfast/internal/blob/local"
	"holdfast/internal/vault"
)

// sparseFile is a volume in a sparse file.
type sparseFile struct {
	*os.File
	size int64
}

const (
	seekData  = 3
	seekHole  = 4
	punchHole = 0x02 | 0x01 // and keep the size
)

func (f sparseFile) Size() int64 { return f.size }

func (f sparseFile) NextData(off int64) (start, end int64, err error) {
	if start, err = f.Seek(off, seekData); errors.Is(err, syscall.ENXIO) {
		return f.size, f.size, nil
	}
	if err != nil {
		return 0, 0, err
	}
	end, err = f.Seek(start, seekHole)
	return start, end, err
}

func (f sparseFile) Zero(off, n int64) error {
	return syscall.Fallocate(int(f.Fd()), punchHole, off, n)
}

func newSparse(t testing.TB, path string, size int64) sparseFile {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return sparseFile{f, size}
}

// TestMemory backs up and restores a 20 GiB sparse volume that holds 320 MiB, in
// the memory that a job may take.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 1 GiB to disk")
	}
	const size, pieces, piece = 20 << 30, 20, 16 << 20
	dir := t.TempDir()
	src := newSparse(t, filepath.Join(dir, "volume"), size)
	rng := newRand(4)
	buf := make([]byte, piece)
	for i := range pieces {
		fill(rng, buf[:piece/2]) // and half of it random
		for k := piece / 2; k < piece; k += 8 {
			v := rng.Uint64()
			for n := range 8 {
				buf[k+n] = byte(v >> (8 * n))
			}
		}
		if _, err := src.WriteAt(buf, int64(i)*(size/pieces)/4096*4096+int64(rng.IntN(1<<20))); err != nil {
			t.Fatal(err)
		}
	}
	store, err := local.Create(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })

	base := resetPeak(t)
	ref, result := r.backup(r.request(src, nil))
	check(t, "backup", base)
	if result.Read > 1<<30 {
		t.Errorf("%d bytes were read of a volume that holds 320 MiB", result.Read)
	}

	dst := newSparse(t, filepath.Join(dir, "restored"), size)
	base = resetPeak(t)
	if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: dst}); err != nil {
		t.Fatal(err)
	}
	check(t, "restore", base)
	compareSparse(t, src, dst)

	base = resetPeak(t)
	readSparse(t, openReader(t, r, ref), src)
	check(t, "reading at random", base)
}

// readSparse reads a backup from one end of its data to the other, with four
// readers, and compares it with the source.
func readSparse(t *testing.T, b io.ReaderAt, src sparseFile) {
	t.Helper()
	var wg sync.WaitGroup
	for n := range int64(4) {
		wg.Go(func() {
			x, y := make([]byte, 2<<20), make([]byte, 2<<20)
			for off := n * src.size / 4; off < (n+1)*src.size/4; {
				start, end, err := src.NextData(off)
				if err != nil {
					t.Error(err)
					return
				}
				for off = start; off < min(end, (n+1)*src.size/4); off += int64(len(x)) {
					size := min(int64(len(x)), src.size-off)
					_, err1 := src.ReadAt(x[:size], off)
					_, err2 := b.ReadAt(y[:size], off)
					if err1 != nil || err2 != nil || !bytes.Equal(x[:size], y[:size]) {
						t.Errorf("near byte %d: %v, %v", off, err1, err2)
						return
					}
				}
				off = max(off, end)
			}
		})
	}
	wg.Wait()
}

// check requires that the peak of memory since resetPeak is within a job's
// budget of 256 MiB.
func check(t *testing.T, what string, base int64) {
	t.Helper()
	peak := status(t, "VmHWM:")
	t.Logf("%s: %d MiB at its peak, %d MiB before", what, peak>>20, base>>20)
	if peak > 256<<20 {
		t.Errorf("%s took %d MiB", what, peak>>20)
	}
}

func resetPeak(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skipf("peak memory can't be measured: %v", err)
	}
	return status(t, "VmRSS:")
}

func status(t *testing.T, key string) int64 {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), key); ok {
			var n int64
			fmt.Sscan(v, &n)
			return n << 10
		}
	}
	t.Fatalf("no %s in /proc/self/status", key)
	return 0
}

// compareSparse compares what either file holds.
func compareSparse(t *testing.T, a, b sparseFile) {
	t.Helper()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for _, f := range []sparseFile{a, b} {
		for off := int64(0); off < f.size; {
			start, end, err := f.NextData(off)
			if err != nil {
				t.Fatal(err)
			}
			for off = start; off < end; off += int64(len(x)) {
				n := min(int64(len(x)), f.size-off)
				if _, err := a.ReadAt(x[:n], off); err != nil && err != io.EOF {
					t.Fatal(err)
				}
				if _, err := b.ReadAt(y[:n], off); err != nil && err != io.EOF {
					t.Fatal(err)
				}
				if !bytes.Equal(x[:n], y[:n]) {
					t.Fatalf("restored volume differs near byte %d", off)
				}
			}
			off = end
		}
	}
}
