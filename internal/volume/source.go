package volume

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FileSource reads a raw file or block device that doesn't change while it is
// read. Its size is the one at opening. All methods but Close may be called
// concurrently.
type FileSource struct {
	f      *os.File
	direct *os.File // the same past the page cache; nil for none
	path   string
	size   int64
}

// directGrain is what reads past the page cache are aligned to: place, length
// and memory.
const directGrain = 4096

// OpenFileSource opens a raw file or block device for reading. A path that is
// neither fails with ErrInvalid, a missing one with ErrNotFound. Of a device,
// what lies aligned is read past the page cache, where it would push out what
// others need and be read once; files may well be in it.
func OpenFileSource(path string) (*FileSource, error) {
	f, size, err := openRaw(path, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open source: %w", classify(err))
	}
	// Advice only: a refusal costs read-ahead, nothing else.
	_ = withFD(f, func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL) })
	return &FileSource{f: f, direct: openDirect(f), path: path, size: size}, nil
}

// openDirect opens a block device once more, for reading past the page cache;
// nil where that isn't a device, or can't be.
func openDirect(f *os.File) *os.File {
	info, err := f.Stat()
	if err != nil || info.Mode().IsRegular() {
		return nil
	}
	var direct *os.File
	// By the descriptor, since the path may lead elsewhere by now.
	err = withFD(f, func(fd int) error {
		direct, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDONLY|unix.O_DIRECT, 0)
		return err
	})
	if err != nil {
		return nil
	}
	return direct
}

// Size returns the size in bytes.
func (s *FileSource) Size() int64 { return s.size }

// ReadAt reads as io.ReaderAt does. A failure, also a file that has become
// shorter, is a *SourceError; io.EOF stands for Size alone.
func (s *FileSource) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, s.fail(off, ErrInvalid)
	}
	if off >= s.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), s.size-off)]
	n := s.readDirect(want, off)
	k, err := s.f.ReadAt(want[n:], off+int64(n))
	n += k
	switch {
	case n == len(want) && n < len(p):
		return n, io.EOF
	case n == len(want):
		return n, nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, s.fail(off+int64(n), err)
}

// readDirect reads what can be read past the page cache of the beginning of p,
// and returns how much that was. Its errors are told by who reads on from there.
func (s *FileSource) readDirect(p []byte, off int64) int {
	n := len(p) / directGrain * directGrain
	if s.direct == nil || n == 0 || off%directGrain != 0 || uintptr(unsafe.Pointer(&p[0]))%directGrain != 0 {
		return 0
	}
	n, err := s.direct.ReadAt(p[:n], off)
	if err != nil {
		return 0
	}
	return n
}

// NextData returns the first range at or after off that may hold data; all
// between off and start reads as zeros. Where there is no more, both are Size.
func (s *FileSource) NextData(off int64) (start, end int64, err error) {
	if off < 0 {
		return 0, 0, s.fail(off, ErrInvalid)
	}
	start, end, err = nextData(s.f, off, s.size)
	if err != nil {
		return 0, 0, s.fail(off, err)
	}
	return start, end, nil
}

// Close closes the file.
func (s *FileSource) Close() error {
	var err error
	if s.direct != nil {
		err = s.direct.Close()
	}
	return errors.Join(err, s.f.Close())
}

func (s *FileSource) fail(off int64, err error) error {
	return &SourceError{Path: s.path, Offset: off, Err: cause(err)}
}
