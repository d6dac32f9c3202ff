package volume

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
)

const (
	// copyBuffer is how much is read at a time.
	copyBuffer = 1 << 20
	// copyGrain is the smallest run of zeros that becomes a hole; smaller ones
	// would cost more in extents than they save.
	copyGrain = 64 << 10
)

// copier makes an empty file equal to another as long as nobody writes to
// that. Holes stay holes, and runs of zeros become holes.
type copier struct {
	dst, src   *os.File
	buf, zeros []byte
}

func newCopier(dst, src *os.File) *copier {
	return &copier{dst: dst, src: src, buf: make([]byte, copyBuffer), zeros: make([]byte, copyGrain)}
}

func (c *copier) run(ctx context.Context) (Copy, error) {
	before, err := c.src.Stat()
	if err != nil {
		return Copy{}, err
	}
	size := before.Size()
	if err := c.dst.Truncate(size); err != nil {
		return Copy{}, err
	}
	for off := int64(0); off < size; {
		start, end, err := nextData(c.src, off, size)
		if err != nil {
			return Copy{}, c.readError(off, err)
		}
		if err := c.copyRange(ctx, start, end); err != nil {
			return Copy{}, err
		}
		off = end
	}
	after, err := c.src.Stat()
	if err != nil {
		return Copy{}, err
	}
	return Copy{Written: size != after.Size() || !before.ModTime().Equal(after.ModTime())}, nil
}

func (c *copier) copyRange(ctx context.Context, start, end int64) error {
	for start < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := c.buf[:min(end-start, copyBuffer)]
		if n, err := c.src.ReadAt(p, start); n < len(p) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return c.readError(start+int64(n), err)
		}
		if err := c.writeSparse(p, start); err != nil {
			return err
		}
		start += int64(len(p))
	}
	return nil
}

// writeSparse writes what isn't zero of p into a file that is a hole there.
func (c *copier) writeSparse(p []byte, off int64) error {
	for len(p) > 0 {
		data := c.span(p, false)
		if _, err := c.dst.WriteAt(p[:data], off); err != nil {
			return err
		}
		n := data + c.span(p[data:], true)
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// span returns how much of p's beginning is grains that are all zero, or all
// not.
func (c *copier) span(p []byte, zero bool) int {
	n := 0
	for n < len(p) {
		grain := p[n:min(n+copyGrain, len(p))]
		if bytes.Equal(grain, c.zeros[:len(grain)]) != zero {
			break
		}
		n += len(grain)
	}
	return n
}

func (c *copier) readError(off int64, err error) error {
	return &SourceError{Path: c.src.Name(), Offset: off, Err: cause(err)}
}
