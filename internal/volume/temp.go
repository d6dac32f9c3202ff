package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tempTries bounds how often a new temporary file may fall to a folder that is
// being opened at that moment.
const tempTries = 100

// newTemp makes an empty temporary file. As long as it is open its lock tells
// other processes that it is alive.
func (f *Folder) newTemp() (*os.File, error) {
	for range tempTries {
		t, err := os.CreateTemp(f.temp, "*.raw")
		if err != nil {
			return nil, err
		}
		alive, err := claim(t)
		if err != nil {
			discard(t)
			return nil, err
		}
		if alive {
			return t, nil
		}
		t.Close()
	}
	return nil, errors.New("temporary files vanish as they are made")
}

// claim locks a temporary file; false where someone else removes it.
func claim(t *os.File) (bool, error) {
	err := withFD(t, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock temporary file: %w", err)
	}
	var st unix.Stat_t
	if err := withFD(t, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return false, err
	}
	return st.Nlink > 0, nil
}

func discard(t *os.File) {
	os.Remove(t.Name())
	t.Close()
}

// removeStale removes the temporary files whose makers are gone.
func (f *Folder) removeStale() error {
	entries, err := os.ReadDir(f.temp)
	if err != nil {
		return err
	}
	for _, e := range entries {
		t, err := os.Open(filepath.Join(f.temp, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		stale, err := claim(t)
		if err == nil && stale {
			err = os.Remove(t.Name())
		}
		t.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// publish gives a temporary file its name, whole and durable, and never takes
// a name away from another file: then it fails with fs.ErrExist.
func (f *Folder) publish(t *os.File, path string) error {
	if err := t.Sync(); err != nil {
		return err
	}
	if err := os.Link(t.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// anySize: a file that is there is the one that is wanted.
const anySize = -1

// make creates a file by filling a temporary one and publishing it. A file of
// that name and size is taken as the result of an earlier call.
func (f *Folder) make(path string, size int64, fill func(t *os.File) error) error {
	done, err := present(path, size)
	if err != nil || done {
		return err
	}
	t, err := f.newTemp()
	if err != nil {
		return classify(err)
	}
	defer discard(t)
	if err := fill(t); err != nil {
		return classify(err)
	}
	err = f.publish(t, path)
	if !errors.Is(err, fs.ErrExist) {
		return classify(err)
	}
	if done, err = present(path, size); err == nil && !done {
		err = ErrNotFound
	}
	return err
}

// present reports whether a file is there, and makes its name durable, which
// the process that made it may not have come to.
func present(path string, size int64) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, errNotRaw(path)
	case size != anySize && info.Size() != size:
		return false, fmt.Errorf("%w: %d bytes", ErrExists, info.Size())
	}
	return true, syncDir(filepath.Dir(path))
}

// remove removes a file for good; one that isn't there is no error.
func remove(path string) error {
	err := os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}
