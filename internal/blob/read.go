package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Window translates the offset and length of a Get for an object of size
// bytes: it returns where reading starts, and how many of the n bytes exist.
func Window(size, off int64, n int) (start int64, count int) {
	start = off
	if off < 0 {
		start = size + off
	}
	if start < 0 || start >= size {
		return 0, 0
	}
	return start, int(min(int64(n), size-start))
}

// ReadAll returns an object's whole content. An object of more than limit
// bytes is refused with an error that wraps ErrInvalid.
func ReadAll(ctx context.Context, s Store, name string, limit int64) ([]byte, error) {
	size, err := s.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("object %s has %d bytes, at most %d are taken: %w", name, size, limit, ErrInvalid)
	}
	p := make([]byte, size)
	if _, err := s.Get(ctx, name, p, 0); err != nil {
		return nil, err
	}
	return p, nil
}

// CheckBody returns an error that wraps ErrInvalid where body is too large
// for an object.
func CheckBody(body *io.SectionReader) error {
	if body.Size() > MaxSize {
		return fmt.Errorf("body of %d bytes, at most %d are taken: %w", body.Size(), MaxSize, ErrInvalid)
	}
	return nil
}

// ReadBody reads len(p) bytes of body from off, whatever body's own position
// is, and fails with io.ErrUnexpectedEOF where there are fewer.
func ReadBody(body *io.SectionReader, p []byte, off int64) error {
	n, err := body.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read the body: %w", err)
}
