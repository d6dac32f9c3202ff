package vault

import (
	"io"
	"sync"
)

const chunkSize = 1 << 20

// chunks hands out the pieces that objects are put together in, and takes
// them back, so that a job's memory stays what it was.
type chunks struct {
	mu   sync.Mutex
	free [][]byte
}

func (c *chunks) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		b := c.free[n-1]
		c.free = c.free[:n-1]
		return b
	}
	return make([]byte, 0, chunkSize)
}

func (c *chunks) give(bs [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range bs {
		c.free = append(c.free, b[:0])
	}
}

// drop frees the pieces that nobody uses.
func (c *chunks) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = nil
}

// body is an object while it is put together.
type body struct {
	pool *chunks
	full [][]byte // all but the last hold chunkSize bytes
	size int64
}

// Write appends p; it never fails.
func (b *body) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(b.full) == 0 || len(b.full[len(b.full)-1]) == chunkSize {
			b.full = append(b.full, b.pool.take())
		}
		last := &b.full[len(b.full)-1]
		k := min(len(p), chunkSize-len(*last))
		*last = append(*last, p[:k]...)
		p = p[k:]
	}
	b.size += int64(n)
	return n, nil
}

// ReadAt reads what was written.
func (b *body) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < b.size {
		c := b.full[off/chunkSize][off%chunkSize:]
		k := copy(p[n:], c)
		n += k
		off += int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// release gives the body's memory back.
func (b *body) release() {
	b.pool.give(b.full)
	b.full, b.size = nil, 0
}
