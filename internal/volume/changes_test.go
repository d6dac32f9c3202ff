package volume_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"holdfast/internal/volume"
)

// sharing runs a test on each file system that can share blocks.
func sharing(t *testing.T, test func(t *testing.T, fs fileSystem, f *volume.Folder)) {
	for _, fs := range fileSystems {
		if fs.reflink {
			t.Run(fs.name, func(t *testing.T) {
				t.Parallel()
				test(t, fs, openFolder(t, fs.mount(t)))
			})
		}
	}
}

func takeBase(t failer, f *volume.Folder, id string) string {
	t.Helper()
	path, _, err := f.TakeBase(context.Background(), id, newID())
	must(t, err)
	return path
}

func changes(t failer, older, newer string) []volume.Extent {
	t.Helper()
	changed, ok, err := volume.Changes(context.Background(), older, newer)
	must(t, err)
	if !ok {
		t.Fatal("no change map")
	}
	return changed
}

func covered(changed []volume.Extent) int64 {
	var n int64
	for _, e := range changed {
		n += e.Length
	}
	return n
}

// checkChanges makes the newer file from the older one and the change map.
func checkChanges(t failer, older, newer string, changed []volume.Extent) {
	t.Helper()
	was, is := read(t, older), read(t, newer)
	got := make([]byte, len(is))
	copy(got, was)
	end := int64(-1)
	for _, e := range changed {
		stop := e.Offset + e.Length
		aligned := e.Offset%4096 == 0 && (stop%4096 == 0 || stop == int64(len(is)))
		if !aligned || e.Length <= 0 || e.Offset <= end || stop > int64(len(is)) {
			t.Fatal("extent out of order or place", e, len(is))
		}
		end = stop
		copy(got[e.Offset:stop], is[e.Offset:stop])
	}
	for off := 0; off < len(is); off += 4096 {
		stop := min(off+4096, len(is))
		if !bytes.Equal(got[off:stop], is[off:stop]) {
			t.Fatal("a difference outside the change map at", off, changed)
		}
	}
}

// disturb changes a volume's file at random, as a guest and its host may.
func disturb(t *rapid.T, f *volume.Folder, id, path string) {
	info, err := os.Stat(path)
	must(t, err)
	size := info.Size()
	off := rapid.Int64Range(0, size-1).Draw(t, "offset")
	n := rapid.Int64Range(1, min(size-off, 200000)).Draw(t, "length")
	if rapid.Bool().Draw(t, "aligned") {
		off = off / 4096 * 4096
		n = min((n+4095)/4096*4096, size-off)
	}
	switch rapid.SampledFrom([]string{"write", "zeros", "direct", "punch", "zero range", "allocate", "grow"}).Draw(t, "change") {
	case "write":
		writeAt(t, path, content(rapid.Byte().Draw(t, "content"), int(n)), off)
	case "zeros":
		writeAt(t, path, make([]byte, n), off)
	case "direct":
		writeDirect(t, path, off/4096*4096, int(n/4096*4096))
	case "punch":
		fallocate(t, path, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	case "zero range":
		fallocate(t, path, unix.FALLOC_FL_ZERO_RANGE, off, n)
	case "allocate":
		fallocate(t, path, 0, off, n)
	case "grow":
		must(t, f.Grow(context.Background(), id, size+rapid.Int64Range(0, 300000).Draw(t, "growth")))
	}
}

// writeDirect writes past the page cache, where the file system lets it.
func writeDirect(t failer, path string, off int64, n int) {
	t.Helper()
	if n == 0 {
		return
	}
	buf, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	must(t, err)
	copy(buf, content(byte(off>>12), n))
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	must(t, err)
	_, err = f.WriteAt(buf, off)
	must(t, err)
	must(t, f.Close())
	must(t, unix.Munmap(buf))
}

func TestChangesCoverEveryDifference(t *testing.T) {
	sharing(t, func(t *testing.T, _ fileSystem, f *volume.Folder) {
		rapid.Check(t, func(t *rapid.T) {
			id, path := newVolume(t, f, rapid.Int64Range(1, 2<<20).Draw(t, "size"))
			defer func() { must(t, f.Delete(context.Background(), id)) }()
			older := takeBase(t, f, id)
			for range rapid.IntRange(1, 3).Draw(t, "rounds") {
				for range rapid.IntRange(0, 6).Draw(t, "changes") {
					disturb(t, f, id, path)
				}
				newer := takeBase(t, f, id)
				checkChanges(t, older, newer, changes(t, older, newer))
				checkChanges(t, newer, older, changes(t, newer, older))
				older = newer
			}
		})
	})
}

func TestChangesAreNarrow(t *testing.T) {
	sharing(t, func(t *testing.T, fs fileSystem, f *volume.Folder) {
		if fs.name == "btrfs compressed" {
			t.Skip("where compressed extents lie proves nothing")
		}
		id, path := newVolume(t, f, gib)
		writeAt(t, path, content(1, 16<<20), 0)
		older := takeBase(t, f, id)
		if changed := changes(t, older, takeBase(t, f, id)); changed != nil {
			t.Errorf("nothing was written, but changed: %v", changed)
		}

		writeAt(t, path, content(2, 8192), 4<<20)
		writeAt(t, path, content(3, 100), 700<<20+50)
		fallocate(t, path, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 8<<20, 1<<20)
		must(t, f.Grow(context.Background(), id, gib+5000))
		changed := changes(t, older, takeBase(t, f, id))
		want := []volume.Extent{{4 << 20, 8192}, {8 << 20, 1 << 20}, {700 << 20, 4096}, {gib, 5000}}
		if diff := cmp.Diff(want, changed); diff != "" {
			t.Error(diff)
		}
	})
}

func TestChangesOfManyExtents(t *testing.T) {
	sharing(t, func(t *testing.T, _ fileSystem, f *volume.Folder) {
		const every, parts = 8192, 3000
		id, path := newVolume(t, f, every*parts)
		p := content(1, 4096)
		v, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		for i := range int64(parts) {
			_, err := v.WriteAt(p, i*every)
			must(t, err)
		}
		older := takeBase(t, f, id)
		for i := range int64(parts) {
			if i%7 == 3 {
				_, err := v.WriteAt(p[1:], i*every)
				must(t, err)
			}
		}
		must(t, v.Close())
		newer := takeBase(t, f, id)
		changed := changes(t, older, newer)
		checkChanges(t, older, newer, changed)
		t.Logf("%d extents of %d changed, %d bytes", len(changed), parts, covered(changed))
	})
}

func TestChangesOfACompressedFileAreWide(t *testing.T) {
	f := openFolder(t, named("btrfs compressed").mount(t))
	id, path := newVolume(t, f, 1<<20)
	writeAt(t, path, bytes.Repeat([]byte("compressible "), 10000), 0)
	older := takeBase(t, f, id)
	if n := covered(changes(t, older, takeBase(t, f, id))); n < 130000 {
		t.Errorf("%d bytes of 130000 compressed ones count as changed", n)
	}
}

func TestChangesUnknown(t *testing.T) {
	ctx := context.Background()
	unknown := func(t *testing.T, older, newer string) {
		t.Helper()
		if changed, ok, err := volume.Changes(ctx, older, newer); ok || changed != nil || err != nil {
			t.Errorf("Changes = %v, %v, %v", changed, ok, err)
		}
	}
	t.Run("no shared blocks", func(t *testing.T) {
		dir := named("ext4").mount(t)
		a := rawFile(t, filepath.Join(dir, "a"), 4096)
		unknown(t, a, rawFile(t, filepath.Join(dir, "b"), 4096))
		unknown(t, a, a)
	})
	t.Run("two file systems", func(t *testing.T) {
		a := rawFile(t, filepath.Join(named("xfs").mount(t), "a"), 4096)
		unknown(t, a, rawFile(t, filepath.Join(named("xfs").mount(t), "b"), 4096))
	})
	sharing(t, func(t *testing.T, _ fileSystem, f *volume.Folder) {
		id, path := newVolume(t, f, 1<<20)
		empty := rawFile(t, filepath.Join(filepath.Dir(path), "empty"), 0)
		unknown(t, empty, takeBase(t, f, id))
		unknown(t, takeBase(t, f, id), empty)

		_, _, err := volume.Changes(ctx, filepath.Join(filepath.Dir(path), "none"), path)
		mustFail(t, err, volume.ErrNotFound)
		_, _, err = volume.Changes(ctx, path, filepath.Join(filepath.Dir(path), "none"))
		mustFail(t, err, volume.ErrNotFound)
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		_, _, err = volume.Changes(cancelled, takeBase(t, f, id), takeBase(t, f, id))
		mustFail(t, err, context.Canceled)
	})
}

// mover writes to a file when a context is asked for the n-th time.
type mover struct {
	context.Context
	n    int
	move func()
}

func (m *mover) Err() error {
	if m.n--; m.n == 0 {
		m.move()
	}
	return nil
}

func TestChangesNoticeAMovingFile(t *testing.T) {
	sharing(t, func(t *testing.T, _ fileSystem, f *volume.Folder) {
		for asked := 1; asked <= 4; asked++ {
			id, path := newVolume(t, f, 4<<20)
			writeAt(t, path, content(1, 4<<20), 0)
			older, newer := takeBase(t, f, id), takeBase(t, f, id)
			moved := false
			ctx := &mover{context.Background(), asked, func() {
				moved = true
				writeAt(t, older, content(2, 1<<20), 0)
				writeAt(t, newer, content(3, 1<<20), 1<<20)
				run(t, "sync", older, newer)
			}}
			changed, ok, err := volume.Changes(ctx, older, newer)
			if !moved || ok || changed != nil || err != nil {
				t.Errorf("at question %d: moved %v, changed %v, ok %v, %v", asked, moved, changed, ok, err)
			}
		}
	})
}
