package quickstart

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// advance is told how many bytes of how many are done. It may be called
// concurrently.
type advance func(done, total int64)

// Fill writes the content of the first moment into the file of an empty
// volume. Holes stay holes.
func Fill(ctx context.Context, path string, c *Content, tell advance) error {
	f, err := openVolume(path, os.O_RDWR, c.Size())
	if err != nil {
		return fmt.Errorf("fill volume: %w", err)
	}
	defer f.Close()
	err = eachPiece(ctx, c, tell, func(i int, buf, _ []byte) error {
		if c.Hole(Filled, i) {
			return nil
		}
		c.Piece(Filled, i, buf)
		return writeData(f, buf, int64(i)*PieceSize)
	})
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("fill volume: %w", err)
	}
	return nil
}

// Apply writes the changes between the two moments into the volume's file.
func Apply(ctx context.Context, path string, c *Content, tell advance) error {
	f, err := openVolume(path, os.O_RDWR, c.Size())
	if err != nil {
		return fmt.Errorf("change volume: %w", err)
	}
	defer f.Close()
	buf := make([]byte, PieceSize)
	total := c.ChangedBytes()
	var done int64
	for _, ch := range c.Changes() {
		if err := ctx.Err(); err != nil {
			return err
		}
		ch.Fill(buf[:ch.Length])
		if _, err := f.WriteAt(buf[:ch.Length], ch.Offset); err != nil {
			return fmt.Errorf("change volume: %w", err)
		}
		done += ch.Length
		tell(done, total)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("change volume: %w", err)
	}
	return nil
}

// DifferenceError says that a restored volume is not what it must be.
type DifferenceError struct {
	First int64 // offset of the first byte that differs
	Bytes int64 // how many differ
}

// Error names the first difference.
func (e *DifferenceError) Error() string {
	return fmt.Sprintf("%d bytes differ from what was backed up, the first at byte %d", e.Bytes, e.First)
}

// Compare reads every byte of the file at path and compares it with what the
// volume held at that moment. A difference is a *DifferenceError.
func Compare(ctx context.Context, path string, c *Content, at Moment, tell advance) error {
	f, err := openVolume(path, os.O_RDONLY, c.Size())
	if err != nil {
		return fmt.Errorf("compare volume: %w", err)
	}
	defer f.Close()
	differences := make([]DifferenceError, c.Pieces())
	err = eachPiece(ctx, c, tell, func(i int, want, got []byte) error {
		c.Piece(at, i, want)
		if _, err := f.ReadAt(got, int64(i)*PieceSize); err != nil {
			return err
		}
		if !bytes.Equal(want, got) {
			differences[i] = difference(want, got)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare volume: %w", err)
	}
	var sum DifferenceError
	for i, d := range differences {
		if d.Bytes > 0 && sum.Bytes == 0 {
			sum.First = int64(i)*PieceSize + d.First
		}
		sum.Bytes += d.Bytes
	}
	if sum.Bytes > 0 {
		return &sum
	}
	return nil
}

func difference(want, got []byte) DifferenceError {
	var d DifferenceError
	for i := range want {
		if want[i] == got[i] {
			continue
		}
		if d.Bytes == 0 {
			d.First = int64(i)
		}
		d.Bytes++
	}
	return d
}

// openVolume opens a volume's file, which must exist with the right size.
func openVolume(path string, flag int, size int64) (*os.File, error) {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("%s has %d bytes instead of %d", path, info.Size(), size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// writeData writes the parts of buf that are not zero.
func writeData(f *os.File, buf []byte, off int64) error {
	const block = 4096
	for start := 0; start < len(buf); {
		end := start
		for end < len(buf) && !zero(buf[end:end+block]) {
			end += block
		}
		if end > start {
			if _, err := f.WriteAt(buf[start:end], off+int64(start)); err != nil {
				return err
			}
		}
		start = end + block
	}
	return nil
}

// eachPiece calls do for every piece, on all processors, with two buffers of
// a piece each that are its own during the call.
func eachPiece(ctx context.Context, c *Content, tell advance, do func(i int, a, b []byte) error) error {
	var next, done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			a, b := make([]byte, PieceSize), make([]byte, PieceSize)
			for {
				i := int(next.Add(1) - 1)
				if i >= c.Pieces() {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := do(i, a, b); err != nil {
					return err
				}
				tell(done.Add(PieceSize), c.Size())
			}
		})
	}
	return g.Wait()
}
