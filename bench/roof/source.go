package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
)

// readSize is how much is read at once: what stays in a core's cache.
const readSize = 1 << 20

// source hands out an image's ranges of data.
type source struct {
	f    *os.File
	size int64

	mu   sync.Mutex
	next int64
	end  int64 // of the data that next lies in
}

func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size()%format.BlockSize != 0 {
		err = fmt.Errorf("%s is no whole number of blocks", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &source{f: f, size: info.Size()}, nil
}

// read reads the next range of data into buf. At the end it returns nothing.
func (s *source) read(buf []byte) (data []byte, off int64, err error) {
	off, n, err := s.take(int64(len(buf)))
	if n == 0 || err != nil {
		return nil, 0, err
	}
	_, err = s.f.ReadAt(buf[:n], off)
	return buf[:n], off, err
}

// take returns the next range of data, of at most limit bytes.
func (s *source) take(limit int64) (off, n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == s.end {
		if s.next == s.size {
			return 0, 0, nil
		}
		start, err := unix.Seek(int(s.f.Fd()), s.next, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			s.next, s.end = s.size, s.size
			return 0, 0, nil
		}
		if err != nil {
			return 0, 0, err
		}
		if s.end, err = unix.Seek(int(s.f.Fd()), start, unix.SEEK_HOLE); err != nil {
			return 0, 0, err
		}
		s.next = start / format.BlockSize * format.BlockSize
		s.end = min((s.end+format.BlockSize-1)/format.BlockSize*format.BlockSize, s.size)
	}
	off, n = s.next, min(limit, s.end-s.next)
	s.next += n
	return off, n, nil
}

// onAllCores runs work on each core and returns the first error.
func onAllCores(work func() error) error {
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			if err := work(); err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// digest computes the digests of a range's blocks, zero for those of zeros.
func digest(h *naming.Hasher, to []format.Digest, data []byte) []format.Digest {
	n := len(data) / format.BlockSize
	to = slices.Grow(to[:0], n)[:n]
	h.Blocks(to, data)
	return to
}

// aligned returns a buffer that can be handed to a disk directly.
func aligned(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n)
	}
	return b
}

// create makes a file past the page cache, where the file system can.
func create(path string) (*os.File, error) {
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	f, err := os.OpenFile(path, flags|syscall.O_DIRECT, 0o600)
	if errors.Is(err, syscall.EINVAL) {
		os.Remove(path)
		return os.OpenFile(path, flags, 0o600)
	}
	return f, err
}

func unchanged(image string) error {
	s, err := openSource(image)
	if err != nil {
		return err
	}
	defer s.f.Close()
	return onAllCores(func() error {
		h, err := newHasher()
		if err != nil {
			return err
		}
		buf := aligned(readSize)
		var digests []format.Digest
		for {
			data, _, err := s.read(buf)
			if len(data) == 0 || err != nil {
				return err
			}
			digests = digest(h, digests, data)
		}
	})
}
