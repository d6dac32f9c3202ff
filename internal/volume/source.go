package volume

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// FileSource reads a raw file or block device that doesn't change while it is
// read. Its size is the one at opening. All methods but Close may be called
// concurrently.
type FileSource struct {
	f    *os.File
	path string
	size int64
}

// OpenFileSource opens a raw file or block device for reading. A path that is
// neither fails with ErrInvalid, a missing one with ErrNotFound.
func OpenFileSource(path string) (*FileSource, error) {
	f, size, err := openRaw(path, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open source: %w", classify(err))
	}
	// Advice only: a refusal costs read-ahead, nothing else.
	_ = withFD(f, func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL) })
	return &FileSource{f: f, path: path, size: size}, nil
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
	n, err := s.f.ReadAt(want, off)
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
func (s *FileSource) Close() error { return s.f.Close() }

func (s *FileSource) fail(off int64, err error) error {
	return &SourceError{Path: s.path, Offset: off, Err: cause(err)}
}
