package volume

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

const (
	// sector is what ranges handed to a device are aligned to: the largest
	// logical sector in use.
	sector = 4096
	// zeroPiece is how many zeros are written at a time.
	zeroPiece = 1 << 20
)

// FileTarget writes a raw file or block device in place. It never changes the
// size. Methods may be called concurrently, on ranges that don't touch.
//
// Large writes go past the page cache where the file system lets them, once
// more has been written than is worth caching: give WriteAt pieces of about
// 1 MiB that are aligned to 4 KiB in memory and in the target.
type FileTarget struct {
	f      *os.File
	direct *directFile
	path   string
	size   int64
	device bool
	seeks  bool // SEEK_DATA is to be trusted

	mu      sync.Mutex
	syncErr error
}

// OpenFileTarget opens a raw file or block device for writing. A path that is
// neither fails with ErrInvalid, a missing one with ErrNotFound.
func OpenFileTarget(path string) (*FileTarget, error) {
	f, size, err := openRaw(path, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open target: %w", classify(err))
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open target: %w", err)
	}
	return newFileTarget(f, path, size, !info.Mode().IsRegular()), nil
}

// OpenTarget opens a volume of the folder for writing. What stands in its place
// but is no file of the folder's, such as a link, fails with ErrInvalid.
func (f *Folder) OpenTarget(id string) (*FileTarget, error) {
	path, err := idPath(f.dir, id)
	if err != nil {
		return nil, err
	}
	file, err := openOwn(path, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("open volume %q: %w", id, classify(err))
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open volume %q: %w", id, err)
	}
	return newFileTarget(file, path, info.Size(), false), nil
}

func newFileTarget(f *os.File, path string, size int64, device bool) *FileTarget {
	return &FileTarget{
		f: f, direct: newDirectFile(f), path: path, size: size, device: device, seeks: !device && seeksHoles(f),
	}
}

// Size returns how many bytes the target holds.
func (t *FileTarget) Size() int64 { return t.size }

// WriteAt writes all of p at off. A range outside the target is refused whole;
// a failure is a *TargetError, which wraps ErrNoSpace where the disk is full.
func (t *FileTarget) WriteAt(p []byte, off int64) (int, error) {
	if err := t.inside(off, int64(len(p))); err != nil {
		return 0, t.fail("write", off, err)
	}
	n, err := t.direct.writeAt(p, off)
	if err == nil && n < len(p) {
		var more int
		more, err = t.f.WriteAt(p[n:], off+int64(n))
		t.direct.cached(t.f, off+int64(n), int64(more))
		n += more
	}
	if err != nil {
		return n, t.fail("write", off+int64(n), err)
	}
	return n, nil
}

// Zero makes n bytes from off read as zeros, whatever they were, and gives
// their space back where that can be done.
func (t *FileTarget) Zero(off, n int64) error {
	if err := t.inside(off, n); err != nil {
		return t.fail("zero", off, err)
	}
	if n == 0 {
		return nil
	}
	if err := t.zero(off, n); err != nil {
		return t.fail("zero", off, err)
	}
	return nil
}

func (t *FileTarget) zero(off, n int64) error {
	if !t.device {
		if t.seeks {
			// Most of what a restore zeroes is a hole already, and to punch it
			// again would cost a transaction of the file system.
			start, _, err := nextData(t.f, off, t.size)
			switch {
			case err != nil:
				return err
			case start >= off+n:
				return nil
			}
			off, n = start, off+n-start
		}
		err := punch(t.f, off, n)
		if err == nil || !unsupported(err) {
			return err
		}
		return t.writeZeros(off, n)
	}
	start := (off + sector - 1) / sector * sector
	end := (off + n) / sector * sector
	if start >= end {
		return t.writeZeros(off, n)
	}
	if err := t.zeroSectors(start, end-start); err != nil {
		return err
	}
	if err := t.writeZeros(off, start-off); err != nil {
		return err
	}
	return t.writeZeros(end, off+n-end)
}

// zeroSectors discards where the device vouches that what it discards reads
// as zeros, and otherwise lets the kernel write them.
func (t *FileTarget) zeroSectors(off, n int64) error {
	err := punch(t.f, off, n)
	if err == nil || !unsupported(err) {
		return err
	}
	err = zeroDevice(t.f, off, n)
	if err == nil || !unsupported(err) {
		return err
	}
	return t.writeZeros(off, n)
}

func (t *FileTarget) writeZeros(off, n int64) error {
	zeros := make([]byte, min(n, zeroPiece))
	for n > 0 {
		w, err := t.f.WriteAt(zeros[:min(n, zeroPiece)], off)
		if err != nil {
			return err
		}
		off += int64(w)
		n -= int64(w)
	}
	return nil
}

// Sync returns once all that was written is durable. After a failure it fails
// for ever: the kernel reports lost writes once, and a later success would
// say nothing about them.
func (t *FileTarget) Sync() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.syncErr != nil {
		return t.syncErr
	}
	if err := t.f.Sync(); err != nil {
		t.syncErr = t.fail("sync", 0, err)
	}
	return t.syncErr
}

// Close closes the file without making it durable.
func (t *FileTarget) Close() error { return errors.Join(t.direct.close(), t.f.Close()) }

func (t *FileTarget) inside(off, n int64) error {
	if off < 0 || n < 0 || off > t.size || n > t.size-off {
		return fmt.Errorf("%w: %d bytes at %d of %d", ErrInvalid, n, off, t.size)
	}
	return nil
}

func (t *FileTarget) fail(op string, off int64, err error) error {
	return &TargetError{Op: op, Path: t.path, Offset: off, Err: classify(cause(err))}
}
