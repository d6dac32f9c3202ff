package volume

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// The errors that operations on volumes wrap.
var (
	// ErrNotFound: there is no such volume, snapshot or base.
	ErrNotFound = errors.New("no such volume or snapshot")

	// ErrExists: something else has the id already. An operation that finds
	// its own earlier result doesn't fail.
	ErrExists = errors.New("volume exists with another size")

	// ErrTooSmall: the size asked for is below what it must hold.
	ErrTooSmall = errors.New("size is too small")

	// ErrNoSpace: the file system, or the quota in it, is full.
	ErrNoSpace = errors.New("no space left for volumes")

	// ErrInvalid: an id, a state, a size or a path can't be used.
	ErrInvalid = errors.New("invalid volume argument")
)

// SourceError is a failure to read what is backed up.
type SourceError struct {
	Path   string
	Offset int64 // in bytes
	Err    error
}

// Error names the offset and the cause, but not the path, which is the
// operator's affair alone.
func (e *SourceError) Error() string {
	return fmt.Sprintf("read source at byte %d: %v", e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// TargetError is a failure to write what is restored.
type TargetError struct {
	Op     string // "write", "zero" or "sync"
	Path   string
	Offset int64 // in bytes
	Err    error
}

// Error names operation, offset and cause, but not the path.
func (e *TargetError) Error() string {
	if e.Op == "sync" {
		return fmt.Sprintf("sync target: %v", e.Err)
	}
	return fmt.Sprintf("%s target at byte %d: %v", e.Op, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *TargetError) Unwrap() error { return e.Err }

func errNotRaw(path string) error {
	return fmt.Errorf("%w: %s is neither a file nor a block device", ErrInvalid, path)
}

// cause takes the operating system's error out of one that names a path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// classify adds the package's own error to one of the operating system's.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoSpace), errors.Is(err, ErrNotFound):
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case errors.Is(err, unix.EFBIG): // larger than the file system's largest file
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
