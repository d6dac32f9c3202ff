package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// StartError ends a start that can't succeed as the installation is set up:
// a configuration, an address, a file's rights. Its text is one line.
type StartError struct{ Err error }

// Error returns the line.
func (e *StartError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

func startErrorf(format string, args ...any) error {
	return &StartError{fmt.Errorf(format, args...)}
}

// makePrivate makes a folder that only its owner can enter, or checks that an
// existing one is such.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return startErrorf("data folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return startErrorf("data folder: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return startErrorf("data folder %s can be entered by others: chmod 700 %s", dir, dir)
	}
	return owned(dir, info)
}

// checkPrivate fails where others can read a file. A missing one is none.
func checkPrivate(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &StartError{err}
	}
	if info.Mode().Perm()&0o077 != 0 {
		return startErrorf("%s can be read by others: chmod 600 %s", path, path)
	}
	return owned(path, info)
}

func owned(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return startErrorf("%s belongs to another user (uid %d)", path, st.Uid)
	}
	return nil
}

// createOnce makes a private file whole, or fails with fs.ErrExist.
func createOnce(path string, content []byte) error { return putWhole(path, content, os.Link) }

// writePrivate replaces a file whole, readable by its owner alone.
func writePrivate(path string, content []byte) error { return putWhole(path, content, os.Rename) }

// putWhole writes a private file aside and has place give it its name.
func putWhole(path string, content []byte, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = place(f.Name(), path)
	}
	if rerr := os.Remove(f.Name()); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}
