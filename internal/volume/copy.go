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

// sparseCopy makes an empty file equal to src as long as nobody writes to
// that. Holes stay holes, and runs of zeros become holes.
func sparseCopy(ctx context.Context, dst, src *os.File) (Copy, error) {
	before, err := src.Stat()
	if err != nil {
		return Copy{}, err
	}
	size := before.Size()
	if err := dst.Truncate(size); err != nil {
		return Copy{}, err
	}
	buf := make([]byte, copyBuffer)
	for off := int64(0); off < size; {
		start, end, err := nextData(src, off, size)
		if err != nil {
			return Copy{}, err
		}
		if err := copyRange(ctx, dst, src, start, end, buf); err != nil {
			return Copy{}, err
		}
		off = end
	}
	after, err := src.Stat()
	if err != nil {
		return Copy{}, err
	}
	return Copy{Written: size != after.Size() || !before.ModTime().Equal(after.ModTime())}, nil
}

func copyRange(ctx context.Context, dst, src *os.File, start, end int64, buf []byte) error {
	for start < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(end-start, int64(len(buf)))]
		if _, err := src.ReadAt(p, start); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return &SourceError{Path: src.Name(), Offset: start, Err: cause(err)}
		}
		if err := writeSparse(dst, p, start); err != nil {
			return err
		}
		start += int64(len(p))
	}
	return nil
}

// writeSparse writes what isn't zero of p into a file that is a hole there.
func writeSparse(dst *os.File, p []byte, off int64) error {
	zeros := make([]byte, copyGrain)
	for len(p) > 0 {
		n := 0
		for n < len(p) && !zeroGrain(p[n:], zeros) {
			n += min(copyGrain, len(p)-n)
		}
		if _, err := dst.WriteAt(p[:n], off); err != nil {
			return err
		}
		for n < len(p) && zeroGrain(p[n:], zeros) {
			n += min(copyGrain, len(p)-n)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func zeroGrain(p, zeros []byte) bool {
	n := min(copyGrain, len(p))
	return bytes.Equal(p[:n], zeros[:n])
}
