package keyring

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Create makes a master key and writes it to a new file of mode 0600, whole
// and durably. It fails with fs.ErrExist where there is a file.
func Create(path string, rand io.Reader) (*Master, error) {
	m, err := NewMaster(rand)
	if err != nil {
		return nil, err
	}
	if err := m.writeFile(path); err != nil {
		return nil, fmt.Errorf("write master key file: %w", err)
	}
	return m, nil
}

// writeFile writes a file aside and links it to path, which, unlike a rename,
// never takes the place of another key.
func (m Master) writeFile(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-master-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := m.Export(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Load reads a master key file, which must belong to the user that the process
// runs as, and be closed to all others. Where there is none, the error wraps
// fs.ErrNotExist and says what that means.
func Load(path string) (*Master, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not block the start
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("master key file %s is missing: without it no backup can be read; put the copy back that was kept: %w",
			path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("read master key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read master key file: %w", err)
	}
	if err := private(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("read master key file: %w", err)
	}
	m, err := ParseMaster(text)
	if err != nil {
		return nil, fmt.Errorf("master key file %s: %w", path, err)
	}
	return m, nil
}

func private(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("master key file %s is not a regular file", path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("master key file %s belongs to user %d, not to user %d that runs this: run chown %d %s and chmod 600 %s",
			path, stat.Uid, os.Geteuid(), os.Geteuid(), path, path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("master key file %s is open to other users (mode %04o): run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return nil
}
