package worker_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/internal/volume"
)

const block = 4096

// image is what a volume should read as: blocks that are not all zeros, by
// their number. Blocks are never changed in place, so copies share them.
type image struct {
	size   int64
	blocks map[int64]*[block]byte
}

func newImage(size int64) *image { return &image{size: size, blocks: map[int64]*[block]byte{}} }

func (m *image) clone() *image { return &image{size: m.size, blocks: maps.Clone(m.blocks)} }

var zeroBlock [block]byte

// write puts p at off.
func (m *image) write(off int64, p []byte) {
	for len(p) > 0 {
		n, at := off/block, off%block
		var b [block]byte
		if old := m.blocks[n]; old != nil {
			b = *old
		}
		done := copy(b[at:], p)
		if b == zeroBlock {
			delete(m.blocks, n)
		} else {
			m.blocks[n] = &b
		}
		p, off = p[done:], off+int64(done)
	}
}

// zero makes n bytes at off zeros.
func (m *image) zero(off, n int64) {
	for n > 0 {
		step := min(n, block-off%block)
		if step == block {
			delete(m.blocks, off/block)
		} else {
			m.write(off, make([]byte, step))
		}
		off, n = off+step, n-step
	}
}

// overlay writes all of b over m, as a restore does.
func (m *image) overlay(b *image) {
	maps.DeleteFunc(m.blocks, func(n int64, _ *[block]byte) bool { return n*block < b.size })
	maps.Copy(m.blocks, b.blocks)
}

// differs compares a file with the image and says where it first differs.
func (m *image) differs(path string) error {
	src, err := volume.OpenFileSource(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if src.Size() != m.size {
		return fmt.Errorf("%d bytes, want %d", src.Size(), m.size)
	}
	seen := 0
	buf := make([]byte, 1<<20)
	for off := int64(0); off < m.size; {
		from, to, err := src.NextData(off)
		if err != nil {
			return err
		}
		for from -= from % block; from < to; from += int64(len(buf)) {
			n, err := src.ReadAt(buf, from)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			for i := 0; i < n; i += block {
				want := m.blocks[(from+int64(i))/block]
				if want != nil {
					seen++
				} else {
					want = &zeroBlock
				}
				if !bytes.Equal(buf[i:i+block], want[:]) {
					return fmt.Errorf("block %d differs", (from+int64(i))/block)
				}
			}
			if from+int64(n) > to {
				to = from + int64(n)
			}
		}
		off = to
	}
	if seen != len(m.blocks) {
		return fmt.Errorf("%d of %d blocks are there", seen, len(m.blocks))
	}
	return nil
}

// stuff returns n bytes that follow from an id: equal ids give equal bytes.
// An id divisible by three compresses.
func stuff(id uint64, n int) []byte {
	b := make([]byte, n)
	x := id*0x9e3779b97f4a7c15 + 1
	for i := 0; i+8 <= n; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		v := x
		if id%3 == 0 {
			v &= 0x0f0f
		}
		binary.LittleEndian.PutUint64(b[i:], v)
	}
	return b
}

// writeFile writes into a volume's file.
func writeFile(path string, p []byte, off int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(p, off)
	return errors.Join(err, f.Close())
}

// punch gives the space of a range back.
func punch(path string, off, n int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	return errors.Join(err, f.Close())
}
