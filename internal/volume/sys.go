package volume

import (
	"errors"
	"io"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withFD runs a system call on f's descriptor, again where a signal cut it
// short.
func withFD(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Control(func(fd uintptr) {
		for {
			if result = call(int(fd)); !errors.Is(result, unix.EINTR) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return result
}

// ioctl passes a pointer to a request's argument.
func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	err := withFD(f, func(fd int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		if errno != 0 {
			return errno
		}
		return nil
	})
	runtime.KeepAlive(arg)
	return err
}

// unsupported reports whether the file system, the device or the kernel lacks
// an operation, rather than failed at it.
func unsupported(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.ENOSYS, unix.ENOTTY, unix.EINVAL, unix.EXDEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// nextData returns the first range of data at or after off, and size twice
// where there is none. A file system that can't tell has data everywhere.
func nextData(f *os.File, off, size int64) (start, end int64, err error) {
	if off >= size {
		return size, size, nil
	}
	start, err = seek(f, off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case err != nil && unsupported(err):
		return off, size, nil
	case err != nil:
		return 0, 0, err
	case start >= size:
		return size, size, nil
	}
	end, err = seek(f, start, unix.SEEK_HOLE)
	switch {
	case err != nil && unsupported(err):
		return start, size, nil
	case err != nil:
		return 0, 0, err
	}
	return start, min(end, size), nil
}

func seek(f *os.File, off int64, whence int) (int64, error) {
	var at int64
	err := withFD(f, func(fd int) error {
		var err error
		at, err = unix.Seek(fd, off, whence)
		return err
	})
	return at, err
}

// punch makes a range read as zeros and gives its space back.
func punch(f *os.File, off, n int64) error {
	return withFD(f, func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
}

// zeroDevice makes a range of a block device read as zeros; off and n are
// multiples of its sector size.
func zeroDevice(f *os.File, off, n int64) error {
	span := [2]uint64{uint64(off), uint64(n)}
	return ioctl(f, unix.BLKZEROOUT, unsafe.Pointer(&span))
}

// reflink makes dst, which is empty, share all of src's blocks.
func reflink(dst, src *os.File) error {
	return withFD(dst, func(to int) error {
		return withFD(src, func(from int) error { return unix.IoctlFileClone(to, from) })
	})
}

// openOwn opens a file of the folder's. A link in its place is not followed,
// and a pipe not waited for: what stands there must be the regular file that
// was made.
func openOwn(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return nil, errNotRaw(path)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRaw(path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openRaw opens a regular file or a block device and returns its size in
// bytes.
func openRaw(path string, flag int) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !raw(info) {
		return nil, 0, errNotRaw(path)
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, 0, err
	}
	size, err := rawSize(f)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

func rawSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return 0, err
	case !raw(info):
		return 0, errNotRaw(f.Name())
	case info.Mode().IsRegular():
		return info.Size(), nil
	}
	return seek(f, 0, io.SeekEnd)
}

func raw(info os.FileInfo) bool {
	m := info.Mode()
	return m.IsRegular() || m&os.ModeDevice != 0 && m&os.ModeCharDevice == 0
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
