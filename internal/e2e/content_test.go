package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// words is text that compresses, but not for nothing.
func words(r *rand.Rand, b []byte) {
	const letters = "etaoinshrdlu \n-.,cmfwyp0123456789"
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
}

// noise is content that doesn't compress.
func noise(r *rand.Rand, b []byte) {
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], r.Uint64())
		copy(b[i:], word[:])
	}
}

// scribble overwrites n pieces of a file, of up to size bytes each, at random
// places: with text, with noise, and with zeros.
func scribble(t testing.TB, r *rand.Rand, path string, n, size int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	buf := make([]byte, size)
	for range n {
		b := buf[:1+r.IntN(size)]
		switch r.IntN(4) {
		case 0:
			clear(b)
		case 1:
			noise(r, b)
		default:
			words(r, b)
		}
		_, err := f.WriteAt(b, r.Int64N(info.Size()-int64(len(b))+1))
		must(t, err)
	}
	must(t, f.Sync())
}

// fill writes size bytes of noise at an offset of a file.
func fill(t testing.TB, r *rand.Rand, path string, offset, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	b := make([]byte, size)
	noise(r, b)
	_, err = f.WriteAt(b, offset)
	must(t, err)
	must(t, f.Sync())
}

// sum names the content of a file: equal for files of equal length and bytes.
type sum [sha256.Size]byte

// piece is what digest looks at at once.
const piece = 64 << 10

// digest returns the sum of a file. Zeros that lie in a hole and zeros that
// are stored are the same to it.
func digest(t testing.TB, path string) sum {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	h := sha256.New()
	var at [8]byte
	buf, zeros := make([]byte, piece), make([]byte, piece)
	for off := nextData(t, f, 0, info.Size()); off < info.Size(); {
		n, err := f.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if bytes.Equal(buf[:n], zeros[:n]) {
			off = nextData(t, f, off+piece, info.Size())
			continue
		}
		binary.LittleEndian.PutUint64(at[:], uint64(off))
		h.Write(at[:])
		h.Write(buf[:n])
		off += piece
	}
	binary.LittleEndian.PutUint64(at[:], uint64(info.Size()))
	h.Write(at[:])
	return sum(h.Sum(nil))
}

// nextData returns the beginning of the first piece from off on that may hold
// data.
func nextData(t testing.TB, f *os.File, off, size int64) int64 {
	t.Helper()
	if off >= size {
		return size
	}
	next, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size
	case err != nil:
		return off // a file system that can't tell
	}
	return next / piece * piece
}
