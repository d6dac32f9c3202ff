package jobs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/uuid"
)

// worker is this process's life as others see it: a file that it keeps
// locked. Two workers can look at each other's files only where both host and
// place are the same.
type worker struct {
	id    string
	host  string
	place string // names the folder, so that two of equal path are not mixed up
	dir   string
	file  *os.File
}

const lockSuffix = ".lock"

func newWorker(dir, host string) (*worker, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	place, err := placeOf(dir)
	if err != nil {
		return nil, fmt.Errorf("name the folder %s: %w", dir, err)
	}
	w := &worker{host: host, place: place, dir: dir}
	for w.file == nil {
		w.id = uuid.NewString()
		if w.file, err = createLocked(w.path(w.id)); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *worker) path(id string) string { return filepath.Join(w.dir, id+lockSuffix) }

// end removes the lock file and lets go of it.
func (w *worker) end() error {
	return errors.Join(os.Remove(w.file.Name()), w.file.Close())
}

// placeOf returns the folder's name, which the first worker in it gives.
func placeOf(dir string) (string, error) {
	path := filepath.Join(dir, "place")
	for {
		name, err := os.ReadFile(path)
		if err == nil {
			if _, err := uuid.Parse(string(name)); err != nil {
				return "", fmt.Errorf("%s: %w", path, err)
			}
			return string(name), nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		// Whole or not at all: a link is made to a finished file.
		id := uuid.NewString()
		draft := filepath.Join(dir, "place-"+id)
		if err := os.WriteFile(draft, []byte(id), 0o600); err != nil {
			return "", err
		}
		err = os.Link(draft, path)
		if rerr := os.Remove(draft); rerr != nil {
			return "", rerr
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
}

// createLocked makes a file and locks it. It returns nil where another process
// took the file for a dead worker's before it was locked.
func createLocked(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	locked, err := tryLock(f)
	if err != nil || !locked {
		return nil, errors.Join(err, f.Close())
	}
	mine, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	there, err := os.Stat(path)
	if err != nil || !os.SameFile(mine, there) {
		return nil, f.Close()
	}
	return f, nil
}

func tryLock(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
	}
}

// dead reports whether a worker of this place has ended, and if so returns how
// to remove its file.
func (w *worker) dead(id string) (bool, func() error, error) {
	if _, err := uuid.Parse(id); err != nil {
		return false, nil, fmt.Errorf("worker %q: %w", id, err)
	}
	path := w.path(id)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return true, func() error { return nil }, nil
	}
	if err != nil {
		return false, nil, err
	}
	locked, err := tryLock(f)
	if err != nil || !locked {
		return false, nil, errors.Join(err, f.Close())
	}
	return true, func() error {
		err := os.Remove(path)
		if errors.Is(err, os.ErrNotExist) { // another worker was first
			err = nil
		}
		return errors.Join(err, f.Close())
	}, nil
}

// files returns the ids of the workers that have a file in this place.
func (w *worker) files() ([]string, error) {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), lockSuffix)
		if _, err := uuid.Parse(id); ok && err == nil && id != w.id {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
