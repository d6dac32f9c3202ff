package local

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// createTemp makes a file in dir that no other process will sweep away while
// it is open: it is locked as long.
func createTemp(dir string) (*os.File, error) {
	for {
		var id [16]byte
		if _, err := rand.Read(id[:]); err != nil {
			return nil, fmt.Errorf("name a temporary file: %w", err)
		}
		f, err := os.OpenFile(filepath.Join(dir, hex.EncodeToString(id[:])), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err != nil {
			return nil, err
		}
		swept, err := lockTemp(f)
		if err != nil {
			discard(f)
			return nil, err
		}
		if !swept {
			return f, nil
		}
		f.Close()
	}
}

// lockTemp locks a new file, and reports whether a sweep came in between its
// creation and its lock.
func lockTemp(f *os.File) (swept bool, err error) {
	if err := flock(f, syscall.LOCK_EX); err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0, nil
}

// discard removes a temporary file that will not become an object. Where that
// fails, the next sweep finds it.
func discard(f *os.File) {
	os.Remove(f.Name())
	f.Close()
}

// sweep removes the files in dir that no living process writes: those whose
// lock is free. Files that may not be touched are left.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignore(err)
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		if err := sweepFile(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func sweepFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0) // some network file systems lock only what is open for writing
	if err != nil {
		return ignore(err)
	}
	defer f.Close()
	switch err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil
	case err != nil:
		return fmt.Errorf("lock %s: %w", name, err)
	}
	return ignore(os.Remove(name))
}

// ignore drops the errors of a file that is gone or may not be touched.
func ignore(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	return err
}

func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
