package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// spoolReserve is what spooling leaves free of a file system, for whoever
	// else writes there.
	spoolReserve = 1 << 30
	// spoolStep is how much is spooled between two looks at what is free.
	spoolStep = 64 << 20
)

// Spool reads a stream to its end into a file without a name in dir, and
// returns it as a source: an engine asks for a volume's size first, and reads
// in places, neither of which a stream allows. Runs of zeros take no space, and
// the space is given back at Close, or when the process ends. A file system
// that gets full fails it with ErrNoSpace, a stream that breaks with a
// *SourceError. Cancelling has an effect between two reads.
func Spool(ctx context.Context, dir string, stream io.Reader) (*FileSource, error) {
	f, err := unnamed(dir)
	if err != nil {
		return nil, fmt.Errorf("spool stream: %w", classify(err))
	}
	size, err := spool(ctx, f, stream)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("spool stream: %w", classify(err))
	}
	return &FileSource{f: f, path: "-", size: size}, nil
}

// unnamed makes a file that has no name, or loses it at once.
func unnamed(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return f, err
	}
	if f, err = os.CreateTemp(dir, ".stream-*"); err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func spool(ctx context.Context, f *os.File, stream io.Reader) (int64, error) {
	c := newCopier(f, nil)
	size, looked := int64(0), int64(-spoolStep)
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if size-looked >= spoolStep {
			if err := leavesRoom(f); err != nil {
				return 0, err
			}
			looked = size
		}
		n, err := io.ReadFull(stream, c.buf)
		if n > 0 {
			if err := c.writeSparse(c.buf[:n], size); err != nil {
				return 0, err
			}
			size += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return size, f.Truncate(size) // its end may be zeros
		case err != nil:
			return 0, &SourceError{Path: "-", Offset: size, Err: err}
		}
	}
}

// leavesRoom fails where the file system of f is nearly full.
func leavesRoom(f *os.File) error {
	var st unix.Statfs_t
	if err := withFD(f, func(fd int) error { return unix.Fstatfs(fd, &st) }); err != nil {
		return err
	}
	if free := st.Bavail * uint64(st.Bsize); free < spoolReserve {
		return fmt.Errorf("%w: %d bytes are free, %d are kept", ErrNoSpace, free, spoolReserve)
	}
	return nil
}
