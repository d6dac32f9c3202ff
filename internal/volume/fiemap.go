package volume

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"os"
	"unsafe"
)

// The extent mapping call, as include/uapi/linux/fiemap.h of the kernel lays
// it down.
const (
	fsIOCFiemap = 0xc020660b

	fiemapFlagSync = 0x1

	fiemapExtentLast   = 0x1
	fiemapExtentMerged = 0x1000
	fiemapExtentShared = 0x2000

	// fiemapPlain are the flags of an extent whose bytes lie as they are where
	// the map says. All others (unknown place, delayed allocation, encoded,
	// inline, tail-packed, unaligned, unwritten, and what is yet to be
	// invented) say that the place proves nothing about the content.
	fiemapPlain = fiemapExtentLast | fiemapExtentMerged | fiemapExtentShared

	fiemapPageLen = 1024
)

type fiemapExtent struct {
	logical    uint64
	physical   uint64
	length     uint64
	reserved64 [2]uint64
	flags      uint32
	reserved   [3]uint32
}

type fiemapPage struct {
	start    uint64
	length   uint64
	flags    uint32
	mapped   uint32
	capacity uint32
	reserved uint32
	extents  [fiemapPageLen]fiemapExtent
}

// errIrregular: a file system's map is out of order or never ends. Nothing is
// concluded from it.
var errIrregular = errors.New("irregular extent map")

// mapped is a range of a file that isn't a hole.
type mapped struct {
	start, end int64 // in bytes of the file
	physical   int64 // of start; 0 where opaque
	opaque     bool  // the place says nothing about the content
}

// follows reports whether b continues a, so that both are one range.
func (a mapped) follows(b mapped) bool {
	return a.end == b.start && a.opaque == b.opaque &&
		(a.opaque || a.physical+(a.end-a.start) == b.physical)
}

// fiemap streams a file's extents up to size in rising order, neighbours
// joined, a page of them in memory at a time. The sum of what has passed tells
// whether two maps are equal.
type fiemap struct {
	f    *os.File
	size int64
	sum  hash.Hash

	page  fiemapPage
	index uint32
	next  int64 // where the next page starts
	last  bool  // there is no next page
	held  mapped
}

func newFiemap(f *os.File, size int64) *fiemap {
	return &fiemap{f: f, size: size, sum: sha256.New(), page: fiemapPage{flags: fiemapFlagSync}}
}

// Next returns the next range, ok false after the last.
func (m *fiemap) Next(ctx context.Context) (r mapped, ok bool, err error) {
	for {
		e, ok, err := m.extent(ctx)
		switch {
		case err != nil:
			return mapped{}, false, err
		case ok && m.held.end == 0:
			m.held = e
			continue
		case ok && m.held.follows(e):
			m.held.end = e.end
			continue
		}
		r, m.held = m.held, e
		if r.end == 0 {
			return mapped{}, false, nil
		}
		m.add(r)
		return r, true, nil
	}
}

func (m *fiemap) add(r mapped) {
	var b [25]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(r.start))
	binary.LittleEndian.PutUint64(b[8:], uint64(r.end))
	binary.LittleEndian.PutUint64(b[16:], uint64(r.physical))
	if r.opaque {
		b[24] = 1
	}
	m.sum.Write(b[:])
}

// drain reads the rest and returns the whole map's sum.
func (m *fiemap) drain(ctx context.Context) ([sha256.Size]byte, error) {
	for {
		_, ok, err := m.Next(ctx)
		if err != nil {
			return [sha256.Size]byte{}, err
		}
		if !ok {
			return [sha256.Size]byte(m.sum.Sum(nil)), nil
		}
	}
}

// extent returns the next extent as the file system tells it, cut at size.
func (m *fiemap) extent(ctx context.Context) (mapped, bool, error) {
	if m.index == m.page.mapped {
		if err := m.load(ctx); err != nil {
			return mapped{}, false, err
		}
		if m.page.mapped == 0 {
			m.last = true
			return mapped{}, false, nil
		}
	}
	e := m.page.extents[m.index]
	m.index++
	start, end := int64(e.logical), int64(e.logical+e.length)
	if start < m.next || end <= start {
		return mapped{}, false, errIrregular
	}
	m.next = end
	m.last = m.last || e.flags&fiemapExtentLast != 0
	if start >= m.size {
		m.last = true
		return mapped{}, false, nil
	}
	r := mapped{start: start, end: min(end, m.size), opaque: e.flags&^fiemapPlain != 0}
	if !r.opaque {
		r.physical = int64(e.physical)
	}
	return r, true, nil
}

// load asks for the next page, which is empty after the last.
func (m *fiemap) load(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := &m.page
	m.index, p.mapped = 0, 0
	if m.last || m.next >= m.size {
		return nil
	}
	p.start = uint64(m.next)
	p.length = uint64((m.size+grain-1)/grain*grain - m.next)
	p.capacity = fiemapPageLen
	if err := ioctl(m.f, fsIOCFiemap, unsafe.Pointer(p)); err != nil {
		return fmt.Errorf("map extents: %w", err)
	}
	p.flags = 0
	if p.mapped > fiemapPageLen {
		return errIrregular
	}
	return nil
}
