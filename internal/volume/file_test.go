package volume_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"holdfast/internal/volume"
)

func rawFile(t failer, path string, size int64) string {
	t.Helper()
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, size))
	return path
}

func openSource(t failer, path string) *volume.FileSource {
	t.Helper()
	s, err := volume.OpenFileSource(path)
	must(t, err)
	return s
}

func openTarget(t failer, path string) *volume.FileTarget {
	t.Helper()
	tg, err := volume.OpenFileTarget(path)
	must(t, err)
	return tg
}

// readByData reads a source as a backup does: data ranges alone.
func readByData(t failer, s *volume.FileSource) (p []byte, read int64) {
	t.Helper()
	p = make([]byte, s.Size())
	for off := int64(0); off < s.Size(); {
		start, end, err := s.NextData(off)
		must(t, err)
		if start < off || end < start || end > s.Size() || start == end && start != s.Size() {
			t.Fatal("range out of order", off, start, end)
		}
		if _, err := s.ReadAt(p[start:end], start); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		read += end - start
		off = end
	}
	return p, read
}

func TestSourceSkipsHoles(t *testing.T) {
	everywhere(t, func(t *testing.T, dir string) {
		const size = 64<<20 + 1234
		path := rawFile(t, filepath.Join(dir, "raw"), size)
		writeAt(t, path, content(1, 1<<20), 8<<20)
		writeAt(t, path, content(2, 100), size-100)
		s := openSource(t, path)
		defer s.Close()

		got, n := readByData(t, s)
		if !bytes.Equal(got, read(t, path)) {
			t.Error("what NextData leaves out isn't zero")
		}
		if n > 2<<20 {
			t.Errorf("read %d bytes of a sparse file", n)
		}
		for _, off := range []int64{size, size + 1, size + 1<<30} {
			start, end, err := s.NextData(off)
			if start != size || end != size || err != nil {
				t.Errorf("NextData(%d) = %d, %d, %v", off, start, end, err)
			}
		}
	})
}

func TestSourceReadsAsReaderAt(t *testing.T) {
	path := rawFile(t, filepath.Join(t.TempDir(), "raw"), 10000)
	writeAt(t, path, content(3, 10000), 0)
	s := openSource(t, path)
	defer s.Close()
	// What is added later isn't part of the source.
	must(t, os.Truncate(path, 20000))
	if s.Size() != 10000 {
		t.Errorf("size %d", s.Size())
	}
	for _, c := range []struct {
		off  int64
		n    int
		want int
		err  error
	}{
		{0, 10000, 10000, nil},
		{9000, 1000, 1000, nil},
		{9000, 1001, 1000, io.EOF},
		{10000, 1, 0, io.EOF},
		{15000, 10, 0, io.EOF},
	} {
		p := make([]byte, c.n)
		n, err := s.ReadAt(p, c.off)
		if n != c.want || !errors.Is(err, c.err) || (c.err == nil && err != nil) {
			t.Errorf("ReadAt(%d bytes at %d) = %d, %v", c.n, c.off, n, err)
		}
	}
}

func TestSourceFailureSaysSo(t *testing.T) {
	path := rawFile(t, filepath.Join(t.TempDir(), "raw"), 1<<20)
	s := openSource(t, path)
	must(t, os.Truncate(path, 5000))
	_, err := s.ReadAt(make([]byte, 8192), 0)
	var failed *volume.SourceError
	if !errors.As(err, &failed) || failed.Offset != 5000 || failed.Path != path || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source cut short gave %v", err)
	}
	if strings.Contains(err.Error(), path) {
		t.Errorf("the message shows the path: %v", err)
	}
	must(t, s.Close())
	for _, read := range []func() error{
		func() error { _, err := s.ReadAt(make([]byte, 10), 0); return err },
		func() error { _, _, err := s.NextData(0); return err },
	} {
		if err := read(); !errors.As(err, &failed) {
			t.Errorf("a closed source gave %v", err)
		}
	}
}

func TestOnlyFilesAndDevicesOpen(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	must(t, unix.Mkfifo(pipe, 0o600))
	for path, want := range map[string]error{
		dir:                          volume.ErrInvalid,
		pipe:                         volume.ErrInvalid,
		"/dev/null":                  volume.ErrInvalid,
		filepath.Join(dir, "nobody"): volume.ErrNotFound,
	} {
		_, err := volume.OpenFileSource(path)
		mustFail(t, err, want)
		_, err = volume.OpenFileTarget(path)
		mustFail(t, err, want)
	}
}

// targetProperty writes and zeroes at random and compares with an array.
func targetProperty(t *testing.T, path string) {
	size := openTarget(t, path).Size()
	rapid.Check(t, func(t *rapid.T) {
		tg := openTarget(t, path)
		defer tg.Close()
		model := read(t, path)
		for range rapid.IntRange(1, 8).Draw(t, "operations") {
			off := rapid.Int64Range(0, size).Draw(t, "offset")
			n := rapid.Int64Range(0, min(size-off, 300000)).Draw(t, "length")
			if rapid.Bool().Draw(t, "aligned") {
				off, n = off/4096*4096, n/4096*4096
			}
			if rapid.Bool().Draw(t, "zero") {
				must(t, tg.Zero(off, n))
				clear(model[off : off+n])
				continue
			}
			p := content(rapid.Byte().Draw(t, "content"), int(n))
			_, err := tg.WriteAt(p, off)
			must(t, err)
			copy(model[off:], p)
		}
		must(t, tg.Sync())
		if !bytes.Equal(read(t, path), model) {
			t.Fatal("the target differs from what was written")
		}
	})
}

func TestTargetHoldsWhatIsWritten(t *testing.T) {
	everywhere(t, func(t *testing.T, dir string) {
		targetProperty(t, rawFile(t, filepath.Join(dir, "raw"), 1<<20+777))
	})
}

func TestTargetGivesSpaceBack(t *testing.T) {
	everywhere(t, func(t *testing.T, dir string) {
		path := rawFile(t, filepath.Join(dir, "raw"), 4<<20)
		tg := openTarget(t, path)
		defer tg.Close()
		_, err := tg.WriteAt(content(1, 4<<20), 0)
		must(t, err)
		must(t, tg.Sync())
		must(t, tg.Zero(0, 4<<20))
		must(t, tg.Sync())
		if n := allocated(t, path); n > 1<<20 {
			t.Errorf("%d bytes still allocated", n)
		}
	})
}

func TestTargetRefusesWhatLiesOutside(t *testing.T) {
	path := rawFile(t, filepath.Join(t.TempDir(), "raw"), 8192)
	tg := openTarget(t, path)
	for _, c := range []struct{ off, n int64 }{{8192, 1}, {8000, 200}, {-1, 1}, {1 << 62, 1}} {
		_, err := tg.WriteAt(make([]byte, c.n), c.off)
		var failed *volume.TargetError
		if !errors.As(err, &failed) || !errors.Is(err, volume.ErrInvalid) {
			t.Errorf("write at %d: %v", c.off, err)
		}
		mustFail(t, tg.Zero(c.off, c.n), volume.ErrInvalid)
	}
	mustFail(t, tg.Zero(4096, 1<<62), volume.ErrInvalid)
	mustFail(t, tg.Zero(0, -1), volume.ErrInvalid)
	must(t, tg.Zero(8192, 0))
	must(t, tg.Close())
	if n := len(read(t, path)); n != 8192 {
		t.Errorf("the target has %d bytes now", n)
	}
}

func TestTargetNeverSyncsAfterFailure(t *testing.T) {
	tg := openTarget(t, rawFile(t, filepath.Join(t.TempDir(), "raw"), 8192))
	must(t, tg.Close())
	first := tg.Sync()
	var failed *volume.TargetError
	if !errors.As(first, &failed) || failed.Op != "sync" {
		t.Fatalf("sync of a closed target: %v", first)
	}
	if again := tg.Sync(); again != first {
		t.Errorf("second sync: %v", again)
	}
}

// loopDevice returns a block device over a file until the test ends.
func loopDevice(t *testing.T, size int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	if _, err := exec.LookPath("losetup"); err != nil {
		t.Skip("needs losetup (package mount)")
	}
	backing := rawFile(t, filepath.Join(t.TempDir(), "backing"), size)
	out, err := exec.Command("losetup", "--find", "--show", backing).CombinedOutput()
	if err != nil {
		t.Skipf("this machine has no loop devices: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { run(t, "losetup", "--detach", device) })
	return device
}

func TestBlockDevice(t *testing.T) {
	const size = 1<<20 + 512*3
	device := loopDevice(t, size)
	targetProperty(t, device)
	s := openSource(t, device)
	defer s.Close()
	if s.Size() != size {
		t.Errorf("size %d, want %d", s.Size(), size)
	}
	got, _ := readByData(t, s)
	want := read(t, device)
	if !bytes.Equal(got, want) {
		t.Error("source and device differ")
	}
	// Aligned or not, in memory or on the device.
	for _, at := range []struct{ mem, off, n int }{{0, 0, 64 << 10}, {0, 4096, 4097}, {1, 4096, 8192}, {0, 512, 8192}, {0, 1 << 20, 512 * 3}} {
		p := make([]byte, 1<<20)[at.mem : at.mem+at.n]
		if n, err := s.ReadAt(p, int64(at.off)); n != at.n || err != nil || !bytes.Equal(p, want[at.off:at.off+at.n]) {
			t.Errorf("%+v: %d bytes, error %v", at, n, err)
		}
	}
}
