package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
)

const pageSize = 8192

// heapPages returns pages as a database's heap has them: a header of 24 bytes,
// line pointers that grow up, and rows that grow down.
func heapPages(r *rand.Rand) func() []byte {
	p := make([]byte, pageSize)
	number := int64(-1)
	var row []byte
	return func() []byte {
		number++
		clear(p)
		binary.LittleEndian.PutUint64(p, r.Uint64()>>20)
		binary.LittleEndian.PutUint16(p[8:], uint16(r.Uint32()))
		full := 60 + r.IntN(40) // percent
		if number%97 == 0 {
			full = 5
		}
		pointers, top, low := 24, pageSize, pageSize-pageSize*full/100
		for i := int64(0); ; i++ {
			row = appendRow(row[:0], r, number, i)
			if top-len(row) < max(low, pointers+4) {
				return p
			}
			top -= len(row)
			copy(p[top:], row)
			binary.LittleEndian.PutUint32(p[pointers:], uint32(top)|uint32(len(row))<<16)
			pointers += 4
		}
	}
}

func appendRow(row []byte, r *rand.Rand, page, i int64) []byte {
	row = binary.LittleEndian.AppendUint32(row, uint32(page*40+i))
	row = binary.LittleEndian.AppendUint64(row, 1<<40+uint64(page)*977+uint64(r.IntN(5000)))
	row = fmt.Appendf(row, "%s.%s\x00%d", pick(r, names), pick(r, words), r.IntN(1e7))
	for range r.IntN(8) {
		row = append(row, pick(r, words)...)
		row = append(row, ' ')
	}
	for range r.IntN(5) { // hashes and keys don't compress
		row = binary.LittleEndian.AppendUint64(row, r.Uint64())
	}
	for len(row)%8 != 0 {
		row = append(row, 0)
	}
	return row
}

// inPlace opens a file, lets fn change it, and closes it.
func inPlace(path string, fn func(f *os.File, size int64) error) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return fn(f, info.Size())
}

// modifyPages changes a few rows of each of n pages.
func modifyPages(r *rand.Rand, n int64, path string) error {
	return inPlace(path, func(f *os.File, size int64) error {
		pages := size / pageSize
		hot := max(pages/10, 1)
		base := r.Int64N(pages - hot + 1)
		p := make([]byte, pageSize)
		for range n {
			number := r.Int64N(pages)
			if r.IntN(10) < 8 {
				number = base + r.Int64N(hot)
			}
			if _, err := f.ReadAt(p, number*pageSize); err != nil {
				return err
			}
			binary.LittleEndian.PutUint64(p, r.Uint64()>>16)
			binary.LittleEndian.PutUint16(p[8:], uint16(r.Uint32()))
			for range 1 + r.IntN(4) {
				at := 200 + r.IntN(pageSize-300)
				binary.LittleEndian.PutUint64(p[at:], r.Uint64())
				copy(p[at+8:at+40], pick(r, words))
			}
			if _, err := f.WriteAt(p, number*pageSize); err != nil {
				return err
			}
		}
		return nil
	})
}

func poke(r *rand.Rand, n, length int64, path string) error {
	return inPlace(path, func(f *os.File, size int64) error {
		b := make([]byte, length)
		for range n {
			for i := range b {
				b[i] = byte(r.Uint32() >> 7)
			}
			if _, err := f.WriteAt(b, r.Int64N(max((size-length)/512, 1))*512); err != nil {
				return err
			}
		}
		return nil
	})
}

// edit does as editors and package managers do: a new file takes the old
// one's name.
func edit(r *rand.Rand, seed int64, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	for range 3 {
		i := r.IntN(len(lines))
		lines[i] = append(fmt.Appendf(nil, "# edited %d %s %d\n", seed, pick(r, words), r.Uint32()), lines[i]...)
	}
	temp := path + ".tmp~"
	if err := os.WriteFile(temp, bytes.Join(lines, nil), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
