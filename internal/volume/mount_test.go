package volume_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/volume"
)

// fileSystem is one that a test mounts for itself.
type fileSystem struct {
	name    string
	mkfs    []string
	options string
	reflink bool
}

var fileSystems = []fileSystem{
	{name: "xfs", mkfs: []string{"mkfs.xfs", "-q", "-m", "reflink=1"}, reflink: true},
	{name: "xfs with 1 KiB blocks", mkfs: []string{"mkfs.xfs", "-q", "-m", "reflink=1", "-b", "size=1024"}, reflink: true},
	{name: "xfs without reflink", mkfs: []string{"mkfs.xfs", "-q", "-m", "reflink=0"}},
	{name: "btrfs", mkfs: []string{"mkfs.btrfs", "-q"}, reflink: true},
	{name: "btrfs compressed", mkfs: []string{"mkfs.btrfs", "-q"}, options: ",compress-force=zstd", reflink: true},
	{name: "btrfs nodatacow", mkfs: []string{"mkfs.btrfs", "-q"}, options: ",nodatacow", reflink: true},
	{name: "ext4", mkfs: []string{"mkfs.ext4", "-q"}},
}

// named returns one of fileSystems.
func named(name string) fileSystem {
	for _, fs := range fileSystems {
		if fs.name == name {
			return fs
		}
	}
	panic("no file system " + name)
}

// mount makes the file system in an image and mounts it until the test ends.
func (s fileSystem) mount(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a file system")
	}
	for _, tool := range []string{s.mkfs[0], "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (packages xfsprogs, btrfs-progs, e2fsprogs, mount)", tool)
		}
	}
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 512<<20))
	must(t, os.Mkdir(point, 0o700))
	run(t, append(s.mkfs, image)...)
	mountAt(t, point, "mount", "-o", "loop"+s.options, image, point)
	return point
}

// mountAt runs a mount command, and skips the test where the machine refuses.
func mountAt(t *testing.T, point string, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Skipf("this machine can't mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", point).Run(); err != nil {
			run(t, "umount", "-l", point)
		}
	})
}

func run(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", command, err, out)
	}
	return string(bytes.TrimSpace(out))
}

// everywhere runs a test on the machine's own file system, and on some that
// share blocks and some that don't.
func everywhere(t *testing.T, test func(t *testing.T, dir string)) {
	t.Run("temporary folder", func(t *testing.T) {
		t.Parallel()
		test(t, t.TempDir())
	})
	for _, name := range []string{"xfs", "xfs without reflink", "btrfs"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, named(name).mount(t))
		})
	}
}

// failer is testing.TB and rapid.TB.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func must(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustFail(t failer, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatal(fmt.Sprintf("error %v, want %v", err, want))
	}
}

func openFolder(t failer, dir string) *volume.Folder {
	t.Helper()
	f, err := volume.OpenFolder(dir)
	must(t, err)
	return f
}

// newID returns a random UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// content returns n bytes that don't compress.
func content(seed byte, n int) []byte {
	b := make([]byte, n)
	x := uint64(seed)*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func writeAt(t failer, path string, p []byte, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(p, off)
	must(t, err)
	must(t, f.Close())
}

func fallocate(t failer, path string, mode uint32, off, n int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	err = unix.Fallocate(int(f.Fd()), mode, off, n)
	if !errors.Is(err, unix.EOPNOTSUPP) {
		must(t, err)
	}
	must(t, f.Close())
}

func read(t failer, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// newVolume makes a volume and returns its id and path.
func newVolume(t failer, f *volume.Folder, size int64) (id, path string) {
	t.Helper()
	id = newID()
	must(t, f.Create(context.Background(), id, size))
	path, err := f.Path(id)
	must(t, err)
	return id, path
}

// files lists what is in a folder and below, directories left out.
func files(t failer, dir string) []string {
	t.Helper()
	var names []string
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lost+found" {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	}))
	return names
}

// allocated returns how many bytes a file takes on disk.
func allocated(t failer, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Blocks * 512
}
