package vaulttest

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// Volume is a volume in memory: a vault.Source and a vault.Target.
type Volume struct {
	Data []byte
	// Holes has NextData skip what is zeros, in steps of this many bytes; 0:
	// everything may be data.
	Holes int

	mu    sync.Mutex
	read  int64
	Syncs int
}

// Size implements vault.Source and vault.Target.
func (v *Volume) Size() int64 { return int64(len(v.Data)) }

// ReadAt implements vault.Source.
func (v *Volume) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > v.Size() {
		return 0, fmt.Errorf("read at %d of %d", off, v.Size())
	}
	n := copy(p, v.Data[off:])
	v.mu.Lock()
	v.read += int64(n)
	v.mu.Unlock()
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Read returns how many bytes were read.
func (v *Volume) Read() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.read
}

// NextData implements vault.Source.
func (v *Volume) NextData(off int64) (start, end int64, err error) {
	if v.Holes == 0 {
		return off, v.Size(), nil
	}
	step := int64(v.Holes)
	for start = off; start < v.Size() && v.zeros(start, step); start = (start/step + 1) * step {
	}
	if start >= v.Size() {
		return v.Size(), v.Size(), nil
	}
	for end = start; end < v.Size() && !v.zeros(end, step); end = (end/step + 1) * step {
	}
	return start, min(end, v.Size()), nil
}

// zeros reports whether the rest of the step that off lies in is zeros.
func (v *Volume) zeros(off, step int64) bool {
	for _, b := range v.Data[off:min((off/step+1)*step, v.Size())] {
		if b != 0 {
			return false
		}
	}
	return true
}

// WriteAt implements vault.Target.
func (v *Volume) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > v.Size() {
		return 0, errors.New("write behind the end")
	}
	return copy(v.Data[off:], p), nil
}

// Zero implements vault.Target.
func (v *Volume) Zero(off, n int64) error {
	if off < 0 || n <= 0 || off+n > v.Size() {
		return fmt.Errorf("zero %d bytes at %d of %d", n, off, v.Size())
	}
	clear(v.Data[off : off+n])
	return nil
}

// Sync implements vault.Target.
func (v *Volume) Sync() error {
	v.Syncs++
	return nil
}
