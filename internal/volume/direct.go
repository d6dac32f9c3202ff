package volume

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// directSize is the smallest write that goes past the page cache: below
	// it the wait for the device costs more than the copy.
	directSize = 64 << 10
	// directAfter is how much is written through the page cache first: a
	// small target is likely to be read soon.
	directAfter = 64 << 20
	// flushSize is the smallest write through the page cache that the kernel
	// is asked to begin writing out at once.
	flushSize = 256 << 10
)

// directFile writes to a file past the page cache. Its methods may be called
// concurrently, also beside writes through the page cache to other blocks.
type directFile struct {
	f     *os.File    // nil: the file can't be opened so
	off   atomic.Bool // the file system takes no such write after all
	after int64
	count atomic.Int64 // bytes written through the page cache
}

// newDirectFile opens another description of a file that is open.
func newDirectFile(f *os.File) *directFile {
	d := &directFile{after: directAfter}
	err := withFD(f, func(fd int) error {
		var err error
		d.f, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDWR|unix.O_DIRECT, 0)
		return err
	})
	if err != nil {
		d.f = nil
	}
	return d
}

// writeAt writes as much of p's beginning as can go past the page cache,
// possibly nothing.
func (d *directFile) writeAt(p []byte, off int64) (int, error) {
	n := len(p) / sector * sector
	if d.f == nil || n < directSize || off%sector != 0 || uintptr(unsafe.Pointer(unsafe.SliceData(p)))%sector != 0 ||
		d.count.Load() < d.after || d.off.Load() {
		return 0, nil
	}
	n, err := d.f.WriteAt(p[:n], off)
	if err != nil && unsupported(cause(err)) {
		d.off.Store(true)
		err = nil
	}
	return n, err
}

// cached notes what was written to f through the page cache. Where much is, it
// begins to go to the device now: what piles up would be waited for at the end.
func (d *directFile) cached(f *os.File, off, n int64) {
	if d.count.Add(n) < d.after || n < flushSize {
		return
	}
	// Advice only: Sync sees to it that all is written.
	_ = withFD(f, func(fd int) error { return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE) })
}

func (d *directFile) close() error {
	if d.f == nil {
		return nil
	}
	return d.f.Close()
}

// seeksHoles reports whether a file lies in a file system whose SEEK_DATA is
// known to find what was written and isn't on the device yet.
func seeksHoles(f *os.File) bool {
	var st unix.Statfs_t
	if err := withFD(f, func(fd int) error { return unix.Fstatfs(fd, &st) }); err != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}
