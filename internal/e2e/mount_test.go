package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// needRoot skips a test that mounts file systems where it can't.
func needRoot(t testing.TB, tools ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a file system")
	}
	for _, tool := range append(tools, "mount", "umount") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s (packages mount, e2fsprogs)", tool)
		}
	}
}

// mount runs mount with arguments, and undoes it when the test ends. The test
// is skipped where the machine refuses.
func mount(t testing.TB, point string, args ...string) {
	t.Helper()
	out, err := exec.Command("mount", append(args, point)...).CombinedOutput()
	if err != nil {
		t.Skipf("this machine can't mount: %v: %s", err, out)
	}
	t.Cleanup(func() { unmount(t, point) })
}

// unmount undoes a mount, if it is still there.
func unmount(t testing.TB, point string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/mounts")
	must(t, err)
	if !strings.Contains(string(mounts), " "+point+" ") {
		return
	}
	if err := exec.Command("umount", point).Run(); err != nil {
		run(t, "umount", "-l", point)
	}
}

func run(t testing.TB, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", command, err, out)
	}
}

// smallDisk mounts a file system of so many MiB, and returns its folder.
func smallDisk(t testing.TB, size int) string {
	t.Helper()
	needRoot(t)
	point := filepath.Join(t.TempDir(), "disk")
	must(t, os.Mkdir(point, 0o700))
	mount(t, point, "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=700", size), "holdfast-test")
	return point
}

// badFile puts in the place of a file one of equal content that lies on a
// disk of its own. It returns how to break that disk, so that the second half
// of it can't be read, and how to take it away again.
func badFile(t testing.TB, path string) (spoil, heal func()) {
	t.Helper()
	needRoot(t, "mkfs.ext4", "cp")
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 256<<20))
	must(t, os.Mkdir(point, 0o700))
	run(t, "mkfs.ext4", "-q", image)
	mount(t, point, "-o", "loop", image)
	file := filepath.Join(point, "file")
	run(t, "cp", "--sparse=always", path, file)
	run(t, "umount", point)
	mount(t, point, "-o", "loop,ro", image) // nothing may grow the image again
	mount(t, path, "--bind", file)
	spoil = func() {
		t.Helper()
		must(t, os.Truncate(image, 64<<20))
		f, err := os.Open(file)
		must(t, err)
		defer f.Close()
		must(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	}
	return spoil, func() {
		t.Helper()
		unmount(t, path)
	}
}
