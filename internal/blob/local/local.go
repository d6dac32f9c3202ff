// Package local is an object store in a directory. An object is a file of
// mode 0600 below objects/, under its own name; what is being written lies in
// tmp/ and is renamed when it is durable. Directories of mode 0700 are made as
// names need them, and stay when they become empty. Several processes may use
// one directory.
package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"holdfast/internal/blob"
)

const (
	objectsDir = "objects"
	tempDir    = "tmp"

	dirMode  = 0o700
	fileMode = 0o600
)

// Store is a blob.Store in a directory. Make one with Open or Create.
type Store struct {
	objects string
	temp    string
	dirs    durableDirs
	buffers sync.Pool // of *[]byte, bufferSize each

	// sync makes a file or directory durable: (*os.File).Sync, except in
	// tests of what follows its failure.
	sync func(*os.File) error
}

var _ blob.Store = (*Store)(nil)

// Create opens the store in the directory root, which is made if it is
// missing, with all directories above it.
func Create(root string) (*Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("create object store: %w", err)
	}
	for _, dir := range []string{root, filepath.Join(root, objectsDir), filepath.Join(root, tempDir)} {
		if err := makeDurableDir(dir); err != nil {
			return nil, fmt.Errorf("create object store: %w", noSpace(err))
		}
	}
	return Open(root)
}

// Open opens the store that Create made in root, and removes what dead
// processes left in tmp/. It works on a file system that can't be written, of
// which objects can be read then.
func Open(root string) (*Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	s := &Store{
		objects: filepath.Join(root, objectsDir),
		temp:    filepath.Join(root, tempDir),
		sync:    (*os.File).Sync,
	}
	s.buffers.New = func() any {
		b := make([]byte, bufferSize)
		return &b
	}
	if err := s.present(); err != nil {
		return nil, fmt.Errorf("open object store in %s: %w", root, err)
	}
	if err := sweep(s.temp); err != nil {
		return nil, fmt.Errorf("open object store in %s: clear %s: %w", root, tempDir, err)
	}
	return s, nil
}

// present tells a directory that holds no such object from a directory that
// is gone itself, as when a disk is not mounted.
func (s *Store) present() error {
	info, err := os.Stat(s.objects)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("no object store here: %s is missing", s.objects)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("no object store here: %s is not a directory", s.objects)
	}
	return nil
}

// path returns the file of an object, or the directory of a name's beginning.
func (s *Store) path(name string) string {
	return filepath.Join(s.objects, filepath.FromSlash(name))
}

// missing reports whether err says that there is no file under a name: nothing,
// a directory, a link, or a file where the name has a directory.
func missing(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ELOOP)
}

// absent returns the error for a name under which there is no file.
func (s *Store) absent() error {
	if err := s.present(); err != nil {
		return err
	}
	return blob.ErrNotFound
}

// noSpace makes the file system's errors for a full disk or quota wrap
// blob.ErrNoSpace.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", blob.ErrNoSpace, err)
	}
	return err
}
