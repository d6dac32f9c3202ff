package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// prepareTarget makes sure that size bytes can be restored to path, and makes
// the file where there is none. The function that it returns takes back what
// it did, after a restore that failed.
func prepareTarget(path string, size int64, force bool) (undo func() error, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return prepareExisting(path, size, force)
	}
	if err != nil {
		return nil, err
	}
	undo = func() error { return os.Remove(path) }
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}

// prepareExisting checks what is at path. An empty file is made large enough.
func prepareExisting(path string, size int64, force bool) (undo func() error, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	device := info.Mode().Type() == fs.ModeDevice // a character device has another bit set
	switch {
	case info.Mode().IsRegular() && info.Size() == 0:
		return func() error { return os.Truncate(path, 0) }, os.Truncate(path, size)
	case info.Mode().IsRegular() && !force:
		return nil, fmt.Errorf("%s holds something already: give another path, or --force", path)
	case !info.Mode().IsRegular() && !device:
		return nil, fmt.Errorf("%s is neither a file nor a block device", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	has, err := f.Seek(0, io.SeekEnd)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if has < size {
		return nil, fmt.Errorf("%s has %d bytes, and the backup %d", path, has, size)
	}
	return func() error { return nil }, nil
}
